//! The rule book inside the transaction: what a check before it let pass is refused if the log or the clock went on meanwhile.
//!
//! Each race is two submissions in one batch, or one that comes later than its check. What stands before is an honest log.

use std::cell::Cell;
use std::sync::LazyLock;

use custody::rule::RuleId;
use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{EnrolmentRequest, Login, LoginType, Token};
use evidence::entry::Entry;
use evidence::id::Generation;
use evidence::order::{Approval, Decision, Order, Target};
use evidence::roster::Roster;
use evidence::signed::Signed;
use testkit::bundles::{self, Draft, Logged, Recipe};
use testkit::people::{key, next_roster, sign};

use super::*;
use crate::log::ledger::worker::{Waits, Worker};
use crate::rows::condition::Denied;
use crate::services::ingest::begin::newest;

/// Places in the honest log.
const ENROLLED: usize = 3;
const SECOND_ROSTER: usize = 5;
const OTHER_OPENED: usize = 7;
const ISSUED: usize = 8;
const APPROVED: usize = 9;
const STARTED: usize = 10;

thread_local! {
    static CLOCK: Cell<Time> = const { Cell::new(Time::EPOCH) };
}

fn clock() -> Time {
    CLOCK.get()
}

/// The log of a bundle, under the log key of these tests.
static HONEST: LazyLock<Logged> = LazyLock::new(|| {
    let [number, ..] = SEED;
    let recipe = Recipe {
        log: number,
        token: Box::new(move |paper| {
            paper.document.log_key = bundles::log_key(number, "exhibit/acme").parse().unwrap();
        }),
        ..Recipe::one_endpoint()
    };
    recipe.logged()
});

/// An entry of the honest log, and its time.
fn honest(index: usize) -> (PendingEntry, Time) {
    let entry = Entry::parse(&HONEST.leaves[index]).unwrap();
    let envelope = entry.envelope;
    let act = entry.act.unwrap_or_else(|| HONEST.acts[&envelope.event].clone());
    let pending = PendingEntry {
        type_: envelope.type_,
        chain: envelope.incident,
        refs: envelope.refs,
        act,
        guard: None,
    };
    (pending, envelope.time)
}

fn pending(draft: Draft) -> PendingEntry {
    PendingEntry { type_: draft.type_, chain: draft.chain, refs: draft.refs, act: draft.act, guard: None }
}

/// A collector whose worker the test turns.
struct Race {
    _machine: Machine,
    sequencer: Sequencer,
    worker: Worker,
}

impl Race {
    /// The honest log up to an entry, without it.
    fn until(end: usize) -> Self {
        let machine = Machine::new(WAIT);
        let (db, replicas) = machine.open();
        let order: Order = HONEST.acts[&honest(ISSUED).0.act.event()].read().unwrap();
        let list: Vec<u8> =
            bundles::targets(bundles::EVIDENCE).targets().iter().flat_map(Target::leaf).collect();
        replicas.create(&Key::targets(order.targets_root.as_bytes()), &list).unwrap();
        let (sequencer, mut worker) =
            Sequencer::assemble(parts(db, replicas, machine.signer(), clock)).unwrap();
        worker.waits = Waits { linger: Duration::ZERO, ..Waits::default() };
        let mut race = Self { _machine: machine, sequencer, worker };
        for index in 0..end {
            let (pending, time) = honest(index);
            race.at_once(time, [pending]).pop().unwrap().unwrap();
        }
        race
    }

    /// Submits entries, which one batch takes.
    fn at_once<const N: usize>(
        &mut self,
        time: Time,
        batch: [PendingEntry; N],
    ) -> Vec<Result<Receipt, SubmitError>> {
        CLOCK.set(time);
        let waiting: Vec<_> =
            batch.into_iter().map(|pending| self.sequencer.enqueue(pending).unwrap()).collect();
        assert!(self.worker.turn().is_continue());
        waiting.into_iter().map(|answered| answered.blocking_recv().unwrap()).collect()
    }

    /// The first entry of a batch is recorded. The second was lawful without it, and breaks a rule behind it.
    fn overtaken(mut self, time: Time, first: PendingEntry, second: PendingEntry, rule: RuleId) {
        let [first, second] = self.at_once(time, [first, second]).try_into().unwrap();
        let size = first.unwrap().index + 1;
        refused(second, rule);
        assert_eq!(self.sequencer.log().published().size, size);
    }

    /// An entry is refused at a time, and its refusal leaves nothing behind: at another time it is recorded.
    fn late(mut self, index: usize, refused_at: Time, rule: RuleId, taken_at: Time) {
        let size = self.sequencer.log().published().size;
        let mut submit = |time| self.at_once(time, [honest(index).0]).pop().unwrap();
        if refused_at < taken_at {
            refused(submit(refused_at), rule);
            assert_eq!(submit(taken_at).unwrap().index, size);
            return;
        }
        refused(submit(refused_at), rule);
        assert_eq!(self.sequencer.log().published().size, size);
        // The times of a log never fall, so the border is tried on a log of its own.
        let mut other = Self::until(usize::try_from(size).unwrap());
        assert_eq!(other.at_once(taken_at, [honest(index).0]).pop().unwrap().unwrap().index, size);
    }
}

#[track_caller]
fn refused(answer: Result<Receipt, SubmitError>, rule: RuleId) {
    match answer {
        Err(SubmitError::Rule(broken)) => {
            assert_eq!(broken.rule, rule, "{broken}");
            assert!(broken.to_string().starts_with(&format!("{rule}: ")));
        }
        other => panic!("{rule}: {other:?}"),
    }
}

fn at(text: &str) -> Time {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn document<T: Document>(index: usize) -> T {
    HONEST.acts[&honest(index).0.act.event()].read().unwrap()
}

/// The roster after the second one.
fn third_roster() -> PendingEntry {
    let before: Signed = honest(SECOND_ROSTER).0.act.signed().unwrap();
    let second: Roster = before.read().unwrap();
    let third = next_roster(&second, before.digest(), at("09:25:00.000"), second.not_after);
    pending(bundles::published(&sign(&third, &[bundles::AUTHORITY]), 3, "09:30:00"))
}

#[test]
fn an_honest_log_is_recorded_byte_for_byte() {
    let mut race = Race::until(0);
    for (index, leaf) in HONEST.leaves.iter().enumerate() {
        let (pending, time) = honest(index);
        let receipt =
            race.at_once(time, [pending]).pop().unwrap().unwrap_or_else(|error| panic!("{index}: {error:?}"));
        assert_eq!(receipt.entry, *leaf, "entry {index}");
    }
}

#[test]
fn order_9_an_order_that_expires_between_its_check_and_its_entry_is_refused() {
    let (refused_at, taken_at) = (at("21:30:00.000"), at("21:29:59.999"));
    Race::until(ISSUED).late(ISSUED, refused_at, RuleId::Order9, taken_at);
}

#[test]
fn order_11_an_order_dated_ahead_is_judged_by_the_time_of_its_entry() {
    let (refused_at, taken_at) = (at("09:19:59.999"), at("09:20:00.000"));
    Race::until(OTHER_OPENED).late(ISSUED, refused_at, RuleId::Order11, taken_at);
}

#[test]
fn endpoint_11_a_token_that_expires_between_its_check_and_the_enrolment_is_refused() {
    let (refused_at, taken_at) = (at("20:10:00.000"), at("20:09:59.999"));
    Race::until(ENROLLED).late(ENROLLED, refused_at, RuleId::Endpoint11, taken_at);
}

#[test]
fn entry_17_an_act_of_a_person_whom_a_roster_dropped_meanwhile_is_refused() {
    let opened = Draft::new(
        EntryType::IncidentOpened,
        bundles::other_incident(),
        "09:00:00",
        [("incident", "INC-2026-0008".to_owned())],
        |draft| draft.signed("person:eve", bundles::EVE),
    );
    let time = at("09:00:01.000");
    Race::until(SECOND_ROSTER).overtaken(time, honest(SECOND_ROSTER).0, pending(opened), RuleId::Entry17);
}

#[test]
fn login_1_a_login_of_a_person_whom_a_roster_dropped_meanwhile_is_refused() {
    let login = Login {
        type_: LoginType,
        deployment: deployment(),
        person: "eve".parse().unwrap(),
        challenge: FixedBytes([8; 32]),
        tls_spki_sha256: Digest([50; 32]),
        csr_sha256: Digest([51; 32]),
        at: at("09:00:00.000"),
    };
    let print = key(bundles::EVE).public().fingerprint().to_string();
    let refs = [("person", "eve".to_owned()), ("key", print)];
    let login = Draft::new(EntryType::LoginIssued, Chain::Deployment, "09:00:00", refs, |_| {
        sign(&login, &[bundles::EVE]).into()
    });
    let time = at("09:00:01.000");
    Race::until(SECOND_ROSTER).overtaken(time, honest(SECOND_ROSTER).0, pending(login), RuleId::Login1);
}

#[test]
fn order_3_an_order_under_a_roster_that_was_replaced_meanwhile_is_refused() {
    let (order, time) = honest(ISSUED);
    Race::until(ISSUED).overtaken(time, third_roster(), order, RuleId::Order3);
}

#[test]
fn order_20_an_order_that_was_rejected_meanwhile_is_not_approved() {
    let order: Approval = document(APPROVED);
    let rejected = Approval { decision: Decision::Reject, ..order };
    let refs = [("order", rejected.order.to_string())];
    let rejected = Draft::new(EntryType::OrderRejected, bundles::incident(), "09:35:00", refs, |_| {
        sign(&rejected, &[bundles::BOB]).into()
    });
    let (approved, time) = honest(APPROVED);
    Race::until(APPROVED).overtaken(time, pending(rejected), approved, RuleId::Order20);
}

#[test]
fn collection_4_a_collection_of_an_endpoint_that_was_retired_meanwhile_is_refused() {
    let refs = [("endpoint", "web-03".to_owned()), ("generation", "1".to_owned())];
    let retired = Draft::new(EntryType::EndpointRetired, Chain::Deployment, "10:00:00", refs, |draft| {
        draft.signed("person:cat", bundles::CAT)
    });
    let (started, time) = honest(STARTED);
    Race::until(STARTED).overtaken(time, pending(retired), started, RuleId::Collection4);
}

#[test]
fn collection_5_a_collection_of_a_generation_that_a_later_one_replaced_meanwhile_is_refused() {
    let mut token: Token = document(2);
    token.generation = Generation::new(2).unwrap();
    token.key = key(90).public();
    let token = sign(&token, &[bundles::CAT]);
    let named = |event: Digest| {
        [("endpoint", "web-03".to_owned()), ("generation", "2".to_owned()), ("token", event.to_string())]
    };
    let admitted =
        Draft::new(EntryType::EndpointAdmitted, Chain::Deployment, "09:50:00", named(token.digest()), |_| {
            token.clone().into()
        });
    let mut request: EnrolmentRequest = honest(ENROLLED).0.act.read().unwrap();
    request.generation = Generation::new(2).unwrap();
    request.token = token.digest();
    request.evidence_key = key(91).public();
    request.tls_spki_sha256 = Digest([92; 32]);
    let [endpoint, generation, named] = named(token.digest());
    let print = request.evidence_key.fingerprint().to_string();
    let refs = [endpoint, generation, named, ("evidence_key", print)];
    let enrolled = Draft::new(EntryType::AgentEnrolled, Chain::Deployment, "09:50:00", refs, |_| {
        sign(&request, &[90, 91]).into()
    });
    let (mut started, time) = honest(STARTED);
    // The service asks this rule with the entry. A mirror does not ask it.
    started.guard = Some(Box::new(|tx| {
        newest(tx, &("web-03".parse().unwrap(), Generation::FIRST)).map_err(|denied| match denied {
            Denied::Db(error) => GuardError::Db(error),
            Denied::No(failure) => GuardError::Refused(failure.text().to_owned()),
        })
    }));
    let mut race = Race::until(STARTED);
    race.at_once(time, [pending(admitted)]).pop().unwrap().unwrap();
    let [enrolled, started] = race.at_once(time, [pending(enrolled), started]).try_into().unwrap();
    enrolled.unwrap();
    let says = "collection-5: a later generation of web-03 enrolled before";
    assert!(matches!(&started, Err(SubmitError::Guard(text)) if text == says), "{started:?}");
}

#[test]
fn collection_9_a_collection_under_an_order_that_was_cancelled_meanwhile_is_refused() {
    let order = honest(ISSUED).0.act.event().to_string();
    let cancelled =
        Draft::new(EntryType::OrderCancelled, bundles::incident(), "10:00:00", [("order", order)], |draft| {
            draft.signed("person:alice", bundles::ALICE)
        });
    let (started, time) = honest(STARTED);
    Race::until(STARTED).overtaken(time, pending(cancelled), started, RuleId::Collection9);
}

#[test]
fn a_refused_entry_leaves_nothing_behind_and_its_neighbours_are_recorded() {
    let mut race = Race::until(STARTED);
    let time = honest(STARTED).1;
    let note = |text: &str| {
        let draft = Draft::new(EntryType::IncidentNoted, bundles::incident(), text, [], |draft| {
            draft.signed("person:alice", bundles::ALICE)
        });
        pending(draft)
    };
    let answers = race.at_once(time, [note("09:58:00"), honest(APPROVED + 2).0, note("09:59:00")]);
    let [before, broken, behind] = answers.try_into().unwrap();
    let before = before.unwrap().index;
    assert!(matches!(broken, Err(SubmitError::Rule(_))), "{broken:?}");
    assert_eq!(behind.unwrap().index, before + 1);
    assert_eq!(race.at_once(time, [honest(STARTED).0]).pop().unwrap().unwrap().index, before + 2);
}

#[test]
fn an_entry_of_an_older_collector_that_breaks_a_rule_stops_no_start() {
    let machine = Machine::new(WAIT);
    let (db, replicas) = machine.open();
    let old =
        Sequencer::start_without_rules(parts(db, replicas, machine.signer(), crate::clock::now)).unwrap();
    // Its log begins with another entry than log.genesis.
    assert_eq!(old.submit_blocking(act(1)).unwrap().index, 0);
    old.stop().unwrap();
    drop(old);
    let sequencer = machine.start().unwrap();
    assert_eq!(sequencer.submit_blocking(act(2)).unwrap().index, 1);
    refused(sequencer.submit_blocking(act(0)), RuleId::Log1);
}
