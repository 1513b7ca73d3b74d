//! Disposal: which mirror must destroy and confirm, which texts stay, what may be missing, and what a lost collector prevents.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::disposal::{Object, Plan};
use evidence::entry::EntryType;
use evidence::id::{Chain, MirrorId};
use evidence::manifest::Manifest;
use evidence::signed::Signed;
use mirror::config::replicas;
use mirror::dispose::{Confirmations, Destruction, destroy};
use mirror::note::LogNote;
use mirror::objects::Objects;
use mirror::pull::Follower;
use mirror::release::{ReleaseError, of_copy};
use mirror::restore::named::Here;
use mirror::rules::DueDisposal;
use mirror::source::{Source, SourceError};
use store::Key;
use testkit::bundles::{ALICE, BACKUP, BOB, CAT, Draft, mirror_admitted, title};

use crate::world::{BY_ALICE, Log, Mirror, keys, pins};

const INCIDENT: u32 = 1;
const BY_BOB: (&str, u8) = ("person:bob", BOB);
const BY_BACKUP: (&str, u8) = ("mirror:backup-1", BACKUP);

/// A collector that is lost: it never answers, and counts who asks.
#[derive(Default)]
struct Lost(std::sync::atomic::AtomicU64);

impl Source for Lost {
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err(SourceError::Away { key: key.to_string(), why: "no collector".to_owned() })
    }
}

/// A text on the log's store.
fn text(log: &Log, words: &str) -> Digest {
    let (bytes, digest) = title(words);
    log.store.create(&Key::detail(digest.as_bytes()), &bytes).unwrap();
    digest
}

fn note(log: &mut Log, chain: &Chain, text: Digest) {
    let noted = log.draft(EntryType::IncidentNoted, chain, [], |draft| draft.told(BY_ALICE.0, ALICE, text));
    log.push(noted);
}

/// Admits the mirror now.
fn admit(log: &mut Log) {
    let admitted = mirror_admitted();
    let now = log.draft(EntryType::MirrorAdmitted, &Chain::Deployment, [], |_| admitted.act.clone());
    log.push(Draft { time: now.time, ..admitted });
}

/// Closed, its time come. Gives the plan over what these entries name.
fn ready(log: &mut Log, chain: &Chain, plan: &mut Plan) {
    log.signed(EntryType::IncidentClosed, chain, [], BY_ALICE);
    let until = [("until", "2026-01-01T00:00:00.000Z".to_owned())];
    log.signed(EntryType::RetentionChanged, chain, until, BY_BOB);
    plan.count += 2;
}

fn plan(chain: &Chain, count: u64, details: &[Digest]) -> Plan {
    Plan {
        deployment: "acme".parse().unwrap(),
        incident: chain.incident().unwrap().clone(),
        from: 0,
        count,
        collections: BTreeSet::new(),
        details: details.iter().copied().collect(),
    }
}

fn approve(log: &mut Log, chain: &Chain, plan: &Plan) {
    for by in [BY_ALICE, BY_BOB] {
        let refs = [("count", plan.count.to_string()), ("plan", plan.digest().to_string())];
        log.signed(EntryType::DispositionApproved, chain, refs, by);
    }
}

fn gone(log: &mut Log, chain: &Chain, plan: &Plan, object: &Object, store: &str) {
    let refs = [
        ("count", "1".to_owned()),
        ("object", object.to_string()),
        ("plan", plan.digest().to_string()),
        ("store", store.to_owned()),
    ];
    log.own(EntryType::DispositionExecuted, chain, refs);
}

fn hold(log: &mut Log, chain: &Chain) -> Digest {
    log.signed(EntryType::HoldPlaced, chain, [], BY_ALICE)
}

/// The rules of a mirror after a round over what is published now.
fn follow(mirror: &Mirror, log: &mut Log) -> Follower {
    let published = log.publish();
    mirror.round(log, &published).unwrap();
    let all = |_, _| true;
    Follower::open(&mirror.parts(&Lost::default(), &all)).unwrap()
}

fn now() -> evidence::time::Time {
    "2026-11-22T00:00:00.000Z".parse().unwrap()
}

fn backup() -> MirrorId {
    "backup-1".parse().unwrap()
}

fn doomed(follower: &Follower) -> Vec<(Object, bool)> {
    let doomed = follower.rules().due_disposals(&backup(), now()).into_iter();
    doomed.map(|DueDisposal { object, is_owed, .. }| (object, is_owed)).collect()
}

#[test]
fn a_mirror_that_came_while_a_hold_stood_destroys_and_owes_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(INCIDENT);
    let said = text(&log, "said");
    note(&mut log, &chain, said);
    let mut plan = plan(&chain, 2, &[said]);
    ready(&mut log, &chain, &mut plan);
    approve(&mut log, &chain, &plan);
    let held = hold(&mut log, &chain);
    admit(&mut log);
    let mirror = Mirror::new(dir.path());
    let follower = follow(&mirror, &mut log);
    assert_eq!(doomed(&follower), [], "a hold stands");
    assert!(mirror.own.read(&Key::detail(said.as_bytes())).is_ok());
    log.signed(EntryType::HoldReleased, &chain, [("hold", held.to_string())], BY_BOB);
    let texts = Object::Details(chain.incident().unwrap().clone());
    let follower = follow(&mirror, &mut log);
    assert_eq!(doomed(&follower), [(texts.clone(), true)]);
    assert_eq!(follower.rules().unconfirmed(&backup()), [(plan.digest(), texts.clone())]);
    // Another hold: what it may have destroyed before is still to be said, nothing more is destroyed.
    hold(&mut log, &chain);
    let follower = follow(&mirror, &mut log);
    assert_eq!(doomed(&follower), []);
    assert_eq!(follower.rules().unconfirmed(&backup()).len(), 1);
}

#[test]
fn a_mirror_that_came_when_the_stores_had_nothing_left_owes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(INCIDENT);
    let said = text(&log, "said");
    note(&mut log, &chain, said);
    let mut plan = plan(&chain, 2, &[said]);
    ready(&mut log, &chain, &mut plan);
    approve(&mut log, &chain, &plan);
    let texts = Object::Details(chain.incident().unwrap().clone());
    gone(&mut log, &chain, &plan, &texts, "one");
    admit(&mut log);
    let mirror = Mirror::new(dir.path());
    // It looks all the same: somebody may have restored an old copy of its disk.
    assert_eq!(doomed(&follow(&mirror, &mut log)), [(texts, false)]);
}

#[test]
fn a_text_of_two_incidents_goes_with_the_second_and_one_of_the_deployment_never() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let (one, two) = (log.incident(1), log.incident(2));
    let (both, forever) = (text(&log, "both"), text(&log, "forever"));
    for chain in [&one, &two] {
        note(&mut log, chain, both);
    }
    note(&mut log, &one, forever);
    // A person's act on the deployment's own chain, with the same text.
    admit(&mut log);
    let refs = [("mirror", "backup-1".to_owned())];
    let retired = log.draft(EntryType::MirrorRetired, &Chain::Deployment, refs, |draft| {
        draft.told("person:cat", CAT, forever)
    });
    log.push(retired);
    let mut first = plan(&one, 3, &[both, forever]);
    ready(&mut log, &one, &mut first);
    approve(&mut log, &one, &first);
    let mirror = Mirror::new(dir.path());
    let follower = follow(&mirror, &mut log);
    let stays = |follower: &Follower| [both, forever].map(|text| follower.rules().text_stays(&text, now()));
    assert_eq!(stays(&follower), [true, true]);
    let mut second = plan(&two, 2, &[both]);
    ready(&mut log, &two, &mut second);
    approve(&mut log, &two, &second);
    assert_eq!(stays(&follow(&mirror, &mut log)), [false, true]);
    hold(&mut log, &one);
    assert_eq!(stays(&follow(&mirror, &mut log)), [true, true]);
}

#[test]
fn a_mirror_whose_collector_is_lost_starts_without_the_texts_that_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(INCIDENT);
    let other = log.incident(2);
    let (going, lost) = (text(&log, "going"), text(&log, "lost"));
    note(&mut log, &chain, going);
    note(&mut log, &other, lost);
    let mut plan = plan(&chain, 2, &[going]);
    ready(&mut log, &chain, &mut plan);
    approve(&mut log, &chain, &plan);
    let mirror = Mirror::new(dir.path());
    drop(follow(&mirror, &mut log));
    let own = std::sync::Arc::clone(&mirror.own.stores()[0]);
    for text in [going, lost] {
        own.remove(&Key::detail(text.as_bytes())).unwrap();
    }
    drop((own, mirror));
    let mirror = Mirror::open(dir.path());
    let (all, away) = (|_, _| true, Lost::default());
    let follower = Follower::open(&mirror.parts(&away, &all)).unwrap();
    assert_eq!(follower.rules().next(), log.size());
    assert_eq!(follower.rules().details_missing(now()), 1, "only what nobody disposed of");
    assert_eq!(follower.rules().texts_to_ask(now()), [lost]);
    assert_eq!(away.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    // The collector is back: the lost one comes, the other is not asked for.
    let source = mirror::source::StoreSource(std::sync::Arc::clone(&log.store));
    let follower = Follower::open(&mirror.parts(&source, &all)).unwrap();
    assert_eq!(follower.rules().details_missing(now()), 0);
    assert!(mirror.own.read(&Key::detail(lost.as_bytes())).is_ok());
    assert!(mirror.own.read(&Key::detail(going.as_bytes())).is_err());
    // A hold that comes afterwards misses nothing of what it came too late for.
    let texts = Object::Details(chain.incident().unwrap().clone());
    gone(&mut log, &chain, &plan, &texts, "one");
    hold(&mut log, &chain);
    let follower = follow(&mirror, &mut log);
    assert!(follower.rules().text_stays(&going, now()));
    assert_eq!(follower.rules().details_missing(now()), 0);
    assert!(mirror.own.read(&Key::detail(going.as_bytes())).is_err());
}

/// A log that no rules judged: a stored collection that a mirror stated, in a closed incident whose time has come.
fn stored(log: &mut Log) -> (Chain, Plan, Object) {
    let chain = log.incident(INCIDENT);
    let bytes =
        fs_err::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/spec/vectors/documents/manifest.signed"))
            .unwrap();
    let signed = Signed::parse(&bytes).unwrap();
    let manifest: Manifest = signed.read().unwrap();
    log.store.create(&Key::document(signed.digest().as_bytes()), &bytes).unwrap();
    let id = manifest.collection;
    let (collection, order) = (id.to_string(), Digest::of(b"order").to_string());
    let refs = [
        ("attempt", "1".to_owned()),
        ("collection", collection.clone()),
        ("endpoint", "web-03".to_owned()),
        ("order", order.clone()),
    ];
    let began =
        log.draft(EntryType::CollectionStarted, &chain, refs, |draft| draft.signed(BY_ALICE.0, ALICE));
    log.store.create(&Key::document(began.act.event().as_bytes()), &began.act.encode()).unwrap();
    log.push(began);
    let digest = signed.digest().to_string();
    let refs = [
        ("collection", collection.clone()),
        ("copies", "2".to_owned()),
        ("degraded", "no".to_owned()),
        ("endpoint", "web-03".to_owned()),
        ("independent", "yes".to_owned()),
        ("manifest", digest.clone()),
        ("order", order),
    ];
    log.record(EntryType::CollectionStored, &chain, refs, signed);
    let refs = [
        ("collection", collection),
        ("manifest", digest),
        ("mirror", "backup-1".to_owned()),
        ("root", Digest::ZERO.to_string()),
        ("size", "4".to_owned()),
    ];
    log.signed(EntryType::EvidenceReplicated, &chain, refs, BY_BACKUP);
    let mut plan = plan(&chain, 4, &[]);
    plan.collections.insert(id);
    ready(log, &chain, &mut plan);
    (chain, plan, Object::Collection(id))
}

/// Evidence that a copy of this log must have.
fn missed(log: &mut Log, mirror: Option<&MirrorId>) -> usize {
    let note = log.publish();
    let head = LogNote::read(&note, &pins().origin(), &pins().log_keys.keys()).unwrap();
    let own = replicas(vec![std::sync::Arc::clone(&log.store)]);
    let repaired = std::sync::atomic::AtomicU64::new(0);
    let objects = Objects::new(&own, None, &repaired);
    let reader =
        ledger::AuthenticatedReader::new(&objects, head.checkpoint.size, &head.checkpoint.root).unwrap();
    let here = Here { mirror, now: now() };
    let named = mirror::restore::named::objects(&reader, &objects, head.checkpoint.size, here).unwrap();
    named.iter().filter(|key| matches!(key.kind(), store::KeyKind::Seal | store::KeyKind::Segment)).count()
}

#[test]
fn a_hold_on_a_half_done_disposal_misses_the_copies_that_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let (chain, plan, object) = stored(&mut log);
    let (own, other) = (backup(), "backup-9".parse().unwrap());
    let all = [Some(&own), Some(&other), None];
    assert!(all.iter().all(|here| missed(&mut log, *here) > 0));
    approve(&mut log, &chain, &plan);
    assert!(all.iter().all(|here| missed(&mut log, *here) == 0), "it goes");
    gone(&mut log, &chain, &plan, &object, "one");
    hold(&mut log, &chain);
    assert!(all.iter().all(|here| missed(&mut log, *here) > 0));
    // Gone from every store: only what this very mirror said to hold is missed, and no more when it said that it is gone.
    gone(&mut log, &chain, &plan, &object, "two");
    assert_eq!(all.map(|here| missed(&mut log, here) > 0), [true, false, true]);
    let refs = [
        ("count", "1".to_owned()),
        ("mirror", "backup-1".to_owned()),
        ("object", object.to_string()),
        ("plan", plan.digest().to_string()),
    ];
    log.signed(EntryType::DispositionConfirmed, &chain, refs, BY_BACKUP);
    assert!(all.iter().all(|here| missed(&mut log, *here) == 0));
}

#[test]
fn nothing_of_an_approved_plan_is_given_out_anew_unless_a_hold_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let (chain, plan, object) = stored(&mut log);
    let collection = object.to_string().replace("/evidence", "");
    let access = |log: &mut Log, what: &str| {
        log.access(&chain, &format!("{collection}/{what}"));
        log.size() - 1
    };
    let (seal, manifest) = (access(&mut log, "seal/0"), access(&mut log, "manifest"));
    let ask = |log: &mut Log, index| {
        let note = log.publish();
        let held = LogNote::read(&note, &pins().origin(), &pins().log_keys.keys()).unwrap();
        let own = replicas(vec![std::sync::Arc::clone(&log.store)]);
        let (entry, proof) = log.proven(index);
        of_copy(&own, &pins(), &held, &entry, &proof)
    };
    // Nobody put the seal there: the copy is asked, not refused.
    assert!(matches!(ask(&mut log, seal), Err(ReleaseError::Copy(_))));
    approve(&mut log, &chain, &plan);
    match ask(&mut log, seal) {
        Err(ReleaseError::Refused(why)) => {
            assert!(
                why.contains("approved by person:alice and person:bob")
                    && why.contains("exhibit incident hold place"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(ask(&mut log, manifest).is_ok(), "custody outlives the evidence");
    hold(&mut log, &chain);
    assert!(matches!(ask(&mut log, seal), Err(ReleaseError::Copy(_))));
}

#[test]
fn a_hold_that_comes_while_a_mirror_destroys_keeps_what_is_left_and_nothing_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(dir.path());
    let id = [0xc0; 32];
    for number in 0..5_u64 {
        let bytes = number.to_be_bytes();
        let segment = Key::segment(&id, number, &Digest::of(&bytes).0);
        mirror.own.create(&segment, &bytes).unwrap();
    }
    let warrant = store::warrants::over(&[id], &[]);
    let job = Destruction {
        due: DueDisposal {
            plan: warrant.plan().digest(),
            warrant,
            object: Object::Collection(Digest(id)),
            is_owed: true,
            is_confirmed: false,
        },
        retained_texts: Vec::new(),
    };
    let left = std::cell::Cell::new(2);
    let until_the_hold = || {
        left.set(left.get() - 1);
        left.get() >= 0
    };
    assert_eq!(destroy(&mirror.own, &job, &until_the_hold).unwrap(), None);
    let segments = || mirror.own.list("segments/").unwrap().len();
    assert_eq!(segments(), 3);
    assert_eq!(destroy(&mirror.own, &job, &|| true).unwrap(), Some(3));
    assert_eq!(segments(), 0);
    // The confirmation is kept before it is sent, and stays the same whatever is counted later.
    let confirmations = Confirmations::of(dir.path());
    let (plan, object) = job.id();
    assert!(confirmations.read(&plan, &object).unwrap().is_none());
    confirmations.keep(&job, 3, now(), &backup(), &keys()).unwrap();
    let first = confirmations.read(&plan, &object).unwrap().unwrap().encode();
    confirmations.keep(&job, 0, now(), &backup(), &keys()).unwrap();
    let again = confirmations.read(&plan, &object).unwrap().unwrap().encode();
    assert!(confirmations.has(&plan, &object) && first == again);
}
