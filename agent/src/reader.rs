//! The collectors' toolbox in the reader, the only process that opens evidence. It looks at objects, opens them and
//! hands their descriptors to the sealer. It hashes, packs and sends nothing.
//!
//! Guarantee: every path starts from the root directory that the warden gave. Every opened object has passed
//! the [`crate::matcher`]. A failure to collect becomes an item with an outcome; only a lost sealer ends the
//! run. Not here: the order of the steps ([`crate::collect::plan`]); reading content (the sealer,
//! `sealer::content`), except files that may block ([`pseudo`]).

mod check;
pub(crate) mod files;
mod mount_table;
mod once;
mod outbox;
mod pseudo;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, Kind, RawBytes};
use evidence::order::Limits;
use serde::{Deserialize, Serialize};

use crate::ipc::{CollectorEnd, DATA_BYTES_MAX, IpcError, Message, PATH_BYTES_MAX, Seen, Use};
use crate::matcher::{Matcher, MatcherError};
use crate::platform::{self, CallError, Clock, CrossDevice, Look, SelfFds};
use check::{InFlight, PathChecks};
use mount_table::MountTable;
pub(crate) use mount_table::unescape;
use once::Once;
use outbox::Outbox;
use pseudo::{End, Pseudo};

/// Longest time one pseudo-file may take.
pub(crate) const PSEUDO_DEADLINE: Duration = Duration::from_secs(5);

/// Most bytes that are taken of one pseudo-file: 64 MiB. A process with more mappings than that is cut, and
/// the record says so.
pub(crate) const PSEUDO_BYTES_MAX: u64 = 64 << 20;

/// Most limitations of one step. The last says that others are left out.
const LIMITATIONS_MAX: usize = 64;

/// What a reader may open, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Effective limits.
    pub limits: Limits,
    /// How the root directory protects access times ([`platform::RootView::method`]).
    pub view: AtimeMethod,
    /// Path denials of `policy.toml`.
    pub deny: Vec<String>,
    /// Process ids of warden, link and sealer, and of readers left behind by earlier collections.
    pub processes: Vec<i32>,
}

/// The descriptors the warden gives the reader.
#[derive(Debug)]
pub struct Handles {
    /// Where all paths start ([`platform::root_view`]).
    pub root: OwnedFd,
    /// The process file system ([`platform::proc_view`]).
    pub proc: OwnedFd,
    /// Messages to the sealer.
    pub sealer: OwnedFd,
    /// The sealer's questions about paths.
    pub check: OwnedFd,
    /// The agent's own state directories.
    pub state: Vec<OwnedFd>,
}

/// Why the reader stopped early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// The sealer is gone, or refuses more (a limit).
    #[error("sealer no longer listens")]
    Sealer(#[source] IpcError),
    /// The denials could not be prepared.
    #[error("prepare what is never given")]
    Matcher(#[from] MatcherError),
    /// `/proc/self/fd` could not be opened.
    #[error("open own descriptors")]
    Own(#[from] CallError),
}

/// The only error that ends a collector: the sealer is gone.
pub type Flow<T = ()> = Result<T, ReaderError>;

/// The running reader, as collectors see it.
pub struct Reader<'a> {
    pub(crate) fds: SelfFds,
    pub(crate) root: Arc<OwnedFd>,
    pub(crate) proc: Arc<OwnedFd>,
    pub(crate) view: AtimeMethod,
    pub(crate) limits: Limits,
    pub(crate) matcher: Matcher,
    pub(crate) clock: &'a dyn Clock,
    mounts: MountTable,
    outbox: Outbox,
    pseudo: Pseudo,
    seen: Once,
    limitations: Vec<String>,
    /// What the denials cannot promise and the manifest already says.
    noted_denials: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Prepares the denials, then the reader. Without a denial of the agent's own state it opens nothing. The
    /// second value answers the sealer's questions about paths: run it on a thread of its own. It ends when the
    /// sealer closes the check socket.
    ///
    /// # Errors
    /// [`ReaderError`]. The collection must not begin.
    pub fn open(
        scope: &Scope,
        handles: Handles,
        clock: &'a dyn Clock,
    ) -> Result<(Self, PathChecks), ReaderError> {
        let Handles { root, proc, sealer, check, state } = handles;
        let fds = SelfFds::open()?;
        let mut processes: BTreeSet<i32> = scope.processes.iter().copied().collect();
        processes.insert(rustix::process::getpid().as_raw_nonzero().get());
        let now = clock.wall();
        let matcher = Matcher::prepare(&fds, root.as_fd(), scope.view, state, processes, &scope.deny, now)?;
        let in_flight = Arc::new(InFlight::default());
        let checks = PathChecks::new(check, Arc::clone(&in_flight));
        let (mounts, unknown_mounts) = MountTable::read(proc.as_fd());
        let mut reader = Self {
            fds,
            root: Arc::new(root),
            mounts,
            proc: Arc::new(proc),
            view: scope.view,
            limits: scope.limits,
            matcher,
            clock,
            outbox: Outbox::new(sealer, in_flight),
            pseudo: Pseudo::default(),
            seen: Once::default(),
            limitations: Vec::new(),
            noted_denials: BTreeSet::new(),
        };
        // The manifest lists under the first step what the denials and the mount table cannot promise.
        reader.note_denials();
        if let Some(limitation) = unknown_mounts {
            reader.limitation(limitation);
        }
        Ok((reader, checks))
    }
}

impl Reader<'_> {
    /// Announces a step of the plan to the sealer.
    pub(crate) fn begin_step(&mut self, step: u32, collector: &str) -> Flow {
        self.outbox.send(&Message::StepBegin { step, collector: collector.to_owned() })
    }

    /// Ends the step, with the list of what it does not show.
    pub(crate) fn end_step(&mut self, end: CollectorEnd) -> Flow {
        // A scan of the agent's own state during the step may have found more.
        self.note_denials();
        let limitations = std::mem::take(&mut self.limitations);
        self.outbox.send(&Message::StepEnd { end, limitations })
    }

    /// Says that every step of the plan has ended.
    pub(crate) fn end_plan(&mut self) -> Flow {
        self.outbox.send(&Message::End)
    }

    /// Number of objects handed over so far.
    pub(crate) fn items(&self) -> u64 {
        self.outbox.items()
    }

    /// Process ids of helpers that hang. In the next collection they count among the agent's own processes.
    pub(crate) fn stuck_helpers(&self) -> Vec<i32> {
        self.pseudo.stuck().to_vec()
    }

    /// Notes, once, what the denials cannot promise.
    fn note_denials(&mut self) {
        for limitation in self.matcher.limitations() {
            if self.noted_denials.insert(limitation.clone()) {
                self.limitation(limitation);
            }
        }
    }

    /// Notes something that the running step does not show.
    pub(crate) fn limitation(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.limitations.len() < LIMITATIONS_MAX && !self.limitations.contains(&text) {
            let is_last = self.limitations.len() + 1 == LIMITATIONS_MAX;
            self.limitations.push(if is_last {
                "further limitations of this step are left out".to_owned()
            } else {
                text
            });
        }
    }

    /// An object at `path`, seen now.
    pub(crate) fn seen(&self, path: &[u8], kind: Kind) -> Seen {
        Seen::new(path, kind, self.clock.wall())
    }

    /// Hands over an item without content: a directory, a link, or something not collected.
    pub(crate) fn record(&mut self, mut seen: Seen) -> Flow {
        if seen.path.0.len() > PATH_BYTES_MAX {
            seen.path.0.truncate(PATH_BYTES_MAX);
            seen.outcome = Outcome::SkippedLimit;
            seen.note = Some("path is longer than 32 KiB; this is its beginning".to_owned());
            seen.xattrs.clear();
        }
        self.outbox.item(seen, Use::Member, None)
    }

    /// Hands over a record that says why an object was not collected.
    pub(crate) fn record_without(&mut self, path: &[u8], kind: Kind, outcome: Outcome, note: &str) -> Flow {
        let mut seen = self.seen(path, kind);
        seen.outcome = outcome;
        seen.note = Some(note.to_owned());
        self.record(seen)
    }

    /// Hands over a record of a failed call.
    pub(crate) fn record_failure(
        &mut self,
        path: &[u8],
        kind: Kind,
        error: CallError,
        note: Option<&str>,
    ) -> Flow {
        let mut seen = self.seen(path, kind);
        seen.outcome = error.outcome();
        seen.error = Some(error.item_error());
        seen.note = note.map(str::to_owned);
        self.record(seen)
    }

    /// True the first time a path comes. To collect a path twice would make two members of one name.
    pub(crate) fn is_first(&mut self, path: &[u8]) -> bool {
        self.seen.insert(path)
    }

    /// Hands over an open file for the sealer to read. `directory` and `name` say where it was found.
    pub(crate) fn content(
        &mut self,
        seen: Seen,
        file: BorrowedFd<'_>,
        directory: &Arc<OwnedFd>,
        name: &[u8],
        use_as: Use,
    ) -> Flow {
        self.outbox.content(seen, use_as, file, directory, name)
    }

    /// Tells the sealer why a program has no digest. The process's row shows the reason.
    pub(crate) fn digest_refused(&mut self, seen: Seen) -> Flow {
        self.outbox.item(seen, Use::Digest, None)
    }

    /// Adds the attributes to what was seen of an object and, for a link, its text.
    pub(crate) fn describe(&self, seen: &mut Seen, object: BorrowedFd<'_>, look: &Look) {
        seen.before = Some(look.stat.clone());
        match platform::xattrs(object) {
            Ok(found) => {
                seen.xattrs = found.pairs;
                if found.left_out > 0 {
                    seen.note =
                        Some(format!("{} extended attributes are left out: size or access", found.left_out));
                }
            }
            // A file system may refuse to list attributes. That does not spoil the object itself.
            Err(error) => seen.note = Some(format!("extended attributes: {error}")),
        }
    }

    /// Checks whether the agent may give an object that a collector reached without the file engine. Records
    /// a refusal.
    pub(crate) fn is_denied(&mut self, path: &[u8], look: &Look) -> Flow<bool> {
        let Some(denial) = self.matcher.judge(&self.fds, path, look, &[]) else {
            return Ok(false);
        };
        self.record_without(path, look.kind, Outcome::SkippedPolicy, denial.note())?;
        Ok(true)
    }

    /// Collects the symbolic link `name` of `directory`: its text, never its target.
    pub(crate) fn link(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Flow<Option<Vec<u8>>> {
        let found = platform::look_at(directory, name)
            .and_then(|look| Ok((look, platform::read_link_at(directory, name)?)));
        match found {
            Ok((look, _)) if self.is_denied(path, &look)? => Ok(None),
            Ok((look, target)) if !target.is_empty() && self.is_first(path) => {
                let mut seen = self.seen(path, Kind::Symlink);
                seen.before = Some(look.stat);
                seen.target = Some(RawBytes(target.clone()));
                self.record(seen)?;
                Ok(Some(target))
            }
            Ok((_, target)) => Ok((!target.is_empty()).then_some(target)),
            Err(error) => {
                self.record_failure(path, Kind::Symlink, error, None)?;
                Ok(None)
            }
        }
    }

    /// Reads the pseudo-file `name` of `directory` in the helper, and hands over its bytes.
    pub(crate) fn pseudo(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        absent: Absent,
    ) -> Flow<bool> {
        let opened = platform::open_beneath(directory, name, CrossDevice::Allowed)
            .and_then(|fd| Ok((platform::look(fd.as_fd())?, fd)));
        match opened {
            Ok((look, fd)) => self.pseudo_object(fd.as_fd(), &look, path),
            Err(error) if error.is_absent() => {
                if absent == Absent::Recorded {
                    let mut seen = self.seen(path, Kind::Other);
                    seen.outcome = Outcome::Absent;
                    seen.error = Some(error.item_error());
                    self.record(seen)?;
                }
                Ok(false)
            }
            Err(error) => self.record_failure(path, Kind::Other, error, None).map(|()| false),
        }
    }

    /// Reads an open object of a pseudo file system. True if all of it was read.
    pub(crate) fn pseudo_object(&mut self, object: BorrowedFd<'_>, look: &Look, path: &[u8]) -> Flow<bool> {
        if self.is_denied(path, look)? {
            return Ok(false);
        }
        if !self.is_first(path) {
            return Ok(true);
        }
        let mut seen = self.seen(path, look.kind);
        seen.before = Some(look.stat.clone());
        if look.kind != Kind::File || pseudo::is_forbidden(path) {
            seen.outcome = Outcome::SkippedType;
            seen.note = Some("reading it would consume, act, block or show memory".to_owned());
            return self.record(seen).map(|()| false);
        }
        let file = match platform::reopen(&self.fds, object, AtimeMethod::RoView, false) {
            Ok((file, _)) => file,
            Err(error) => {
                seen.outcome = error.outcome();
                seen.error = Some(error.item_error());
                return self.record(seen).map(|()| false);
            }
        };
        match self.pseudo.start() {
            Ok(Some(pid)) => self.matcher.add_process(pid),
            Ok(None) => {}
            Err(error) => {
                seen.outcome = Outcome::Unsupported;
                seen.error = Some(error.item_error());
                return self.record(seen).map(|()| false);
            }
        }
        self.outbox.send(&Message::DataBegin { seen: Box::new(seen) })?;
        let Self { outbox, pseudo, .. } = self;
        let end = pseudo.read(file.as_fd(), PSEUDO_BYTES_MAX, PSEUDO_DEADLINE, |piece| {
            piece.chunks(DATA_BYTES_MAX).try_for_each(|piece| outbox.data(piece))
        })?;
        let (outcome, error, note) = match end {
            End::Whole => (Outcome::Ok, None, None),
            End::Cut => (Outcome::SkippedLimit, None, Some("cut at 64 MiB".to_owned())),
            End::Timeout => {
                (Outcome::Timeout, None, Some("the kernel did not answer the read in time".to_owned()))
            }
            End::Failed(errno) => {
                let error = CallError { op: "read", errno };
                (error.outcome(), Some(error.item_error()), None)
            }
        };
        let is_whole = outcome.is_ok();
        self.outbox.send(&Message::DataEnd { outcome, error, note, after: None })?;
        Ok(is_whole)
    }

    /// Collects bytes that a system call returned, not a file, under the name `path`. They have no `before`,
    /// so they are a stream.
    pub(crate) fn stream(
        &mut self,
        name: &str,
        bytes: &[u8],
        outcome: Outcome,
        note: Option<String>,
    ) -> Flow {
        let seen = self.seen(name.as_bytes(), Kind::Stream);
        self.outbox.send(&Message::DataBegin { seen: Box::new(seen) })?;
        bytes.chunks(DATA_BYTES_MAX).try_for_each(|piece| self.outbox.data(piece))?;
        self.outbox.send(&Message::DataEnd { outcome, error: None, note, after: None })
    }

    /// The mount table, for the engine's choice of file systems.
    pub(crate) fn remote_mount(&self, path: &[u8]) -> Option<&str> {
        self.mounts.remote(path)
    }

    /// Ends a step that could not do its work. The manifest says why.
    pub(crate) fn failed(&mut self, why: impl Into<String>) -> CollectorEnd {
        self.limitation(why);
        CollectorEnd::Failed
    }
}

/// What the reader records if the plan names something that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// A record, because the plan asked for it.
    Recorded,
    /// Nothing, because not every kernel or process has it.
    Ignored,
}
