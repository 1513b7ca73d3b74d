//! The file engine: walks from the root directory down, one component at a time, to everything that the globs
//! match.
//!
//! Guarantee: each object is opened as a place (`O_PATH | O_NOFOLLOW`), looked at, judged by type, file
//! system and [`crate::matcher`], and only then opened for reading through that same descriptor. Symbolic
//! links become items and are never followed. FIFOs, sockets and devices are never opened. A cycle is walked
//! only once. An object that the plan names but that is missing, refused or skipped leaves a record. Not
//! here: patterns ([`crate::glob`]), content (the sealer).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, Kind, RawBytes};
use evidence::order::OnLarger;

use super::{Absent, Flow, Reader};
use crate::glob::{Globs, States};
use crate::ipc::{PATH_BYTES_MAX, Use};
use crate::platform::{self, CallError, CrossDevice, Directory, FsKind, Identity, Look};

/// The path of a directory on the way down.
#[expect(
    clippy::expect_used,
    reason = "the walk only appends to the path below a level, and cuts it back to the level"
)]
fn above(path: &[u8], length: usize) -> &[u8] {
    path.get(..length).expect("a level's path is a beginning of the path")
}

/// Deepest directory that the walk enters: 256. This bounds the descriptors that are held on the way down.
const DEPTH_MAX: usize = 256;

/// What to collect, and how.
#[derive(Debug)]
pub struct Selection {
    /// What to collect.
    pub include: Globs,
    /// What to leave out, with everything below it.
    pub exclude: Globs,
    /// Size of the largest file to take whole.
    pub item_bytes: u64,
    /// Whether the walk crosses mount points below what the plan names.
    pub cross: CrossDevice,
    /// What to do with a larger file.
    pub on_larger: OnLarger,
    /// What to record for a named thing that does not exist.
    pub(crate) absent: Absent,
    /// What the sealer does with the content.
    pub(crate) use_as: Use,
}

/// A directory on the way down.
struct Level {
    directory: Arc<OwnedFd>,
    look: Look,
    path_len: usize,
    is_emitted: bool,
}

struct Walk<'r, 'a, 's> {
    reader: &'r mut Reader<'a>,
    selection: &'s Selection,
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// Collects everything `selection` matches.
///
/// # Errors
/// Only if the sealer is gone.
pub fn collect(reader: &mut Reader<'_>, selection: &Selection) -> Flow {
    let root = Arc::clone(&reader.root);
    let states = selection.include.root();
    let look = match platform::look(root.as_fd()) {
        Ok(look) => look,
        Err(error) => return reader.record_failure(b"/", Kind::Dir, error, None),
    };
    let mut walk = Walk { reader, selection, path: Vec::new(), levels: Vec::new() };
    walk.levels.push(Level { directory: root, look, path_len: 0, is_emitted: false });
    if selection.include.is_matched(&states) {
        walk.emit_levels()?;
    }
    walk.enter(&states)
}

/// The origin of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The plan spells it out.
    Named,
    /// The directory lists it.
    Listed,
}

impl Walk<'_, '_, '_> {
    /// Goes through the directory on top of the stack of levels.
    fn enter(&mut self, states: &States) -> Flow {
        let include = &self.selection.include;
        let mut named: Vec<Vec<u8>> = include.literal_names(states).into_iter().map(<[u8]>::to_vec).collect();
        if include.needs_listing(states) {
            named = self.list(states, named)?;
        }
        for name in named {
            self.visit(states, &name, Found::Named)?;
        }
        Ok(())
    }

    /// Visits every name that the directory lists. Returns the named things that it does not list.
    fn list(&mut self, states: &States, mut named: Vec<Vec<u8>>) -> Flow<Vec<Vec<u8>>> {
        let Some(top) = self.levels.last() else {
            return Ok(named);
        };
        let directory = Arc::clone(&top.directory);
        let mut listing = match Directory::open(&self.reader.fds, directory.as_fd(), self.reader.view) {
            Ok(listing) => listing,
            Err(error) => {
                self.unlisted(error)?;
                return Ok(named);
            }
        };
        if listing.method() == AtimeMethod::None {
            self.reader.limitation("access times of listed directories could not be protected everywhere");
        }
        loop {
            let entries = match listing.next_batch() {
                Ok(entries) if entries.is_empty() => return Ok(named),
                Ok(entries) => entries,
                Err(error) => {
                    self.unlisted(error)?;
                    return Ok(named);
                }
            };
            for entry in entries {
                named.retain(|name| *name != entry.name);
                let below = self.selection.include.enter(states, &entry.name);
                let is_wanted = self.selection.include.is_matched(&below)
                    || (entry.may_lead_on && self.selection.include.can_match_below(&below));
                if is_wanted {
                    self.visit(states, &entry.name, Found::Listed)?;
                }
            }
        }
    }

    /// Records that the directory on top could not be listed, or not to its end.
    fn unlisted(&mut self, error: CallError) -> Flow {
        let path = if self.path.is_empty() { b"/".to_vec() } else { self.path.clone() };
        self.reader.record_failure(&path, Kind::Dir, error, Some("the directory could not be listed"))
    }

    /// Looks at `name` of the directory on top and does what the states ask for.
    fn visit(&mut self, states: &States, name: &[u8], found: Found) -> Flow {
        let length = self.path.len();
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        let done = self.visit_here(states, name, found);
        self.path.truncate(length);
        done
    }

    fn visit_here(&mut self, states: &States, name: &[u8], found: Found) -> Flow {
        let include = &self.selection.include;
        let below = include.enter(states, name);
        let is_named = include.is_named(&below);
        if !self.selection.exclude.is_empty() && self.selection.exclude.covers(&self.path) {
            return Ok(());
        }
        let path = self.path.clone();
        if path.len() > PATH_BYTES_MAX {
            return self.reader.record_without(
                &path,
                Kind::Other,
                Outcome::SkippedLimit,
                "path is longer than 32 KiB",
            );
        }
        if !is_named && let Some(kind) = self.reader.remote_mount(&path) {
            let note = format!("file system {kind} is read only when the plan names it");
            return self.reader.record_without(&path, Kind::Other, Outcome::SkippedType, &note);
        }
        let Some(top) = self.levels.last() else {
            return Ok(());
        };
        let directory = Arc::clone(&top.directory);
        let cross = if is_named { CrossDevice::Allowed } else { self.selection.cross };
        let opened = platform::open_beneath(directory.as_fd(), name, cross)
            .and_then(|fd| Ok((platform::look(fd.as_fd())?, fd)));
        let (look, object) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.unopened(states, name, found, error),
        };
        if !self.is_readable_here(&path, &look, object.as_fd(), is_named)? {
            return Ok(());
        }
        let above: Vec<Identity> = self.levels.iter().map(|level| level.look.identity()).collect();
        if let Some(denial) = self.reader.matcher.judge(&self.reader.fds, &path, &look, &above) {
            return self.reader.record_without(&path, look.kind, Outcome::SkippedPolicy, denial.note());
        }
        let opened = Opened { directory: &directory, name, object: object.as_fd(), look: &look, path: &path };
        let (is_matched, can_match_below) = (include.is_matched(&below), include.can_match_below(&below));
        match look.kind {
            Kind::Dir if can_match_below => {
                let is_cycle = above.contains(&look.identity());
                if is_cycle || self.levels.len() >= DEPTH_MAX {
                    let outcome = if is_cycle { Outcome::SkippedLoop } else { Outcome::SkippedLimit };
                    let note = if is_cycle {
                        "the directory contains itself"
                    } else {
                        "deeper than 256 directories"
                    };
                    return self.reader.record_without(&path, Kind::Dir, outcome, note);
                }
                let level = Level {
                    look: look.clone(),
                    path_len: path.len(),
                    is_emitted: false,
                    directory: Arc::new(object),
                };
                self.levels.push(level);
                let done =
                    if is_matched { self.emit_levels() } else { Ok(()) }.and_then(|()| self.enter(&below));
                self.levels.pop();
                done
            }
            Kind::Dir => {
                self.emit_levels()?;
                self.emit_directory(&path, &look, object.as_fd())
            }
            Kind::Symlink => {
                self.emit_link(&opened)?;
                if can_match_below {
                    self.blocked(states, name, "a symbolic link is in the way; links are not followed")
                } else {
                    Ok(())
                }
            }
            Kind::File if is_matched => self.emit_file(&opened),
            Kind::File if can_match_below => self.blocked(states, name, "a file is in the way"),
            _ if is_matched => {
                self.emit_levels()?;
                if !self.reader.is_first(&path) {
                    return Ok(());
                }
                let mut seen = self.reader.seen(&path, look.kind);
                self.reader.describe(&mut seen, object.as_fd(), &look);
                seen.outcome = Outcome::SkippedType;
                self.reader.record(seen)
            }
            _ => Ok(()),
        }
    }

    /// Refuses automounts that were not triggered, and file systems whose bytes do not come from this
    /// machine, unless the plan names them.
    fn is_readable_here(
        &mut self,
        path: &[u8],
        look: &Look,
        object: BorrowedFd<'_>,
        is_named: bool,
    ) -> Flow<bool> {
        if look.is_automount && !is_named {
            let note = "an automount that has not happened; it is not triggered";
            self.reader.record_without(path, look.kind, Outcome::SkippedType, note)?;
            return Ok(false);
        }
        let Some(top) = self.levels.last() else {
            return Ok(false);
        };
        if look.stat.dev == top.look.stat.dev {
            return Ok(true);
        }
        // This file system may never answer. It is not a procfs.
        if is_named && self.reader.remote_mount(path).is_some() {
            return Ok(true);
        }
        let kind = match platform::fs_kind(object) {
            Ok(FsKind::Local) => return Ok(true),
            // The matcher decides by the path below `/proc` what may be given of a process. In any other
            // procfs the paths differ.
            Ok(FsKind::Pseudo("proc")) if is_named && path != b"/proc" => {
                let note = "processes are read below /proc only, not through another mount of procfs";
                self.reader.record_without(path, look.kind, Outcome::SkippedPolicy, note)?;
                return Ok(false);
            }
            _ if is_named => return Ok(true),
            Ok(FsKind::Pseudo(kind) | FsKind::Remote(kind)) => kind,
            Err(error) => {
                self.reader.record_failure(path, look.kind, error, None)?;
                return Ok(false);
            }
        };
        let note = format!("file system {kind} is read only when the plan names it");
        self.reader.record_without(path, look.kind, Outcome::SkippedType, &note)?;
        Ok(false)
    }

    /// Records a name that could not be opened.
    fn unopened(&mut self, states: &States, name: &[u8], found: Found, error: CallError) -> Flow {
        let path = self.path.clone();
        if error.errno == rustix::io::Errno::XDEV {
            let note = "another file system; the plan asks for one";
            return self.reader.record_without(&path, Kind::Dir, Outcome::SkippedFilter, note);
        }
        if found == Found::Listed || !error.is_absent() {
            return self.reader.record_failure(&path, Kind::Other, error, None);
        }
        if self.selection.absent == Absent::Ignored {
            return Ok(());
        }
        for path in self.selection.include.named_through(states, name) {
            let mut seen = self.reader.seen(&path, Kind::Other);
            seen.outcome = Outcome::Absent;
            seen.error = Some(error.item_error());
            self.reader.record(seen)?;
        }
        Ok(())
    }

    /// Records named things below something that is not a directory.
    fn blocked(&mut self, states: &States, name: &[u8], note: &str) -> Flow {
        let here = self.path.clone();
        if self.selection.absent == Absent::Ignored {
            return Ok(());
        }
        for path in self.selection.include.named_through(states, name) {
            if path != here {
                self.reader.record_without(&path, Kind::Other, Outcome::Absent, note)?;
            }
        }
        Ok(())
    }

    /// Hands over those directories on the way down that were not handed over yet.
    fn emit_levels(&mut self) -> Flow {
        let Self { reader, levels, path, .. } = self;
        for level in levels.iter_mut().filter(|level| !level.is_emitted) {
            level.is_emitted = true;
            let own = above(path, level.path_len);
            let own = if own.is_empty() { b"/".as_slice() } else { own };
            if reader.is_first(own) {
                let mut seen = reader.seen(own, Kind::Dir);
                reader.describe(&mut seen, level.directory.as_fd(), &level.look);
                seen.atime_method = (reader.view == AtimeMethod::RoView).then_some(AtimeMethod::RoView);
                reader.record(seen)?;
            }
        }
        Ok(())
    }

    fn emit_directory(&mut self, path: &[u8], look: &Look, object: BorrowedFd<'_>) -> Flow {
        if !self.reader.is_first(path) {
            return Ok(());
        }
        let mut seen = self.reader.seen(path, Kind::Dir);
        self.reader.describe(&mut seen, object, look);
        self.reader.record(seen)
    }

    fn emit_link(&mut self, opened: &Opened<'_>) -> Flow {
        self.emit_levels()?;
        if !self.reader.is_first(opened.path) {
            return Ok(());
        }
        let mut seen = self.reader.seen(opened.path, Kind::Symlink);
        self.reader.describe(&mut seen, opened.object, opened.look);
        match platform::read_link(opened.object) {
            Ok(target) if !target.is_empty() => {
                seen.target = Some(RawBytes(target));
                // Reading a link changes its access time unless the view prevents that. O_NOATIME does not
                // apply to links.
                seen.atime_method = Some(self.reader.view);
            }
            Ok(_) => {
                seen.outcome = Outcome::IoError;
                seen.note = Some("the link has no text".to_owned());
            }
            Err(error) => {
                seen.outcome = error.outcome();
                seen.error = Some(error.item_error());
            }
        }
        self.reader.record(seen)
    }

    fn emit_file(&mut self, opened: &Opened<'_>) -> Flow {
        self.emit_levels()?;
        if let Ok(FsKind::Pseudo(_)) = platform::fs_kind(opened.object) {
            // An order for environments is sensitive because of its `processes` step. No glob may get around
            // that.
            if opened.name == b"environ" {
                let note = "environments are collected by the processes step only";
                return self.reader.record_without(opened.path, Kind::File, Outcome::SkippedType, note);
            }
            return self.reader.pseudo_object(opened.object, opened.look, opened.path).map(drop);
        }
        if !self.reader.is_first(opened.path) {
            return Ok(());
        }
        let mut seen = self.reader.seen(opened.path, Kind::File);
        self.reader.describe(&mut seen, opened.object, opened.look);
        let most = self.selection.item_bytes.min(self.reader.limits.item_bytes);
        if opened.look.stat.size > most {
            if self.selection.on_larger == OnLarger::Skip {
                seen.outcome = Outcome::SkippedLimit;
                seen.note = Some(format!("item_bytes: larger than {most} bytes"));
                return self.reader.record(seen);
            }
            seen.bytes_max = Some(most);
        }
        match platform::reopen(&self.reader.fds, opened.object, self.reader.view, false) {
            Ok((file, method)) => {
                seen.atime_method = Some(method);
                self.reader.content(seen, file.as_fd(), opened.directory, opened.name, self.selection.use_as)
            }
            Err(error) => {
                seen.outcome = error.outcome();
                seen.error = Some(error.item_error());
                self.reader.record(seen)
            }
        }
    }
}

/// An open object, with the directory and name under which it was found.
struct Opened<'a> {
    directory: &'a Arc<OwnedFd>,
    name: &'a [u8],
    object: BorrowedFd<'a>,
    look: &'a Look,
    path: &'a [u8],
}
