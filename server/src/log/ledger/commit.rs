//! Commits one batch in one transaction. The commit fixes the index of each entry.

use custody::At;
use custody::act::Act;
use custody::rule::Broken;
use evidence::entry::{ActObject, Entry, Envelope};
use evidence::length::len;
use evidence::time::Time;
use ledger::{Hash, leaf_hash};
use rusqlite::Connection;

use super::book::{Book, Judged};
use super::edge::{Edge, EdgeError};
use super::pending::{Guard, GuardError, SubmitError};
use crate::rows::log::{self, ChainState};
use crate::rows::projection::{self, Fact, Objects};
use crate::rows::{DbError, entries};

/// A submission whose objects are on the stores already.
pub(super) struct Prepared {
    /// The entry but for `seq`, `prev` and `time`, which its place gives it.
    pub(super) draft: Entry,
    pub(super) object: ActObject,
    /// The act as the rule book reads it.
    pub(super) act: Result<Act, Broken>,
    pub(super) guard: Option<Guard>,
    pub(super) objects: Objects,
}

/// The result of one submission.
pub(super) enum Outcome {
    /// The event was recorded before, at this index.
    Known { index: u64 },
    /// This batch records the event.
    Recorded { index: u64, entry: Vec<u8>, envelope: Box<Envelope>, leaf: Hash },
    /// Nothing was recorded.
    Refused(SubmitError),
}

/// A committed batch.
pub(super) struct Committed {
    /// The right edge after the batch.
    pub(super) edge: Edge,
    /// The rule book after the batch.
    pub(super) book: Book,
    /// One for each submission, in order.
    pub(super) outcomes: Vec<Outcome>,
}

/// Why a batch was not committed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error("commit a batch of entries")]
    Db(#[from] DbError),
    #[error("grow the log")]
    Edge(#[from] EdgeError),
    /// The committed end of the log is not where this sequencer left it.
    #[error("another sequencer wrote: committed size is {found}, this one was at {expected}")]
    Overtaken { expected: u64, found: u64 },
}

/// Records a batch behind `edge`. The caller's transaction undoes everything if this fails.
pub(super) fn commit(
    tx: &Connection,
    edge: &Edge,
    mut book: Book,
    batch: Vec<Prepared>,
    now: Time,
    published: (u64, &[u8]),
) -> Result<Committed, CommitError> {
    let committed = log::state(tx)?;
    if (committed.size, committed.root) != (edge.size, edge.root) {
        return Err(CommitError::Overtaken { expected: edge.size, found: committed.size });
    }
    if published.0 > 0 {
        log::record_published(tx, published.0, published.1)?;
    }
    // A clock may go back; the times in the ledger never do.
    let time = committed.last_time.map_or(now, |last| last.max(now));
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    let mut outcomes = Vec::with_capacity(batch.len());
    for prepared in batch {
        let index = edge.size.checked_add(len(&bodies)).ok_or(EdgeError::Size)?;
        outcomes.push(match record(tx, &mut book, prepared, index, time)? {
            Ok(outcome) => {
                if let Outcome::Recorded { entry, .. } = &outcome {
                    bodies.push(entry.clone());
                }
                outcome
            }
            Err(refusal) => Outcome::Refused(refusal),
        });
    }
    if bodies.is_empty() {
        return Ok(Committed { edge: edge.clone(), book, outcomes });
    }
    let (next, growth) = edge.append(&bodies)?;
    for (key, bytes) in &growth {
        log::stage(tx, next.size, key.as_str(), bytes)?;
    }
    // The transaction is immediate, so no other writer came between. The swap proves it in the row itself.
    let (old, new) = ((edge.size, edge.root), (next.size, next.root));
    if !log::compare_and_swap(tx, old, new, Some(time))? {
        return Err(CommitError::Overtaken { expected: edge.size, found: log::state(tx)?.size });
    }
    Ok(Committed { edge: next, book, outcomes })
}

/// Records one entry. A refused entry undoes only its own rows; the outer error fails the batch.
fn record(
    tx: &Connection,
    book: &mut Book,
    prepared: Prepared,
    index: u64,
    time: Time,
) -> Result<Result<Outcome, SubmitError>, DbError> {
    let envelope = &prepared.draft.envelope;
    if let Some(known) = entries::by_event(tx, &envelope.event)? {
        let same = known.kind == envelope.type_ && known.incident == envelope.incident;
        return Ok(if same {
            Ok(Outcome::Known { index: known.index })
        } else {
            Err(SubmitError::Contradiction { type_: known.kind, chain: known.incident, index: known.index })
        });
    }
    tx.execute_batch("SAVEPOINT entry")?;
    let result = insert(tx, book, prepared, index, time);
    tx.execute_batch(if result.is_ok() { "RELEASE entry" } else { "ROLLBACK TO entry; RELEASE entry" })?;
    Ok(result.map(|(outcome, judged)| {
        book.take(judged);
        outcome
    }))
}

fn insert(
    tx: &Connection,
    book: &Book,
    prepared: Prepared,
    index: u64,
    time: Time,
) -> Result<(Outcome, Judged), SubmitError> {
    let Prepared { draft: mut entry, object, act, guard, objects } = prepared;
    if let Some(guard) = guard {
        guard(tx).map_err(|error| match error {
            GuardError::Db(error) => SubmitError::Db(error),
            GuardError::Refused(reason) => SubmitError::Guard(reason),
        })?;
    }
    let chain = log::chain(tx, &entry.envelope.incident)?;
    (entry.envelope.seq, entry.envelope.prev, entry.envelope.time) = (chain.next_seq, chain.head, time);
    let bytes = entry.encode()?;
    let leaf = leaf_hash(&bytes);
    let judged = book.judge(At { index, leaf }, &entry, act)?;
    let fact = Fact { index, leaf, envelope: &entry.envelope, act: &object };
    projection::apply(tx, fact, &objects)?;
    // The entry was encoded, so its number is below 2^53.
    let end = ChainState { next_seq: chain.next_seq + 1, head: leaf.into() };
    log::advance_chain(tx, &entry.envelope.incident, &end)?;
    let outcome = Outcome::Recorded { index, entry: bytes, envelope: Box::new(entry.envelope), leaf };
    Ok((outcome, judged))
}
