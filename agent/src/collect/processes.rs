//! Running processes. All reads of a process go through one descriptor of `/proc/PID`, so that they belong to
//! that process even if its id is used again.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, Kind};
use evidence::order::ProcessesStep;

use super::namespaces::process_ids;
use crate::ipc::{CollectorEnd, Use};
use crate::matcher::Denial;
use crate::platform::{self, CallError, CrossDevice, Directory, FsKind};
use crate::reader::{Absent, Flow, Reader};

/// Links of one process that are collected besides its descriptors.
const LINKS: &[&str] = &["exe", "cwd", "root"];

const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Read `stat` last: it completes the row of a process.
const FILES: &[&str] =
    &["status", "cmdline", "cgroup", "limits", "io", "loginuid", "sessionid", "oom_score_adj", "stat"];

/// Most descriptors that are listed of one process: 65,536.
const DESCRIPTORS_MAX: usize = 1 << 16;

pub(super) fn run(reader: &mut Reader<'_>, step: ProcessesStep) -> Flow<CollectorEnd> {
    let ids = match process_ids(reader) {
        Ok(ids) => ids,
        Err(error) => return Ok(reader.failed(format!("list processes: {error}"))),
    };
    for pid in ids {
        process(reader, step, pid)?;
    }
    reader
        .limitation("processes: a walk, not a snapshot; processes that lived only during it may be missing");
    Ok(CollectorEnd::Done)
}

/// What the collector reads of one process.
struct Process {
    pid: i32,
    directory: Arc<OwnedFd>,
}

fn process(reader: &mut Reader<'_>, step: ProcessesStep, pid: i32) -> Flow {
    let path = format!("/proc/{pid}");
    let name = pid.to_string();
    let opened = platform::open_beneath(reader.proc.as_fd(), name.as_bytes(), CrossDevice::Allowed)
        .and_then(|fd| Ok((platform::look(fd.as_fd())?, fd)));
    let (look, directory) = match opened {
        Ok(opened) => opened,
        Err(error) => return reader.record_failure(path.as_bytes(), Kind::Dir, error, None),
    };
    if reader.is_denied(path.as_bytes(), &look)? {
        return Ok(());
    }
    if reader.is_first(path.as_bytes()) {
        let mut seen = reader.seen(path.as_bytes(), Kind::Dir);
        seen.before = Some(look.stat);
        reader.record(seen)?;
    }
    let process = Process { pid, directory: Arc::new(directory) };
    for name in LINKS {
        process.link(reader, process.directory.as_fd(), name, name)?;
    }
    process.program(reader, step.hash_exe)?;
    if let Ok(namespaces) = platform::open_beneath(process.directory.as_fd(), b"ns", CrossDevice::Allowed) {
        for name in NAMESPACES {
            process.link(reader, namespaces.as_fd(), name, &format!("ns/{name}"))?;
        }
    }
    process.descriptors(reader)?;
    if step.environ {
        process.file(reader, "environ")?;
    }
    if step.maps {
        process.file(reader, "maps")?;
    }
    for name in FILES {
        process.file(reader, name)?;
    }
    Ok(())
}

impl Process {
    fn path(&self, name: &str) -> Vec<u8> {
        format!("/proc/{}/{name}", self.pid).into_bytes()
    }

    /// True if the program may be read. Otherwise the refusal is recorded.
    fn is_given(&self, reader: &mut Reader<'_>, name: &str, kind: Kind) -> Flow<bool> {
        match reader.matcher.judge_process(self.pid, name.as_bytes()) {
            None => Ok(true),
            Some(denial) => {
                let path = self.path(name);
                reader.record_without(&path, kind, Outcome::SkippedPolicy, denial.note())?;
                Ok(false)
            }
        }
    }

    fn file(&self, reader: &mut Reader<'_>, name: &str) -> Flow {
        if self.is_given(reader, name, Kind::File)? {
            reader.pseudo(self.directory.as_fd(), name.as_bytes(), &self.path(name), Absent::Ignored)?;
        }
        Ok(())
    }

    fn link(
        &self,
        reader: &mut Reader<'_>,
        directory: std::os::fd::BorrowedFd<'_>,
        name: &str,
        shown: &str,
    ) -> Flow {
        if !self.is_given(reader, shown.split('/').next().unwrap_or(shown), Kind::Symlink)? {
            return Ok(());
        }
        match platform::read_link_at(directory, name.as_bytes()) {
            // Kernel threads have no program, zombies no longer have anything, and old kernels have fewer
            // namespaces.
            Err(error) if error.is_absent() => Ok(()),
            _ => reader.link(directory, name.as_bytes(), &self.path(shown)).map(drop),
        }
    }

    /// The links under `fd` show what the process holds open and which sockets belong to it.
    fn descriptors(&self, reader: &mut Reader<'_>) -> Flow {
        if !self.is_given(reader, "fd", Kind::Dir)? {
            return Ok(());
        }
        let listed = platform::open_beneath(self.directory.as_fd(), b"fd", CrossDevice::Allowed).and_then(
            |directory| {
                let mut names = Vec::new();
                let mut listing = Directory::open(&reader.fds, directory.as_fd(), AtimeMethod::RoView)?;
                loop {
                    let batch = listing.next_batch()?;
                    let is_cut = !batch.is_empty() && names.len() >= DESCRIPTORS_MAX;
                    if batch.is_empty() || is_cut {
                        return Ok((directory, names, is_cut));
                    }
                    names.extend(batch.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok()));
                }
            },
        );
        let (directory, mut names, is_cut) = match listed {
            Ok(listed) => listed,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return reader.record_failure(&self.path("fd"), Kind::Dir, error, None),
        };
        if is_cut {
            reader.limitation(format!(
                "processes: process {} has more than {DESCRIPTORS_MAX} descriptors; the rest is not listed",
                self.pid
            ));
        }
        // A name that is no number comes last. The order is for people.
        names.sort_by_key(|name| name.parse::<u32>().map_or((true, 0), |number| (false, number)));
        for name in names {
            self.link(reader, directory.as_fd(), &name, &format!("fd/{name}"))?;
        }
        Ok(())
    }

    /// Hands over the running program for its digest. It opens the program by the magic link: that is the
    /// very file that runs, deleted or not.
    fn program(&self, reader: &mut Reader<'_>, is_hashed: bool) -> Flow {
        let object = match platform::open_magic(self.directory.as_fd(), b"exe") {
            Ok(object) => object,
            // The record of the link itself holds the failure, and the row says that there is no digest.
            Err(_refused_or_none) => return Ok(()),
        };
        let path = self.path("exe");
        let looked =
            platform::look(object.as_fd()).and_then(|look| Ok((look, platform::fs_kind(object.as_fd())?)));
        let Ok((look, fs)) = looked else { return Ok(()) };
        let mut seen = reader.seen(&path, look.kind);
        match self.judge_program(reader, &look) {
            Ok(None) => {}
            Ok(Some(denial)) => {
                seen.outcome = Outcome::SkippedPolicy;
                seen.note = Some(denial.note().to_owned());
                return reader.digest_refused(seen);
            }
            // Without its path nobody can say that the owner does not deny it.
            Err(error) => {
                seen.outcome = error.outcome();
                seen.error = Some(error.item_error());
                return reader.digest_refused(seen);
            }
        }
        seen.before = Some(look.stat.clone());
        let refusal = if !is_hashed {
            Some("the plan asks for no digest".to_owned())
        } else if look.kind != Kind::File {
            Some("not a regular file".to_owned())
        } else if fs != FsKind::Local {
            Some("not on a local file system".to_owned())
        } else if look.stat.size > reader.limits.item_bytes {
            Some(format!("item_bytes: larger than {} bytes", reader.limits.item_bytes))
        } else {
            None
        };
        if let Some(note) = refusal {
            seen.outcome = Outcome::SkippedLimit;
            seen.note = Some(note);
            return reader.digest_refused(seen);
        }
        match self.open_program(reader, object.as_fd(), &look) {
            Ok((file, method)) => {
                if method == AtimeMethod::None {
                    reader.limitation("processes: access times of some programs could not be protected");
                }
                seen.atime_method = Some(method);
                let directory = Arc::clone(&self.directory);
                reader.content(seen, file.as_fd(), &directory, b"exe", Use::Digest)
            }
            Err(error) => {
                seen.outcome = error.outcome();
                seen.error = Some(error.item_error());
                reader.digest_refused(seen)
            }
        }
    }

    /// Checks whether the program may be read as an object, by its own path and by the path of the link. A
    /// digest, like content, reveals what a file is.
    ///
    /// # Errors
    /// The path is not known, and the owner denies something by path. The program must not be read.
    fn judge_program(
        &self,
        reader: &mut Reader<'_>,
        look: &platform::Look,
    ) -> Result<Option<Denial>, CallError> {
        let mut paths = vec![self.path("exe")];
        match platform::read_link_at(self.directory.as_fd(), b"exe") {
            Ok(link) => {
                // The kernel adds this to the path of a file without a name. But a file's name may also end like
                // this.
                let bare = link.strip_suffix(b" (deleted)").filter(|_| look.stat.nlink == 0);
                paths.extend(bare.map(<[u8]>::to_vec));
                paths.push(link);
            }
            Err(error) if reader.matcher.denies_by_path() => return Err(error),
            // The kernel refuses to print a path of more than a page. If no path is denied, the object itself decides.
            Err(_unprinted) => {}
        }
        Ok(paths.iter().find_map(|path| reader.matcher.judge(&reader.fds, path, look, &[])))
    }

    /// Opens the program through the protected view if its path there means the same object, otherwise by the
    /// link.
    fn open_program(
        &self,
        reader: &Reader<'_>,
        object: std::os::fd::BorrowedFd<'_>,
        look: &platform::Look,
    ) -> Result<(OwnedFd, AtimeMethod), CallError> {
        if reader.view == AtimeMethod::RoView
            && let Ok(path) = platform::read_link_at(self.directory.as_fd(), b"exe")
        {
            let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
            let found = names.try_fold(Arc::clone(&reader.root), |directory, name| {
                platform::open_beneath(directory.as_fd(), name, CrossDevice::Allowed).map(Arc::new)
            });
            if let Ok(found) = found
                && platform::look(found.as_fd())?.identity() == look.identity()
            {
                return platform::reopen(&reader.fds, found.as_fd(), AtimeMethod::RoView, false);
            }
        }
        platform::reopen_magic(&reader.fds, object)
    }
}
