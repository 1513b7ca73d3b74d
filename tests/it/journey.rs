//! The main job as users do it: order → collect → seal → store twice → ledger → bundle → verify.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use lab::{Lab, Options, attempt, is_root, number, rows, run, text};
use serde_json::Value;

/// A folder with files of every kind that matters; returns it.
fn fixture(lab: &Lab) -> std::path::PathBuf {
    let dir = lab.path("fixture");
    fs_err::create_dir_all(dir.join("sub")).unwrap();
    fs_err::write(dir.join("small.txt"), b"hello evidence\n").unwrap();
    fs_err::write(dir.join("sub/empty"), b"").unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    fs_err::write(dir.join("big.bin"), &big).unwrap();
    std::os::unix::fs::symlink("small.txt", dir.join("link")).unwrap();
    fs_err::hard_link(dir.join("big.bin"), dir.join("sub/hard.bin")).unwrap();
    run(Command::new("mkfifo").arg(dir.join("fifo"))).unwrap();
    dir
}

#[test]
fn the_whole_job_leaves_a_bundle_that_verifies() {
    let mut lab = Lab::with(&Options { tsa: true, ..Options::default() }).unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let fixture = fixture(&lab);
    let profile = lab.files_profile("fixture", &[&format!("{}/**", fixture.display())]).unwrap();
    let incident = lab.incident().unwrap();
    let collection = lab
        .collect(&incident, "web-03", &profile)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let id = text(&collection, "collection").unwrap();
    assert_eq!(number(&collection, "copies").unwrap(), 2);
    assert_eq!(
        collection.get("independent"),
        Some(&Value::Bool(false)),
        "two folders on one device are not independent, and it is said"
    );

    // One item through the one door, byte for byte.
    let small = run(lab
        .exhibit()
        .args(["evidence", "cat", &id])
        .arg(fixture.join("small.txt"))
        .args(["--purpose", "look"]))
    .unwrap();
    assert_eq!(small.stdout, b"hello evidence\n");
    let big = run(lab
        .exhibit()
        .args(["evidence", "cat", &id])
        .arg(fixture.join("big.bin"))
        .args(["--purpose", "look"]))
    .unwrap();
    assert_eq!(big.stdout, fs_err::read(fixture.join("big.bin")).unwrap());

    let timeline = lab.json(&["incident", "show", &incident]).unwrap();
    let types: Vec<String> =
        rows(timeline.get("timeline").unwrap()).iter().map(|row| text(row, "type").unwrap()).collect();
    for expected in
        ["incident.opened", "order.issued", "collection.started", "collection.stored", "evidence.accessed"]
    {
        assert!(types.iter().any(|found| found == expected), "{expected} is missing in {types:?}");
    }

    let bundle = lab.export(&incident).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(report.collections.len(), 1);
    let stamps = report.vouched_by.iter().filter(|who| who.contains("time-stamping"));
    assert_eq!(stamps.count(), 2, "one of each authority: {}", report.text());
    let plain = run(Command::new("python3")
        .arg(lab::checkout().join("packaging/verify.py"))
        .arg(&bundle)
        .arg(lab.trust().unwrap()))
    .unwrap();
    let plain = String::from_utf8_lossy(&plain.stdout);
    println!("{plain}");
    for name in ["SHA256SUMS.tsr", "SHA256SUMS.2.tsr", "checkpoint.tsr", "checkpoint.2.tsr"] {
        let says = |line: &str| line.starts_with("ok") && line.ends_with(&format!("({name})"));
        assert!(plain.lines().any(says), "{name}: {plain}");
    }
    assert!(lab.stop_server().unwrap(), "the collector drains and ends with 0");
}

#[test]
fn what_tar_takes_out_equals_the_source() {
    if !is_root("what_tar_takes_out_equals_the_source") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let fixture = fixture(&lab);
    let profile = lab.files_profile("fixture", &[&format!("{}/**", fixture.display())]).unwrap();
    let incident = lab.incident().unwrap();
    let collection = lab
        .collect(&incident, "web-03", &profile)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let bundle = lab.export(&incident).unwrap();
    let container =
        bundle.join("evidence").join(text(&collection, "collection").unwrap()).join("container.tar.zst");
    let listed = run(Command::new("tar").args(["--zstd", "-tf"]).arg(&container)).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.trim_end().ends_with("live/outcomes.jsonl"), "{listed}");
    assert!(!listed.contains("fifo"), "special files are records, never members");
    let out = lab.path("out");
    fs_err::create_dir(&out).unwrap();
    run(Command::new("tar").args(["--zstd", "-xpf"]).arg(&container).arg("-C").arg(&out)).unwrap();
    for name in ["small.txt", "big.bin", "sub/empty", "sub/hard.bin"] {
        let source = fixture.join(name);
        let taken = out.join("[root]").join(source.strip_prefix("/").unwrap());
        assert_eq!(fs_err::read(&taken).unwrap(), fs_err::read(&source).unwrap(), "{name}");
        let (one, two) = (fs_err::metadata(&source).unwrap(), fs_err::metadata(&taken).unwrap());
        assert_eq!((one.mode(), one.uid(), one.gid()), (two.mode(), two.uid(), two.gid()), "{name}");
        assert_eq!((one.mtime(), one.mtime_nsec()), (two.mtime(), two.mtime_nsec()), "{name}");
    }
    let outcomes =
        run(Command::new("tar").args(["--zstd", "-xOf"]).arg(&container).arg("live/outcomes.jsonl")).unwrap();
    assert!(String::from_utf8(outcomes.stdout).unwrap().contains("skipped_type"), "the FIFO is told");
}

#[test]
fn the_built_in_profile_runs_on_this_host() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("this-host").unwrap();
    lab.start_agent("this-host", &[]).unwrap();
    let incident = lab.incident().unwrap();
    let collection = lab
        .collect(&incident, "this-host", "linux-triage".as_ref())
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    assert!(number(&collection, "items").unwrap() > 500, "{collection}");
    let bundle = lab.export(&incident).unwrap();
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!("{}", report.text());
}

#[test]
fn an_error_says_cause_and_next_step_and_its_exit_code_is_one_of_four() {
    let lab = Lab::new().unwrap();
    for (args, code) in [
        (
            vec![
                "collect",
                "--incident",
                "INC-2026-9999",
                "--on",
                "nobody",
                "--profile",
                "linux-triage",
                "--purpose",
                "x",
            ],
            2,
        ),
        (vec!["no-such-verb"], 64),
        (vec!["collection", "show", "0123456789abcdef"], 2),
        (vec!["profile", "lint", "/nonexistent.toml"], 2),
    ] {
        let output = attempt(lab.exhibit().args(&args)).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.is_empty() && !said.contains("panicked"), "{args:?}: {said}");
    }
}
