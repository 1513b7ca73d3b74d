//! The trust directory, and what a report says.

use std::path::Path;

use evidence::id::Actor;
use exhibit_verify::{Check, Effort, Report, Trust, Verdict, verify_memory};

use super::{Files, LOG, authority, log_key};

/// The trust directory's files.
pub fn trust_files() -> Files {
    let policy = format!("log {}\nquorum none\n", log_key(LOG, "exhibit/acme"));
    Files::from([
        ("authority".to_owned(), authority().to_trust_file().into_bytes()),
        ("policy".to_owned(), policy.into_bytes()),
    ])
}

pub fn save(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

pub fn trust_of(files: &Files) -> Trust {
    let folder = tempfile::tempdir().unwrap();
    save(files, folder.path());
    Trust::load(folder.path()).unwrap()
}

pub fn trust() -> Trust {
    trust_of(&trust_files())
}

pub fn verify(files: &Files) -> Report {
    verify_memory(files, &trust(), Effort::Whole).unwrap()
}

/// Names of the checks with a verdict.
pub fn checks(report: &Report, verdict: Verdict) -> Vec<&Check> {
    report
        .checks
        .iter()
        .filter(|check| check.verdict == verdict)
        .collect()
}

pub fn fails(report: &Report, name: &str) -> bool {
    checks(report, Verdict::Failed)
        .iter()
        .any(|check| check.check == name)
}

pub fn by_actor(text: &str) -> Actor {
    text.parse().unwrap()
}
