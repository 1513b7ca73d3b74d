//! The connection to the collector: the first certificate, its renewal, and the log's notes.
//! Guarantee: if the collector is away, the mirror tries again, less and less often, and never gives up. Not here: what a note is worth.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use anyhow::Context as _;
use certs::certificate::Leaf;
use certs::identity::Credentials;
use evidence::causes::chain;
use proto::backoff::Backoff;
use store::{Key, Store};
use tokio::sync::Notify;

use super::Context;
use crate::config::{Card, Config, Layout};
use crate::note::LogNote;
use crate::remote::{certify, describe_status};
use crate::status::Board;

/// How long to wait between attempts to reach the collector.
pub(super) fn backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
}

/// How often to look for a newer note in a store of the collector.
const LOOK_AT_SOURCE: Duration = Duration::from_secs(10);

/// Reads the TLS key. If it has no certificate yet, asks the collector for one until it gets it.
pub(super) fn credentials(
    runtime: &tokio::runtime::Runtime,
    layout: &Layout,
    config: &Config,
    card: &Card,
    board: &Board,
) -> anyhow::Result<Credentials> {
    let tls = "use the mirror's TLS key. If the file is damaged, restore keys/tls from the backup";
    let mut credentials = Credentials::load(&layout.tls()).context(tls)?;
    let mut backoff = backoff();
    while credentials.chain.is_empty() {
        match runtime.block_on(certify(config, card, &credentials.key)) {
            Ok(chain) => {
                Credentials::replace(&layout.tls(), &credentials.key, &chain).context(tls)?;
                credentials.chain = chain;
            }
            Err(error) => {
                let why = chain(error.as_ref());
                tracing::warn!(cause = %why, "No certificate yet; give admission.json to an endpoint-admin: exhibit mirror admit");
                board.update(|status| status.waiting = why);
                board.write(&layout.run());
                std::thread::sleep(backoff.next_wait());
            }
        }
    }
    Ok(credentials)
}

/// Hands each note to the ledger thread. If the collector is away, tries again.
pub(super) async fn follow(context: Arc<Context>, notes: SyncSender<()>, wake: Arc<Notify>) {
    let mut backoff = backoff();
    loop {
        match context.remote.follow().await {
            Err(status) => away(&context, &describe_status(&status)),
            Ok(mut stream) => loop {
                let next = tokio::select! {
                    next = stream.message() => next,
                    // Somebody asks for a tree that the mirror does not hold yet, so the next round begins
                    // now.
                    () = wake.notified() => {
                        wake_rounds(&notes);
                        continue;
                    }
                };
                match next {
                    Ok(Some(note)) => {
                        backoff.reset();
                        context.board.update(|status| {
                            status.last_contact = crate::now().to_string();
                            status.waiting.clear();
                        });
                        *context.newest() = Some(note.note.to_vec());
                        wake_rounds(&notes);
                    }
                    Ok(None) => break,
                    Err(status) => {
                        away(&context, &describe_status(&status));
                        break;
                    }
                }
            },
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = wake.notified() => backoff.reset(),
        }
    }
}

/// Begins a round. A full channel says the same: the thread has not handled the previous wake-up, and finds this note as well.
/// A closed one says that the mirror stops.
fn wake_rounds(notes: &SyncSender<()>) {
    let _full_or_closed = notes.try_send(());
}

fn away(context: &Context, why: &str) {
    tracing::warn!(cause = why, "The collector does not answer; it is tried again");
    context.board.update(|status| status.waiting = format!("the collector is away: {why}"));
}

/// Looks for newer notes in a store of the collector. The store may be reachable when the collector is not.
pub(super) async fn look(context: Arc<Context>, place: Arc<dyn Store>, notes: SyncSender<()>) {
    loop {
        let store = Arc::clone(&place);
        let read = tokio::task::spawn_blocking(move || store.read(&Key::checkpoint())).await;
        match read {
            Ok(Ok(bytes)) => {
                if is_newer(&context, &bytes) {
                    *context.newest() = Some(bytes);
                    wake_rounds(&notes);
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

/// True if the log signed the note and it is larger than the newest one here. A store may lag behind the note
/// that the collector serves.
fn is_newer(context: &Context, bytes: &[u8]) -> bool {
    let pins = context.cosigner.pins();
    let size = |bytes: &[u8]| {
        LogNote::read(bytes, &pins.origin(), &pins.log_keys.keys()).ok().map(|note| note.checkpoint.size)
    };
    let known = context.newest().as_deref().and_then(size);
    size(bytes) > known
}

/// Renews the certificate at half its life.
pub(super) async fn renew(context: Arc<Context>, config: Config, card: Card, mut credentials: Credentials) {
    loop {
        let due = credentials.chain.first().and_then(|leaf| Leaf::parse(leaf).ok()).is_none_or(|leaf| {
            crate::now().since(leaf.not_before) * 2 > leaf.not_after.since(leaf.not_before)
        });
        if due {
            match certify(&config, &card, &credentials.key).await {
                Ok(chain) => {
                    let written = Credentials::replace(&context.layout.tls(), &credentials.key, &chain);
                    credentials.chain = chain;
                    let used = context.remote.replace(&card, &credentials);
                    match (written, used) {
                        (Ok(()), Ok(())) => tracing::info!("The certificate is renewed"),
                        _ => tracing::error!("The renewed certificate could not be kept or used"),
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = %chain(error.as_ref()), "The certificate could not be renewed");
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}
