//! The report on a good bundle, under the right pins and under others.

use std::process::{Command, Output};

use exhibit_verify::{Report, Verdict};
use ledger::KeyType;

use crate::verdicts::*;
use testkit::bundles::*;
use testkit::people;

/// The table of docs/spec/bundle.md, read from it.
fn table() -> Vec<String> {
    let spec = include_str!("../../../docs/spec/bundle.md");
    let section = spec.split("## Checks").nth(1).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        row.split('|')
            .nth(1)
            .unwrap()
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_good_bundle_verifies_and_every_check_of_the_table_says_so() {
    let bundle = Recipe::default().build();
    let report = verify(&bundle.files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let open = ["sums.stamp", "checkpoint.stamp", "quorum", "custody.complete", "custody.replicated"];
    let names = table();
    assert!(names.len() >= 19, "{names:?}");
    // Of a whole bundle nobody asks for the items of a part, nor for what was disposed of.
    let not_here = ["items", "disposition"];
    for name in names.into_iter().filter(|name| !not_here.contains(&name.as_str())) {
        let verdicts: Vec<Verdict> =
            report.checks.iter().filter(|check| check.check == name).map(|check| check.verdict).collect();
        let expected = if open.contains(&name.as_str()) { Verdict::NotChecked } else { Verdict::Ok };
        assert!(
            !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == expected),
            "{name}: {verdicts:?}"
        );
    }
    let states: Vec<(&str, u64)> =
        report.collections.iter().map(|one| (one.state.as_str(), one.items)).collect();
    assert_eq!(states, [("interrupted", 9), ("stored", 12)]);
    assert!(report.vouched_by.is_empty());
    assert!(report.text().contains("vouched for by: nobody outside the collector"));
    let size: usize = Recipe::one_endpoint().build().files.values().map(Vec::len).sum();
    assert!(size <= 64 << 10, "{size} bytes");
}

#[test]
fn the_vector_is_this_bundle_and_verifies() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/bundle");
    let bundle = Recipe::one_endpoint().build();
    if testkit::vectors::blessing() {
        if folder.exists() {
            fs_err::remove_dir_all(&folder).unwrap();
        }
        save(&bundle.files, &folder.join("bundle"));
        save(&trust_files(), &folder.join("trust"));
    }
    let trust = exhibit_verify::Trust::load(&folder.join("trust")).unwrap();
    let report = exhibit_verify::verify(&folder.join("bundle"), &trust, &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    // Compressed bytes may change with the compressor, and all digests with them; names may not.
    let names = |report: &Report| report.checks.iter().map(|check| check.check).collect::<Vec<_>>();
    assert_eq!(names(&report), names(&verify(&bundle.files)));
}

/// The program on a bundle in a folder.
fn program(files: &Files, trust: &Files, more: &[&str]) -> Output {
    let laid = Laid::out(files, trust);
    Command::new(env!("CARGO_BIN_EXE_exhibit-verify"))
        .arg(laid.bundle())
        .arg("--trust")
        .arg(laid.trust())
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn the_program_prints_text_and_json_and_exits_by_the_report() {
    let bundle = Recipe::default().build();
    let output = program(&bundle.files, &trust_files(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("VERIFIED"), "{text}");
    let output = program(&bundle.files, &trust_files(), &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["incident"], INCIDENT);
    assert_eq!(value["checks"][0]["verdict"], "ok");
    let mut altered = bundle.files;
    altered.get_mut("README.txt").unwrap()[0] ^= 1;
    let output = program(&altered, &trust_files(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["checks"][0]["verdict"], "failed");
}

#[test]
fn what_cannot_be_read_is_not_judged() {
    let bundle = Recipe::default().build();
    let folder = tempfile::tempdir().unwrap();
    save(&trust_files(), &folder.path().join("trust"));
    fs_err::create_dir_all(folder.path().join("empty")).unwrap();
    fs_err::write(folder.path().join("file"), b"x").unwrap();
    let run = |bundle: &str, trust: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_exhibit-verify"))
            .arg(folder.path().join(bundle))
            .arg("--trust")
            .arg(folder.path().join(trust))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (bundle, says) in [
        ("missing", "cannot read the bundle"),
        ("empty", "not a bundle"),
        ("file", "next: unpack it first: tar -xf "),
    ] {
        let (code, error) = run(bundle, "trust");
        assert_eq!(code, Some(2), "{bundle}: {error}");
        assert!(error.contains(says) && error.contains("next: "), "{bundle}: {error}");
    }
    save(&bundle.files, &folder.path().join("bundle"));
    let (code, error) = run("bundle", "empty");
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("authority"), "{error}");
    let output = Command::new(env!("CARGO_BIN_EXE_exhibit-verify")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn other_pins_refuse_the_bundle() {
    let bundle = Recipe::default().build();
    let judge = |name: &str, text: String| {
        let mut files = trust_files();
        files.insert(name.to_owned(), text.into_bytes());
        judged_under(&bundle.files, &trust_of(&files))
    };
    let authority = people::authority(1, &[MALLORY]);
    let both = people::authority(2, &[MALLORY, AUTHORITY]);
    let mirror = signer(60, "mirror.example/m1").verifier_key(KeyType::CosignatureV1);
    let log = log_key(LOG, "exhibit/acme");
    for (why, check, report) in [
        ("another authority", "roster", judge("authority", authority.to_trust_file())),
        ("a threshold of two", "roster", judge("authority", both.to_trust_file())),
        (
            "another log key",
            "checkpoint",
            judge("policy", format!("log {}\nquorum none\n", log_key(41, "exhibit/acme"))),
        ),
        ("a quorum", "quorum", judge("policy", format!("log {log}\nwitness m1 {mirror}\nquorum m1\n"))),
        ("a higher minimum", "roster", judge("roster_version_min", "3\n".to_owned())),
    ] {
        assert_eq!(report.exit_code(), 1, "{why}");
        assert!(fails(&report, check), "{why}: {}", report.text());
        for name in table() {
            assert!(report.checks.iter().any(|check| check.check == name), "{why}: {name} is not named");
        }
    }
    assert_eq!(judge("roster_version_min", "2\n".to_owned()).exit_code(), 0);
}

#[test]
fn a_quorum_that_is_met_names_who_vouches() {
    let recipe = Recipe {
        cosigners: vec![(60, "mirror.example/m1")],
        drafts: Box::new(|drafts| mirrored(drafts, &Told::default())),
        ..Recipe::default()
    };
    let bundle = recipe.build();
    let mirror = signer(60, "mirror.example/m1").verifier_key(KeyType::CosignatureV1);
    let mut files = trust_files();
    files.insert(
        "policy".to_owned(),
        format!("log {}\nwitness m1 {mirror}\nquorum m1\n", log_key(LOG, "exhibit/acme")).into_bytes(),
    );
    let report = judged_under(&bundle.files, &trust_of(&files));
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.vouched_by[0].contains("m1"), "{:?}", report.vouched_by);
    assert!(checks(&report, Verdict::Ok).iter().any(|check| check.check == "quorum"));
    // Who pins no mirror sees the same bundle without its word.
    assert_eq!(verify(&bundle.files).exit_code(), 0);
}
