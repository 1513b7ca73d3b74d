//! A little life of a collector, for tests: entries of every kind, evidence, approvals of a disposal.

use certs::authority::Authority;
use evidence::disposal::{Object, Plan};
use evidence::entry::act::{Act, ActNonce};
use evidence::item::outcome::Outcome;
use evidence::order::Target;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::time::Time;
use testkit::containers::lab::Lab;
use testkit::containers::{denied, noise_from, stream};
use testkit::people::{key, sign};
use testkit::{chains, packages};

use super::super::*;
use crate::config::layout::read_authority;
use crate::log::ledger::{LocalSigner, PendingEntry, Sequencer, SequencerParts, origin, read_log_key};
use crate::ops::foundation::open_replicas;
use crate::ops::init::tests::vectors;

pub(crate) const INCIDENT: &str = "INC-2026-0007";
/// Tables that `rebuild` does not rebuild by its own account, and the sequencer's scratch tables.
pub(super) const LIVE: [&str; 8] = [
    "disposal_waits",
    "endpoint_live",
    "hold_marks",
    "repair_queue",
    "scrubs",
    "staging",
    "tsa_newest",
    "tsa_queue",
];

pub(crate) fn vector(name: &str) -> Vec<u8> {
    fs_err::read(vectors().join(name)).unwrap()
}

pub(super) fn pending(
    type_: EntryType,
    chain: &str,
    refs: &[(&str, String)],
    act: ActObject,
) -> PendingEntry {
    let mut refs: Vec<_> = refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    refs.sort();
    PendingEntry { type_, chain: chain.parse().unwrap(), refs, act, guard: None }
}

pub(super) fn own_act(type_: EntryType, chain: &str, refs: &[(&str, String)]) -> PendingEntry {
    let mut pending = pending(type_, chain, refs, ActObject { document: Vec::new(), signatures: Vec::new() });
    pending.act = chains::own_act(type_, &pending.chain, &pending.refs);
    pending
}

/// An act signed by a person, for entry types that need a signature. The services, not this code, ask whose it is.
pub(super) fn signed_act(type_: EntryType, chain: &str, refs: &[(&str, String)]) -> PendingEntry {
    person_act(type_, chain, refs, "cat", None)
}

pub(super) fn write_evidence(db: &Db, replicas: &Replicas, delegation: &Delegation) -> (Digest, u64) {
    let mut lab = Lab::named(testkit::collections::identity(delegation), key(23));
    for number in 0..6_u64 {
        // Noise, so that segments fill: over 16 MiB in all, in members below the 4 MiB of a stream.
        let content = noise_from(number + 1, 3_500_000);
        let name = format!("live/rows-{number}.jsonl");
        lab.whole(stream(&name, content.len() as u64), &content).unwrap();
        let mut absent = denied(format!("/gone/{number}").as_bytes());
        absent.outcome = Outcome::Absent;
        lab.only(absent);
    }
    let segments = lab.finish().segments;
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
        db.write::<(), DbError>(move |tx| collections::add_segment(tx, &collection, &row, items)).unwrap();
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
    let evidence_key = key(20).public().fingerprint().to_string();
    let endpoint = [("endpoint", text("web-03")), ("generation", text("2"))];
    let enrolled =
        [endpoint[0].clone(), endpoint[1].clone(), ("evidence_key", evidence_key), ("token", token_id)];
    submit(pending(T::AgentEnrolled, "", &enrolled, document("enrolment.signed")));
    submit(pending(T::AgentRenewed, "", &endpoint, document("renewal.signed")));
    let login = [("key", key(10).public().fingerprint().to_string()), ("person", text("ada"))];
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
    let targets: Vec<u8> = packages::targets().targets().iter().flat_map(Target::leaf).collect();
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
    // Another incident, without evidence: two persons give up a text.
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

/// An act that a person signed, with a text.
pub(crate) fn person_act(
    type_: EntryType,
    chain: &str,
    refs: &[(&str, String)],
    person: &str,
    detail: Option<Digest>,
) -> PendingEntry {
    let mut pending = own_act(type_, chain, refs);
    let act = chains::act(type_, &pending.chain, Time::EPOCH, &format!("person:{person}"), &pending.refs);
    pending.act = sign(&Act { detail, nonce: ActNonce::ByContent, ..act }, &[10]).into();
    pending
}

/// Closes an incident and lets its retention end.
pub(crate) fn may_go(sequencer: &Sequencer, incident: &str) {
    let until = [("until", "2026-01-01T00:00:00.000Z".to_owned())];
    for pending in [
        person_act(EntryType::RetentionChanged, incident, &until, "bob", None),
        person_act(EntryType::IncidentClosed, incident, &[], "bob", None),
    ] {
        sequencer.submit_blocking(pending).unwrap();
    }
}

/// The plan of an incident as it is now, and the two approvals of it.
pub(crate) fn approved(db: &Db, sequencer: &Sequencer, incident: &str) -> (Plan, [PendingEntry; 2]) {
    let size = sequencer.log().published().size;
    assert!(size > 0);
    let plan = db
        .read(|reader| {
            let course = crate::rows::disposals::course_now(
                reader,
                &"acme".parse().unwrap(),
                &incident.parse().unwrap(),
            )?;
            Ok::<_, DbError>(course.plan(course.len()))
        })
        .unwrap();
    let refs = [("count", plan.count.to_string()), ("plan", plan.digest().to_string())];
    let approval = |person| person_act(EntryType::DispositionApproved, incident, &refs, person, None);
    (plan, [approval("ada"), approval("bob")])
}

pub(super) fn gone(plan: &Plan, object: &Object, store: &str) -> [(&'static str, String); 4] {
    [
        ("count", "1".to_owned()),
        ("object", object.to_string()),
        ("plan", plan.digest().to_string()),
        ("store", store.to_owned()),
    ]
}

/// Every row of every table that is a projection, as text.
pub(super) fn dump(db: &Db) -> Vec<String> {
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
    let certificates = Authority::load(&layout.ca(), config.deployment.clone()).unwrap();
    // This life shows rows, and not every act in it is lawful: the same key signs for everybody.
    let sequencer = Sequencer::start_without_rules(SequencerParts {
        deployment: config.deployment.clone(),
        authority: read_authority(&layout.authority()).unwrap(),
        ca_sha256: Digest(certificates.fingerprint()),
        db: db.clone(),
        replicas: replicas.clone(),
        signer: Arc::new(LocalSigner::new(&origin(config.deployment.as_str()), &seed).unwrap()),
        clock: crate::clock::now,
    })
    .unwrap();
    (db, replicas, sequencer)
}
