//! Gives the collector back what it lost: it says which objects no store of its own has whole (docs/spec/mirror.md, *Repair*).
//! Guarantee: only bytes with the digest of their key leave, one object at a time, within the bandwidth; over the mirror's own
//! connection, so it needs no listener. Not here: evidence for persons ([`crate::release`]).

use std::sync::Arc;
use std::time::Duration;

use store::{ContentCheck, Key, KeyKind};
use tonic::Code;

use super::Shared;
use super::contact::{BACKOFF_MAX, BACKOFF_MIN};
use crate::remote::said;

/// Follows what is wanted, for ever.
pub(super) async fn give(shared: Arc<Shared>) {
    let mut wait = BACKOFF_MIN;
    loop {
        match shared.remote.wanted().await {
            // `follow` tells of a collector that is away; one that is older does not know the question.
            Err(status) if status.code() == Code::Unimplemented => wait = BACKOFF_MAX,
            Err(_) => {}
            Ok(mut stream) => {
                while let Ok(Some(wanted)) = stream.message().await {
                    wait = BACKOFF_MIN;
                    if let Ok(key) = Key::parse(&wanted.key) {
                        one(&shared, key).await;
                    }
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(BACKOFF_MAX).max(Duration::from_secs(1));
    }
}

async fn one(shared: &Arc<Shared>, key: Key) {
    // What a collector may lose and a digest says whole. Never texts: one that is gone was erased.
    if !matches!(key.kind(), KeyKind::Segment | KeyKind::Seal | KeyKind::Targets | KeyKind::Stamp) {
        tracing::warn!(%key, "The collector asks for what is not given back");
        return;
    }
    let (own, looked) = (shared.own.clone(), key.clone());
    let read = tokio::task::spawn_blocking(move || own.read(&looked)).await;
    let Ok(Ok(bytes)) = read else {
        tracing::info!(%key, "The collector asks for what this mirror does not have");
        return;
    };
    if key.check(&bytes) != ContentCheck::Right {
        return;
    }
    match shared.remote.offer(&key, bytes).await {
        Ok(()) => {
            tracing::warn!(%key, "Given back to the collector, which had lost it");
            shared.board.update(|status| status.given_back = status.given_back.saturating_add(1));
        }
        Err(status) => tracing::info!(%key, cause = %said(&status), "The collector did not take it back"),
    }
}
