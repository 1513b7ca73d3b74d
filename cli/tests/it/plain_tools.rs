//! packaging/verify.sh and exhibit-verify judge the same bundles, whole and damaged, and agree.

use std::path::Path;
use std::process::{Command, Output};

use exhibit_verify::{Trust, verify};
use testkit::bundles::{ALICE, DAN, key, read, sum};

use crate::bundle::{Made, make};

fn plain(made: &Made) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.sh");
    Command::new("sh").arg(script).arg(&made.bundle).arg(&made.trust).output().unwrap()
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
    assert!(said.contains("entry 2 is missing"), "{said}");
}

#[test]
fn without_python_the_script_says_what_it_did_not_check() {
    let made = make();
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("the bin");
    fs_err::create_dir(&bin).unwrap();
    for tool in [
        "sh",
        "sha256sum",
        "find",
        "ssh-keygen",
        "openssl",
        "base64",
        "tar",
        "zstd",
        "awk",
        "sed",
        "grep",
        "sort",
        "comm",
        "head",
        "tail",
        "cut",
        "tr",
        "wc",
        "od",
        "uniq",
        "mktemp",
        "rm",
        "mkdir",
        "cat",
        "printf",
        "basename",
    ] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(tool))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), bin.join(tool)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.sh");
    let run = Command::new(bin.join("sh"))
        .arg(script)
        .arg(&made.bundle)
        .arg(&made.trust)
        .env("PATH", &bin)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("not checked  custody"), "{said}");
}

/// More entries than the kernel takes as arguments of one command, in a folder with blanks in its name.
#[test]
fn an_entry_is_found_among_more_than_one_command_takes() {
    let place = tempfile::tempdir().unwrap();
    let bundle = place.path().join("a bundle");
    let custody = bundle.join("custody");
    fs_err::create_dir_all(custody.join("deployment")).unwrap();
    // 12,000 names of 246 bytes are 2.8 MiB. The kernel takes a quarter of the stack's limit, 2 MiB.
    for number in 0..12_000 {
        fs_err::write(custody.join(format!("{number:0240}.entry")), "").unwrap();
    }
    let entry = |type_: &str, event: &str| format!("{{\"type\":\"{type_}\",\"event\":\"{event}\"}}\n");
    fs_err::write(custody.join(format!("{:0240}.entry", 7)), entry("collection.started", "ab")).unwrap();
    fs_err::write(custody.join(format!("{:0240}.entry", 11_999)), entry("collection.stored", "cd")).unwrap();
    fs_err::write(custody.join("deployment/0.entry"), entry("collection.stored", "ef")).unwrap();

    let script = fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.sh"));
    let script = script.unwrap();
    let (_, function) = script.split_once("\nentry_says() {").unwrap();
    let (function, _) = function.split_once("\n}\n").unwrap();
    let script = format!("set -u\nentry_says() {{{function}\n}}\nbundle=$1; entry_says \"$2\" \"$3\"\n");
    let shells = [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]];
    // Every machine has the first one; the others run where they are.
    let shells = shells.into_iter().filter(|shell| {
        shell[0] == "sh" || Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).output().is_ok()
    });
    for shell in shells {
        let says = |bundle: &Path, type_: &str, text: &str| {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", &script, "sh"]).arg(bundle).args([type_, text]);
            let output = command.output().unwrap();
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{shell:?}: {output:?}");
            output.status.success()
        };
        assert!(says(&bundle, "collection.stored", "\"event\":\"cd\""), "{shell:?}");
        assert!(says(&bundle, "collection.started", "\"event\":\"ab\""), "{shell:?}");
        assert!(!says(&bundle, "collection.stored", "\"event\":\"ab\""), "{shell:?}: of another type");
        assert!(!says(&bundle, "collection.stored", "\"event\":\"ef\""), "{shell:?}: of another chain");
        assert!(!says(place.path(), "collection.stored", "\"event\":\"cd\""), "{shell:?}: no entries");
    }
}
