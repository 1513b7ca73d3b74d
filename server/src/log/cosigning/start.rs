//! At a start, before the collector signs anything: asks the witnesses whether they know more of its ledger.
//!
//! Guarantee: if one witness answers in time, a collector whose database and stores were set back does not sign a second history,
//! and both notes are stored. A witness that is away delays the start by [`PATIENCE`] at most; the start then goes on without it.
//! Not here: the later rounds (`rounds`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Note, Policy};
use tokio::task::JoinSet;

use super::{AcceptError, Clients, Cosigning, contradiction};
use crate::blocking::blocking;

/// How long a start waits for all witnesses together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks each witness with a URL for its note of the log called `origin`; an error says why it showed none.
pub(super) async fn shown_notes(
    policy: &Policy,
    clients: &Clients,
    origin: &str,
) -> Vec<(String, Result<Note, String>)> {
    let mut asked = JoinSet::new();
    for (witness, client) in policy.witnesses().iter().zip(clients) {
        let Some(client) = client.clone() else { continue };
        let (name, origin) = (witness.name.clone(), origin.to_owned());
        asked.spawn(async move {
            let answer = match tokio::time::timeout(PATIENCE, client.checkpoint(&origin)).await {
                Ok(answer) => answer.map_err(|error| crate::failure::chain(&error)),
                Err(_elapsed) => Err("it does not answer".to_owned()),
            };
            (name, answer)
        });
    }
    let mut shown = Vec::new();
    while let Some(joined) = asked.join_next().await {
        match joined {
            Ok(answer) => shown.push(answer),
            Err(error) => tracing::error!(%error, "A question to a witness panicked"),
        }
    }
    shown
}

/// A witness holds a checkpoint under our own key that this log does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "witness {witness} holds size {theirs} of this ledger under its own key, and here are {ours} entries that do not lead there: \
     database and stores were put back to an older state, or the log was forked. Nothing is signed, for it would be a second history. \
     Bring back the newest state: the newest stores and `exhibit-server rebuild`, or `exhibit-server restore` from a mirror. Both notes: {}",
    kept.as_ref().map_or_else(|| "could not be kept".to_owned(), |path| path.display().to_string())
)]
pub struct WitnessedMore {
    /// Name of the witness.
    pub witness: String,
    /// Size of the witness's checkpoint.
    pub theirs: u64,
    /// Size of this log.
    pub ours: u64,
    /// File with our note; the witness's note lies beside it.
    pub kept: Option<PathBuf>,
}

impl Cosigning {
    /// Asks every witness with a URL which checkpoint it holds.
    ///
    /// # Errors
    /// `WitnessedMore`: the collector must not sign anything more.
    pub async fn check_at_start(self: &Arc<Self>) -> Result<(), WitnessedMore> {
        for (name, answer) in shown_notes(&self.policy, &self.clients, self.log_key.name()).await {
            match answer {
                Ok(note) => self.compare(name, note).await?,
                Err(cause) => {
                    tracing::warn!(
                        witness = name,
                        cause,
                        "The witness shows no checkpoint of this ledger before the start; nothing waits for it"
                    );
                }
            }
        }
        Ok(())
    }

    async fn compare(self: &Arc<Self>, name: String, note: Note) -> Result<(), WitnessedMore> {
        // Only we signed this note, or it says nothing of this log.
        let Ok(verified) = self.policy.verify_note(&note) else {
            tracing::warn!(witness = name, "The witness shows what this log's key did not sign");
            return Ok(());
        };
        let (shared, checkpoint) = (Arc::clone(self), verified.checkpoint.clone());
        let is_ours = blocking(move || shared.check_is_ours(&checkpoint)).await;
        match is_ours {
            Ok(Err(AcceptError::NotThisLog { size })) if size > 0 => {}
            Ok(Err(error)) => {
                tracing::warn!(witness = name, cause = %crate::failure::chain(&error), "What the witness holds could not be compared");
                return Ok(());
            }
            _ => return Ok(()),
        }
        let published = self.log.published();
        let (folder, witness) = (self.contradictions.clone(), name.clone());
        let (ours, theirs) = (published.note.to_vec(), note.to_string().into_bytes());
        let size = published.size;
        let kept =
            blocking(move || contradiction::keep_notes(&folder, &witness, size, &ours, Some(&theirs))).await;
        Err(WitnessedMore {
            witness: name,
            theirs: verified.checkpoint.size,
            ours: size,
            kept: kept.ok().and_then(Result::ok),
        })
    }
}
