//! Both verifiers on other people's machines: another time zone and language, a user without rights, a medium that cannot be written, no
//! room for temporary files. The bundle is the worked example of docs/spec. Each test says in one line what it tried and what it got.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::{attempt, bin_dir, checkout, is_root, run};

/// A folder that every user may read, with the bundle, its trust and both verifiers in it.
struct Desk {
    place: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let desk = Self { place };
        let (vectors, folder) = (checkout().join("docs/spec/vectors/bundle"), desk.path(""));
        fs_err::create_dir_all(&folder).unwrap();
        super::copy(&vectors.join("bundle"), &folder);
        super::copy(&vectors.join("trust"), &folder);
        super::copy(&bin_dir().join("exhibit-verify"), &folder);
        super::copy(&checkout().join("packaging/verify.py"), &folder);
        fs_err::set_permissions(desk.place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(&folder)).unwrap();
        desk
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.place.path().join("dïr ☃/案件:1").join(inside)
    }

    /// What to run to verify the bundle: our verifier, then the script.
    fn verifiers(&self) -> [Vec<PathBuf>; 2] {
        let (bundle, trust) = (self.path("bundle"), self.path("trust"));
        [
            vec![self.path("exhibit-verify"), bundle.clone(), "--trust".into(), trust.clone()],
            vec!["python3".into(), self.path("verify.py"), bundle, trust],
        ]
    }
}

/// Runs a verifier behind other words: `unshare`, `setpriv`, a shell that prepares its world.
fn behind(words: &[&str], verifier: &[PathBuf]) -> Command {
    let words = words.iter().map(PathBuf::from).chain(verifier.iter().cloned());
    let words: Vec<PathBuf> = words.collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn time_zone_and_language_change_no_word_of_a_report() {
    let desk = Desk::new();
    for verifier in desk.verifiers() {
        let report = |zone: &str, language: &str| {
            let output = attempt(behind(&[], &verifier).env("TZ", zone).env("LC_ALL", language)).unwrap();
            assert_eq!(output.status.code(), Some(0), "{zone} {language}: {}", said(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let usual = report("UTC", "C");
        for (zone, language) in [
            ("Pacific/Kiritimati", "tr_TR.UTF-8"),
            ("America/St_Johns", "C.UTF-8"),
            ("Europe/Berlin", "de_DE.UTF-8"),
        ] {
            assert_eq!(report(zone, language), usual, "{zone} {language}");
        }
    }
    println!("tried: both verifiers in four time zones and languages; got: good, word for word the same");
}

#[test]
fn the_script_runs_as_other_systems_start_it() {
    let desk = Desk::new();
    // Modules that lie beside the script, or where the environment points, would take the place of Python's own.
    let modules = desk.path("modules");
    fs_err::create_dir(&modules).unwrap();
    for place in [desk.path("json.py"), modules.join("hashlib.py"), modules.join("sitecustomize.py")] {
        fs_err::write(place, "raise SystemExit(0)\n").unwrap();
    }
    let [_, script] = desk.verifiers();
    let starts: [&[&str]; 4] = [&["python3", "-I"], &["python3", "-O"], &["python3", "-X", "utf8=0"], &[]];
    let begin = |words: &[&str]| {
        let mut command = behind(words, &script[1..]);
        command.env("PYTHONPATH", &modules).env("LC_ALL", "C").current_dir(desk.path(""));
        attempt(&mut command).unwrap()
    };
    fs_err::set_permissions(desk.path("verify.py"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for words in starts.iter().filter(|words| words.contains(&"-I")) {
        let output = begin(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
        assert!(said(&output).contains("VERIFIED"), "{words:?}: {}", said(&output));
    }
    fs_err::remove_dir_all(&modules).unwrap();
    for words in starts {
        let output = begin(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
        assert!(said(&output).contains("VERIFIED"), "{words:?}: {}", said(&output));
    }
    fs_err::write(desk.path("bundle/more"), b"x").unwrap();
    for words in starts {
        let output = begin(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    }
    println!(
        "tried: verify.py isolated, optimised, in another encoding, as a program, beside a json.py; got: good, and the planted file refused"
    );
}

#[test]
fn nobody_verifies_a_bundle_on_a_medium_that_cannot_be_written() {
    if !is_root("nobody_verifies_a_bundle_on_a_medium_that_cannot_be_written") {
        return;
    }
    let desk = Desk::new();
    let folder = desk.path("");
    let medium = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && cd / && ! touch \"$1/x\" 2>/dev/null && shift && \
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    let words = ["unshare", "-m", "sh", "-c", medium, "sh", folder.to_str().unwrap()];
    for verifier in desk.verifiers() {
        // The temporary folder of the tests belongs to root alone, and so may a Python in root's home.
        let output =
            attempt(behind(&words, &verifier).env("TMPDIR", "/tmp").env("PATH", "/usr/bin:/bin")).unwrap();
        assert_eq!(output.status.code(), Some(0), "{verifier:?}: {}", said(&output));
    }
    println!(
        "tried: both verifiers as uid 65534 on a read-only mount, in a folder with blanks and signs; got: good"
    );
}

#[test]
fn without_room_for_temporary_files_no_bundle_is_judged() {
    if !is_root("without_room_for_temporary_files_no_bundle_is_judged") {
        return;
    }
    let desk = Desk::new();
    let small = desk.path("small");
    fs_err::create_dir(&small).unwrap();
    let script =
        "mount -t tmpfs -o size=\"$2\" small \"$1\" && TMPDIR=$1 && export TMPDIR && shift 2 && exec \"$@\"";
    let [ours, stock] = desk.verifiers();
    let verdict = |size: &str, verifier: &[PathBuf]| {
        let words = ["unshare", "-m", "sh", "-c", script, "sh", small.to_str().unwrap(), size];
        attempt(&mut behind(&words, verifier)).unwrap()
    };
    let output = verdict("4k", &ours);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for size in ["4k", "8k"] {
        let output = verdict(size, &stock);
        assert_eq!(output.status.code(), Some(2), "{size}: {}", said(&output));
        assert!(said(&output).contains("No space left on device"), "{size}: {}", said(&output));
    }
    // The script keeps a key, a message and a signature at a time: here is room for them.
    assert_eq!(verdict("128k", &stock).status.code(), Some(0));
    // A file that nobody listed: a full disk hides it from nobody.
    fs_err::write(Path::new(&desk.path("bundle/custody")).join("999999.entry"), b"{}").unwrap();
    for size in ["4k", "8k", "128k"] {
        let output = verdict(size, &stock);
        assert_ne!(output.status.code(), Some(0), "{size}: {}", said(&output));
    }
    assert_eq!(verdict("64m", &stock).status.code(), Some(1));
    println!(
        "tried: TMPDIR on file systems of 4 and 8 KiB; got: exhibit-verify needs none, verify.py says that it cannot check"
    );
}
