//! One attempt while it runs: its reader, its sealer, and what has passed through the warden.
//!
//! Guarantee: whatever ends the attempt, its sockets are closed. So a process that was stuck in the kernel
//! and wakes up hours later reaches nobody. The warden counts segments here, independently of the sealer. Not
//! here: the decision what comes next.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use cage::User;
use evidence::digest::Digest;
use evidence::keys::SigningKey;
use evidence::manifest::CollectionResult;
use evidence::signed::Signed;

use super::judge::Judged;
use super::lane::{Lane, Stuck};
use super::manifest::{Expectation, Observed};
use crate::collect::plan;
use crate::ipc;
use crate::message::{Segment, StartReader, StartSealer, ToSealer, to_sealer};
use crate::platform::RootView;
use crate::reader::Scope;
use crate::sealer::process::Facts;
use crate::sealer::window::SEGMENTS_MAX;

/// The attempt.
#[derive(Debug)]
pub struct Running {
    /// The order and limits that it obeys.
    pub judged: Judged,
    /// The content that the manifest must have.
    pub expected: Expectation,
    /// The reader; `None` once it has gone.
    pub reader: Option<Lane>,
    /// The sealer.
    pub sealer: Lane,
    /// The segments that have passed through the warden.
    pub passed: Passed,
    /// The manifest with both signatures, and its result.
    pub manifest: Option<(Signed, CollectionResult)>,
    /// CLOCK_BOOTTIME by which the next step must have happened.
    pub deadline: Duration,
    /// Lines about the upload's position in the endpoint's log, at most [`POSITION_LINES_MAX`].
    pub position_lines: u32,
}

/// The collector's words must not fill the disk, so reconnects are logged up to this number for each attempt.
pub(crate) const POSITION_LINES_MAX: u32 = 256;

/// Segments that passed through the warden.
#[derive(Debug, Default)]
pub struct Passed {
    /// Their stored bytes.
    pub observed: Observed,
    /// Digests of the last seals, the newest last. They show whether a segment was sent before.
    recent: VecDeque<Digest>,
}

impl Passed {
    /// Counts a segment that the sealer hands over. `None` if it does not follow the one before: then the
    /// sealer must not be believed.
    pub(crate) fn observe(&mut self, segment: &Segment) -> Option<()> {
        let seal: Digest = segment.seal.parse().ok()?;
        if let Some(behind) = self.observed.segments.checked_sub(segment.index).filter(|behind| *behind > 0) {
            // Sent again after a cut: it must be the same segment.
            let at = self.recent.len().checked_sub(usize::try_from(behind).ok()?)?;
            return (self.recent.get(at) == Some(&seal)).then_some(());
        }
        if segment.index != self.observed.segments || self.observed.is_final {
            return None;
        }
        self.observed.segments = self.observed.segments.checked_add(1)?;
        self.observed.stored_len = self.observed.stored_len.checked_add(segment.stored_len)?;
        self.observed.seal_head = seal;
        self.observed.is_final = segment.is_final;
        self.recent.push_back(seal);
        if self.recent.len() > SEGMENTS_MAX {
            self.recent.pop_front();
        }
        Some(())
    }
}

/// The parts that start a collection.
#[derive(Debug)]
pub struct Start<'start> {
    /// The program to run.
    pub program: &'start Path,
    /// The user that the sealer becomes.
    pub user: Option<User>,
    /// The agent's state, which is never given.
    pub state: &'start Path,
    /// The root of all paths.
    pub root: RootView,
    /// The process file system.
    pub proc: OwnedFd,
    /// Warden, link, and what was left behind.
    pub processes: Vec<i32>,
    /// The sealer's key.
    pub sealer_key: SigningKey,
    /// Facts for the manifest.
    pub facts: Facts,
    /// The time by which the manifest must be there.
    pub deadline: Duration,
}

/// Starts the reader and the sealer of one attempt. By now `seen.jsonl` has the attempt.
///
/// # Errors
/// The system's error. Whatever was started has ended again.
pub fn start(judged: Judged, expected: Expectation, start: Start<'_>) -> io::Result<Running> {
    let (items_reader, items_sealer) = ipc::pair()?;
    let (check_reader, check_sealer) = ipc::pair()?;
    let state = OwnedFd::from(fs_err::File::open(start.state)?.into_file());

    let mut sealer = Lane::start(start.program, crate::SEALER_ROLE, start.user)?;
    let mut reader = Lane::start(start.program, crate::READER_ROLE, None)?;
    let mut processes = start.processes;
    processes.extend([sealer.pid(), reader.pid()]);
    let scope = Scope {
        limits: judged.limits,
        view: start.root.method,
        deny: judged.policy.rules.paths.deny.clone(),
        processes,
    };
    let params = plan::Params { steps: judged.admitted.order.plan.steps().to_vec(), scope };
    let start_sealer = StartSealer {
        sealer_key: start.sealer_key.seed().to_vec(),
        delegation: expected.delegation_signed.encode(),
        order: judged.admitted.signed.document.clone(),
        facts: serde_json::to_vec(&start.facts)?,
    };
    let say = ToSealer { say: Some(to_sealer::Say::Start(start_sealer)) };
    sealer.send(&say, vec![items_sealer, check_sealer]).map_err(io::Error::other)?;
    let start_reader = StartReader { params: serde_json::to_vec(&params)? };
    let descriptors = vec![start.root.directory, start.proc, items_reader, check_reader, state];
    reader.send(&start_reader, descriptors).map_err(io::Error::other)?;
    Ok(Running {
        judged,
        expected,
        reader: Some(reader),
        sealer,
        passed: Passed::default(),
        manifest: None,
        position_lines: 0,
        deadline: start.deadline,
    })
}

impl Running {
    /// The order.
    #[must_use]
    pub fn order(&self) -> Digest {
        self.judged.admitted.order_sha256
    }

    /// Which attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.expected.delegation.attempt
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> Digest {
        self.expected.delegation.collection
    }

    /// Ends both processes. Returns those that do not die.
    pub fn end(self) -> Vec<Stuck> {
        self.reader.into_iter().chain([self.sealer]).filter_map(Lane::end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(index: u64, seal: u8, is_final: bool) -> Segment {
        let seal = Digest::of(&[seal]).to_string();
        Segment { collection: String::new(), index, seal, stored_len: 10, is_final }
    }

    #[test]
    fn segments_are_counted_once_in_order_and_only_the_same_ones_come_again() {
        let mut passed = Passed::default();
        for (index, seal) in (0..5).zip(100..) {
            assert!(passed.observe(&segment(index, seal, index == 4)).is_some());
        }
        let expected =
            Observed { segments: 5, stored_len: 50, seal_head: Digest::of(&[104]), is_final: true };
        assert_eq!(passed.observed, expected);
        // Up to a window of segments may be sent again after a cut, unchanged.
        assert!(passed.observe(&segment(2, 102, false)).is_some());
        assert!(passed.observe(&segment(4, 104, true)).is_some());
        assert_eq!(passed.observed, expected);
        for wrong in
            [segment(3, 9, false), segment(1, 101, false), segment(5, 105, false), segment(7, 107, false)]
        {
            assert!(passed.observe(&wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(passed.observed, expected);
    }
}
