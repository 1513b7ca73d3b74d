//! Tells disposed evidence from lost evidence. Readers, scrub, sweep, fsck, repair and mirrors ask here.

use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::EntryType;
use evidence::entry::state::CollectionState;
use evidence::id::{Actor, IncidentId};
use evidence::time::Time;
use rusqlite::Connection;
use store::{Disposable, Key};

use crate::rows::retention::may_be_destroyed;
use crate::rows::texts::text_stays;
use crate::rows::{DbError, collections, disposals, entries};

/// True if an approved plan destroys an object or has destroyed it: on `store`, or on any store. A later hold
/// keeps what is left.
pub(crate) fn is_disposed_of(
    reader: &Connection,
    key: &Key,
    store: Option<&str>,
    now: Time,
) -> Result<bool, DbError> {
    let Some(object) = Disposable::of(key) else {
        return Ok(false);
    };
    let id = id_of(&object);
    let Some(row) = disposals::condemned(reader, &id)? else {
        return Ok(false);
    };
    if matches!(object, Disposable::Detail(_)) {
        // More than one chain may name the text, and each of them counts.
        let is_gone = || store.map_or(Ok(false), |store| disposals::text_is_gone(reader, &id, store));
        return Ok(!text_stays(reader, &id, now)? || is_gone()?);
    }
    if let Some(store) = store
        && disposals::is_gone(reader, &row.plan, &named(&object, &row.incident), store)?
    {
        return Ok(true);
    }
    may_be_destroyed(reader, &row.incident, now)
}

/// A collection that was disposed of, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disposed {
    pub(crate) plan: Digest,
    /// When the plan was approved.
    pub(crate) approved: Time,
    /// The persons who approved it.
    pub(crate) by: Vec<Actor>,
}

impl std::fmt::Display for Disposed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan: String = self.plan.to_string().chars().take(12).collect();
        let by: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        write!(out, "disposed of under plan {plan}, approved {} by {}", self.approved, by.join(" and "))
    }
}

/// The plan by which a collection was destroyed or is being destroyed, with the persons who approved it.
pub(crate) fn disposal_of(reader: &Connection, id: &Digest, now: Time) -> Result<Option<Disposed>, DbError> {
    let Some(row) = disposals::condemned(reader, id)? else {
        return Ok(None);
    };
    let is_gone = collections::at(reader, id)?.is_some_and(|row| row.state == CollectionState::Disposed);
    if !is_gone && !may_be_destroyed(reader, &row.incident, now)? {
        return Ok(None);
    }
    let text = row.plan.to_string();
    let mut by = Vec::new();
    let mut approved = None;
    for entry in entries::of_kind_with_ref(reader, EntryType::DispositionApproved, "plan", &text)? {
        approved = Some(entry.time);
        by.extend(entry.actor);
    }
    let approved = approved.ok_or_else(|| DbError::Absent {
        table: "entries",
        key: format!("disposition.approved of plan {text}"),
    })?;
    Ok(Some(Disposed { plan: row.plan, approved, by }))
}

/// The digest under which the database knows an object of a store.
fn id_of(object: &store::Disposable) -> Digest {
    match object {
        store::Disposable::Collection(id) | store::Disposable::Detail(id) => Digest(*id),
    }
}

/// A store's object as entries name it.
fn named(object: &store::Disposable, incident: &IncidentId) -> Object {
    match object {
        store::Disposable::Collection(id) => Object::Collection(Digest(*id)),
        store::Disposable::Detail(_) => Object::Details(incident.clone()),
    }
}
