//! The rule book (`custody`) beside the log: what it must know of a submission before the transaction, and the state that judges inside.
//!
//! Guarantee: the state is a function of the log's entries and their acts. A start and the recovery of a failed commit make it with one
//! function, from entries that a store proves. Not here: the rules; conditions that only the collector knows (guards).

use custody::act::{Act, Beside};
use custody::rule::Broken;
use custody::{At, Change, Pins, State, View};
use evidence::entry::{ActLocation, ActObject, Entry, EntryType};
use evidence::order::Target;
use evidence::seal::delegation::Delegation;
use ledger::leaf_hash;
use store::{Key, ReplicaError, Replicas, StoreErrorClass};

use super::log::{Log, LogError};
use super::pending::SubmitError;
use crate::failure::chain;
use crate::rows::{Db, DbError, orders};

/// Entries that are read at once: one bundle.
const BUNDLE: usize = 256;

/// What the rule book needs beside an act. Nothing if the act breaks a rule anyway.
pub(super) fn beside(db: &Db, type_: EntryType, act: &ActObject) -> Result<Beside, DbError> {
    let mut beside = Beside::default();
    if type_ != EntryType::CollectionStarted {
        return Ok(beside);
    }
    let Ok(delegation) = act.read::<Delegation>() else {
        return Ok(beside);
    };
    let row = db.read(|reader| orders::target(reader, &delegation.order, &delegation.endpoint))?;
    beside.listed = row.map(|row| Target {
        endpoint: row.endpoint,
        generation: row.generation,
        evidence_key: row.fingerprint,
    });
    Ok(beside)
}

/// The rule book at the end of the log.
#[derive(Debug)]
pub(super) struct Book {
    state: State,
    /// True for tests of rows: their acts are not all lawful.
    #[cfg(test)]
    pub(super) takes_all: bool,
}

/// What a judged entry does to the book.
pub(super) enum Judged {
    Changes(Box<Change>),
    #[cfg(test)]
    Nothing,
}

impl Book {
    pub(super) fn of(state: State) -> Self {
        Self {
            state,
            #[cfg(test)]
            takes_all: false,
        }
    }

    /// Judges the next entry. Changes nothing.
    pub(super) fn judge(
        &self,
        at: At,
        entry: &Entry,
        act: Result<Act, Broken>,
    ) -> Result<Judged, SubmitError> {
        let judged = act
            .map_err(SubmitError::Form)
            .and_then(|act| self.state.step(at, entry, &act).map_err(SubmitError::Rule));
        #[cfg(test)]
        if self.takes_all {
            return Ok(Judged::Nothing);
        }
        judged.map(|change| Judged::Changes(Box::new(change)))
    }

    /// Makes true what an entry does. The next entry of its batch must see it.
    pub(super) fn take(&mut self, judged: Judged) {
        match judged {
            Judged::Changes(change) => self.state.take(*change),
            #[cfg(test)]
            Judged::Nothing => {}
        }
    }
}

/// Folds the published log from its first entry.
///
/// An entry that breaks a rule stays in the log: an older collector recorded it. It gets an alarm, and the state goes on behind it.
pub(super) fn rebuild(pins: &Pins, log: &Log, replicas: &Replicas, db: &Db) -> Result<Book, BookError> {
    let begun = std::time::Instant::now();
    let mut state = State::new(pins.clone(), View::Whole);
    let (size, mut broken) = (log.published().size, 0_u64);
    let mut first = 0;
    while first < size {
        let bodies = log.entries(first, BUNDLE)?;
        for (index, body) in (first..).zip(&bodies) {
            let at = At { index, leaf: leaf_hash(body) };
            let entry = custody::entry::read(body).map_err(|broken| BookError::Entry { index, broken })?;
            if let Err(why) = fold(&mut state, at, &entry, replicas, db)? {
                tracing::error!(
                    index,
                    why,
                    "A recorded entry breaks the rules of custody; mirrors refuse it"
                );
                broken = broken.saturating_add(1);
                state.pass(at, &entry);
            }
        }
        first = state.next();
    }
    crate::metrics::broken_entries(broken);
    tracing::info!(entries = size, broken, elapsed = ?begun.elapsed(), "The rule book was folded");
    Ok(Book::of(state))
}

/// Takes one entry, or says why the state cannot take it.
fn fold(
    state: &mut State,
    at: At,
    entry: &Entry,
    replicas: &Replicas,
    db: &Db,
) -> Result<Result<(), String>, BookError> {
    let object = match act_of(entry, replicas) {
        Ok(object) => object,
        // Lost or damaged on every store: a repair may bring it back. Until the next start the state lacks what it says.
        Err(error) if error.class() != StoreErrorClass::Transient => return Ok(Err(chain(&error))),
        Err(error) => return Err(error.into()),
    };
    let beside = beside(db, entry.envelope.type_, &object)?;
    let judged = Act::read(entry, &object, beside).and_then(|act| state.step(at, entry, &act));
    Ok(judged.map(|change| state.take(change)).map_err(|broken| broken.to_string()))
}

fn act_of(entry: &Entry, replicas: &Replicas) -> Result<ActObject, ReplicaError> {
    match (&entry.act, entry.envelope.act) {
        (Some(act), ActLocation::Inline) => Ok(act.clone()),
        _ => {
            let bytes = replicas.read(&Key::document(entry.envelope.event.as_bytes()))?;
            // A document's key is the digest of its bytes, so a store that gives other bytes was refused. What does not parse breaks a
            // rule, and `Act::read` says so.
            Ok(ActObject::parse(&bytes).unwrap_or(ActObject { document: bytes, signatures: Vec::new() }))
        }
    }
}

/// Why the rule book cannot be folded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The database.
    #[error("read the targets of an order")]
    Db(#[from] DbError),
    /// An entry is not one of this version.
    #[error(
        "entry {index} cannot be read by this version of the collector; install the version that wrote it"
    )]
    Entry {
        /// Index.
        index: u64,
        /// Why.
        #[source]
        broken: Broken,
    },
    /// No store proves the entries.
    #[error("read the entries of the ledger")]
    Log(#[from] LogError),
    /// An act.
    #[error("read an act that the ledger names")]
    Store(#[from] ReplicaError),
}
