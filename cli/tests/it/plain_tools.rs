//! packaging/verify.py and exhibit-verify judge the same bundles, whole and damaged, and agree.

use std::path::Path;
use std::process::{Command, Output};

use exhibit_verify::{Trust, verify};
use testkit::bundles::{ALICE, DAN, key, read, sum};

use crate::bundle::{Made, make};

fn plain(made: &Made) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.py");
    Command::new("python3").arg(script).arg(&made.bundle).arg(&made.trust).output().unwrap()
}

/// Exit codes and reports of both verifiers.
fn both(made: &Made) -> (Option<i32>, String, u8, String) {
    let output = plain(made);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = verify(&made.bundle, &Trust::load(&made.trust).unwrap(), &mut |_| {}).unwrap();
    (output.status.code(), said, report.exit_code(), report.text())
}

/// Writes sums and signature anew, so that a damage is found by what it damages and not by the sums.
fn sign_again(made: &Made, number: u8) {
    let mut files = read(&made.bundle);
    sum(&mut files, number);
    for name in ["SHA256SUMS", "SHA256SUMS.sig"] {
        fs_err::write(made.bundle.join(name), &files[name]).unwrap();
    }
}

fn flip(path: &Path, place: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[place] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn a_good_bundle_verifies_with_both() {
    let made = make();
    let (plain, said, exact, report) = both(&made);
    assert_eq!((plain, exact), (Some(0), 0), "{said}\n{report}");
    for check in [
        "sums.signature",
        "roster",
        "checkpoint",
        "custody.inclusion",
        "custody.chain",
        "custody.acts",
        "export",
        "order",
        "endpoint",
        "delegation",
        "seals",
        "manifest",
        "container",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with(&format!("ok           {check} "))),
            "{check} is missing:\n{said}"
        );
    }
    assert!(said.contains("VERIFIED with stock tools"), "{said}");
}

#[test]
fn each_damage_fails_with_both() {
    /// A damage and what it does to a bundle.
    type Damage = (&'static str, fn(&Made));
    let damages: [Damage; 12] = [
        ("a bit of the container", |made| {
            flip(&made.bundle.join(format!("evidence/{}/container.tar.zst", made.collection)), 4096);
        }),
        ("a bit of the container, sums made anew", |made| {
            flip(&made.bundle.join(format!("evidence/{}/container.tar.zst", made.collection)), 4096);
            sign_again(made, ALICE);
        }),
        ("a bit of a seal, sums made anew", |made| {
            flip(&made.bundle.join(format!("evidence/{}/seals/000001.seal", made.collection)), 300);
            sign_again(made, ALICE);
        }),
        ("a file more", |made| fs_err::write(made.bundle.join("evidence/more"), "x").unwrap()),
        ("a hidden file", |made| fs_err::write(made.bundle.join(".more"), "x").unwrap()),
        ("a file less", |made| fs_err::remove_file(made.bundle.join("custody/000001.tlog-proof")).unwrap()),
        ("a symlink", |made| {
            std::os::unix::fs::symlink("bundle.json", made.bundle.join("link")).unwrap();
        }),
        ("sums signed by an analyst", |made| sign_again(made, DAN)),
        ("no export", |made| fs_err::remove_dir_all(made.bundle.join("export")).unwrap()),
        ("another log is pinned", |made| {
            let other = ledger::NoteSigner::new("exhibit/acme", &[88; 32]).unwrap();
            let other = other.verifier_key(ledger::KeyType::Ed25519);
            fs_err::write(made.trust.join("policy"), format!("log {other}\nquorum none\n")).unwrap();
        }),
        ("another authority is pinned", |made| {
            let other = key(99).public();
            let line = format!("# threshold 1\nauthority namespaces=\"exhibit-roster-v1\" {other}\n");
            fs_err::write(made.trust.join("authority"), line).unwrap();
        }),
        ("a newer roster is pinned", |made| {
            fs_err::write(made.trust.join("roster_version_min"), "3\n").unwrap()
        }),
    ];
    for (what, damage) in damages {
        let made = make();
        damage(&made);
        let (plain, said, exact, report) = both(&made);
        assert_eq!((plain, exact), (Some(1), 1), "{what}:\n{said}\n{report}");
    }
}

#[test]
fn an_entry_left_out_with_everything_signed_anew_fails_with_both() {
    let made = make();
    for ending in ["entry", "tlog-proof"] {
        fs_err::remove_file(made.bundle.join(format!("custody/000002.{ending}"))).unwrap();
    }
    sign_again(&made, ALICE);
    let (plain, said, exact, report) = both(&made);
    assert_eq!((plain, exact), (Some(1), 1), "{said}\n{report}");
    assert!(said.contains("custody/000002.entry is not there"), "{said}");
}

#[test]
fn without_a_tool_that_it_calls_the_script_names_it_and_judges_nothing() {
    let made = make();
    let tools = ["ssh-keygen", "openssl", "zstd"];
    // `python3` of the path may be a script that needs a shell.
    let print = ["-I", "-c", "import os, sys; print(os.path.realpath(sys.executable), end='')"];
    let python = Command::new("python3").args(print).output().unwrap().stdout;
    let python = String::from_utf8(python).unwrap();
    for lacking in tools {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("the bin");
        fs_err::create_dir(&bin).unwrap();
        for tool in tools.into_iter().filter(|tool| *tool != lacking) {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|dir| dir.join(tool))
                .find(|path| path.exists());
            std::os::unix::fs::symlink(found.unwrap(), bin.join(tool)).unwrap();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.py");
        let run = Command::new(&python)
            .arg(script)
            .arg(&made.bundle)
            .arg(&made.trust)
            .env("PATH", &bin)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{said}");
        assert!(run.stdout.is_empty(), "{}", String::from_utf8_lossy(&run.stdout));
        assert!(said.contains(&format!("{lacking} is missing")), "{said}");
    }
}

/// More entries than the kernel takes as arguments of one command, in a folder with blanks in its name.
#[test]
fn an_entry_is_found_among_more_than_one_command_takes() {
    let mut made = make();
    let mut files = read(&made.bundle);
    let place = tempfile::tempdir().unwrap();
    made.bundle = place.path().join("a bundle");
    // 15,000 names of 165 bytes are 2.5 MB. The kernel takes a quarter of the stack's limit, 2 MiB.
    for number in 0..15_000 {
        files.insert(format!("custody/deployment/{number:0140}.entry"), Vec::new());
    }
    sum(&mut files, ALICE);
    testkit::bundles::save(&files, &made.bundle);
    let (plain, said, exact, report) = both(&made);
    assert_eq!((plain, exact), (Some(1), 1), "{said}\n{report}");
    // The strange files are refused. All others are found and judged as before.
    let good = ["sums ", "sums.signature", "order", "delegation", "seals", "manifest", "container"];
    for check in good {
        assert!(said.contains(&format!("ok           {check}")), "{check}: {said}");
    }
    assert!(said.contains("FAILED       coverage"), "{said}");
}
