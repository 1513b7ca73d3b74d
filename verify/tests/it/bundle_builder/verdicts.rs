//! The trust directory, and what a report says.

use std::path::Path;
use std::process::{Command, Stdio};

use evidence::bundle::EnrolledKey;
use evidence::enrolment::EnrolmentRequest;
use evidence::id::Actor;
use evidence::json;
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
    judged_under(files, &trust())
}

/// What `exhibit-verify` says under these pins.
pub fn judged_under(files: &Files, trust: &Trust) -> Report {
    let report = verify_memory(files, trust, Effort::Whole).unwrap();
    let mut failed: Vec<&str> = checks(&report, Verdict::Failed).iter().map(|check| check.check).collect();
    failed.sort_unstable();
    failed.dedup();
    record("exhibit-verify", i32::from(report.exit_code()), &failed.join(", "));
    report
}

/// One line in the file that `EXHIBIT_VERDICTS` names, if it does: which test asked, which verifier, its exit code, the checks that failed.
fn record(verifier: &str, code: i32, failed: &str) {
    use std::io::Write as _;
    if let Some(path) = std::env::var_os("EXHIBIT_VERDICTS") {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("(a thread without name)");
        let line = format!("{test}: {verifier} {code} {failed}");
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path).unwrap();
        // One write a line: tests run beside each other.
        file.write_all(format!("{}\n", line.trim_end()).as_bytes()).unwrap();
    }
}

/// Where verify.sh finds its bundles: a shell script trips over blanks, tar over a colon, and both over what is no ASCII.
const ODD_PLACE: &str = "a b/host:dïr ☃ [x]/-案件 'q'";

/// What verify.sh says, which knows nothing of our code: exit code and text.
pub fn script(files: &Files, pins: &Files) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, trust) = (folder.path().join(ODD_PLACE).join("bundle"), folder.path().join("my träst"));
    save(files, &bundle);
    save(pins, &trust);
    let output = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.sh"))
        .arg(bundle)
        .arg(trust)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = output.status.code().unwrap();
    record("verify.sh", code, "");
    (code, said)
}

/// What `exhibit-verify` says; verify.sh comes to the same end.
pub fn both(files: &Files, pins: &Files) -> (Report, String) {
    let report = judged_under(files, &trust_of(pins));
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

/// The enrolments of a bundle, last name first: no test may lean on the order of its endpoints.
pub fn enrolled(files: &Files) -> Vec<EnrolledKey> {
    let names =
        files.keys().filter(|name| name.starts_with("deployment/enrolment-") && name.ends_with(".json"));
    let read = |name: &String| json::parse_document::<EnrolmentRequest>(&files[name]).unwrap();
    names.rev().map(|name| EnrolledKey::from(&read(name))).collect()
}

pub fn by_actor(text: &str) -> Actor {
    text.parse().unwrap()
}
