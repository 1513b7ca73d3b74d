//! The chore that shows heads to witnesses, one head a round.
//! Guarantee: a round shows its head to all witnesses before the next round takes another, so that on a busy log the cosigners sign
//! the same size. A witness that is away costs only a wait. The chore ends with the drain.

use proto::backoff::Backoff;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::{Note, VerifierKey};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::Answer;
use super::{AskError, Cosigning, WitnessClient, contradiction};
use crate::blocking::blocking;
use crate::log::ledger::Published;
use crate::metrics;

/// Pause between two heads while the log grows and no export waits: one minute.
const EVERY: Duration = Duration::from_secs(60);
/// First wait after a witness failed; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(10);
/// Longest wait: 10 min.
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// How many sizes a witness may name in one round before the collector gives it up for this round.
const CONFLICTS_MAX: usize = 3;

/// A witness that the collector asks.
#[derive(Debug)]
struct Asked {
    place: usize,
    name: String,
    key: VerifierKey,
    client: WitnessClient,
    /// The size it last cosigned, as far as we know. The next proof begins there.
    old: u64,
    /// The size of the newest head for which we have its line.
    cosigned: u64,
    failures: u32,
    not_before: Option<Instant>,
}

/// Runs until `stop`.
pub async fn rounds(cosigning: Arc<Cosigning>, stop: CancellationToken) {
    let mut witnesses: Vec<Asked> = Vec::new();
    let clients = cosigning.policy.witnesses().iter().zip(&cosigning.clients);
    for (place, (witness, client)) in clients.enumerate() {
        if let Some(client) = client {
            witnesses.push(Asked {
                place,
                name: witness.name.clone(),
                key: witness.key.clone(),
                client: client.clone(),
                old: 0,
                cosigned: 0,
                failures: 0,
                not_before: None,
            });
        }
    }
    if witnesses.is_empty() {
        return;
    }
    let mut next = Instant::now();
    loop {
        let is_demanded = tokio::select! {
            () = stop.cancelled() => return,
            () = cosigning.demand.notified() => true,
            () = wait_until_due(&cosigning, &witnesses, next) => false,
        };
        next = Instant::now() + EVERY;
        // Count the round before reading the head: a caller that asks after this line waits for the next round.
        let number = cosigning.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let published = cosigning.log.published();
        if published.size == 0 {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            asked = round(&cosigning, witnesses, &published, is_demanded) => witnesses = asked,
        }
        cosigning.ended.send_replace(number);
        let covered = cosigning.newest().map_or(0, |head| head.published.size);
        // Zero if a witness cosigned a newer head meanwhile.
        metrics::uncosigned_entries(published.size.saturating_sub(covered));
    }
}

/// Waits until a witness should be asked. A witness that failed is due when its own wait is over; one that only lacks the newest
/// head is due when the minute is over.
async fn wait_until_due(cosigning: &Cosigning, witnesses: &[Asked], next: Instant) {
    let size = cosigning.log.published().size;
    let behind = witnesses.iter().filter(|witness| witness.cosigned < size);
    let again = behind.map(|witness| witness.not_before.unwrap_or(next)).min();
    let growth = async {
        if cosigning.log.wait_for_growth(size).await.is_none() {
            // The sequencer has ended. The drain will end this chore.
            std::future::pending::<()>().await;
        }
        sleep_until(next).await;
    };
    match again {
        Some(at) => tokio::select! {
            () = sleep_until(at) => {}
            () = growth => {}
        },
        None => growth.await,
    }
}

/// Shows one head to every witness whose wait is over. If an export waits, shows it to the other witnesses as well.
async fn round(
    cosigning: &Arc<Cosigning>,
    witnesses: Vec<Asked>,
    published: &Published,
    is_demanded: bool,
) -> Vec<Asked> {
    let now = Instant::now();
    let mut asked = JoinSet::new();
    let mut back = Vec::new();
    for mut witness in witnesses {
        let is_waiting = witness.not_before.is_some_and(|at| at > now) && !is_demanded;
        if is_waiting || witness.cosigned >= published.size {
            back.push(witness);
            continue;
        }
        let (cosigning, published) = (Arc::clone(cosigning), published.clone());
        asked.spawn(async move {
            let result = ask(&cosigning, &mut witness, &published).await;
            note_result(&cosigning, &mut witness, result);
            witness
        });
    }
    while let Some(joined) = asked.join_next().await {
        match joined {
            Ok(witness) => back.push(witness),
            Err(error) => tracing::error!(%error, "A question to a witness panicked; it is not asked again"),
        }
    }
    back
}

fn note_result(cosigning: &Cosigning, witness: &mut Asked, result: Result<(), AskError>) {
    let Err(error) = result else {
        if witness.failures > 0 {
            tracing::info!(witness = witness.name, "The witness cosigns again");
        }
        witness.failures = 0;
        witness.not_before = None;
        return;
    };
    let wait = Backoff::new(BACKOFF_MIN, BACKOFF_MAX).wait_after(witness.failures);
    witness.failures += 1;
    witness.not_before = Some(Instant::now() + wait);
    cosigning.trouble(witness.place, &error);
    metrics::cosigning_failed();
    let name = &witness.name;
    match error {
        AskError::Contradiction { .. } => {
            metrics::ledger_contradicted();
            tracing::error!(
                witness = name,
                %error,
                "A witness contradicts this ledger: it was forked or rolled back, or its key is in other hands"
            );
        }
        AskError::Forged { .. } => {
            tracing::error!(witness = name, %error, "A witness' cosignature is wrong: somebody stands in between, or it is broken");
        }
        _ => tracing::warn!(witness = name, %error, wait_s = wait.as_secs(), "No cosignature"),
    }
}

/// Asks one witness about one head, and stores its answer.
async fn ask(cosigning: &Arc<Cosigning>, witness: &mut Asked, published: &Published) -> Result<(), AskError> {
    for _ in 0..CONFLICTS_MAX {
        let own = |reason: String| AskError::Own { reason };
        if witness.old > cosigning.log.published().size {
            return Err(contradicted(cosigning, witness, published).await);
        }
        if witness.old > published.size {
            // The witness is ahead of this round, not of the log: a mirror follows the log on its own. What it cosigned is a head as well.
            let note = witness.client.checkpoint(cosigning.log_key.name()).await?;
            let shared = Arc::clone(cosigning);
            blocking(move || shared.accept(&note))
                .await
                .map_err(|error| own(error.to_string()))?
                .map_err(|error| own(crate::failure::chain(&error)))?;
            return Ok(());
        }
        let (log, old, size) = (cosigning.log.clone(), witness.old, published.size);
        let proof = blocking(move || log.consistency_between(old, size))
            .await
            .map_err(|error| own(error.to_string()))?
            .map_err(|error| own(error.to_string()))?;
        match witness.client.add_checkpoint(old, &proof, &published.note).await? {
            Answer::Cosigned(lines) => {
                keep_lines(cosigning, witness, published, lines).await?;
                witness.old = size;
                witness.cosigned = size;
                return Ok(());
            }
            Answer::Has(same) if same == old => {
                return Err(AskError::Malformed { what: "it contradicts itself about the size it has" });
            }
            Answer::Has(other) => witness.old = other,
            Answer::Contradiction => return Err(contradicted(cosigning, witness, published).await),
        }
    }
    Err(AskError::Malformed { what: "it names another size each time: somebody else shows it this log" })
}

/// Stores and counts the line of the witness's own key, if it verifies.
async fn keep_lines(
    cosigning: &Arc<Cosigning>,
    witness: &Asked,
    published: &Published,
    lines: Vec<ledger::NoteSignature>,
) -> Result<(), AskError> {
    let own = |reason: String| AskError::Own { reason };
    let key = &witness.key;
    let line = lines
        .into_iter()
        .find(|line| line.name() == key.name() && line.id() == key.id())
        .ok_or(AskError::NoLine)?;
    let mut note = Note::parse(&published.note).map_err(|error| own(error.to_string()))?;
    ledger::cosignature::verify(key, note.text(), &line)
        .map_err(|error| AskError::Forged { reason: crate::failure::chain(&error) })?;
    note.add(line).map_err(|error| own(error.to_string()))?;
    let shared = Arc::clone(cosigning);
    blocking(move || shared.accept(&note))
        .await
        .map_err(|error| own(error.to_string()))?
        .map_err(|error| own(crate::failure::chain(&error)))?;
    Ok(())
}

/// Fetches the contradicting note of the witness and stores it beside ours.
async fn contradicted(cosigning: &Arc<Cosigning>, witness: &mut Asked, published: &Published) -> AskError {
    let theirs = witness.client.checkpoint(cosigning.log_key.name()).await;
    // Next time, ask from the beginning: nothing that this witness said counts.
    witness.old = 0;
    let mut reason = match &theirs {
        Ok(note) => match cosigning.policy.verify_note(note) {
            Ok(verified) => format!(
                "it holds size {} under our own key, we show size {}",
                verified.checkpoint.size, published.size
            ),
            Err(error) => format!("what it holds is not signed by our key ({error})"),
        },
        Err(error) => format!("what it holds cannot be had ({error})"),
    };
    let (folder, name) = (cosigning.contradictions.clone(), witness.name.clone());
    let (ours, size) = (published.note.to_vec(), published.size);
    let theirs = theirs.ok().map(|note| note.to_string().into_bytes());
    let kept =
        blocking(move || contradiction::keep_notes(&folder, &name, size, &ours, theirs.as_deref())).await;
    match kept {
        Ok(Ok(path)) => reason.push_str(&format!("; notes kept as {}", path.display())),
        Ok(Err(error)) => reason.push_str(&format!("; the notes could not be kept: {error}")),
        Err(error) => reason.push_str(&format!("; the notes could not be kept: {error}")),
    }
    AskError::Contradiction { reason }
}
