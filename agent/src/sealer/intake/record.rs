//! Makes item records from what the reader saw. If the writer refuses one, makes a record that says so.

use evidence::container::{WriteError, Writer};
use evidence::item::ItemRecord;
use evidence::item::outcome::Outcome;
use evidence::item::tar::TarError;

use crate::ipc::Seen;

/// The record of what the reader saw.
pub(super) fn of(collector: &str, seen: &Seen) -> ItemRecord {
    let mut record = ItemRecord::new(collector, seen.kind, seen.path.0.clone(), seen.begun);
    record.outcome = seen.outcome.clone();
    record.before.clone_from(&seen.before);
    record.target.clone_from(&seen.target);
    record.xattrs.clone_from(&seen.xattrs);
    record.atime_method = seen.atime_method;
    record.error.clone_from(&seen.error);
    record.note = seen.note.as_deref().map(short);
    record
}

/// At most 200 bytes, whole characters.
fn short(note: &str) -> String {
    let mut short = String::new();
    for letter in note.chars() {
        if short.len() + letter.len_utf8() > 200 {
            break;
        }
        short.push(letter);
    }
    short
}

/// Begins a member with content. `false`: the writer refused it, and it is recorded without content.
pub(super) fn begin(writer: &mut Writer, record: ItemRecord) -> Result<bool, WriteError> {
    match writer.begin_member(record.clone()) {
        Ok(_) => Ok(true),
        Err(WriteError::Tar(TarError::TooLarge)) if !record.xattrs.is_empty() => begin(writer, bare(record)),
        Err(refusal) => refused(writer, record, refusal).map(|()| false),
    }
}

/// Adds a member without content.
pub(super) fn add(writer: &mut Writer, record: ItemRecord) -> Result<(), WriteError> {
    match writer.add_member(record.clone()) {
        Ok(_) => Ok(()),
        Err(WriteError::Tar(TarError::TooLarge)) if !record.xattrs.is_empty() => add(writer, bare(record)),
        Err(refusal) => refused(writer, record, refusal),
    }
}

fn bare(mut record: ItemRecord) -> ItemRecord {
    record.xattrs.clear();
    record.note = Some("extended attributes are left out: too large for a tar header".to_owned());
    record
}

/// Records an item that has no member, whatever the reason.
pub(super) fn skip(writer: &mut Writer, mut record: ItemRecord) -> Result<(), WriteError> {
    if record.outcome.is_ok() {
        record.outcome = Outcome::Unsupported;
        record.note = Some("the reader gave no content for it".to_owned());
    }
    record.size = None;
    record.sparse = None;
    record.link = None;
    record.sha256 = None;
    record.part = None;
    record.note = record.note.as_deref().map(short);
    writer.record_only(record).map(drop)
}

/// If the writer refuses a hostile name, that is recorded. Anything else is a failure.
fn refused(writer: &mut Writer, mut record: ItemRecord, refusal: WriteError) -> Result<(), WriteError> {
    let (outcome, note) = match refusal {
        WriteError::DuplicateName => (Outcome::SkippedLoop, "already collected under this name"),
        WriteError::BelowOther => (Outcome::SkippedLoop, "a directory above it is a member of another kind"),
        WriteError::Tar(_) => (Outcome::Unsupported, "no tar header can be made of it"),
        WriteError::Record(_) => (Outcome::Unsupported, "its name or attributes cannot stand in a record"),
        WriteError::NoLinkTarget => {
            (Outcome::Unsupported, "the content of this hard link is not in the container")
        }
        other => return Err(other),
    };
    record.outcome = outcome;
    record.note = Some(note.to_owned());
    record.xattrs.clear();
    skip(writer, record)
}
