//! Verifies a bundle offline against pinned keys: every check of docs/spec/bundle.md.
//! Guarantee: this crate has no network code. It believes nothing in the bundle that no pinned key leads to, and the report names every
//! check that was not made.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

mod acts;
mod collections;
mod conveniences;
mod cosigners;
mod coverage;
mod disposal;
mod documents;
mod entries;
mod every_act;
mod export;
mod files;
mod fold;
mod head;
mod log_keys;
mod mirrors;
mod notes;
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

/// The progress of a verification, in bytes read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// Bytes to read in all. Containers and produced contents count twice: once for the file's digest, once for the content.
    pub total: u64,
}

/// Most altered, missing or extra files that a report names. More would not tell more.
const WRONG_FILES_MAX: usize = 32;

/// Verifies the bundle in `folder`.
///
/// # Errors
/// [`FilesError::Io`], [`FilesError::NotAFolder`] or [`FilesError::NotABundle`] if there is no bundle to judge: exit with 2. The report
/// holds everything that is wrong with a bundle.
pub fn verify(
    folder: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    judge(Files::open(folder), trust, Effort::Whole, progress)
}

/// Verifies a bundle whose files are in memory, by name. Errors are those of [`verify`].
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
        // Lengths of sparse files may add up past 2^64. The total is shown, never judged: it stops at the largest number.
        .fold(0, u64::saturating_add);
    // The same for both together.
    let mut state = Progress { done: 0, total: files.total().saturating_add(containers) };
    let mut step = |bytes: u64| {
        state.done += bytes;
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
