//! The trust directory, and what a report says.

use std::path::Path;
use std::process::{Command, Stdio};

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

/// What verify.sh says, which knows nothing of our code: exit code and text.
pub fn script(files: &Files, pins: &Files) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    save(files, &folder.path().join("bundle"));
    save(pins, &folder.path().join("trust"));
    let output = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.sh"))
        .arg(folder.path().join("bundle"))
        .arg(folder.path().join("trust"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap(), said)
}

/// What `exhibit-verify` says; verify.sh comes to the same end.
pub fn both(files: &Files, pins: &Files) -> (Report, String) {
    let report = verify_memory(files, &trust_of(pins), Effort::Whole).unwrap();
    let (code, said) = script(files, pins);
    assert_eq!(code, i32::from(report.exit_code()), "{}\n{said}", report.text());
    (report, said)
}

/// Names of the checks with a verdict.
pub fn checks(report: &Report, verdict: Verdict) -> Vec<&Check> {
    report.checks.iter().filter(|check| check.verdict == verdict).collect()
}

pub fn fails(report: &Report, name: &str) -> bool {
    checks(report, Verdict::Failed).iter().any(|check| check.check == name)
}

pub fn by_actor(text: &str) -> Actor {
    text.parse().unwrap()
}
