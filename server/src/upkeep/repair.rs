//! Replaces missing or damaged replicas with copies of a good one.
//! Guarantee: it writes only bytes that have the digest of their key, never touches a good replica, and moves damaged bytes aside
//! instead of deleting them. Not here: the entry `evidence.repaired`, which the caller records.

use std::sync::Arc;
use std::time::Duration;

use evidence::time::Time;
use proto::backoff::Backoff;
use store::{
    ContentCheck, Key, KeyKind, ReplicaError, Replicas, Store, StoreError, StoreErrorClass, Wanting,
    WantingSink,
};

use crate::clock::end_of_wait;
use crate::rows::{Db, DbError, RepairTask};

/// First wait after a failed repair: 10 s; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(10);
/// Longest wait between two tries: 1 h.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// Everything a store holds besides the ledger's tiles and its own marker.
pub(crate) const ROOMS: [&str; 10] = [
    "details/",
    "documents/",
    "ledger/checkpoints/",
    "ledger/cosigned/",
    "ledger/keys/",
    "ledger/stamps/",
    "quarantine/",
    "seals/",
    "segments/",
    "targets/",
];

/// A replica that counted as missing holds other bytes. It is queued again as damaged, so that the ledger records the damage first.
pub(crate) const OTHER_BYTES: &str = "other bytes are there; it is queued as damaged now";

/// The result of one round of repair.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Replicas that are right now.
    pub repaired: Vec<RepairTask>,
    /// Replicas that could not be repaired, with the reason. They stay queued.
    pub failed: Vec<(RepairTask, String)>,
}

/// Repairs the replicas that are due. They stay queued until [`finish_repairs`], because the caller records them first.
///
/// # Errors
/// If the database fails. The report names stores that fail.
pub fn repair_due(
    replicas: &Replicas,
    db: &Db,
    due: Vec<RepairTask>,
    now: Time,
) -> Result<RepairReport, DbError> {
    let mut report = RepairReport::default();
    for task in due {
        match repair(replicas, &task) {
            Ok(()) => report.repaired.push(task),
            Err(reason) => {
                let wait = Backoff::new(BACKOFF_MIN, BACKOFF_MAX).wait_after(task.attempts);
                let due = end_of_wait(now, wait).unix_ms();
                let (again, text) = (task.clone(), reason.clone());
                db.write(move |tx| crate::rows::repair_failed(tx, &again, due, &text))?;
                report.failed.push((task, reason));
            }
        }
    }
    Ok(report)
}

/// Removes repaired replicas from the queue, counts again how many stores have each, and marks collections as `stored` that now have
/// all their copies.
///
/// # Errors
/// If the database fails. The replicas are then repaired again, which changes nothing.
pub fn finish_repairs(replicas: &Replicas, db: &Db, repaired: &[RepairTask]) -> Result<(), DbError> {
    if repaired.is_empty() {
        return Ok(());
    }
    let done: Vec<_> = repaired.iter().map(|task| (task.clone(), copies_of(replicas, task))).collect();
    db.write(move |tx| {
        for (task, copies) in &done {
            crate::rows::repair_done(tx, task, *copies)?;
        }
        // Do this after the queue is updated: any part that waits there keeps a collection degraded.
        crate::rows::collections::mark_repaired(tx)
    })
}

/// Number of stores that hold the object in the length that most of them have; `None` if its copies are not counted.
fn copies_of(replicas: &Replicas, task: &RepairTask) -> Option<u32> {
    let key = Some(&task.key).filter(|key| key.kind() == KeyKind::Segment)?;
    let target = replicas.stores().iter().find(|store| store.identity().store == task.store)?;
    let length = target.size(key).ok()?;
    Some(replicas.copies_of(key, length).copies)
}

/// Repairs one replica. It is safe to repeat.
fn repair(replicas: &Replicas, task: &RepairTask) -> Result<(), String> {
    let key = &task.key;
    let target = replicas.stores().iter().find(|store| store.identity().store == task.store);
    let target = target.ok_or_else(|| format!("store {} is not configured any more", task.store))?;
    match key.kind() {
        // Only the sequencer writes these. It brings up a lagging store, tiles before checkpoint.
        KeyKind::Checkpoint | KeyKind::Tile | KeyKind::Marker => return Ok(()),
        _ => {}
    }
    let good = replicas
        .read_checked(key, |bytes| key.check(bytes) != ContentCheck::Wrong)
        .map_err(|error: ReplicaError| error.to_string())?;
    match target.create(key, &good) {
        Err(error) if error.class() == StoreErrorClass::Conflict && task.wanting == Wanting::Damaged => {
            replace_damaged(target, key, &good)
        }
        Err(error) if error.class() == StoreErrorClass::Conflict => Err(OTHER_BYTES.to_owned()),
        result => result.map_err(|error| describe(&error)),
    }
}

fn replace_damaged(target: &Arc<dyn Store>, key: &Key, good: &[u8]) -> Result<(), String> {
    target.displace(key).map_err(|error| describe(&error))?;
    target.create(key, good).map_err(|error| describe(&error))
}

fn describe(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Compares the listings of all stores and queues what one lacks. So it finds what was written while a store was away, even
/// if the queue itself was lost. Returns how many replicas it queued.
///
/// # Errors
/// `Unreadable` if no store can be listed. It skips a store that cannot be listed.
pub fn scan_for_missing(replicas: &Replicas, sink: &dyn WantingSink) -> Result<u64, ReplicaError> {
    let mut queued = 0;
    for room in ROOMS {
        let all = replicas.list(room)?;
        for store in replicas.stores() {
            let Ok(held) = store.list(room) else { continue };
            for key in all.iter().filter(|key| held.binary_search(key).is_err()) {
                sink.wanting(&store.identity().store, key, Wanting::Missing);
                queued += 1;
            }
        }
    }
    Ok(queued)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};
    use store::fault::{Fault, FaultDisk};
    use store::{Degraded, DirectoryStore, ReplicationPolicy, StoreIdentity};

    use super::*;

    const ACCEPT: ReplicationPolicy = ReplicationPolicy { copies: 2, degraded: Degraded::Accept };

    fn round(replicas: &Replicas, db: &Db, now_ms: u64) -> Result<RepairReport, DbError> {
        let due = db.read(|reader| crate::rows::repairs_due(reader, now_ms, 100))?;
        let report = repair_due(replicas, db, due, Time::from_unix_ms(now_ms).unwrap())?;
        finish_repairs(replicas, db, &report.repaired)?;
        Ok(report)
    }

    fn key(bytes: &[u8]) -> Key {
        Key::segment(&[0xaa; 32], 0, &Sha256::digest(bytes).into())
    }

    #[test]
    fn missing_and_damaged_replicas_are_repaired_from_the_right_one() {
        let disks = ["device 1:1", "device 1:2"].map(FaultDisk::new);
        let stores = disks.iter().zip(["one", "two"]).map(|(disk, name)| {
            let identity = StoreIdentity {
                store: name.to_owned(),
                deployment: "acme".to_owned(),
                created: "2026-11-21T00:00:00.000Z".to_owned(),
                domain: store::DOMAIN_OF_DEVICE.to_owned(),
            };
            Arc::new(DirectoryStore::initialise_on(disk.clone(), name, &identity).unwrap()) as Arc<dyn Store>
        });
        let place = tempfile::tempdir().unwrap();
        crate::rows::Db::create(&place.path().join("db")).unwrap();
        let db = crate::rows::Db::open(&place.path().join("db"), 1).unwrap();
        let replicas = Replicas::new(stores.collect(), ACCEPT, Arc::new(crate::rows::QueueSink(db.clone())));
        disks[1].fail_after(0, Fault::Failed);
        replicas.create(&key(b"lonely"), b"lonely").unwrap();
        replicas.create(&key(b"rotten"), b"rotten").unwrap();
        disks[0].damage(key(b"rotten").as_str(), b"r0tten");
        replicas.read(&key(b"rotten")).unwrap();
        let report = round(&replicas, &db, 0).unwrap();
        assert_eq!((report.repaired.len(), report.failed.len()), (2, 0), "{:?}", report.failed);
        for store in replicas.stores() {
            assert_eq!(store.read(&key(b"lonely")).unwrap(), b"lonely");
            assert_eq!(store.read(&key(b"rotten")).unwrap(), b"rotten");
        }
        assert_eq!(db.read(crate::rows::repairs_waiting).unwrap(), 0);
        assert_eq!(scan_for_missing(&replicas, &crate::rows::QueueSink(db.clone())).unwrap(), 0);
        // If a store lost an object unnoticed, comparing the listings finds it.
        let alone = Key::document(&Sha256::digest(b"{}\n").into());
        replicas.stores()[0].create(&alone, b"{}\n").unwrap();
        assert_eq!(scan_for_missing(&replicas, &crate::rows::QueueSink(db.clone())).unwrap(), 1);
        assert_eq!(round(&replicas, &db, 0).unwrap().repaired.len(), 1);
        // A lost object stays queued, with its reason, and is tried again later.
        let lost = Key::document(&[9; 32]);
        crate::rows::QueueSink(db.clone()).wanting("one", &lost, Wanting::Missing);
        assert_eq!(round(&replicas, &db, 0).unwrap().failed.len(), 1);
        assert_eq!(round(&replicas, &db, 0).unwrap().failed.len(), 0);
        assert_eq!(round(&replicas, &db, 10_000).unwrap().failed.len(), 1);
    }
}
