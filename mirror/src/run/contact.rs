//! The line to the collector: the certificate at first and again, and its notes.
//! Guarantee: a collector that is away is tried again, for ever and not often. Not here: what a note is good for.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use certs::certificate::Leaf;
use certs::identity::Credentials;
use store::{Key, Store};
use tokio::sync::Notify;

use super::{RunError, Shared};
use crate::chain;
use crate::config::{Card, Config, Layout};
use crate::cosign::LogNote;
use crate::remote::{certify, said};
use crate::status::Board;

/// Waits between tries to reach the collector.
pub(super) const BACKOFF_MIN: Duration = Duration::from_secs(1);
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often a store of the collector is looked at for a newer note.
const LOOK_AT_SOURCE: Duration = Duration::from_secs(10);

/// Reads the TLS key; without a certificate asks for one until it is there.
pub(super) fn credentials(
    runtime: &tokio::runtime::Runtime,
    layout: &Layout,
    config: &Config,
    card: &Card,
    board: &Board,
) -> Result<Credentials, RunError> {
    let tls = |error: certs::identity::IdentityError| RunError::Tls(chain(&error));
    let mut credentials = Credentials::load(&layout.tls()).map_err(tls)?;
    let mut wait = BACKOFF_MIN;
    while credentials.chain.is_empty() {
        match runtime.block_on(certify(config, card, &credentials.key)) {
            Ok(chain) => {
                Credentials::replace(&layout.tls(), &credentials.key, &chain).map_err(tls)?;
                credentials.chain = chain;
            }
            Err(error) => {
                let why = chain(&error);
                tracing::warn!(cause = %why, "No certificate yet; give admission.json to an endpoint-admin: exhibit mirror admit");
                board.update(|status| status.waiting = why);
                board.write(&layout.run());
                std::thread::sleep(wait);
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }
    Ok(credentials)
}

/// Hands each note to the ledger thread; without the collector, tries again.
pub(super) async fn follow(shared: Arc<Shared>, notes: SyncSender<()>, wake: Arc<Notify>) {
    let mut wait = BACKOFF_MIN;
    loop {
        match shared.remote.follow().await {
            Err(status) => away(&shared, &said(&status)),
            Ok(mut stream) => loop {
                let next = tokio::select! {
                    next = stream.message() => next,
                    // Somebody asks for what is not held yet: a round that failed is not waited out.
                    () = wake.notified() => {
                        notes.try_send(()).unwrap_or_default();
                        continue;
                    }
                };
                match next {
                    Ok(Some(note)) => {
                        wait = BACKOFF_MIN;
                        shared.board.update(|status| {
                            status.last_contact = crate::now().to_string();
                            status.waiting.clear();
                        });
                        *shared.newest() = Some(note.note.to_vec());
                        // Full: the thread has not seen the one before, and will look here.
                        notes.try_send(()).unwrap_or_default();
                    }
                    Ok(None) => break,
                    Err(status) => {
                        away(&shared, &said(&status));
                        break;
                    }
                }
            },
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF_MAX),
            () = wake.notified() => wait = BACKOFF_MIN,
        }
    }
}

fn away(shared: &Shared, why: &str) {
    tracing::warn!(cause = why, "The collector does not answer; it is tried again");
    shared.board.update(|status| status.waiting = format!("the collector is away: {why}"));
}

/// Looks for newer notes in a store of the collector, which may be there when the collector is not.
pub(super) async fn look(shared: Arc<Shared>, place: Arc<dyn Store>, notes: SyncSender<()>) {
    loop {
        let store = Arc::clone(&place);
        let read = tokio::task::spawn_blocking(move || store.read(&Key::checkpoint())).await;
        match read {
            Ok(Ok(bytes)) => {
                if is_newer(&shared, &bytes) {
                    *shared.newest() = Some(bytes);
                    notes.try_send(()).unwrap_or_default();
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(cause = %chain(&error), "The source's note cannot be read; it is tried again");
            }
            Err(error) => tracing::error!(%error, "The look into the source failed"),
        }
        tokio::time::sleep(LOOK_AT_SOURCE).await;
    }
}

/// Whether a note is of the log and larger than the newest that came. A store may lag behind what the collector shows.
fn is_newer(shared: &Shared, bytes: &[u8]) -> bool {
    let pins = shared.cosigner.pins();
    let size = |bytes: &[u8]| {
        LogNote::read(bytes, &pins.origin(), &pins.log_keys.keys()).ok().map(|note| note.checkpoint.size)
    };
    let known = shared.newest().as_deref().and_then(size);
    size(bytes) > known
}

/// Renews the certificate at half its life.
pub(super) async fn renew(shared: Arc<Shared>, config: Config, card: Card, mut credentials: Credentials) {
    loop {
        let due = credentials.chain.first().and_then(|leaf| Leaf::parse(leaf).ok()).is_none_or(|leaf| {
            crate::now().since(leaf.not_before) * 2 > leaf.not_after.since(leaf.not_before)
        });
        if due {
            match certify(&config, &card, &credentials.key).await {
                Ok(chain) => {
                    let written = Credentials::replace(&shared.layout.tls(), &credentials.key, &chain);
                    credentials.chain = chain;
                    let used = shared.remote.replace(&card, &credentials);
                    match (written, used) {
                        (Ok(()), Ok(())) => tracing::info!("The certificate is renewed"),
                        _ => tracing::error!("The renewed certificate could not be kept or used"),
                    }
                }
                Err(error) => tracing::warn!(cause = %chain(&error), "The certificate could not be renewed"),
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}
