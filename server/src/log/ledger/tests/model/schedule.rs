//! Random schedules: the events of one run, drawn from a seed.

use store::fault::{Fault, Unflushed};

/// Random numbers that are the same on every machine (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `first` to `last`.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True with a chance of `share` in a hundred.
    pub(super) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of these.
    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Submits so many new acts at once, together with so many that were submitted before.
    Append { new: u64, again: u64 },
    /// Sets the clock to so many milliseconds after its start: forwards or backwards.
    Clock { to: u64 },
    /// Makes the next commit fail, while one act is submitted.
    CommitFault { fault: Fault },
    /// Submits a recorded act for another chain.
    Contradict,
    /// Cuts the power: between two batches, or with acts still in the queue.
    Crash { queued: u64, unflushed: Unflushed },
    /// Puts an older copy of the database in place, and starts the collector.
    OldDatabase,
    /// Submits an act whose guard refuses, among others.
    Refuse,
    /// An orderly stop and a start.
    Restart,
    /// Puts an empty store in place of one.
    ReplaceStore { store: usize },
    /// Makes the store fail after so many more writes.
    StoreFault { store: usize, after: u64, fault: Fault },
}

#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) stores: usize,
    /// True if the policy waits for two copies; otherwise it accepts one.
    pub(super) waits: bool,
    pub(super) events: Vec<Event>,
    /// The rest of the dice decides smaller things during the run.
    pub(super) dice: Dice,
}

impl Schedule {
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let stores = if dice.percent(75) { 2 } else { 3 };
        let waits = dice.percent(50);
        let mut events = Vec::new();
        // About one schedule in eight crosses the end of the first full tile and bundle.
        if dice.percent(12) {
            events.push(Event::Append { new: dice.between(236, 255), again: 0 });
        }
        let length = dice.between(6, 14);
        for _ in 0..length {
            events.push(draw(&mut dice, stores));
        }
        Self { stores, waits, events, dice }
    }
}

fn draw(dice: &mut Dice, stores: usize) -> Event {
    let unflushed = dice.pick(&[Unflushed::Lost, Unflushed::Lost, Unflushed::Kept]);
    match dice.below(100) {
        0..30 => Event::Append { new: dice.between(1, 9), again: dice.below(4) },
        30..55 => Event::StoreFault {
            store: usize::try_from(dice.below(stores as u64)).unwrap(),
            after: dice.below(40),
            fault: dice.pick(&[Fault::Failed, Fault::FailedButTookEffect, Fault::PowerCut, Fault::Full]),
        },
        55..65 => Event::CommitFault { fault: dice.pick(&[Fault::Failed, Fault::FailedButTookEffect]) },
        65..77 => Event::Crash { queued: dice.below(4), unflushed },
        77..84 => Event::Restart,
        84..88 => Event::Clock { to: dice.below(1_000_000) },
        88..92 => Event::Refuse,
        92..95 => Event::Contradict,
        95..98 => Event::OldDatabase,
        _ => Event::ReplaceStore { store: usize::try_from(dice.below(stores as u64)).unwrap() },
    }
}
