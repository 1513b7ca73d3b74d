//! A collector that lost everything but its keys comes back from a mirror, and its evidence verifies.

use lab::{Lab, Options, run, text, wait_for};
use serde_json::Value;

use super::bench::{Mirror, collected, refused, size};

#[test]
fn a_lost_collector_is_rebuilt_from_the_mirror_and_its_export_verifies() {
    let mut lab = Lab::with(&Options { tsa: true, ..Options::default() }).unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    mirror.start(&lab).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    wait_for("the mirror's statement, held", || {
        Ok((mirror.number(&lab, "collections_held")? == 1).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    mirror.caught_up(&lab).unwrap();
    lab.stop_agent("web-03").unwrap();
    mirror.caught_up(&lab).unwrap();
    mirror.stop().unwrap();
    let note = lab.path("held.note");
    fs_err::copy(lab.path("store-a/ledger/checkpoint"), &note).unwrap();
    // Somebody saw more than the mirror did: alice, on another of her machines. (Had it been this one, it would refuse the
    // restored ledger by itself.)
    lab.log_in("alice").unwrap();
    let newer = lab.path("newer.note");
    fs_err::copy(lab.path("store-a/ledger/checkpoint"), &newer).unwrap();
    let before = mirror.number(&lab, "held").unwrap();
    assert!(size(&lab).unwrap() > before);
    lab.kill_server().unwrap();
    for lost in ["store-a", "store-b"] {
        fs_err::remove_dir_all(lab.path(lost)).unwrap();
    }
    for lost in ["exhibit.db", "exhibit.db-wal", "exhibit.db-shm"] {
        drop(fs_err::remove_file(lab.path("server").join(lost)));
    }
    let restore = |more: &[&std::path::Path]| {
        let mut command = lab.tool("exhibit-server");
        command.arg("restore").arg(lab.path("server")).arg("--from").arg(&mirror.directory);
        for note in more {
            command.arg("--newer").arg(note);
        }
        command
    };
    let said = refused(&mut restore(&[&note, &newer]), 2).unwrap();
    assert!(said.contains("would go on from"), "{said}");
    // Without the newer note, which nobody has in this world:
    run(&mut restore(&[&note])).unwrap();
    lab.start_server().unwrap();
    // Sessions survive: the CA is the same.
    let shown = lab.json(&["incident", "show", &incident]).unwrap();
    let types: Vec<String> =
        lab::rows(shown.get("timeline").unwrap()).iter().map(|row| text(row, "type").unwrap()).collect();
    assert!(types.iter().any(|found| found == "evidence.replicated"), "{types:?}");
    let small = run(lab
        .exhibit()
        .args(["evidence", "cat", &id])
        .arg(lab.path("fixture/small.txt"))
        .args(["--purpose", "after the fire"]))
    .unwrap();
    assert_eq!(small.stdout, b"hello mirror\n");
    let bundle = lab.export(&incident).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let fsck = lab.json(&["ledger", "fsck"]);
    assert!(fsck.is_ok(), "{fsck:?}");
    // The mirror goes on with the restored collector: recovery.performed is a continuation, no fork.
    mirror.start(&lab).unwrap();
    let held = mirror.caught_up(&lab).unwrap();
    assert!(held > before);
    let (status, code) = mirror.status(&lab).unwrap();
    assert_eq!((code, status.get("fraud")), (0, Some(&Value::Null)), "{status}\n{}", mirror.log(&lab));
    mirror.stop().unwrap();
}

#[test]
fn a_collector_that_forks_its_log_is_convicted_and_not_cosigned() {
    let mut lab = Lab::new().unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    mirror.start(&lab).unwrap();
    mirror.caught_up(&lab).unwrap();
    // The whole collector as it is now: stores and database.
    assert!(lab.stop_server().unwrap());
    let copy = |from: &str, to: &str| {
        run(std::process::Command::new("cp").arg("-a").arg(lab.path(from)).arg(lab.path(to))).unwrap();
    };
    for part in ["store-a", "store-b", "server"] {
        copy(part, &format!("old-{part}"));
    }
    lab.start_server().unwrap();
    lab.incident().unwrap();
    let held = mirror.caught_up(&lab).unwrap();
    assert!(lab.stop_server().unwrap());
    for part in ["store-a", "store-b", "server"] {
        fs_err::remove_dir_all(lab.path(part)).unwrap();
        fs_err::rename(lab.path(format!("old-{part}")), lab.path(part)).unwrap();
    }
    // Rolled back: said, but no fraud yet.
    lab.start_server().unwrap();
    wait_for("the alarm of the rolled-back log", || {
        let (status, code) = mirror.status(&lab)?;
        let alarm = status.get("alarm").and_then(Value::as_str).unwrap_or_default();
        Ok((code == 1 && alarm.contains("went back")).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    // Other entries in the place of those that were held: two histories under one key.
    // A person who never saw the first one: alice's own machine would refuse to go on.
    lab.log_in("alice").unwrap();
    for _ in 0..3 {
        run(lab.exhibit_as("alice").arg("login")).unwrap();
    }
    let file = wait_for("the fraud proof", || {
        let (status, code) = mirror.status(&lab)?;
        let file = status.get("fraud").and_then(Value::as_str).map(str::to_owned);
        Ok(file.filter(|_| code == 1))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    let proof = mirror.directory.join("fraud").join(file);
    let mut check = lab.tool("exhibit-server");
    check.args(["mirror", "check-fraud"]).arg(&proof).arg("--card").arg(lab.path("server/deployment.json"));
    let said = run(&mut check).unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("FRAUD"));
    assert_eq!(mirror.number(&lab, "held").unwrap(), held, "nothing of the second history is signed");
    // Also over a restart, and after a person has seen it: the history that is held stays.
    mirror.stop().unwrap();
    let contact = |status: &Value| text(status, "last_contact").unwrap();
    let before = contact(&mirror.status(&lab).unwrap().0);
    mirror.start(&lab).unwrap();
    // Up again, and the collector has offered its longer history to the running program.
    let (status, code) = wait_for("the collector's offer after the restart", || {
        let (status, code) = mirror.status(&lab)?;
        let is_offered = contact(&status) > before && lab::number(&status, "offered")? > held;
        Ok(is_offered.then_some((status, code)))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{:?}\n{}", mirror.status(&lab), mirror.log(&lab)));
    assert_eq!((code, status.get("held").and_then(Value::as_u64)), (1, Some(held)));
    mirror.stop().unwrap();
    run(lab.tool("exhibit-server").args(["mirror", "acknowledge"]).arg(&mirror.directory)).unwrap();
    mirror.start(&lab).unwrap();
    wait_for("the same conviction again", || {
        Ok((mirror.status(&lab)?.0.get("fraud") != Some(&Value::Null)).then_some(()))
    })
    .unwrap();
    assert_eq!(mirror.number(&lab, "held").unwrap(), held);
    mirror.stop().unwrap();
}

#[test]
fn nothing_is_signed_while_a_witness_holds_more_than_the_copy() {
    let mut lab = Lab::new().unwrap();
    let mut behind = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    let mut ahead = Mirror::admitted(&lab, "backup-2", &[]).unwrap();
    for mirror in [&mut behind, &mut ahead] {
        mirror.start(&lab).unwrap();
        mirror.caught_up(&lab).unwrap();
    }
    behind.stop().unwrap();
    let copied = behind.number(&lab, "held").unwrap();
    lab.incident().unwrap();
    let held = ahead.caught_up(&lab).unwrap();
    assert!(held > copied);
    let card = fs_err::read(lab.path("server/deployment.json")).unwrap();
    let card: Value = serde_json::from_slice(&card).unwrap();
    lab.kill_server().unwrap();
    let name_witness = |mirror: &Mirror| {
        let admission = fs_err::read(mirror.directory.join("admission.json")).unwrap();
        let admission: Value = serde_json::from_slice(&admission).unwrap();
        let policy = format!(
            "log {}\nwitness second {} http://{}/witness\nquorum none\n",
            text(&card, "log_key").unwrap(),
            text(&admission, "witness_key").unwrap(),
            mirror.address("witness").unwrap(),
        );
        fs_err::write(lab.path("server/ledger.policy"), policy).unwrap();
    };
    let lose = || {
        for lost in ["store-a", "store-b"] {
            drop(fs_err::remove_dir_all(lab.path(lost)));
        }
        for lost in ["exhibit.db", "exhibit.db-wal", "exhibit.db-shm", "restore.pending"] {
            drop(fs_err::remove_file(lab.path("server").join(lost)));
        }
    };
    let restore = |mirror: &Mirror| {
        let mut command = lab.tool("exhibit-server");
        command.arg("restore").arg(lab.path("server")).arg("--from").arg(&mirror.directory);
        command
    };
    lose();
    name_witness(&ahead);
    let said = refused(&mut restore(&behind), 2).unwrap();
    let wanted = [
        "witnessed/second.note".to_owned(),
        format!("size {held}"),
        format!("this mirror has {copied}"),
        "Use a mirror that is not behind".to_owned(),
    ];
    for words in wanted {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(!lab.path("server/exhibit.db").exists(), "there is no collector yet");

    // The witness was away when the copy was taken, and is there when the log is to go on.
    ahead.stop().unwrap();
    let (key, aside) = (lab.path("server/keys/log"), lab.path("log-key-aside"));
    fs_err::rename(&key, &aside).unwrap();
    let said = refused(&mut restore(&behind), 1).unwrap();
    assert!(said.contains("nothing is known of what witness second holds"), "{said}");
    fs_err::rename(&aside, &key).unwrap();
    ahead.start(&lab).unwrap();
    wait_for("the witness", || Ok(ahead.address("witness").ok())).unwrap();
    name_witness(&ahead);
    let said = refused(&mut restore(&behind), 2).unwrap();
    assert!(
        said.contains(&format!("witness second holds size {held}")) && said.contains("Nothing is signed"),
        "{said}"
    );
    assert!(lab.path("server/restore.pending").exists(), "it does not serve");
    ahead.stop().unwrap();

    // The witness' own copy is the one to take.
    lose();
    run(&mut restore(&ahead)).unwrap();
    ahead.start(&lab).unwrap();
    wait_for("the witness", || Ok(ahead.address("witness").ok())).unwrap();
    name_witness(&ahead);
    lab.start_server().unwrap();
    assert!(ahead.caught_up(&lab).unwrap() > held);
    ahead.stop().unwrap();
}
