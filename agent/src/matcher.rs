//! Decides what the agent never gives: its own state and processes, and what the endpoint's owner denies in
//! `policy.toml`.
//!
//! Guarantee: the matcher decides *after* an object is open: by device and inode of the object and of every
//! directory above it, and by path. So another name (hard link, bind mount, `/proc/PID/{root,cwd,fd}`)
//! changes nothing. Nothing switches off the denial of the agent's own state. Left out: a copy of denied
//! bytes under another inode is another file. Trees larger than [`INODES_MAX`] objects are denied by path and
//! by their directories; single hard links out of the rest of such a tree are not recognised, and
//! [`Matcher::limitations`] says so. An object of the agent's own state that cannot be looked at is denied by the
//! directories above it; [`Matcher::limitations`] says that other names of it are not recognised.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use evidence::item::{AtimeMethod, Kind};
use evidence::time::FileTime;

use crate::glob::{GlobError, Globs, States};
use crate::platform::{self, CallError, CrossDevice, Directory, Identity, Look, SelfFds};

/// Most denied objects that are known by inode: 200,000, about 10 MiB.
pub(crate) const INODES_MAX: usize = 200_000;

/// Deepest denied directory that the scan enters.
const DEPTH_MAX: usize = 128;

/// Files of `/proc/PID` that reveal neither memory, open files nor environment of a process. The process list
/// may have a row for our own process, but not its secrets.
const HARMLESS: &[&[u8]] = &[
    b"stat",
    b"status",
    b"cmdline",
    b"cgroup",
    b"limits",
    b"io",
    b"loginuid",
    b"sessionid",
    b"comm",
    b"mountinfo",
    b"net",
    b"exe",
    b"ns",
    b"oom_score_adj",
    b"statm",
];

/// Why an object is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The agent's state directory, keys and logs.
    OwnState,
    /// One of the agent's processes.
    OwnProcess,
    /// The endpoint's owner denies it.
    Policy,
}

impl Denial {
    /// Text for the item's note.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::OwnState => "the agent's own state is never collected",
            Self::OwnProcess => "the agent's own processes are never collected",
            Self::Policy => "denied by policy.toml",
        }
    }
}

/// Why the denials could not be prepared. The collection must then not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// A denied glob is malformed.
    #[error("policy denial")]
    Glob(#[from] GlobError),
    /// The state directory itself could not be read.
    #[error("scan the agent's state directory")]
    State(#[source] CallError),
}

/// Everything that is denied.
#[derive(Debug)]
pub struct Matcher {
    denied: HashMap<Identity, Denial>,
    /// The agent's own directories, as they were given.
    own: Vec<Arc<OwnedFd>>,
    /// All directories in them.
    state: Vec<StateDirectory>,
    scanned_at: FileTime,
    globs: Globs,
    processes: BTreeSet<i32>,
    is_partial: bool,
    /// How many denied objects could not be looked at.
    unseen: usize,
    /// How many objects of the agent's own state the last scan could not look at.
    unseen_state: usize,
}

/// A directory of the agent's own state, and the change time that it had when it was scanned.
#[derive(Debug)]
struct StateDirectory {
    directory: Arc<OwnedFd>,
    changed: FileTime,
}

impl Matcher {
    /// Prepares the denials. `state` are the agent's own directories, `processes` its process ids, `globs`
    /// the owner's denials. It looks the globs up from `root`, so that they hold for every other name of the
    /// same objects.
    ///
    /// # Errors
    /// [`MatcherError`]. Without a denial of its own state, the agent must read nothing.
    pub fn prepare(
        fds: &SelfFds,
        root: BorrowedFd<'_>,
        view: AtimeMethod,
        state: Vec<OwnedFd>,
        processes: BTreeSet<i32>,
        globs: &[String],
        now: FileTime,
    ) -> Result<Self, MatcherError> {
        let mut matcher = Self {
            denied: HashMap::new(),
            own: state.into_iter().map(Arc::new).collect(),
            state: Vec::new(),
            scanned_at: now,
            globs: Globs::compile(globs)?,
            processes,
            is_partial: false,
            unseen: 0,
            unseen_state: 0,
        };
        matcher.scan_state(fds, now)?;
        if !matcher.globs.is_empty() {
            let states = matcher.globs.root();
            matcher.scan_denied(fds, root, view, &states, false, 0);
        }
        Ok(matcher)
    }

    /// Decides on an open object at `path`; `above` are the directories above it.
    pub fn judge(&mut self, fds: &SelfFds, path: &[u8], look: &Look, above: &[Identity]) -> Option<Denial> {
        // A state file that was made since the scan has a newer change time. A new name for an old file has
        // several links.
        if look.kind == Kind::File && (look.stat.nlink != 1 || look.stat.ctime >= self.scanned_at) {
            self.refresh(fds, look.stat.ctime);
        }
        let known = self.denied.get(&look.identity()).copied();
        let known = known.or_else(|| above.iter().find_map(|identity| self.denied.get(identity).copied()));
        let known = known.or_else(|| self.globs.covers(path).then_some(Denial::Policy));
        known.or_else(|| {
            let mut parts = path.strip_prefix(b"/proc/")?.split(|byte| *byte == b'/');
            let pid = str::from_utf8(parts.next()?).ok()?.parse().ok()?;
            self.judge_process(pid, parts.next()?)
        })
    }

    /// Decides on `name` in the process directory of `pid`.
    #[must_use]
    pub(crate) fn judge_process(&self, pid: i32, name: &[u8]) -> Option<Denial> {
        let is_own = self.processes.contains(&pid);
        (is_own && !HARMLESS.contains(&name)).then_some(Denial::OwnProcess)
    }

    /// True if the owner denies something by its path. Then an object whose path is not known may be denied.
    #[must_use]
    pub(crate) fn denies_by_path(&self) -> bool {
        !self.globs.is_empty()
    }

    /// Adds a process of ours that was started later.
    pub(crate) fn add_process(&mut self, pid: i32) {
        self.processes.insert(pid);
    }

    /// The limits of the denials, for the manifest.
    #[must_use]
    pub fn limitations(&self) -> Vec<String> {
        let partial = self.is_partial.then(|| {
            format!("policy denials cover more than {INODES_MAX} objects: other hard links to the rest are not recognised")
        });
        let unseen = (self.unseen > 0).then(|| {
            format!(
                "{} objects that the policy denies could not be looked at: other hard links to what they hold are not recognised",
                self.unseen
            )
        });
        let unseen_state = (self.unseen_state > 0).then(|| {
            format!(
                "{} objects of the agent's own state could not be looked at: other names of what they hold are not recognised",
                self.unseen_state
            )
        });
        partial.into_iter().chain(unseen).chain(unseen_state).collect()
    }

    /// Scans the agent's own state again if one of its directories changed.
    fn refresh(&mut self, fds: &SelfFds, seen: FileTime) {
        let is_stale = self.state.iter().any(|known| {
            platform::look(known.directory.as_fd()).map_or(true, |look| look.stat.ctime != known.changed)
        });
        if is_stale {
            // If the scan fails, the older denials stay in force. They are still valid. The next object asks for a scan
            // again.
            drop(self.scan_state(fds, seen.max(self.scanned_at)));
        }
    }

    fn scan_state(&mut self, fds: &SelfFds, now: FileTime) -> Result<(), MatcherError> {
        let mut open: Vec<(Arc<OwnedFd>, usize)> = self.own.iter().map(|own| (Arc::clone(own), 0)).collect();
        let mut state = Vec::new();
        let mut unseen = 0;
        while let Some((directory, depth)) = open.pop() {
            let look = match platform::look(directory.as_fd()) {
                Ok(look) => look,
                Err(error) if depth == 0 => return Err(MatcherError::State(error)),
                Err(error) => {
                    unseen += usize::from(!error.is_absent());
                    continue;
                }
            };
            self.denied.insert(look.identity(), Denial::OwnState);
            state.push(StateDirectory { directory: Arc::clone(&directory), changed: look.stat.ctime });
            let mut names: Vec<Vec<u8>> = Vec::new();
            let listed =
                Directory::open(fds, directory.as_fd(), AtimeMethod::None).and_then(|mut listing| {
                    loop {
                        let batch = listing.next_batch()?;
                        if batch.is_empty() {
                            return Ok(());
                        }
                        names.extend(batch.into_iter().map(|entry| entry.name));
                    }
                });
            match listed {
                Err(error) if depth == 0 => return Err(MatcherError::State(error)),
                Err(error) => unseen += usize::from(!error.is_absent()),
                Ok(()) => {}
            }
            for name in names {
                let found = platform::open_beneath(directory.as_fd(), &name, CrossDevice::Allowed)
                    .and_then(|fd| Ok((platform::look(fd.as_fd())?, fd)));
                let (look, fd) = match found {
                    Ok(found) => found,
                    Err(error) => {
                        // An object that vanished between listing and opening need not be denied. One that cannot be
                        // looked at (a file system that is mounted there and no longer answers) is denied below its
                        // directory, and must not cost the collection.
                        unseen += usize::from(!error.is_absent());
                        continue;
                    }
                };
                self.denied.insert(look.identity(), Denial::OwnState);
                if look.kind == Kind::Dir && depth < DEPTH_MAX {
                    open.push((Arc::new(fd), depth + 1));
                }
            }
        }
        self.state = state;
        self.unseen_state = unseen;
        self.scanned_at = now;
        Ok(())
    }

    /// Walks the owner's denied trees and remembers the objects in them.
    fn scan_denied(
        &mut self,
        fds: &SelfFds,
        directory: BorrowedFd<'_>,
        view: AtimeMethod,
        states: &States,
        is_covered: bool,
        depth: usize,
    ) {
        if depth > DEPTH_MAX || !(is_covered || self.globs.can_match_below(states)) {
            return;
        }
        let names: Vec<Vec<u8>> = if is_covered || self.globs.needs_listing(states) {
            let mut names = Vec::new();
            let listed = Directory::open(fds, directory, view).and_then(|mut listing| {
                loop {
                    let batch = listing.next_batch()?;
                    if batch.is_empty() || self.is_partial {
                        return Ok(());
                    }
                    names.extend(batch.into_iter().map(|entry| entry.name));
                }
            });
            if listed.is_err() {
                self.unseen += 1;
            }
            names
        } else {
            self.globs.literal_names(states).into_iter().map(<[u8]>::to_vec).collect()
        };
        for name in names {
            let below = self.globs.enter(states, &name);
            let covered = is_covered || self.globs.is_matched(&below);
            if !covered && !self.globs.can_match_below(&below) {
                continue;
            }
            let found = platform::open_beneath(directory, &name, CrossDevice::Allowed)
                .and_then(|fd| Ok((platform::look(fd.as_fd())?, fd)));
            let (look, fd) = match found {
                Ok(found) => found,
                Err(error) => {
                    self.unseen += usize::from(!error.is_absent());
                    continue;
                }
            };
            if covered {
                if self.denied.len() >= INODES_MAX {
                    self.is_partial = true;
                    return;
                }
                self.denied.entry(look.identity()).or_insert(Denial::Policy);
            }
            if look.kind == Kind::Dir && matches!(platform::fs_kind(fd.as_fd()), Ok(platform::FsKind::Local))
            {
                self.scan_denied(fds, fd.as_fd(), view, &below, covered, depth + 1);
            }
        }
    }
}
