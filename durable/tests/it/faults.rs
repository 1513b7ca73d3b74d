//! Each system call of a write in turn: failed, and killed before it (so that the call before took effect and nothing after).
//!
//! strace runs this test binary again, with one act; `-e inject=` fails the call or kills the process as it enters it.

use std::path::{Path, PathBuf};
use std::process::Command;

const ACT: &str = "EXHIBIT_TEST_DURABLE_ACT";
const FOLDER: &str = "EXHIBIT_TEST_DURABLE_FOLDER";
const OLD: &[u8] = b"old content";
const NEW: &[u8] = b"new content, longer";

/// Runs under strace only; without its variables there is nothing to do.
#[test]
fn act_under_strace() {
    let (Some(act), Some(folder)) = (std::env::var_os(ACT), std::env::var_os(FOLDER)) else {
        return;
    };
    let path = PathBuf::from(folder).join("file");
    let result = match act.to_str().unwrap() {
        "create" => durable::create(&path, NEW, 0o600),
        "replace" => durable::replace(&path, NEW, 0o600),
        "folder" => durable::create_private_folder(&path.join("below")),
        "remove" => durable::remove(&path),
        "lines" => durable::LineFile::open(&path, |_| Ok(())).and_then(|mut lines| {
            let first = lines.append(b"line");
            // After a failed flush nothing more is taken: a second fsync would report success for lost pages.
            assert!(first.is_ok() || (lines.append(b"next").is_err() && lines.sync().is_err()));
            first
        }),
        other => panic!("no act {other}"),
    };
    result.unwrap();
}

/// What strace saw: the calls on the folder and the files in it, and whether the act succeeded.
struct Run {
    is_ok: bool,
    calls: String,
    /// What the act printed: its error.
    said: String,
}

fn run(place: &Path, act: &str, inject: &[&str]) -> Run {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-o"]).arg(log.path());
    for path in ["", "file", ".file.next", "file/below"] {
        command.arg("-P").arg(place.join(path));
    }
    command.args([
        "-e",
        "trace=write,flock,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat",
    ]);
    for fault in inject {
        command.arg("-e").arg(format!("inject={fault}"));
    }
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "faults::act_under_strace"]);
    let output = command.env(ACT, act).env(FOLDER, place).output().expect("strace is needed for this test");
    let calls = fs_err::read_to_string(log.path()).unwrap();
    assert!(
        inject.is_empty() || calls.contains("INJECTED") || calls.contains("SIGKILL"),
        "no fault: {calls}"
    );
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Run { is_ok: output.status.success(), calls, said }
}

const FAIL: &str = "error=EIO";
const KILL: &str = "signal=KILL";
const RENAME: &str = "rename,renameat,renameat2";

/// Position of the first call of `name` whose line contains `text`.
fn position(calls: &str, name: &str, text: &str) -> usize {
    let found = calls.lines().position(|line| line.contains(&format!(" {name}")) && line.contains(text));
    found.unwrap_or_else(|| panic!("no {name} of {text} in\n{calls}"))
}

#[test]
fn content_is_flushed_before_the_name_and_the_name_before_success() {
    for act in ["create", "replace"] {
        let place = tempfile::tempdir().unwrap();
        let seen = run(place.path(), act, &[]);
        assert!(seen.is_ok, "{}", seen.calls);
        let folder = format!("{}>)", place.path().display());
        let order = [
            position(&seen.calls, "write(", ".file.next>"),
            position(&seen.calls, "fsync(", ".file.next>"),
            position(&seen.calls, "rename", ".file.next\""),
            position(&seen.calls, "fsync(", &folder),
        ];
        assert!(order.is_sorted(), "{act}: {order:?}\n{}", seen.calls);
    }
}

/// After each fault: does the name show old or new content, and is the next writer right?
#[test]
fn a_fault_in_a_replacement_leaves_the_old_file_or_the_new_one() {
    let cases = [
        ("write".to_owned(), "error=ENOSPC:when=1", OLD),
        ("fsync".to_owned(), "error=EIO:when=1", OLD),
        (RENAME.to_owned(), FAIL, OLD),
        ("fsync".to_owned(), "error=EIO:when=2", NEW),
        ("write".to_owned(), "signal=KILL:when=1", OLD),
        ("fsync".to_owned(), "signal=KILL:when=1", OLD),
        (RENAME.to_owned(), KILL, OLD),
        ("fsync".to_owned(), "signal=KILL:when=2", NEW),
    ];
    for (call, fault, stands) in cases {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs_err::write(&path, OLD).unwrap();
        let seen = run(place.path(), "replace", &[&format!("{call}:{fault}")]);
        assert!(!seen.is_ok, "{call} {fault}: success was reported");
        assert_eq!(fs_err::read(&path).unwrap(), stands, "{call} {fault}\n{}", seen.calls);
        let left = place.path().join(".file.next").exists();
        assert!(!left || fault.starts_with("signal"), "{call} {fault}: a failed write left its file");
        durable::replace(&path, b"next", 0o600).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"next");
        assert!(!place.path().join(".file.next").exists(), "{call} {fault}");
    }
}

#[test]
fn a_fault_in_a_creation_leaves_no_file_or_the_whole_one() {
    let cases = [
        ("write".to_owned(), "error=ENOSPC:when=1", None),
        ("fsync".to_owned(), "error=EIO:when=1", None),
        (RENAME.to_owned(), FAIL, None),
        ("fsync".to_owned(), "error=EIO:when=2", Some(NEW)),
        ("fsync".to_owned(), "signal=KILL:when=1", None),
        (RENAME.to_owned(), KILL, None),
        ("fsync".to_owned(), "signal=KILL:when=2", Some(NEW)),
    ];
    for (call, fault, stands) in cases {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let seen = run(place.path(), "create", &[&format!("{call}:{fault}")]);
        assert!(!seen.is_ok, "{call} {fault}: success was reported");
        assert_eq!(fs_err::read(&path).ok().as_deref(), stands, "{call} {fault}\n{}", seen.calls);
        assert_eq!(durable::create(&path, NEW, 0o600).is_ok(), stands.is_none(), "{call} {fault}");
        assert_eq!(fs_err::read(&path).unwrap(), NEW);
        assert!(!place.path().join(".file.next").exists(), "{call} {fault}");
    }
}

#[test]
fn a_file_system_without_exclusive_renames_is_served_by_links() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let inject = ["renameat2:error=EINVAL"];
    assert!(run(place.path(), "create", &inject).is_ok);
    assert_eq!(fs_err::read(&path).unwrap(), NEW);
    fs_err::write(&path, OLD).unwrap();
    assert!(!run(place.path(), "create", &inject).is_ok, "a file was replaced");
    assert_eq!(fs_err::read(&path).unwrap(), OLD);
    assert!(!place.path().join(".file.next").exists());
}

#[test]
fn a_file_system_without_exclusive_renames_and_links_is_named_as_the_cause() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let neither = ["renameat2:error=EINVAL", "link,linkat:error=EPERM"];
    let seen = run(place.path(), "create", &neither);
    assert!(!seen.is_ok && seen.said.contains("neither rename without replacing"), "{}", seen.said);
    assert!(!path.exists() && !place.path().join(".file.next").exists());
    // The second name stays: success must not be reported, and the file is whole.
    let second_name = ["renameat2:error=EINVAL", "unlink,unlinkat:error=EIO"];
    assert!(!run(place.path(), "create", &second_name).is_ok);
    assert_eq!(fs_err::read(&path).unwrap(), NEW);
    durable::replace(&path, b"next", 0o600).unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), b"next");
    assert!(!place.path().join(".file.next").exists());
}

#[test]
fn a_file_system_without_locks_is_refused_with_the_next_step_and_nothing_is_left() {
    for act in ["create", "replace"] {
        for errno in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
            let place = tempfile::tempdir().unwrap();
            let seen = run(place.path(), act, &[&format!("flock:error={errno}")]);
            assert!(!seen.is_ok && seen.said.contains("has no locks"), "{act} {errno}: {}", seen.said);
            assert!(seen.said.contains(".file.next") && seen.said.contains("local disk"), "{}", seen.said);
            assert_eq!(fs_err::read_dir(place.path()).unwrap().count(), 0, "{act} {errno}");
        }
        // A left-over may belong to a live writer. Without locks nobody knows, and it stays.
        let place = tempfile::tempdir().unwrap();
        fs_err::write(place.path().join(".file.next"), "left").unwrap();
        let seen = run(place.path(), act, &["flock:error=ENOLCK"]);
        assert!(!seen.is_ok && seen.said.contains("has no locks"), "{}", seen.said);
        assert_eq!(fs_err::read(place.path().join(".file.next")).unwrap(), b"left");
    }
}

#[test]
fn folders_removals_and_lines_report_a_failed_flush() {
    for (act, call, when) in
        [("folder", "fsync", 1), ("folder", "fsync", 2), ("remove", "fsync", 1), ("lines", "fdatasync", 1)]
    {
        let place = tempfile::tempdir().unwrap();
        assert!(!run(place.path(), act, &[&format!("{call}:error=EIO:when={when}")]).is_ok, "{act}");
        let seen = run(place.path(), act, &[]);
        assert!(seen.is_ok, "{act}: {}", seen.calls);
    }
}
