//! Verifies a bundle offline against pinned keys: docs/spec/bundle.md, every check of it.
//! Guarantee: no network code; nothing inside the bundle is believed but what pinned keys lead to; what was not checked is said.

#![forbid(unsafe_code)]

mod acts;
mod collections;
mod conveniences;
mod cosigners;
mod coverage;
mod disposal;
mod documents;
mod endpoints;
mod entries;
mod every_act;
mod export;
mod files;
mod head;
mod log_keys;
mod mirrors;
mod orders;
mod report;
mod rosters;
mod sequence;
mod stamps;
mod trust;

use std::collections::BTreeMap;
use std::path::Path;

pub use files::FilesError;
pub use report::{Check, CollectionSummary, ProducedItem, Report, Verdict};
pub use sequence::Effort;
pub use trust::{Trust, TrustError};

use files::Files;

/// How far a verification is: bytes read of the bytes there are to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// In all; containers and produced contents are read twice, once for their digest and once for what is in them.
    pub total: u64,
}

/// Most altered, missing or extra files that a report names: enough to see what happened.
const WRONG_FILES_MAX: usize = 32;

/// Verifies the bundle in `folder`.
///
/// # Errors
/// [`FilesError::Io`], [`FilesError::NotAFolder`] and [`FilesError::NotABundle`] when there is nothing to judge (exit 2); everything else is in the report.
pub fn verify(
    folder: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    judge(Files::open(folder), trust, Effort::Whole, progress)
}

/// Verifies a bundle whose files are in memory, by name.
///
/// # Errors
/// As [`verify`].
pub fn verify_memory(
    files: &BTreeMap<String, Vec<u8>>,
    trust: &Trust,
    effort: Effort,
) -> Result<Report, FilesError> {
    judge(Files::in_memory(files), trust, effort, &mut |_| ())
}

fn judge(
    files: Result<Files<'_>, FilesError>,
    trust: &Trust,
    effort: Effort,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    let mut report = Report::default();
    let files = match files {
        Ok(files) => files,
        Err(FilesError::Malformed { what }) => {
            report.failed("sums", "", what);
            report.complete();
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    let containers: u64 = files
        .below("evidence/")
        .filter(|name| name.ends_with(".zst") || name.ends_with(".content"))
        .filter_map(|name| files.length(name))
        .sum();
    let mut state = Progress { done: 0, total: files.total().saturating_add(containers) };
    let mut step = |bytes: u64| {
        state.done = state.done.saturating_add(bytes);
        progress(state);
    };
    let most = match effort {
        Effort::Whole => WRONG_FILES_MAX,
        Effort::UntilFailure => 1,
    };
    let wrong = files.compare(most, &mut step)?;
    if wrong.is_empty() {
        report.ok("sums", "", "every file has its digest; none is missing, none is extra");
    }
    for one in wrong {
        report.failed("sums", "", one);
    }
    sequence::run(&files, trust, effort, &mut report, &mut step);
    report.complete();
    Ok(report)
}
