//! A database is lost and recreated. The new one equals the old one, row for row.

pub(crate) mod life;

use evidence::disposal::Object;
use evidence::entry::act::Act;
use evidence::entry::incident::Severity;
use evidence::json;
use testkit::people;

use super::*;
use crate::log::ledger::{PendingEntry, Sequencer};
use crate::ops::init::init;
use crate::ops::init::tests::{day, options};
use life::*;

#[test]
fn a_lost_database_is_recreated_row_for_row_and_the_ledger_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let config = Config::load(&options.directory).unwrap();
    let (db, replicas, sequencer) = start(&config, &layout);
    live_a_little(&db, &replicas, &sequencer);
    sequencer.stop().unwrap();
    let before = dump(&db);
    assert!(before.iter().all(|row| !row.ends_with(": empty")), "a table is not exercised: {before:?}");
    drop((db, replicas, sequencer));

    assert!(matches!(rebuild(&options.directory), Err(RebuildError::Db(DbError::Exists { .. }))));
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    let rebuilt = rebuild(&options.directory).unwrap();
    assert_eq!(rebuilt.remarks, Vec::<String>::new());
    assert_eq!((rebuilt.collections, rebuilt.items), (1, 13));

    let (db, replicas, sequencer) = start(&config, &layout);
    let after = dump(&db);
    for (one, other) in before.iter().zip(&after) {
        assert_eq!(one, other);
    }
    assert_eq!(before.len(), after.len());
    let size = sequencer.log().published().size;
    let next = sequencer
        .submit_blocking(own_act(EntryType::RecoveryPerformed, "", &[("size", size.to_string())]))
        .unwrap();
    assert_eq!(next.index, size);
    drop((db, replicas, sequencer));
}

#[test]
fn what_two_persons_disposed_of_is_the_same_after_a_rebuild_at_every_step() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let config = Config::load(&options.directory).unwrap();
    let (db, replicas, sequencer) = start(&config, &layout);
    live_a_little(&db, &replicas, &sequencer);
    let stores: Vec<String> = replicas.stores().iter().map(|store| store.identity().store.clone()).collect();
    let ids = |db: &Db| {
        db.read(|reader| collections::of_incident(reader, Some(&INCIDENT.parse().unwrap()))).unwrap()
    };
    let id = ids(&db)[0].id;
    let submit = |pending: PendingEntry| sequencer.submit_blocking(pending);
    let key = Key::segment(id.as_bytes(), 0, &[0; 32]);
    let now = crate::clock::now();
    let is_disposed_of = |store: Option<&str>| {
        db.read(|reader| crate::rows::fence::is_disposed_of(reader, &key, store, now)).unwrap()
    };

    // Nothing is recorded as destroyed that two persons did not give up, nor while something keeps it.
    let object = Object::Collection(id);
    let (plan, [first, second]) = approved(&db, &sequencer, INCIDENT);
    submit(first).unwrap_err();
    submit(own_act(EntryType::DispositionExecuted, INCIDENT, &gone(&plan, &object, &stores[0]))).unwrap_err();
    submit(second).unwrap_err();
    may_go(&sequencer, INCIDENT);
    let (_, [_, too_early]) = approved(&db, &sequencer, INCIDENT);
    let (plan, [first, second]) = approved(&db, &sequencer, INCIDENT);
    submit(first).unwrap();
    submit(own_act(EntryType::DispositionExecuted, INCIDENT, &gone(&plan, &object, &stores[0]))).unwrap_err();
    let hold = person_act(EntryType::HoldPlaced, INCIDENT, &[], "ada", None);
    let hold_id = hold.act.event().to_string();
    submit(hold).unwrap();
    submit(too_early).unwrap_err();
    submit(person_act(EntryType::HoldReleased, INCIDENT, &[("hold", hold_id)], "bob", None)).unwrap();
    assert!(!is_disposed_of(None));
    submit(second).unwrap();
    assert!(is_disposed_of(None) && is_disposed_of(Some("elsewhere")));

    let again = |db: Db, replicas: Replicas, sequencer: Sequencer| {
        sequencer.stop().unwrap();
        let before = dump(&db);
        drop((db, replicas, sequencer));
        drop(fs_err::remove_file(place.path().join("lost.db")));
        fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
        rebuild(&options.directory).unwrap();
        let (db, replicas, sequencer) = start(&config, &layout);
        assert_eq!(before, dump(&db));
        (db, replicas, sequencer)
    };
    let (db, replicas, sequencer) = again(db, replicas, sequencer);
    let warrant = db
        .read(|reader| {
            crate::rows::disposals::course_now(reader, &config.deployment, &INCIDENT.parse().unwrap())
        })
        .unwrap()
        .warrant(&plan.digest(), now)
        .unwrap();
    let what = store::Disposable::Collection(id.0);
    for (number, store) in replicas.stores().iter().enumerate() {
        let done = store.dispose(&what, &warrant, &|| true).unwrap();
        assert!(done.is_all && done.count >= 6);
        let refs = gone(&plan, &object, &stores[number]);
        sequencer.submit_blocking(own_act(EntryType::DispositionExecuted, INCIDENT, &refs)).unwrap();
        let mut once_more = own_act(EntryType::DispositionExecuted, INCIDENT, &refs);
        let mut act: Act = json::parse_document(&once_more.act.document).unwrap();
        act.at = now;
        once_more.act.document = json::to_document(&act).unwrap();
        sequencer.submit_blocking(once_more).unwrap_err();
        crate::upkeep::disposal::mark_disposed(&db, &config.deployment, &replicas).unwrap();
        let states = ids(&db)[0].state.as_str();
        assert_eq!(states, if number == 1 { "disposed" } else { "stored" });
    }
    assert_eq!(scan(&replicas, &db), 0);
    let rows = ids(&db);
    assert_eq!((rows[0].segments, rows[0].items, rows[0].seal_head), (0, 0, None));
    assert!(rows[0].manifest.is_some() && rows[0].content_bytes > 0);
    let (db, _, sequencer) = again(db, replicas, sequencer);
    // A hold keeps what is left. What is gone stays gone.
    sequencer.submit_blocking(person_act(EntryType::HoldPlaced, INCIDENT, &[], "bob", None)).unwrap();
    let is_fenced = |store: Option<&str>| {
        db.read(|reader| crate::rows::fence::is_disposed_of(reader, &key, store, now)).unwrap()
    };
    assert!(is_fenced(Some(&stores[0])) && !is_fenced(Some("elsewhere")) && !is_fenced(None));
    assert!(db.read(|reader| crate::rows::fence::disposal_of(reader, &id, now)).unwrap().is_some());
}

#[test]
fn a_text_of_two_incidents_goes_with_the_second_and_is_served_until_then() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let config = Config::load(&options.directory).unwrap();
    let (db, replicas, sequencer) = start(&config, &layout);
    let submit = |pending: PendingEntry| sequencer.submit_blocking(pending).unwrap();
    let (both, once) = (Digest::of(b"both"), Digest::of(b"once"));
    let incidents = ["INC-2026-0011", "INC-2026-0012"];
    for incident in incidents {
        let refs = [("incident", incident.to_owned())];
        submit(person_act(EntryType::IncidentOpened, incident, &refs, "ada", Some(both)));
        may_go(&sequencer, incident);
    }
    submit(person_act(EntryType::IncidentNoted, incidents[0], &[], "ada", Some(once)));
    let now = crate::clock::now();
    let is_disposed_of = |text: &Digest, store: Option<&str>| {
        let key = Key::detail(text.as_bytes());
        db.read(|reader| crate::rows::fence::is_disposed_of(reader, &key, store, now)).unwrap()
    };
    let stays = |text: &Digest| db.read(|reader| crate::rows::texts::text_stays(reader, text, now)).unwrap();
    let dispose = |incident: &str| {
        let (plan, approvals) = approved(&db, &sequencer, incident);
        for approval in approvals {
            submit(approval);
        }
        let object = Object::Details(incident.parse().unwrap());
        (plan.clone(), gone(&plan, &object, "one"))
    };
    let (first, gone_first) = dispose(incidents[0]);
    assert!(first.details.contains(&both) && first.details.contains(&once));
    assert!(stays(&both) && !stays(&once));
    assert!(!is_disposed_of(&both, None) && is_disposed_of(&once, None));
    submit(own_act(EntryType::DispositionExecuted, incidents[0], &gone_first));
    assert!(!is_disposed_of(&both, Some("one")), "the other incident needs it");
    let (_, gone_second) = dispose(incidents[1]);
    assert!(!stays(&both) && is_disposed_of(&both, None));
    submit(own_act(EntryType::DispositionExecuted, incidents[1], &gone_second));
    // A hold keeps what is left. The two objects that both gave up are not missing.
    submit(person_act(EntryType::HoldPlaced, incidents[0], &[], "ada", None));
    assert!(stays(&both) && is_disposed_of(&both, Some("one")) && !is_disposed_of(&both, Some("two")));
    // The reason of an approval, and the texts that the deployment's own chain names, stay for good.
    let (reason, own) = (Digest::of(b"reason"), Digest::of(b"own"));
    let other = "INC-2026-0013";
    let refs = [("incident", other.to_owned())];
    submit(person_act(EntryType::IncidentOpened, other, &refs, "ada", Some(reason)));
    submit(person_act(EntryType::IncidentNoted, other, &[], "ada", Some(own)));
    let mirror = [("mirror", "backup-1".to_owned())];
    submit(person_act(EntryType::MirrorRetired, "", &mirror, "ada", Some(own)));
    may_go(&sequencer, other);
    let (_, approvals) = approved(&db, &sequencer, other);
    for mut approval in approvals {
        let mut act: Act = json::parse_document(&approval.act.document).unwrap();
        act.detail = Some(reason);
        approval.act = people::sign(&act, &[10]).into();
        submit(approval);
    }
    assert!(stays(&reason) && stays(&own));
    // The same holds after the database is lost.
    sequencer.stop().unwrap();
    let before = dump(&db);
    drop((db, replicas, sequencer));
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    rebuild(&options.directory).unwrap();
    let (db, _, _) = start(&config, &layout);
    assert_eq!(before, dump(&db));
}

/// Counts what the stores would be asked to repair.
fn scan(replicas: &Replicas, db: &Db) -> u64 {
    crate::upkeep::repair::scan_for_missing(replicas, &crate::rows::QueueSink(db.clone())).unwrap();
    db.read(crate::rows::repairs_waiting).unwrap()
}

#[test]
fn an_erased_detail_stays_erased_and_everything_else_is_rebuilt() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let config = Config::load(&options.directory).unwrap();
    let (db, replicas, sequencer) = start(&config, &layout);
    live_a_little(&db, &replicas, &sequencer);
    let detail = vector("detail.json");
    for store in replicas.stores() {
        store.remove(&Key::detail(Digest::of(&detail).as_bytes())).unwrap();
    }
    drop((db, replicas, sequencer));
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    rebuild(&options.directory).unwrap();
    let db = Db::open(&layout.database(), 1).unwrap();
    let incident =
        db.read(|reader| crate::rows::incidents::at(reader, &INCIDENT.parse().unwrap())).unwrap().unwrap();
    assert_eq!((incident.title, incident.severity), (None, Some(Severity::High)));
}

#[test]
fn a_store_with_an_altered_entry_is_not_rebuilt_from_and_the_other_is() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let damage = |store: &str| {
        let bundle = place.path().join(store).join("ledger/tile/entries/000.p/2");
        let mut bytes = fs_err::read(&bundle).unwrap();
        bytes[40] ^= 1;
        fs_err::remove_file(&bundle).unwrap();
        fs_err::write(&bundle, bytes).unwrap();
    };
    damage("a");
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    let rebuilt = rebuild(&options.directory).unwrap();
    assert_eq!(rebuilt.entries, 2);
    assert!(!rebuilt.remarks.is_empty());
    damage("b");
    fs_err::remove_file(layout.database()).unwrap();
    assert!(matches!(rebuild(&options.directory), Err(RebuildError::NoLedger { .. })));
    assert!(!layout.database().exists());
}
