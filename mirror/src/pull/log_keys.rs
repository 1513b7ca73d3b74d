//! Changes of the key that signs the followed ledger (docs/spec/ledger.md, *Change of the log key*).
//!
//! Guarantee: the mirror uses a key only after the authority's signed change is durable in the mirror's directory. It cosigns a tree
//! under that key only if the entries record the change at the size where the key's term begins.

use custody::line::Vouched;
use custody::rule::{RuleId, must};
use evidence::causes::chain;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeyError, LogKeys, Placed};
use evidence::signed::Signed;
use ledger::{AuthenticatedReader, TileSource};
use store::Key;

use super::{Nodes, Parts, PullError, prove};
use crate::note::LogNote;
use crate::objects::ObjectError;
use crate::pins::{LOG_KEYS, documents, file_name};
use crate::source::SourceError;

/// Writes every key change from the mirror's directory into its own stores. A restoration looks for them
/// there.
pub(crate) fn store_changes(parts: &Parts<'_>) -> Result<(), PullError> {
    let documents = documents(&parts.cosigner.directory().join(LOG_KEYS)).map_err(PullError::Own)?;
    for (number, signed) in (1..).zip(&documents) {
        own(parts, &Key::log_key(number), signed)?;
    }
    Ok(())
}

/// Asks the source for changes that the mirror does not know yet. Each change is durable in the own stores
/// and in the mirror's directory before its key counts. At this point nobody knows yet at which entry the log
/// records it.
pub(crate) fn learn(parts: &Parts<'_>) -> Result<(), PullError> {
    let (cosigner, Some(source)) = (parts.cosigner, parts.source) else {
        return Ok(());
    };
    let (pins, folder) = (cosigner.pins(), cosigner.directory().join(LOG_KEYS));
    let before = pins.log_keys.keys();
    let mut all = documents(&folder).map_err(PullError::Own)?;
    while all.len() < LOG_KEY_CHANGES_MAX {
        let number = all.len() as u64 + 1;
        match source.fetch(&Key::log_key(number)) {
            Ok(bytes) => all.push(Signed::parse(&bytes).map_err(|error| spoiled(number, &error))?),
            Err(SourceError::Missing { .. }) => break,
            Err(error) => return Err(PullError::Object(error.into())),
        }
    }
    let known = before.changes().len();
    if all.len() <= known {
        return Ok(());
    }
    let number = before.number() + 1;
    let mut keys = LogKeys::signed(&pins.deployment, &pins.authority, before.current(), &all)
        .map_err(|error| spoiled(number, &error))?;
    for placed in before.changes() {
        if let Some(index) = placed.index
            && !keys.place(placed.change.number, &placed.digest, index)
        {
            return Err(spoiled(placed.change.number, &LogKeyError::NoChange));
        }
    }
    keys.continues(&before).map_err(|error| spoiled(number, &error))?;
    let failed = |error: std::io::Error| PullError::Own(error.to_string());
    durable::create_private_folder(&folder).map_err(failed)?;
    // Writes the files of an earlier attempt again, because nothing records how far that attempt came.
    for (place, signed) in all.iter().enumerate().skip(known) {
        let number = place + 1;
        let key = Key::log_key(number as u64);
        own(parts, &key, signed)?;
        durable::replace(&folder.join(file_name(number)), &signed.encode(), 0o644).map_err(failed)?;
    }
    tracing::warn!(
        key = %keys.current(), change = keys.number(),
        "The log has a new key, signed by the authority"
    );
    pins.log_keys.set(keys);
    cosigner.put_aside().map_err(|error| PullError::Own(chain(&error)))
}

/// Writes into the own stores. The first signatures win.
fn own(parts: &Parts<'_>, key: &Key, signed: &Signed) -> Result<(), PullError> {
    let Err(error) = parts.own.create(key, &signed.encode()) else {
        return Ok(());
    };
    for store in parts.own.stores() {
        let there = store.read(key).ok().and_then(|bytes| Signed::parse(&bytes).ok());
        if there.is_none_or(|there| there.digest() != signed.digest()) {
            let store = &store.identity().store;
            return Err(PullError::Own(format!(
                "store {store} does not take {key}: {}. If another file is there, move it away",
                chain(&error)
            )));
        }
    }
    Ok(())
}

fn spoiled(number: u64, error: &dyn std::error::Error) -> PullError {
    PullError::Spoiled(format!("change {number} of the log key: {}", chain(error)))
}

/// Reads the note again, now that all its entries are known: its key's term begins at the entry that records
/// it.
pub(crate) fn in_term(parts: &Parts<'_>, note: &[u8]) -> Result<LogNote, PullError> {
    let pins = parts.cosigner.pins();
    let keys = pins.log_keys.keys();
    let read = LogNote::read(note, &pins.origin(), &keys)?;
    // The collector may announce a change that it has not recorded yet. That change lies beyond this note.
    let unrecorded = |placed: &&Placed| placed.index.is_none() && read.is_of(placed.change.new.key());
    let unrecorded = keys.changes().iter().find(unrecorded);
    let key = unrecorded.map(|placed| placed.change.new.to_string()).unwrap_or_default();
    let says =
        format_args!("the note is signed by {key}, and no entry below it records the change to that key")
            .to_string();
    must(RuleId::LogKey10, unrecorded.is_none(), says)
        .map_err(|broken| PullError::Rule { index: read.checkpoint.size, broken })?;
    Ok(read)
}

/// Checks that the tree begins with the history for which an entry vouches: the authority's in a change, a mirror's in its statement.
pub(crate) fn vouched<S: TileSource<Error = ObjectError>>(
    reader: &AuthenticatedReader<S>,
    vouched: Vouched,
) -> Result<(), PullError> {
    let Vouched { rule, index, size, root } = vouched;
    let is_same = ledger::root(&Nodes(reader), size).map_err(|error| prove(&error))? == root;
    let who =
        if rule == RuleId::LogKey8 { "the authority let the key follow upon" } else { "a mirror states" };
    must(rule, is_same, format_args!("{who} another history of {size} entries"))
        .map_err(|broken| PullError::Rule { index, broken })
}
