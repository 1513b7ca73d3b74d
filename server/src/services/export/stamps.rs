//! Time stamps for a bundle.

use std::sync::Arc;

use evidence::bundle::STAMPS_MAX;
use evidence::causes::chain;

use crate::log::tsa::TsaClient;

/// Gets time stamps over `bytes`: one from each authority that answers, in their order, at most as many as a bundle holds.
pub(super) async fn stamps(tsas: &[TsaClient], bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes: Arc<[u8]> = bytes.into();
    // Ask all at once: an authority that is away then delays only its own answer.
    let asked: Vec<_> = tsas
        .iter()
        .cloned()
        .map(|client| {
            let bytes = Arc::clone(&bytes);
            tokio::spawn(async move {
                let answer = client.stamp(&bytes).await;
                answer.map(|response| response.bytes).inspect_err(|error| {
                    tracing::warn!(tsa = client.name(), cause = %chain(error), "No time stamp of this authority");
                })
            })
        })
        .collect();
    let mut stamps = Vec::new();
    for answer in asked {
        stamps.extend(answer.await.ok().and_then(Result::ok));
    }
    stamps.truncate(STAMPS_MAX);
    stamps
}
