//! Gives the collector what it lost: the collector names objects that none of its stores has whole (docs/spec/mirror.md, *Repair*).
//! Guarantee: only bytes with the digest of their key leave, one object at a time, within the bandwidth. They leave over the mirror's
//! own connection, so the mirror needs no listener. Not here: evidence for persons ([`crate::release`]).

use std::sync::Arc;
use std::time::Duration;

use store::{ContentCheck, Key, KeyKind};
use tonic::Code;

use super::Context;
use super::contact::backoff;
use crate::remote::describe_status;

/// How long to wait before asking again a collector that does not know the request.
const UNKNOWN_QUESTION: Duration = Duration::from_secs(60);

/// Follows the collector's list of wanted objects until the process ends.
pub(super) async fn give(context: Arc<Context>) {
    let mut backoff = backoff();
    loop {
        match context.remote.wanted().await {
            // `follow` reports a collector that is away. An older collector does not know the request.
            Err(status) if status.code() == Code::Unimplemented => {
                tokio::time::sleep(UNKNOWN_QUESTION).await;
                continue;
            }
            Err(_) => {}
            Ok(mut stream) => {
                while let Ok(Some(wanted)) = stream.message().await {
                    backoff.reset();
                    if let Ok(key) = Key::parse(&wanted.key) {
                        one(&context, key).await;
                    }
                }
            }
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

async fn one(context: &Arc<Context>, key: Key) {
    // Kinds of objects that a collector can lose and whose digest proves them whole. Texts are never among
    // them: a missing text was erased.
    if !matches!(key.kind(), KeyKind::Segment | KeyKind::Seal | KeyKind::Targets | KeyKind::Stamp) {
        tracing::warn!(%key, "The collector asks for what is not given back");
        return;
    }
    let (own, looked) = (context.own.clone(), key.clone());
    let read = tokio::task::spawn_blocking(move || own.read(&looked)).await;
    let Ok(Ok(bytes)) = read else {
        tracing::info!(%key, "The collector asks for what this mirror does not have");
        return;
    };
    if key.check(&bytes) != ContentCheck::Right {
        return;
    }
    match context.remote.offer(&key, bytes).await {
        Ok(()) => {
            tracing::warn!(%key, "Given back to the collector, which had lost it");
            context.board.update(|status| status.given_back += 1);
        }
        Err(status) => {
            tracing::info!(%key, cause = %describe_status(&status), "The collector did not take it back")
        }
    }
}
