//! Both verifiers on the same bundle, below a folder whose name scripts trip over, and what their reports say.

use std::path::Path;
use std::process::{Command, Stdio};

use exhibit_verify::{Check, Effort, Report, Trust, Verdict, verify_memory};
use testkit::bundles::{Files, Laid, save, trust_files};

pub fn trust_of(files: &Files) -> Trust {
    let folder = tempfile::tempdir().unwrap();
    save(files, folder.path());
    Trust::load(folder.path()).unwrap()
}

pub fn trust() -> Trust {
    trust_of(&trust_files())
}

/// What `exhibit-verify` says of a bundle; verify.py comes to the same end.
pub fn verify(files: &Files) -> Report {
    both(files, &trust_files()).0
}

/// What `exhibit-verify` says of files in memory under these pins.
pub fn judged_under(files: &Files, trust: &Trust) -> Report {
    recorded(verify_memory(files, trust, Effort::Whole).unwrap())
}

fn recorded(report: Report) -> Report {
    record("exhibit-verify", i32::from(report.exit_code()), &failed(&report));
    report
}

/// The names of the checks that failed.
pub fn failed(report: &Report) -> String {
    let mut failed: Vec<&str> = checks(report, Verdict::Failed).iter().map(|check| check.check).collect();
    failed.sort_unstable();
    failed.dedup();
    failed.join(", ")
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

/// What both say of a bundle in a folder.
pub struct Judged {
    /// Of `exhibit-verify`.
    pub report: Report,
    /// The exit code of verify.py, which knows nothing of our code.
    pub code: i32,
    /// What verify.py prints.
    pub said: String,
}

impl Judged {
    /// The checks that verify.py says to have failed.
    pub fn plainly_failed(&self) -> Vec<&str> {
        let lines = self.said.lines().filter_map(|line| line.strip_prefix("FAILED "));
        let mut failed: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        failed.sort_unstable();
        failed.dedup();
        failed
    }
}

/// Puts a bundle to both verifiers.
pub fn judged(files: &Files, pins: &Files) -> Judged {
    let laid = Laid::out(files, pins);
    let trust = Trust::load(&laid.trust()).unwrap();
    let report = recorded(exhibit_verify::verify(&laid.bundle(), &trust, &mut |_| ()).unwrap());
    let (code, said) = plainly(&laid);
    Judged { report, code, said }
}

/// What verify.py says: exit code and text.
pub fn script(files: &Files, pins: &Files) -> (i32, String) {
    plainly(&Laid::out(files, pins))
}

/// verify.py runs where the day and the letters are others than the maker's.
fn plainly(laid: &Laid) -> (i32, String) {
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.py"))
        .arg(laid.bundle())
        .arg(laid.trust())
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, said) = (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned());
    record("verify.py", code, "");
    (code, said)
}

/// What `exhibit-verify` says; verify.py comes to the same end.
pub fn both(files: &Files, pins: &Files) -> (Report, String) {
    let Judged { report, code, said } = judged(files, pins);
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
