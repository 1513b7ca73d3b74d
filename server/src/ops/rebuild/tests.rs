//! A database is lost and recreated; what was there is there again, row for row.

use evidence::container::{Clocks, MemberEnd, Params, Writer};
use evidence::disposal::{Object, Plan};
use evidence::document::Document;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::id::{Actor, Chain};
use evidence::item::outcome::Outcome;
use evidence::item::{ItemRecord, Kind};
use evidence::json;
use evidence::keys::SigningKey;
use evidence::order::Target;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::time::Time;

use super::*;
use crate::log::ledger::{LocalSigner, PendingEntry, Sequencer, SequencerParts, origin, read_log_key};
use crate::ops::foundation::open_replicas;
use crate::ops::init::init;
use crate::ops::init::tests::{day, options, vectors};

pub(crate) const INCIDENT: &str = "INC-2026-0007";
/// Tables that `rebuild` says it does not rebuild, and the sequencer's scratch.
const LIVE: [&str; 8] = [
    "disposal_waits",
    "endpoint_live",
    "hold_marks",
    "repair_queue",
    "scrubs",
    "staging",
    "tsa_newest",
    "tsa_queue",
];

fn vector(name: &str) -> Vec<u8> {
    fs_err::read(vectors().join(name)).unwrap()
}

fn pending(type_: EntryType, chain: &str, refs: &[(&str, String)], act: ActObject) -> PendingEntry {
    let mut refs: Vec<_> = refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    refs.sort();
    PendingEntry { type_, chain: chain.parse().unwrap(), refs, act, guard: None }
}

fn own_act(type_: EntryType, chain: &str, refs: &[(&str, String)]) -> PendingEntry {
    let chain_id: Chain = chain.parse().unwrap();
    let mut pending = pending(type_, chain, refs, ActObject { document: Vec::new(), signatures: Vec::new() });
    let act = Act {
        type_: ActType,
        deployment: "acme".parse().unwrap(),
        act: type_,
        incident: chain_id,
        at: Time::EPOCH,
        by: Actor::Collector("collector-1".parse().unwrap()),
        refs: pending.refs.clone(),
        fields: Vec::new(),
        detail: None,
        nonce: ActNonce::ByContent,
    };
    pending.act.document = json::to_document(&act).unwrap();
    pending
}

/// Signed by a person: for entry types whose act needs a signature; whose it is, is the services' question.
fn signed_act(type_: EntryType, chain: &str, refs: &[(&str, String)]) -> PendingEntry {
    let mut pending = own_act(type_, chain, refs);
    let signer = SigningKey::from_seed(&[10; 32]);
    let armour = evidence::keys::sshsig::sign(&signer, Act::TYPE, &pending.act.document).unwrap();
    pending.act.signatures = vec![armour];
    pending
}

fn write_evidence(db: &Db, replicas: &Replicas, delegation: &Delegation) -> (Digest, u64) {
    let params = Params {
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: 1,
        level: 1,
        lanes: 1,
        salt_seed: [5; 32],
    };
    let clocks =
        Clocks { wall: "1795262431.250000000".parse().unwrap(), boot: "86412.000000001".parse().unwrap() };
    let mut writer = Writer::new(params, SigningKey::from_seed(&[23; 32])).unwrap();
    let mut segments = Vec::new();
    let mut noise = 1_u64;
    for number in 0..6_u64 {
        let path = format!("live/rows-{number}.jsonl");
        let mut record = ItemRecord::new("host", Kind::Stream, path.into_bytes(), clocks.wall);
        // Noise, so that segments fill: over 16 MiB in all, in members below the 4 MiB of a stream.
        let mut content = Vec::with_capacity(3_500_000);
        while content.len() < 3_500_000 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            content.extend_from_slice(&noise.to_be_bytes());
        }
        record.size = Some(content.len() as u64);
        writer.begin_member(record).unwrap();
        writer.write(&content).unwrap();
        writer.end_member(MemberEnd::ok(None, clocks.wall)).unwrap();
        segments.extend(writer.poll_segment(clocks).unwrap());
        let mut absent =
            ItemRecord::new("files", Kind::File, format!("/gone/{number}").into_bytes(), clocks.wall);
        absent.outcome = Outcome::Absent;
        writer.record_only(absent).unwrap();
    }
    let (last, _) = writer.finish(clocks).unwrap();
    segments.extend(last);
    assert!(segments.len() >= 3, "{} segments", segments.len());
    let mut head = Digest::ZERO;
    let count = segments.len() as u64;
    for sealed in segments {
        let collection = delegation.collection;
        let segment = Key::segment(collection.as_bytes(), sealed.index, sealed.header.sha256.as_bytes());
        let seal_key = Key::seal(collection.as_bytes(), sealed.index, sealed.seal_digest.as_bytes());
        let written = replicas.create(&segment, &sealed.bytes).unwrap();
        replicas.create(&seal_key, &sealed.seal).unwrap();
        let seal = Seal::parse(&sealed.seal).unwrap();
        let (row, items) = projection::segment_rows(&seal, sealed.seal.len() as u64, written.copies).unwrap();
        db.write::<(), DbError>(move |tx| collections::add_segment(tx, collection.as_bytes(), &row, items))
            .unwrap();
        head = sealed.seal_digest;
    }
    (head, count)
}

/// Records one of everything, as services do.
pub(crate) fn live_a_little(db: &Db, replicas: &Replicas, sequencer: &Sequencer) {
    use EntryType as T;
    let submit = |pending: PendingEntry| {
        let type_ = pending.type_;
        sequencer.submit_blocking(pending).unwrap_or_else(|error| panic!("{type_}: {error:?}"))
    };
    let document = |name: &str| ActObject::parse(&vector(name)).unwrap();
    let text = str::to_owned;

    let roster = document("roster-2.signed");
    submit(pending(
        T::RosterPublished,
        "",
        &[("roster", roster.event().to_string()), ("version", text("2"))],
        roster,
    ));
    let token = document("token.signed");
    let token_id = token.event().to_string();
    submit(pending(
        T::EndpointAdmitted,
        "",
        &[("endpoint", text("web-03")), ("generation", text("2")), ("token", token_id.clone())],
        token,
    ));
    let evidence_key = SigningKey::from_seed(&[20; 32]).public().fingerprint().to_string();
    let endpoint = [("endpoint", text("web-03")), ("generation", text("2"))];
    let enrolled =
        [endpoint[0].clone(), endpoint[1].clone(), ("evidence_key", evidence_key), ("token", token_id)];
    submit(pending(T::AgentEnrolled, "", &enrolled, document("enrolment.signed")));
    submit(pending(T::AgentRenewed, "", &endpoint, document("renewal.signed")));
    let login = [
        ("key", SigningKey::from_seed(&[10; 32]).public().fingerprint().to_string()),
        ("person", text("ada")),
    ];
    submit(pending(T::LoginIssued, "", &login, document("login.signed")));

    let detail = vector("detail.json");
    replicas.create(&Key::detail(Digest::of(&detail).as_bytes()), &detail).unwrap();
    submit(pending(T::IncidentOpened, INCIDENT, &[("incident", text(INCIDENT))], document("act.signed")));
    submit(signed_act(T::IncidentClosed, INCIDENT, &[]));
    submit(signed_act(T::IncidentReopened, INCIDENT, &[]));
    let hold = signed_act(T::HoldPlaced, INCIDENT, &[]);
    let hold_id = hold.act.event().to_string();
    submit(hold);
    submit(signed_act(T::HoldReleased, INCIDENT, &[("hold", hold_id)]));
    submit(signed_act(T::RetentionChanged, INCIDENT, &[("until", text("2036-12-31T00:00:00.000Z"))]));

    let order = Signed::parse(&vector("order.signed")).unwrap();
    let order_id = order.digest().to_string();
    let targets: Vec<u8> = targets().iter().flat_map(Target::leaf).collect();
    let read: evidence::order::Order = order.read().unwrap();
    replicas.create(&Key::targets(read.targets_root.as_bytes()), &targets).unwrap();
    let roster_id = Signed::parse(&vector("roster-2.signed")).unwrap().digest().to_string();
    let refs = [("order", order_id.clone()), ("roster", roster_id)];
    submit(pending(T::OrderIssued, INCIDENT, &refs, order.into()));
    let about_order = ("order", order_id.clone());
    submit(pending(
        T::OrderApproved,
        INCIDENT,
        std::slice::from_ref(&about_order),
        document("approval.signed"),
    ));
    let refusal = [about_order.clone(), ("endpoint", text("db-01")), ("reason", text("policy"))];
    submit(own_act(T::OrderRefused, INCIDENT, &refusal));

    let delegation = Signed::parse(&vector("delegation.signed")).unwrap();
    let read: Delegation = delegation.read().unwrap();
    let collection = read.collection.to_string();
    let started = [
        ("attempt", text("1")),
        ("collection", collection.clone()),
        ("endpoint", text("web-03")),
        about_order.clone(),
    ];
    submit(pending(T::CollectionStarted, INCIDENT, &started, delegation.into()));
    let (head, segments) = write_evidence(db, replicas, &read);
    let progress = [
        ("collection", collection.clone()),
        ("seal", head.to_string()),
        ("index", (segments - 1).to_string()),
    ];
    submit(own_act(T::CollectionProgress, INCIDENT, &progress));
    let interrupted =
        [("collection", collection.clone()), ("seal", head.to_string()), ("segments", segments.to_string())];
    submit(own_act(T::CollectionInterrupted, INCIDENT, &interrupted));
    let manifest = document("manifest.signed");
    let stored = [
        ("collection", collection.clone()),
        ("copies", text("2")),
        ("degraded", text("no")),
        ("endpoint", text("web-03")),
        ("independent", text("no")),
        ("manifest", manifest.event().to_string()),
        about_order,
    ];
    submit(pending(T::CollectionStored, INCIDENT, &stored, manifest));
    let object = Digest::of(b"object").to_string();
    submit(own_act(T::EvidenceAccessed, INCIDENT, &[("object", object.clone()), ("person", text("ada"))]));
    submit(own_act(T::TsaStamped, "", &[("size", text("7")), ("stamp", object)]));
    submit(signed_act(T::EndpointRetired, "", &endpoint));
    // Another incident without evidence: a text goes on two persons' word.
    let late = "INC-2026-0008";
    submit(person_act(
        T::IncidentOpened,
        late,
        &[("incident", text(late))],
        "ada",
        Some(Digest::of(&vector("detail.json"))),
    ));
    may_go(sequencer, late);
    let (plan, approvals) = approved(db, sequencer, late);
    for approval in approvals {
        submit(approval);
    }
    submit(own_act(
        T::DispositionExecuted,
        late,
        &gone(&plan, &Object::Details(late.parse().unwrap()), "one"),
    ));
}

/// An act in a person's name, with a text.
pub(crate) fn person_act(
    type_: EntryType,
    chain: &str,
    refs: &[(&str, String)],
    person: &str,
    detail: Option<Digest>,
) -> PendingEntry {
    let mut pending = own_act(type_, chain, refs);
    let mut act: Act = json::parse_document(&pending.act.document).unwrap();
    act.by = Actor::Person(person.parse().unwrap());
    act.detail = detail;
    pending.act.document = json::to_document(&act).unwrap();
    let signer = SigningKey::from_seed(&[10; 32]);
    let armour = evidence::keys::sshsig::sign(&signer, Act::TYPE, &pending.act.document).unwrap();
    pending.act.signatures = vec![armour];
    pending
}

/// Closes an incident and lets its time have come.
pub(crate) fn may_go(sequencer: &Sequencer, incident: &str) {
    let until = [("until", "2026-01-01T00:00:00.000Z".to_owned())];
    for pending in [
        person_act(EntryType::RetentionChanged, incident, &until, "bob", None),
        person_act(EntryType::IncidentClosed, incident, &[], "bob", None),
    ] {
        sequencer.submit_blocking(pending).unwrap();
    }
}

/// The plan of an incident as it is, and the two approvals of it.
pub(crate) fn approved(db: &Db, sequencer: &Sequencer, incident: &str) -> (Plan, [PendingEntry; 2]) {
    let size = sequencer.log().published().size;
    assert!(size > 0);
    let plan = db
        .read(|reader| {
            let course =
                crate::upkeep::disposal::whole(reader, &"acme".parse().unwrap(), &incident.parse().unwrap())?;
            Ok::<_, DbError>(course.plan(course.len()))
        })
        .unwrap();
    let refs = [("count", plan.count.to_string()), ("plan", plan.digest().to_string())];
    let approval = |person| person_act(EntryType::DispositionApproved, incident, &refs, person, None);
    (plan, [approval("ada"), approval("bob")])
}

fn gone(plan: &Plan, object: &Object, store: &str) -> [(&'static str, String); 4] {
    [
        ("count", "1".to_owned()),
        ("object", object.to_string()),
        ("plan", plan.digest().to_string()),
        ("store", store.to_owned()),
    ]
}

/// The target list of the worked example: three endpoints.
fn targets() -> Vec<Target> {
    let target = |endpoint: &str, generation: &str, number: u8| Target {
        endpoint: endpoint.parse().unwrap(),
        generation: generation.parse().unwrap(),
        evidence_key: SigningKey::from_seed(&[number; 32]).public().fingerprint(),
    };
    let set = vec![target("db-01", "1", 30), target("web-03", "2", 20), target("mail", "1", 31)];
    evidence::order::TargetSet::new(set).unwrap().targets().to_vec()
}

/// Every row of every table that is a projection, as text.
fn dump(db: &Db) -> Vec<String> {
    db.read::<_, DbError>(|reader| {
        let mut names =
            reader.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")?;
        let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut rows = Vec::new();
        for name in names.iter().filter(|name| !LIVE.contains(&name.as_str())) {
            let mut statement = reader.prepare(&format!("SELECT * FROM {name}"))?;
            let columns = statement.column_count();
            let mut found: Vec<String> = statement
                .query_map([], |row| {
                    let values: Vec<String> = (0..columns)
                        .map(|column| {
                            row.get::<_, rusqlite::types::Value>(column).map(|value| format!("{value:?}"))
                        })
                        .collect::<Result<_, _>>()?;
                    Ok(format!("{name}: {}", values.join(" | ")))
                })?
                .collect::<Result<_, _>>()?;
            found.sort();
            if found.is_empty() {
                rows.push(format!("{name}: empty"));
            }
            rows.extend(found);
        }
        Ok(rows)
    })
    .unwrap()
}

pub(crate) fn start(config: &Config, layout: &Layout) -> (Db, Replicas, Sequencer) {
    let db = Db::open(&layout.database(), 2).unwrap();
    let replicas = open_replicas(config, &db).unwrap();
    let seed = read_log_key(&layout.log_key()).unwrap();
    let sequencer = Sequencer::start(SequencerParts {
        deployment: config.deployment.clone(),
        db: db.clone(),
        replicas: replicas.clone(),
        signer: Arc::new(LocalSigner::new(&origin(config.deployment.as_str()), &seed).unwrap()),
        clock: crate::clock::now,
    })
    .unwrap();
    (db, replicas, sequencer)
}

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
    let ids = |db: &Db| db.read(|reader| collections::of_incident(reader, Some(INCIDENT))).unwrap();
    let id = Digest(ids(&db)[0].id);
    let submit = |pending: PendingEntry| sequencer.submit_blocking(pending);
    let key = Key::segment(id.as_bytes(), 0, &[0; 32]);
    let now = crate::clock::now();
    let fenced = |store: Option<&str>| {
        db.read(|reader| crate::upkeep::disposal::fenced(reader, &key, store, now)).unwrap()
    };

    // Nothing is recorded as gone that two persons did not give up, nor while something keeps it.
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
    assert!(!fenced(None));
    submit(second).unwrap();
    assert!(fenced(None) && fenced(Some("elsewhere")));

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
        .read(|reader| crate::upkeep::disposal::whole(reader, &config.deployment, &INCIDENT.parse().unwrap()))
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
        crate::upkeep::disposal::settle(&db, &config.deployment, &replicas).unwrap();
        let states = ids(&db)[0].state.clone();
        assert_eq!(states, if number == 1 { "disposed" } else { "stored" });
    }
    assert_eq!(scan(&replicas, &db), 0);
    let rows = ids(&db);
    assert_eq!((rows[0].segments, rows[0].items, rows[0].seal_head), (0, 0, None));
    assert!(rows[0].manifest.is_some() && rows[0].content_bytes > 0);
    let (db, _, sequencer) = again(db, replicas, sequencer);
    // A hold keeps what is left; what is gone stays gone.
    sequencer.submit_blocking(person_act(EntryType::HoldPlaced, INCIDENT, &[], "bob", None)).unwrap();
    let is_fenced = |store: Option<&str>| {
        db.read(|reader| crate::upkeep::disposal::fenced(reader, &key, store, now)).unwrap()
    };
    assert!(is_fenced(Some(&stores[0])) && !is_fenced(Some("elsewhere")) && !is_fenced(None));
    assert!(
        db.read(|reader| crate::upkeep::disposal::of_collection(reader, id.as_bytes(), now))
            .unwrap()
            .is_some()
    );
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
    let fenced = |text: &Digest, store: Option<&str>| {
        let key = Key::detail(text.as_bytes());
        db.read(|reader| crate::upkeep::disposal::fenced(reader, &key, store, now)).unwrap()
    };
    let stays = |text: &Digest| {
        db.read(|reader| crate::upkeep::disposal::text_stays(reader, text.as_bytes(), now)).unwrap()
    };
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
    assert!(!fenced(&both, None) && fenced(&once, None));
    submit(own_act(EntryType::DispositionExecuted, incidents[0], &gone_first));
    assert!(!fenced(&both, Some("one")), "the other incident needs it");
    let (_, gone_second) = dispose(incidents[1]);
    assert!(!stays(&both) && fenced(&both, None));
    submit(own_act(EntryType::DispositionExecuted, incidents[1], &gone_second));
    // A hold keeps what is left, and does not miss what both gave up.
    submit(person_act(EntryType::HoldPlaced, incidents[0], &[], "ada", None));
    assert!(stays(&both) && fenced(&both, Some("one")) && !fenced(&both, Some("two")));
    // The reason of an approval and what the deployment's own chain names stay for good.
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
        approval.act.document = json::to_document(&act).unwrap();
        let signer = SigningKey::from_seed(&[10; 32]);
        approval.act.signatures =
            vec![evidence::keys::sshsig::sign(&signer, Act::TYPE, &approval.act.document).unwrap()];
        submit(approval);
    }
    assert!(stays(&reason) && stays(&own));
    // And all of it is the same after the loss of the database.
    sequencer.stop().unwrap();
    let before = dump(&db);
    drop((db, replicas, sequencer));
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    rebuild(&options.directory).unwrap();
    let (db, _, _) = start(&config, &layout);
    assert_eq!(before, dump(&db));
}

/// What the stores would be asked to repair.
fn scan(replicas: &Replicas, db: &Db) -> i64 {
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
    replicas.remove_detail(&Key::detail(Digest::of(&detail).as_bytes())).unwrap();
    drop((db, replicas, sequencer));
    fs_err::rename(layout.database(), place.path().join("lost.db")).unwrap();
    rebuild(&options.directory).unwrap();
    let db = Db::open(&layout.database(), 1).unwrap();
    let incident = db.read(|reader| crate::rows::incidents::at(reader, INCIDENT)).unwrap().unwrap();
    assert_eq!((incident.title, incident.severity.as_str()), (None, "high"));
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
