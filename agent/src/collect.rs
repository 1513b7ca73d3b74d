//! The collectors: each knows which sources make up one step of a plan.
//!
//! Guarantee: every collector takes raw bytes of named sources. The sealer decodes rows from those bytes
//! ([`crate::rows`]), and anyone can decode them again. Not here: how sources are read ([`crate::reader`]).

mod host;
mod journal;
mod mounts;
mod namespaces;
pub mod plan;
mod processes;
mod routes;
mod sessions;
mod sockets;

pub(crate) use routes::NEIGHBOURS;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use evidence::causes::chain;
use evidence::order::{FilesStep, OnLarger, Step};

use crate::glob::Globs;
use crate::ipc::{CollectorEnd, Use};
use crate::platform::{self, CallError, CrossDevice};
use crate::reader::files::{self, Selection};
use crate::reader::{Absent, Flow, Reader};

/// Runs one step. It fails only when the sealer is gone.
fn run_step(reader: &mut Reader<'_>, step: &Step) -> Flow<CollectorEnd> {
    match step {
        Step::Host {} => host::run(reader),
        Step::Sockets {} => sockets::run(reader),
        Step::Routes {} => routes::run(reader),
        Step::Sessions {} => sessions::run(reader),
        Step::Mounts {} => mounts::run(reader),
        Step::Processes(step) => processes::run(reader, *step),
        Step::Journal(step) => journal::run(reader, *step),
        Step::Files(step) => of_plan(reader, step),
    }
}

fn of_plan(reader: &mut Reader<'_>, step: &FilesStep) -> Flow<CollectorEnd> {
    let text = |globs: &[evidence::order::Glob]| {
        globs.iter().map(|glob| glob.as_str().to_owned()).collect::<Vec<_>>()
    };
    let compiled = Globs::compile(&text(&step.paths))
        .and_then(|paths| Ok((paths, Globs::compile(&text(&step.exclude))?)));
    let (include, exclude) = match compiled {
        Ok(compiled) => compiled,
        Err(error) => return Ok(reader.failed(format!("files: {}", chain(&error)))),
    };
    let cross = if step.one_filesystem { CrossDevice::Refused } else { CrossDevice::Allowed };
    let (item_bytes, on_larger) = (step.item_bytes, step.on_larger);
    let selection = Selection {
        include,
        exclude,
        item_bytes,
        cross,
        on_larger,
        absent: Absent::Recorded,
        use_as: Use::Member,
    };
    files::collect(reader, &selection)?;
    Ok(CollectorEnd::Done)
}

/// Collects a collector's own fixed paths. A path that this system does not have leaves no record.
fn fixed(reader: &mut Reader<'_>, globs: &[&str], use_as: Use) -> Flow<CollectorEnd> {
    let include = match Globs::compile(globs) {
        Ok(include) => include,
        Err(error) => return Ok(reader.failed(chain(&error))),
    };
    let selection = Selection {
        include,
        exclude: Globs::default(),
        item_bytes: u64::MAX,
        cross: CrossDevice::Allowed,
        on_larger: OnLarger::Skip,
        absent: Absent::Ignored,
        use_as,
    };
    files::collect(reader, &selection)?;
    Ok(CollectorEnd::Done)
}

/// Opens the directory at `names` below the process file system as a place.
fn proc_directory(reader: &Reader<'_>, names: &[&[u8]]) -> Result<Arc<OwnedFd>, CallError> {
    names.iter().try_fold(Arc::clone(&reader.proc), |directory, name| {
        platform::open_beneath(directory.as_fd(), name, CrossDevice::Allowed).map(Arc::new)
    })
}

/// Collects the file `path` (without `/proc/`) of the process file system.
fn proc_file(reader: &mut Reader<'_>, path: &str, absent: Absent) -> Flow<bool> {
    let mut names: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
    let Some(last) = names.pop() else { return Ok(false) };
    let full = format!("/proc/{path}");
    match proc_directory(reader, &names) {
        Ok(directory) => reader.pseudo(directory.as_fd(), last, full.as_bytes(), absent),
        Err(error) if error.is_absent() && absent == Absent::Ignored => Ok(false),
        Err(error) => {
            reader.record_failure(full.as_bytes(), evidence::item::Kind::Other, error, None).map(|()| false)
        }
    }
}
