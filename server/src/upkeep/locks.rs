//! Checks the locks of stores against the retention of incidents: nobody can lift a lock in COMPLIANCE mode.
//!
//! Guarantee: the collector places no object under a lock that ends after the incident's retention, and accepts no retention that
//! ends before an existing lock. Not here: placing locks (`store`); what keeps evidence (`rows::retention`).

use std::time::{Duration, SystemTime};

use evidence::digest::Digest;
use evidence::id::{Chain, IncidentId};
use evidence::time::Time;
use proto::status::Class;
use rusqlite::Connection;
use store::{Key, Lock, Replicas};

use crate::acts::Weighed;
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows::collections::CollectionRow;
use crate::rows::condition::Denied;
use crate::rows::retention::Standing;
use crate::rows::{self, DbError};

/// A store whose locks nobody can lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compliance {
    pub store: String,
    /// How long it keeps each object after writing it.
    pub length: Duration,
}

impl Compliance {
    /// When the lock of what is placed at `placed` ends. One that ends after all times that can be written outlasts every
    /// retention that ends before the last of them.
    fn end(&self, placed: Time) -> Time {
        placed.checked_add(self.length).unwrap_or(Time::MAX)
    }
}

/// The stores that lock in COMPLIANCE mode.
#[must_use]
pub fn of(replicas: &Replicas) -> Vec<Compliance> {
    let stores = replicas.stores().iter();
    stores
        .filter_map(|store| match store.guarantees().lock {
            Lock::Compliance { days } => Some(Compliance {
                store: store.identity().store.clone(),
                length: Duration::from_secs(u64::from(days) * 86_400),
            }),
            Lock::None | Lock::Governance { .. } => None,
        })
        .collect()
}

/// Refuses to place evidence of an incident now if the store's lock would outlast the incident's retention.
///
/// # Errors
/// A refusal that names store and dates.
pub fn may_place(
    reader: &Connection,
    incident: &IncidentId,
    now: Time,
    locks: &[Compliance],
) -> Result<(), Denied> {
    if locks.is_empty() {
        return Ok(());
    }
    let Some(standing) = Standing::of(reader, incident)? else {
        return Ok(());
    };
    for lock in locks {
        let end = lock.end(now);
        if let Err(outlasts) = standing.may_lock(end) {
            return Err(Denied::no(
                Class::Precondition,
                format!(
                    "store {} would keep it in COMPLIANCE mode: {outlasts}. Set a later retention (exhibit incident retention set {incident}), \
                     or give the store a shorter lock",
                    lock.store
                ),
            ));
        }
    }
    Ok(())
}

/// As [`may_place`], at the moment of writing, for an upload.
///
/// # Errors
/// The refusal. The sender waits and tries again, and the log tells the operator.
pub async fn check_placing(collector: &Collector, chain: &Chain) -> Result<(), Failure> {
    let locks = of(&collector.replicas);
    if locks.is_empty() {
        return Ok(());
    }
    let Some(incident) = chain.incident().cloned() else {
        return Err(Failure::missing("evidence is placed for an incident"));
    };
    let asked = collector.db.read_async(move |db| {
        Ok::<_, DbError>(match may_place(db, &incident, crate::clock::now(), &locks) {
            Err(Denied::Db(error)) => return Err(error),
            Err(Denied::No(refusal)) => Some(refusal),
            Ok(()) => None,
        })
    });
    match asked.await? {
        None => Ok(()),
        Some(refusal) => {
            tracing::error!(%chain, why = refusal.text(), "Evidence is not placed: the store's lock would outlast its retention");
            Err(refusal)
        }
    }
}

/// Refuses a retention that ends before the locks of stored evidence.
///
/// # Errors
/// A refusal that names the date, or an error if database or stores do not answer.
pub async fn check_retention(
    collector: &Collector,
    incident: &IncidentId,
    weighed: &Weighed,
    locks: &[Compliance],
) -> Result<(), Failure> {
    let until: Option<Time> = weighed.act.reference("until").and_then(|until| until.parse().ok());
    let (Some(until), false) = (until, locks.is_empty()) else {
        return Ok(());
    };
    let name = incident.clone();
    let rows = collector.db.read_async(move |db| {
        let mut rows = Vec::new();
        for row in rows::collections::of_incident(db, Some(&name))? {
            if let Some(last) = rows::collections::newest_segment(db, row.number)? {
                rows.push((row, last.index, last.sha256));
            }
        }
        Ok::<_, DbError>(rows)
    });
    let rows = rows.await?;
    let (replicas, now, locks) = (collector.replicas.clone(), crate::clock::now(), locks.to_vec());
    let latest = blocking(move || latest(&replicas, &rows, &locks, now)).await?;
    match latest {
        Some((end, store)) if end > until => Err(Failure::precondition(format!(
            "store {store} keeps evidence of {incident} in COMPLIANCE mode until {end}: nobody can destroy it before. Set a retention that ends then or later"
        ))),
        _ => Ok(()),
    }
}

/// The latest end of a lock on stored evidence. Takes the store's answer for each collection's newest segment, and the latest end
/// that the store's settings allow.
fn latest(
    replicas: &Replicas,
    rows: &[(CollectionRow, u64, Digest)],
    locks: &[Compliance],
    now: Time,
) -> Option<(Time, String)> {
    let mut found = Vec::new();
    for lock in locks {
        let store = replicas.stores().iter().find(|store| store.identity().store == lock.store);
        for (row, index, sha256) in rows {
            let placed = row.ended.unwrap_or(now);
            found.push((lock.end(placed), lock.store.clone()));
            let key = Key::segment(row.id.as_bytes(), *index, sha256.as_bytes());
            match store.map(|store| store.locked_until(&key)) {
                Some(Ok(Some(end))) => found.push((time(end), lock.store.clone())),
                Some(Err(error)) => {
                    tracing::debug!(collection = %row.id, %error, "A store does not tell its lock; its settings count");
                }
                Some(Ok(None)) | None => {}
            }
        }
    }
    found.into_iter().max()
}

/// When a lock ends, as a store tells it. One before 1970 is long over; one after all times that can be written has no end.
fn time(at: SystemTime) -> Time {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Time::EPOCH.checked_add(since).unwrap_or(Time::MAX),
        Err(_) => Time::EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::incidents::IncidentRow;
    use crate::rows::{Db, holds};
    use evidence::entry::state::{CollectionState, IncidentState};
    use evidence::id::Generation;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn incident() -> IncidentId {
        IncidentId::new(2026, 1).unwrap()
    }

    fn row() -> IncidentRow {
        IncidentRow {
            incident: incident(),
            state: IncidentState::Open,
            severity: None,
            tlp: None,
            class: None,
            detail: None,
            title: None,
            opened: Time::EPOCH,
            opened_by: "person:ada".parse().unwrap(),
            closed: None,
            entries: 0,
            collections: 0,
        }
    }

    #[test]
    fn nothing_is_placed_under_a_lock_that_outlasts_the_retention() {
        let place = tempfile::tempdir().unwrap();
        Db::create(&place.path().join("db")).unwrap();
        let db = Db::open(&place.path().join("db"), 1).unwrap();
        let now: Time = "2026-06-01T00:00:00.000Z".parse().unwrap();
        let lock = |days: u64| {
            vec![Compliance { store: "vault".to_owned(), length: Duration::from_secs(days * 86_400) }]
        };
        let refused = |locks: Vec<Compliance>| {
            let asked = db.read(move |reader| Ok::<_, DbError>(may_place(reader, &incident(), now, &locks)));
            match asked.unwrap() {
                Ok(()) => None,
                Err(Denied::No(refusal)) => Some(refusal.text().to_owned()),
                Err(Denied::Db(error)) => panic!("{error}"),
            }
        };
        db.write(|tx| rows::incidents::insert(tx, &row())).unwrap();
        assert_eq!(refused(lock(36_500)), None, "kept without end: no lock is longer");
        db.write(|tx| holds::set_retention(tx, &incident(), time("2026-06-11T00:00:00.000Z"))).unwrap();
        assert_eq!(refused(lock(10)), None);
        assert_eq!(refused(Vec::new()), None);
        assert!(
            refused(lock(u64::from(u32::MAX))).unwrap().contains("9999-12-31"),
            "longer than time can count"
        );
        let said = refused(lock(11)).unwrap();
        for words in [
            "store vault",
            "2026-06-12T00:00:00.000Z",
            "2026-06-11T00:00:00.000Z",
            "exhibit incident retention set",
        ] {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn the_latest_lock_is_that_of_the_last_that_was_placed() {
        let replicas = Replicas::new(
            Vec::new(),
            store::ReplicationPolicy::default(),
            std::sync::Arc::new(crate::rows::QueueSink({
                let place = tempfile::tempdir().unwrap();
                Db::create(&place.path().join("db")).unwrap();
                Db::open(&place.path().join("db"), 1).unwrap()
            })),
        );
        let now: Time = "2026-06-01T00:00:00.000Z".parse().unwrap();
        let collection = |state: CollectionState, ended: Option<Time>| CollectionRow {
            number: 1,
            id: Digest([1; 32]),
            incident: incident(),
            order: Digest::ZERO,
            endpoint: "web-03".parse().unwrap(),
            generation: Generation::FIRST,
            attempt: 1,
            delegation: Digest::ZERO,
            sealer: evidence::keys::SigningKey::from_seed(&[9; 32]).public(),
            state,
            manifest: None,
            seal_head: None,
            items: 0,
            not_ok: 0,
            content_bytes: 0,
            plain_bytes: 0,
            stored_bytes: 0,
            segments: 1,
            copies: 1,
            degraded: false,
            independent: false,
            begun: Time::EPOCH,
            ended,
            started_index: 0,
            stored_index: None,
        };
        let locks = [Compliance { store: "vault".to_owned(), length: Duration::from_secs(86_400) }];
        let end = |rows: &[CollectionRow]| {
            let rows: Vec<_> = rows.iter().map(|row| (row.clone(), 0, Digest::ZERO)).collect();
            latest(&replicas, &rows, &locks, now).map(|(end, _)| end.to_string())
        };
        let old = collection(CollectionState::Stored, Some(time("2026-01-01T00:00:00.000Z")));
        assert_eq!(end(&[]), None);
        assert_eq!(end(std::slice::from_ref(&old)).unwrap(), "2026-01-02T00:00:00.000Z");
        assert_eq!(
            end(&[old, collection(CollectionState::Running, None)]).unwrap(),
            "2026-06-02T00:00:00.000Z"
        );
        let seconds = Duration::from_secs;
        assert_eq!(super::time(SystemTime::UNIX_EPOCH + seconds(1)).unix_ms(), 1000);
        assert_eq!(super::time(SystemTime::UNIX_EPOCH - seconds(1)), Time::EPOCH);
        assert_eq!(super::time(SystemTime::UNIX_EPOCH + seconds(1 << 40)), Time::MAX);
    }
}
