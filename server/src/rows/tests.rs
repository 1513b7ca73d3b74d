use evidence::digest::Digest;
use evidence::id::{Generation, IncidentId};
use evidence::item::Kind;
use evidence::item::outcome::Outcome;
use evidence::time::Time;
use store::{Key, Wanting};

use super::*;

mod columns;

fn key(number: u8) -> Key {
    Key::document(&[number; 32])
}

/// A collection of `web-03` that runs.
fn new_collection(id: Digest) -> collections::NewCollection {
    collections::NewCollection {
        id,
        incident: IncidentId::new(2026, 1).unwrap(),
        order: Digest([1; 32]),
        endpoint: "web-03".parse().unwrap(),
        generation: Generation::FIRST,
        attempt: 1,
        delegation: Digest([2; 32]),
        sealer: evidence::keys::SigningKey::from_seed(&[9; 32]).public(),
        begun: "2026-11-21T00:00:00.000Z".parse().unwrap(),
        index: 5,
    }
}

fn fresh() -> (tempfile::TempDir, Db) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("exhibit.db");
    Db::create(&path).unwrap();
    let db = Db::open(&path, 2).unwrap();
    (place, db)
}

#[test]
fn a_database_is_never_made_by_opening_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("exhibit.db");
    assert!(matches!(Db::open(&path, 1), Err(DbError::Missing { .. })));
    assert!(!path.exists());
    Db::create(&path).unwrap();
    assert!(matches!(Db::create(&path), Err(DbError::Exists { .. })));
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_database_takes_the_place_of_no_file_and_no_link() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("exhibit.db");
    let is_refused = || {
        let refused = Db::create(&path);
        assert!(matches!(refused, Err(DbError::Exists { .. })), "{refused:?}");
        // Nothing else lies beside it.
        assert_eq!(fs_err::read_dir(place.path()).unwrap().count(), 1);
    };
    fs_err::write(&path, "somebody's").unwrap();
    is_refused();
    assert_eq!(fs_err::read(&path).unwrap(), b"somebody's");
    fs_err::remove_file(&path).unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    is_refused();
    assert!(!elsewhere.exists());
    let nowhere = Db::create(&place.path().join("none/exhibit.db")).unwrap_err();
    assert!(crate::failure::chain(&nowhere).contains("none/"), "{nowhere:?}");
}

#[test]
fn an_empty_file_from_a_creation_that_was_cut_off_is_no_database() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("exhibit.db");
    durable::create(&path, b"", 0o600).unwrap();
    let refused = Db::open(&path, 1).err();
    assert!(matches!(refused, Some(DbError::Schema { version: 0, .. })), "{refused:?}");
}

#[test]
fn a_foreign_database_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Db::open(&path, 1), Err(DbError::Schema { version: 0, .. })));
}

#[test]
fn every_commit_is_flushed() {
    let (_place, db) = fresh();
    let pragma = |db: &Db, name: &'static str| {
        db.write::<String, DbError>(move |tx| {
            Ok(tx
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .map(|value| format!("{value:?}"))?)
        })
        .unwrap()
    };
    assert_eq!(pragma(&db, "synchronous"), "Integer(2)");
    assert_eq!(pragma(&db, "journal_mode"), "Text(\"wal\")");
}

#[test]
fn a_failed_job_undoes_only_itself() {
    let (_place, db) = fresh();
    std::thread::scope(|scope| {
        for number in 0..64_u8 {
            let db = &db;
            scope.spawn(move || {
                let result = db.write::<(), DbError>(move |tx| {
                    want(tx, "one", &key(number), Wanting::Missing)?;
                    if number % 2 == 0 { Ok(()) } else { Err(DbError::Closed) }
                });
                assert_eq!(result.is_ok(), number % 2 == 0);
            });
        }
    });
    let tasks = db.read(|reader| repairs_due(reader, Time::MAX.unix_ms(), 1000)).unwrap();
    assert_eq!(tasks.len(), 32);
    let mut found: Vec<Key> = tasks.into_iter().map(|task| task.key).collect();
    found.sort();
    assert_eq!(found, (0..64).step_by(2).map(key).collect::<Vec<_>>());
}

#[test]
fn what_is_written_is_there_after_reopening() {
    let (place, db) = fresh();
    db.write::<(), DbError>(|tx| want(tx, "one", &key(1), Wanting::Missing)).unwrap();
    db.write::<(), DbError>(|tx| want(tx, "one", &key(1), Wanting::Damaged)).unwrap();
    drop(db);
    let db = Db::open(&place.path().join("exhibit.db"), 1).unwrap();
    let tasks = db.read(|reader| repairs_due(reader, 0, 10)).unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].wanting, Wanting::Damaged);
}

#[test]
fn a_damaged_row_of_what_is_to_be_done_stops_nothing_else() {
    let (_place, db) = fresh();
    db.write::<(), DbError>(|tx| {
        // It would be the first.
        tx.execute("INSERT INTO repair_queue VALUES ('one', '!', 'missing', 0, 0, '')", [])?;
        want(tx, "one", &key(1), Wanting::Missing)?;
        want(tx, "one", &key(2), Wanting::Missing)?;
        tx.execute("INSERT INTO endpoint_live VALUES ('web-03', 1, 'yesterday', '1.0.0', 'boot', 7)", [])?;
        Ok(())
    })
    .unwrap();
    for (limit, count) in [(0, 0), (1, 1), (2, 2), (9, 2)] {
        assert_eq!(db.read(|reader| repairs_due(reader, 0, limit)).unwrap().len(), count, "{limit}");
    }
    assert_eq!(db.read(repairs_waiting).unwrap(), 3, "the operator sees that something waits");
    let endpoint: evidence::id::EndpointId = "web-03".parse().unwrap();
    assert!(db.read(|reader| endpoints::live(reader, &endpoint)).unwrap().is_none());
}

#[test]
fn a_reader_sees_one_state_throughout() {
    let (_place, db) = fresh();
    let reading = db.clone();
    db.read::<(), DbError>(|reader| {
        let before = repairs_waiting(reader)?;
        reading.write::<(), DbError>(|tx| want(tx, "one", &key(1), Wanting::Missing))?;
        assert_eq!(repairs_waiting(reader)?, before);
        Ok(())
    })
    .unwrap();
    assert_eq!(db.read(repairs_waiting).unwrap(), 1);
}

#[test]
fn the_end_of_the_log_moves_only_from_where_the_caller_believes_it() {
    let (_place, db) = fresh();
    let empty = ledger::hash::EMPTY_ROOT;
    let root = |number: u8| ledger::Hash([number; 32]);
    let swap = |old: (u64, ledger::Hash), new: (u64, ledger::Hash)| {
        db.write::<bool, DbError>(move |tx| log::compare_and_swap(tx, old, new, Some(Time::EPOCH))).unwrap()
    };
    assert!(swap((0, empty), (3, root(3))));
    assert!(!swap((0, empty), (5, root(5))));
    assert!(!swap((3, root(9)), (5, root(5))));
    assert_eq!(db.read(log::state).unwrap().root, root(3));
}

#[test]
fn a_million_items_are_found_by_path_and_by_page() {
    // A hundred thousand, not a million, keeps the test short. The plan must use the index at any number.
    const ITEMS: u64 = 100_000;
    let (_place, db) = fresh();
    let id = Digest([7; 32]);
    db.write::<(), DbError>(move |tx| collections::insert(tx, &new_collection(id))).unwrap();
    for segment in 0..10 {
        db.write::<(), DbError>(move |tx| {
            let first = segment * ITEMS / 10;
            let row = collections::SegmentRow {
                index: segment,
                sha256: Digest([3; 32]),
                seal_sha256: Digest([4; 32]),
                stored_len: 10,
                seal_len: 5,
                plain_start: segment * 100,
                plain_end: segment * 100 + 100,
                items: ITEMS / 10,
                items_total: first + ITEMS / 10,
                is_final: segment == 9,
                copies: 2,
            };
            let items = (first..first + ITEMS / 10).map(|n| collections::ItemRow {
                n,
                segment,
                path: format!("/var/lib/{}/file-{n}", n % 100).into_bytes(),
                outcome: if n % 1000 == 0 { Outcome::Denied } else { Outcome::Ok },
                kind: Kind::File,
                at: Some(n * 1024),
                data: Some(n * 1024 + 512),
                size: Some(100),
                stored: Some(100),
            });
            collections::add_segment(tx, &id, &row, items)
        })
        .unwrap();
    }
    db.read::<(), DbError>(|reader| {
        let collection = collections::at(reader, &id)?.unwrap();
        assert_eq!((collection.items, collection.not_ok, collection.segments), (ITEMS, ITEMS / 1000, 10));
        assert_eq!((collection.plain_bytes, collection.stored_bytes), (1000, 100));
        let found = collections::items_of_path(reader, collection.number, b"/var/lib/42/file-99942", 10)?;
        assert_eq!(found.iter().map(|item| item.n).collect::<Vec<_>>(), [99_942]);
        let page = collections::items_page(reader, collection.number, b"/var/lib/7/", false, 50_000, 3)?;
        assert_eq!(page.iter().map(|item| item.n).collect::<Vec<_>>(), [50_007, 50_107, 50_207]);
        let bad = collections::items_page(reader, collection.number, b"", true, 0, 5)?;
        assert_eq!(bad.len(), 5);
        let plan: String = reader.query_row(
            "EXPLAIN QUERY PLAN SELECT n FROM items WHERE collection = 1 AND path = x'00' ORDER BY n",
            [],
            |row| row.get(3),
        )?;
        assert!(plan.contains("items_by_path"), "{plan}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lost_copy_leaves_the_count_until_it_is_made_again() {
    let (_place, db) = fresh();
    let (id, sha256) = (Digest([7; 32]), Digest([3; 32]));
    let key = Key::segment(id.as_bytes(), 0, sha256.as_bytes());
    db.write::<(), DbError>(move |tx| {
        collections::insert(tx, &new_collection(id))?;
        let row = collections::SegmentRow {
            index: 0,
            sha256,
            seal_sha256: Digest([4; 32]),
            stored_len: 10,
            seal_len: 5,
            plain_start: 0,
            plain_end: 100,
            items: 0,
            items_total: 0,
            is_final: true,
            copies: 2,
        };
        collections::add_segment(tx, &id, &row, [])
    })
    .unwrap();
    let copies = || {
        db.read::<u32, DbError>(|reader| {
            let number = collections::at(reader, &id)?.unwrap().number;
            Ok(collections::segments(reader, number)?[0].copies)
        })
        .unwrap()
    };
    let lost = key.clone();
    db.write::<(), DbError>(move |tx| {
        want(tx, "one", &lost, Wanting::Damaged)?;
        super::lost(tx, &lost, 1)
    })
    .unwrap();
    assert_eq!(copies(), 1);
    assert_eq!(db.read(|reader| lacking(reader, &key)).unwrap(), ["one"]);
    // Queuing it again, or queuing a seal, changes no count of copies.
    let (again, seal) = (key.clone(), Key::seal(id.as_bytes(), 0, &[4; 32]));
    db.write::<(), DbError>(move |tx| {
        super::lost(tx, &again, 2)?;
        super::lost(tx, &seal, 0)
    })
    .unwrap();
    assert_eq!(copies(), 1);
    let task = RepairTask { store: "one".to_owned(), key, wanting: Wanting::Damaged, attempts: 0 };
    db.write::<(), DbError>(move |tx| repair_done(tx, &task, Some(2))).unwrap();
    assert_eq!(copies(), 2);
}

#[test]
fn a_time_of_the_newest_entry_that_cannot_be_read_is_never_taken_for_none() {
    let (_place, db) = fresh();
    assert_eq!(db.read(log::state).unwrap().last_time, None);
    for (size, last_time) in [(0, "yesterday"), (3, ""), (3, "2026-11-30")] {
        let change = "UPDATE log SET size = ?1, last_time = ?2";
        db.write::<_, DbError>(move |tx| Ok(tx.execute(change, rusqlite::params![size, last_time])?))
            .unwrap();
        let read = db.read(log::state);
        let Err(DbError::Corrupt { table: "log", column, .. }) = read else {
            panic!("{size} {last_time:?}: {read:?}");
        };
        assert_eq!(column, "last_time");
    }
}
