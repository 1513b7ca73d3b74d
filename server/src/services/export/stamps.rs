//! Time stamps for a bundle.

use evidence::bundle::STAMPS_MAX;
use evidence::digest::Digest;

use crate::failure::chain;
use crate::log::tsa::TsaClient;

/// Time stamps over `bytes`: one of each authority that answers, in their order, at most as many as a bundle has.
pub(super) async fn stamps(tsas: &[TsaClient], bytes: &[u8]) -> Vec<Vec<u8>> {
    let digest = Digest::of(bytes);
    // All at once: one that is away costs its patience, not everybody's.
    let asked: Vec<_> = tsas
        .iter()
        .cloned()
        .map(|client| {
            tokio::spawn(async move {
                let answer = client.stamp(&digest).await;
                answer.inspect_err(|error| {
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
