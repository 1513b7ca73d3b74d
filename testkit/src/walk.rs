//! The files below a folder, for tests that look at everything that a program left there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Every regular file below `folder`, sorted by path. What is not there, or goes meanwhile, is left out: programs may be at work.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let is_gone =
        |error: &walkdir::Error| error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound);
    WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter(|found| !found.as_ref().is_err_and(is_gone))
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}
