//! A model test: random schedules of appends, faults, crashes and restarts over the functions that production calls.
//! After each event, [`expected`] says what must be true.
//!
//! - What was acknowledged is never lost and never changed.
//! - Indexes are dense, each chain is dense and linked, and no time falls.
//! - Every checkpoint ever signed is the root of the beginning of one log.
//! - What failed without effect is absent; what failed but took effect is there once.
//! - The same event is one entry, and its first signature wins.
//! - The rule book that the worker carried along is the one that a start folds from the log.
//! - After each event and each start the whole tree of every store, its checkpoint and the rows agree.
//!
//! The test injects the clock, the disks of the stores, the failing commit and the waiting. The database is SQLite on a
//! real file: it keeps over a crash what it had committed. That is SQLite's promise, which this test does not check.
//!
//! `EXHIBIT_MODEL_SEED=17` runs one schedule alone and prints its events. `EXHIBIT_MODEL_SEEDS=100000` runs more.

mod acts;
mod expected;
mod machine;
mod schedule;

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use store::fault::{Fault, Unflushed};
use store::{Degraded, ReplicationPolicy};
use tokio::sync::oneshot::error::TryRecvError;

use self::acts::{ActNumber, BEGINNING, Form};
use self::expected::{Expected, head};
use self::machine::{DatabaseFiles, Machine, Running, clock, set_clock};
use self::schedule::{Dice, Event, Schedule};
use crate::log::ledger::sequencer::Answered;
use crate::log::ledger::{FsckOptions, PublishError, Receipt, StartError, SubmitError, fsck};

/// Schedules that the gate runs.
const SEEDS: u64 = 2000;

#[test]
fn random_schedules_of_faults_crashes_and_restarts_leave_one_history() {
    if let Ok(seed) = std::env::var("EXHIBIT_MODEL_SEED") {
        assert!(std::env::var_os("CI").is_none(), "EXHIBIT_MODEL_SEED runs one schedule; the gate runs all");
        let seed = seed.parse().expect("EXHIBIT_MODEL_SEED is a number");
        println!("{:#?}", Schedule::draw(seed));
        return run(seed);
    }
    let seeds = std::env::var("EXHIBIT_MODEL_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    assert!(seeds >= SEEDS, "EXHIBIT_MODEL_SEEDS may ask for more than {SEEDS}, not for less");
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds || failed.lock().unwrap().len() >= 10 {
                        return;
                    }
                    if std::panic::catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds {failed:?} failed; run one alone with EXHIBIT_MODEL_SEED=<seed>");
}

fn run(seed: u64) {
    let schedule = Schedule::draw(seed);
    let mut run = Run::new(&schedule);
    for (number, event) in schedule.events.iter().enumerate() {
        let label = Label { seed, number, event };
        run.apply(event);
        std::mem::forget(label);
    }
    run.finish();
}

/// Names the event at work when a check fails.
struct Label<'event> {
    seed: u64,
    number: usize,
    event: &'event Event,
}

impl Drop for Label<'_> {
    fn drop(&mut self) {
        eprintln!("seed {}, event {}: {:?}", self.seed, self.number, self.event);
    }
}

/// One schedule as it runs.
struct Run {
    machine: Machine,
    expected: Expected,
    dice: Dice,
    running: Option<Running>,
    /// True if stores may have failed since the last crash.
    is_armed: bool,
    /// True if the next commit will fail.
    fails_commit: bool,
    next_act: u64,
    /// A copy of the database at an orderly stop, with its size.
    old_database: Option<(DatabaseFiles, u64)>,
}

/// The form in which an act is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    AsItIs,
    Refused,
}

impl Run {
    fn new(schedule: &Schedule) -> Self {
        let degraded = if schedule.waits { Degraded::Wait } else { Degraded::Accept };
        let machine = Machine::new(schedule.stores, ReplicationPolicy { copies: 2, degraded });
        let (expected, dice) = (Expected::default(), schedule.dice.clone());
        let mut run = Self {
            machine,
            expected,
            dice,
            running: None,
            is_armed: false,
            fails_commit: false,
            next_act: 0,
            old_database: None,
        };
        run.set_clock(0);
        run.start();
        let beginning: Vec<_> = (0..BEGINNING).map(|_| (run.new_act(), Manner::AsItIs)).collect();
        run.submit(&beginning);
        run
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Append { new, again } => {
                let mut acts: Vec<_> = (0..*new).map(|_| (self.new_act(), Manner::AsItIs)).collect();
                acts.extend(self.acts_again(*again).into_iter().map(|act| (act, Manner::AsItIs)));
                self.submit(&acts);
            }
            Event::Clock { to } => self.set_clock(*to),
            Event::CommitFault { fault } => self.fail_commit(*fault),
            Event::Contradict => self.contradict(),
            Event::Crash { queued, unflushed } => {
                let queued: Vec<_> = (0..*queued).map(|_| self.new_act()).collect();
                for act in &queued {
                    drop(self.enqueue(*act, Manner::AsItIs));
                }
                self.crash(*unflushed);
                self.start();
                queued.into_iter().for_each(|act| self.expected.is_absent(act));
            }
            Event::OldDatabase => self.start_on_old_database(),
            Event::Refuse => {
                let refused = self.new_act();
                let (before, behind) = (self.new_act(), self.new_act());
                let acts = [(before, Manner::AsItIs), (refused, Manner::Refused), (behind, Manner::AsItIs)];
                self.submit(&acts);
                self.expected.is_absent(refused);
            }
            Event::ReplaceStore { store } => self.replace_store(*store),
            Event::Restart => {
                self.stop();
                self.start();
            }
            Event::StoreFault { store, after, fault } => {
                self.machine.disks[*store].fail_after(*after, *fault);
                self.is_armed = true;
            }
        }
    }

    /// Heals everything, submits again what was refused and what lies beside the ledger, and checks everything.
    fn finish(&mut self) {
        self.crash(Unflushed::Lost);
        self.start();
        let acts: Vec<_> = self.expected.acts();
        let again: Vec<_> = acts
            .into_iter()
            .filter(|act| !self.expected.is_recorded(*act) || act.form() == Form::Beside)
            .map(|act| (act, Manner::AsItIs))
            .collect();
        self.submit(&again);
        self.stop();
        self.start();
        let acts = self.expected.acts();
        assert_eq!(
            self.expected.recorded().len(),
            acts.len(),
            "an act is missing after everything was healed"
        );
        let running = self.running.as_ref().unwrap();
        let options = FsckOptions { evidence: true };
        let report = fsck(&running.replicas, &self.machine.keys(), Some(&running.db), options);
        assert_eq!(report.problems, [], "fsck");
        assert_eq!(report.entries, acts.len() as u64);
    }

    fn set_clock(&mut self, to: u64) {
        set_clock(to);
        self.expected.saw_time(clock());
    }

    fn new_act(&mut self) -> ActNumber {
        self.next_act += 1;
        ActNumber(self.next_act - 1)
    }

    fn acts_again(&mut self, count: u64) -> Vec<ActNumber> {
        let acts = self.expected.acts();
        if acts.is_empty() {
            return Vec::new();
        }
        (0..count).map(|_| self.dice.pick(&acts)).collect()
    }

    /// Puts one act into the queue. `Err` if it did not get there.
    fn enqueue(&mut self, act: ActNumber, manner: Manner) -> Result<Answered, SubmitError> {
        let person = usize::from(self.dice.percent(50));
        let pending = match manner {
            Manner::AsItIs => act.pending(person),
            Manner::Refused => act.refused(),
        };
        let person = if manner == Manner::Refused { 0 } else { person };
        self.expected.submits(act, person, pending.act.event());
        self.running.as_ref().unwrap().sequencer.enqueue(pending)
    }

    /// Submits acts at once, turns the worker until each has an answer, and checks everything.
    fn submit(&mut self, acts: &[(ActNumber, Manner)]) {
        let mut waiting = Vec::new();
        for (act, manner) in acts {
            let attempt = self.expected.attempts(*act);
            match self.enqueue(*act, *manner) {
                Ok(answered) => waiting.push((*act, *manner, attempt, answered)),
                Err(SubmitError::Store(_)) if self.is_armed && act.form() == Form::Beside => {}
                Err(error) => panic!("act {act:?}: {error}"),
            }
        }
        let is_alive = self.turn();
        for (act, manner, attempt, answered) in waiting {
            self.hear(act, manner, attempt, is_alive, &answer_of(answered));
        }
        if is_alive {
            self.check();
        } else {
            self.recover();
        }
    }

    fn hear(
        &mut self,
        act: ActNumber,
        manner: Manner,
        attempt: usize,
        is_alive: bool,
        answer: &Result<Receipt, SubmitError>,
    ) {
        match (manner, answer) {
            (Manner::Refused, Err(SubmitError::Guard(_))) => {}
            (Manner::Refused, Ok(_)) => panic!("act {act:?} was recorded against its guard"),
            (Manner::AsItIs, Ok(_)) => {}
            (_, Err(SubmitError::Stopped { .. })) if !is_alive => {}
            (_, Err(SubmitError::Db(_))) if self.fails_commit => {}
            (_, Err(error)) => panic!("act {act:?}: {error}"),
        }
        let running = self.running.as_ref().unwrap();
        self.expected.answered(&self.machine, running, act, attempt, answer);
    }

    /// Turns the worker until its queue is empty. False if the worker had to stop, which only failing stores may cause.
    fn turn(&mut self) -> bool {
        let running = self.running.as_mut().unwrap();
        running.renew_patience();
        while !running.worker.jobs.is_empty() {
            if let ControlFlow::Break(end) = running.worker.turn() {
                assert!(self.is_armed, "the worker stopped while everything works: {end:?}");
                return false;
            }
        }
        running.has_patience()
    }

    fn check(&mut self) {
        self.expected.check(&self.machine, self.running.as_ref().unwrap());
    }

    /// Restarts after the worker stopped by itself: either the process ends, or the power goes.
    fn recover(&mut self) {
        if self.dice.percent(50) {
            let unflushed = self.dice.pick(&[Unflushed::Lost, Unflushed::Kept]);
            self.crash(unflushed);
        } else {
            self.running = None;
        }
        self.start();
    }

    fn crash(&mut self, unflushed: Unflushed) {
        let running = self.running.take().unwrap();
        self.machine.crash(running, unflushed);
        self.is_armed = false;
    }

    /// An orderly stop.
    fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        running.worker.stopping.ask();
        assert_eq!(running.worker.turn(), ControlFlow::Break(Ok(())));
        if !self.is_armed {
            running.check_rule_book();
        }
        let size = running.db.read(crate::rows::log::state).unwrap().size;
        drop(running);
        if self.dice.percent(50) {
            self.old_database = Some((self.machine.database_files(), size));
        }
    }

    /// Starts. If stores may fail, the first start may fail; after a power cut, the second may not.
    fn start(&mut self) {
        let running = match self.machine.start() {
            Ok(running) => running,
            Err(error) => {
                assert!(self.is_armed && is_transient(&error), "the start was refused: {error}");
                for disk in &self.machine.disks {
                    disk.crash(Unflushed::Lost);
                }
                self.is_armed = false;
                self.machine.start().unwrap_or_else(|error| panic!("the second start was refused: {error}"))
            }
        };
        self.running = Some(running);
        self.check();
    }

    fn fail_commit(&mut self, fault: Fault) {
        // The act needs no store before the commit, so that this commit is the one that fails.
        let mut act = self.new_act();
        while act.form() == Form::Beside {
            act = self.new_act();
        }
        self.running.as_ref().unwrap().sequencer.fail_next_commit(fault);
        self.fails_commit = true;
        self.submit(&[(act, Manner::AsItIs)]);
        self.fails_commit = false;
        let took_effect = fault == Fault::FailedButTookEffect;
        assert_eq!(self.expected.is_recorded(act), took_effect, "act {act:?} after {fault:?}");
    }

    fn contradict(&mut self) {
        let recorded = self.expected.recorded();
        if recorded.is_empty() {
            return;
        }
        let (act, index) = self.dice.pick(&recorded);
        let answered = self.running.as_ref().unwrap().sequencer.enqueue(act.moved());
        let Ok(answered) = answered else {
            assert!(self.is_armed && act.form() == Form::Beside);
            return;
        };
        let is_alive = self.turn();
        match answer_of(answered) {
            Err(SubmitError::Contradiction { index: found, .. }) => assert_eq!(found, index),
            Err(SubmitError::Stopped { .. }) if !is_alive => {}
            other => panic!("act {act:?} in another chain: {other:?}"),
        }
        if is_alive {
            self.check();
        } else {
            self.recover();
        }
    }

    /// Starts on a database that is older than the stores. The start must refuse it and sign nothing.
    fn start_on_old_database(&mut self) {
        let newest = self.newest_size();
        self.stop();
        if let Some((old, size)) = &self.old_database
            && *size < newest
        {
            let current = self.machine.database_files();
            self.machine.put_database(old);
            let signed = self.machine.signed.lock().unwrap().clone();
            match self.machine.start() {
                Err(StartError::DatabaseBehind { .. }) => {}
                Err(error) if self.is_armed && is_transient(&error) => {}
                Err(error) => panic!("an old database was refused for another reason: {error}"),
                Ok(_) => panic!("an old database was accepted"),
            }
            assert_eq!(
                *self.machine.signed.lock().unwrap(),
                signed,
                "something was signed for an old database"
            );
            self.machine.put_database(&current);
        }
        self.start();
    }

    fn newest_size(&self) -> u64 {
        let stores = self.running.as_ref().unwrap().replicas.stores();
        let sizes = stores.iter().filter_map(|store| head(&self.machine, store.as_ref()));
        sizes.map(|(size, _)| size).max().unwrap_or(0)
    }

    /// Cuts the power and puts an empty store in place of one, if the others still have everything.
    fn replace_store(&mut self, number: usize) {
        self.crash(Unflushed::Lost);
        let has_everything = {
            let (db, replicas) = self.machine.open().unwrap();
            let published = db.read(crate::rows::log::state).unwrap().published_size;
            let stores = replicas.stores();
            let sizes: Vec<_> = stores
                .iter()
                .map(|store| head(&self.machine, store.as_ref()).map_or(0, |(size, _)| size))
                .collect();
            let newest = sizes.iter().copied().max().unwrap_or(0).max(published);
            let others = || (0..stores.len()).filter(|other| *other != number);
            let has_object = |act: ActNumber, bytes: &[u8]| {
                let key = store::Key::document(act.pending(0).act.event().as_bytes());
                others().any(|other| stores[other].read(&key).is_ok_and(|found| found == bytes))
            };
            newest > 0
                && others().any(|other| sizes[other] == newest)
                && self.expected.recorded_beside().all(|(act, bytes)| has_object(act, bytes))
        };
        if has_everything {
            self.machine.replace_store(number);
        }
        self.start();
    }
}

/// The answer that the submitter of an entry would have by now.
fn answer_of(mut answered: Answered) -> Result<Receipt, SubmitError> {
    match answered.try_recv() {
        Ok(answer) => answer,
        Err(TryRecvError::Closed) => {
            Err(SubmitError::Stopped { reason: "the sequencer has ended".to_owned() })
        }
        Err(TryRecvError::Empty) => panic!("a submission was not answered"),
    }
}

/// True if waiting or a restart may help.
fn is_transient(error: &StartError) -> bool {
    matches!(
        error,
        StartError::Store { .. }
            | StartError::NoStore { .. }
            | StartError::Rules(_)
            | StartError::Publish(PublishError::TooFewStores { .. })
    )
}
