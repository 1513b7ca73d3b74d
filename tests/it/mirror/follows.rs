//! A mirror follows: first copy, growth, statements, kills, damage, a rolled-back collector, a life without admission.

use std::path::Path;

use anyhow::Result;
use lab::{Lab, run, text, wait_for};
use serde_json::Value;
use testkit::wait;

use super::bench::{Mirror, collected, http, size};

fn stated(lab: &Lab, incident: &str) -> Result<usize> {
    let shown = lab.json(&["incident", "show", incident])?;
    let rows = shown.get("timeline").map(lab::rows).unwrap_or_default();
    Ok(rows
        .iter()
        .filter(|row| row.get("type").and_then(Value::as_str) == Some("evidence.replicated"))
        .count())
}

#[test]
fn a_real_collection_is_copied_stated_and_cosigned_and_its_bundle_verifies() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    mirror.start(&lab).unwrap();
    mirror.caught_up(&lab).unwrap();
    wait_for("the mirror's statement in the ledger", || Ok((stated(&lab, &incident)? == 1).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", mirror.log(&lab), lab.logs()));

    // Every byte is there, and the same.
    for entry in fs_err::read_dir(lab.path(format!("store-a/segments/{id}"))).unwrap() {
        let entry = entry.unwrap();
        let copy = mirror.store.join("segments").join(&id).join(entry.file_name());
        assert_eq!(fs_err::read(entry.path()).unwrap(), fs_err::read(copy).unwrap());
    }
    // It grows with the collector, and a second collection is stated, too; each once.
    let (second, _) = collected(&mut lab, "web-03").unwrap();
    wait_for("the second statement", || Ok((stated(&lab, &second)? == 1).then_some(()))).unwrap();
    assert_eq!(stated(&lab, &incident).unwrap(), 1);

    // The witness answers as C2SP says: behind, level, forged, foreign.
    let address = mirror.address("witness").unwrap();
    mirror.caught_up(&lab).unwrap();
    let note = fs_err::read_to_string(lab.path("store-a/ledger/checkpoint")).unwrap();
    let held = size(&lab).unwrap();
    for role in ["witness", "mirror"] {
        let post = |old: u64, note: &str| {
            http(
                &address,
                "POST",
                &format!("/{role}/add-checkpoint"),
                format!("old {old}\n\n{note}").as_bytes(),
            )
            .unwrap()
        };
        assert_eq!(post(0, &note), (409, format!("{held}\n")));
        let (code, line) = post(held, &note);
        assert_eq!(code, 200, "{line}");
        assert!(line.starts_with(&format!("— backup-1/{role} ")), "{line}");
        assert_eq!(post(held + 1, &note).0, 400);
        assert_eq!(
            post(held, &note.replacen(&format!("\n{held}\n"), &format!("\n{}\n", held + 1), 1)).0,
            403
        );
        assert_eq!(post(held, &note.replacen("exhibit/lab", "exhibit/bal", 1)).0, 404);
    }
    assert_eq!(http(&address, "POST", "/witness/add-checkpoint", b"nonsense").unwrap().0, 400);
    let metrics = http(&mirror.address("metrics").unwrap(), "GET", "/metrics", b"").unwrap();
    assert!(metrics.1.contains("exhibit_mirror_fraud 0"), "{metrics:?}");

    let bundle = lab.export(&incident).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let (status, code) = mirror.status(&lab).unwrap();
    assert_eq!(code, 0, "{status}");
    assert_eq!(status.get("collections_held").and_then(Value::as_u64), Some(2), "{status}");
    mirror.stop().unwrap();

    // A segment lost and a seal spoiled on the mirror's disk: the next scrub puts both back.
    let victim = |room: &str| {
        let mut names: Vec<_> = fs_err::read_dir(mirror.store.join(room).join(&id))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names.swap_remove(0)
    };
    let (segment, seal) = (victim("segments"), victim("seals"));
    fs_err::remove_file(&segment).unwrap();
    flip(&seal);
    drop(fs_err::remove_file(mirror.directory.join("scrubbed")));
    mirror.start(&lab).unwrap();
    wait_for("the scrub", || Ok(mirror.directory.join("scrubbed").exists().then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    for path in [segment, seal] {
        let inside = path.strip_prefix(&mirror.store).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), fs_err::read(lab.path("store-a").join(inside)).unwrap());
    }
    assert!(mirror.number(&lab, "repaired").unwrap() >= 1);
    mirror.stop().unwrap();
    assert!(lab.stop_server().unwrap());
}

#[test]
fn without_an_admission_nothing_is_served_and_after_retirement_nothing_more() {
    let lab = Lab::new().unwrap();
    let mut mirror = Mirror::made(&lab, "stranger", &[]).unwrap();
    mirror.start(&lab).unwrap();
    wait_for("the refusal in the mirror's log", || {
        Ok(mirror.log(&lab).contains("no admitted mirror has the TLS key").then_some(()))
    })
    .unwrap();
    assert_eq!(mirror.number(&lab, "held").unwrap(), 0);
    // Admitted while it waits: it goes on by itself.
    run(lab.exhibit().args(["mirror", "admit"]).arg(mirror.directory.join("admission.json"))).unwrap();
    mirror.caught_up(&lab).unwrap();
    run(lab.exhibit().args(["mirror", "retire", "stranger", "--reason", "test"])).unwrap();
    let before = mirror.number(&lab, "held").unwrap();
    wait_for("the mirror being cut off", || {
        let (status, _) = mirror.status(&lab)?;
        let waiting = status.get("waiting").and_then(Value::as_str).unwrap_or_default();
        Ok(waiting.contains("away").then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    lab.incident().unwrap();
    assert!(
        mirror.number(&lab, "held").unwrap() <= before + 1,
        "what came after the retirement is not served"
    );
    // An id is admitted once.
    let again =
        lab::attempt(lab.exhibit().args(["mirror", "admit"]).arg(mirror.directory.join("admission.json")))
            .unwrap();
    assert!(!again.status.success());
}

#[test]
fn killed_at_any_moment_it_ends_whole_and_equal() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &["--bandwidth", "8 MiB/s"]).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    let segments = format!("segments/{id}");
    let mut signed = 0;
    for round in 0..24_u64 {
        let running = mirror.directory.join("run/addresses.json");
        drop(fs_err::remove_file(&running));
        let copied_before = names(&mirror.store.join(&segments)).len();
        mirror.start(&lab).unwrap();
        // From the first instants on into the copying, and out of it when all is copied.
        let has_come = || {
            let copied = names(&mirror.store.join(&segments)).len();
            let is_whole = running.exists() && copied == names(&lab.path("store-a").join(&segments)).len();
            match round % 4 {
                0 => true,
                1 => running.exists(),
                2 => is_whole || half_written(&mirror.store) >= round << 18,
                _ => is_whole || copied > copied_before,
            }
        };
        wait::until("the moment to kill the mirror", has_come);
        mirror.kill().unwrap();
        // What was signed is never taken back.
        let held = mirror.number(&lab, "held").unwrap();
        assert!(held >= signed, "round {round}: {held} after {signed}");
        signed = held;
        if round % 6 == 0 {
            lab.incident().unwrap();
        }
    }
    mirror.start(&lab).unwrap();
    mirror.caught_up(&lab).unwrap();
    wait_for("the statement", || Ok((stated(&lab, &incident)? == 1).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    mirror.caught_up(&lab).unwrap();
    mirror.stop().unwrap();
    for room in
        [format!("segments/{id}"), format!("seals/{id}"), "documents".to_owned(), "targets".to_owned()]
    {
        for entry in fs_err::read_dir(lab.path("store-a").join(&room)).unwrap() {
            let entry = entry.unwrap();
            let copy = mirror.store.join(&room).join(entry.file_name());
            assert_eq!(
                fs_err::read(entry.path()).unwrap(),
                fs_err::read(&copy).unwrap(),
                "{}",
                copy.display()
            );
        }
    }
    let (status, code) = mirror.status(&lab).unwrap();
    assert_eq!((code, stated(&lab, &incident).unwrap()), (0, 1), "{status}");
}

#[test]
fn damaged_evidence_is_neither_copied_nor_stated_and_is_when_it_is_whole_again() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    // A byte in both copies of one segment: the mirror reads one of them in place.
    let folder = lab.path(format!("store-a/segments/{id}"));
    let mut names: Vec<_> =
        fs_err::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let victim = names.first().unwrap();
    for store in ["store-a", "store-b"] {
        flip(&lab.path(store).join("segments").join(&id).join(victim));
    }
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    mirror.start(&lab).unwrap();
    mirror.caught_up(&lab).unwrap();
    wait_for("the alarm", || {
        let (status, code) = mirror.status(&lab)?;
        let failing = status.get("collections_failing").map(lab::rows).unwrap_or_default();
        Ok((code == 1 && failing.len() == 1).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    assert_eq!(stated(&lab, &incident).unwrap(), 0);
    assert!(!mirror.store.join("segments").join(&id).join(victim).exists());
    // Whole again (an operator's other backup): copied and stated without being asked.
    flip(&lab.path("store-a").join("segments").join(&id).join(victim));
    wait_for("the statement", || Ok((stated(&lab, &incident)? == 1).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    wait_for("the end of the alarm", || Ok((mirror.status(&lab)?.1 == 0).then_some(()))).unwrap();
    mirror.stop().unwrap();
}

/// Names in a folder; none where there is no folder yet.
fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// Bytes of the largest object that a store is writing. A file that gets its name meanwhile counts nothing.
fn half_written(store: &Path) -> u64 {
    let folder = store.join("tmp");
    let len = |name| fs_err::metadata(folder.join(name)).map_or(0, |metadata| metadata.len());
    names(&folder).into_iter().map(len).max().unwrap_or(0)
}

/// Turns one bit in the middle of a read-only file.
fn flip(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let fresh = path.with_extension("flipped");
    fs_err::write(&fresh, &bytes).unwrap();
    fs_err::rename(&fresh, path).unwrap();
}
