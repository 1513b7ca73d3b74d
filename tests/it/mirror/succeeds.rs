//! The log key changes, and everyone follows: endpoints, persons, mirrors, consultants, and tokens from before the change. Then the
//! collector is lost with its key, and a mirror's copy continues under a key that the authority let follow.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use exhibit_verify::Trust;
use lab::{Lab, attempt, run, wait_for};
use ledger::{Checkpoint, Hash, NoteSigner};
use serde_json::Value;

use super::bench::{Mirror, collected, http, refused};

/// Proposes, has it signed, adopts. The collector is stopped afterwards.
fn change(lab: &mut Lab, number: u64, reason: &str) -> Result<()> {
    let server = lab.path("server");
    if reason != "planned" {
        drop(lab.stop_server());
    }
    run(lab.tool("exhibit-server").args(["log-key", "propose", "--reason", reason]).arg(&server))?;
    drop(lab.stop_server());
    run(lab
        .exhibit()
        .args(["authority", "sign-log-key"])
        .arg(lab.path("admin"))
        .arg(server.join(format!("log-key-{number}.json"))))?;
    run(lab
        .tool("exhibit-server")
        .args(["log-key", "adopt"])
        .arg(&server)
        .arg(server.join(format!("log-key-{number}.signed"))))?;
    Ok(())
}

fn trust(lab: &Lab, name: &str) -> PathBuf {
    let dir = lab.path(name);
    run(lab.exhibit().args(["trust", "export"]).arg(&dir)).unwrap();
    dir
}

/// By our verifier, and with stock tools alone.
fn verifies(bundle: &Path, pinned: &Path) {
    let trust = Trust::load(pinned).unwrap();
    let report = exhibit_verify::verify(bundle, &trust, &mut |_| {}).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let plain =
        run(Command::new("python3").arg(lab::checkout().join("packaging/verify.py")).arg(bundle).arg(pinned))
            .unwrap();
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.contains("change 1 of the log key"), "{plain}");
}

fn export(lab: &Lab, incident: &str, name: &str) -> PathBuf {
    let out = lab.path(name);
    run(lab.exhibit().args(["bundle", "export", incident, "--purpose", "test", "--out"]).arg(&out))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    out
}

#[test]
fn keys_follow_each_other_and_at_last_the_collector_is_lost() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    let late = lab.token("web-04", &[]).unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    mirror.start(&lab).unwrap();
    let (incident, _) = collected(&mut lab, "web-03").unwrap();
    mirror.caught_up(&lab).unwrap();
    let oldest = trust(&lab, "trust-0");
    let before = export(&lab, &incident, "before.bundle");
    let stolen = fs_err::read_to_string(lab.path("server/keys/log")).unwrap();

    // As planned, the agent and the mirror running on.
    change(&mut lab, 1, "planned").unwrap();
    lab.start_server().unwrap();
    lab.wait_connected("web-03").unwrap();
    let (second, _) = collected(&mut lab, "web-03").unwrap();
    mirror.caught_up(&lab).unwrap();
    // Exported while the first key was in force, under the pin of today.
    let newer = trust(&lab, "trust-1");
    verifies(&before, &newer);
    for (incident, name) in [(&incident, "first.bundle"), (&second, "second.bundle")] {
        let bundle = export(&lab, incident, name);
        verifies(&bundle, &oldest);
        verifies(&bundle, &newer);
    }

    // Stolen, while agent and mirror are away; a token of before the first change is still good.
    lab.stop_agent("web-03").unwrap();
    mirror.stop().unwrap();
    change(&mut lab, 2, "compromised").unwrap();
    lab.start_server().unwrap();
    run(lab.tool("exhibit-agent").args(["enrol", "--token", &late, "--state"]).arg(lab.state("web-04")))
        .unwrap();
    lab.start_agent("web-04", &[]).unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let (third, _) = collected(&mut lab, "web-04").unwrap();
    let (fourth, _) = collected(&mut lab, "web-03").unwrap();
    mirror.start(&lab).unwrap();
    let held = mirror.caught_up(&lab).unwrap();
    let bundle = export(&lab, &third, "third.bundle");
    let newest = trust(&lab, "trust-2");
    for pinned in [&oldest, &newer, &newest] {
        verifies(&bundle, pinned);
    }
    for older in ["before.bundle", "first.bundle", "second.bundle"] {
        verifies(&lab.path(older), &newest);
    }
    // Whoever still has the first key gets nothing signed by the mirror any more.
    let mut seed = [0; 32];
    let encoded = stolen.trim().rsplit(' ').next().unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
    seed.copy_from_slice(&decoded);
    let thief = NoteSigner::new("exhibit/lab", &seed).unwrap();
    let text = Checkpoint::new("exhibit/lab", held + 10, Hash([7; 32])).unwrap().to_text();
    let note = ledger::Note::new(&text, vec![thief.sign(&text).unwrap()]).unwrap();
    let request = format!("old {held}\n\n{note}");
    let (status, said) =
        http(&mirror.address("witness").unwrap(), "POST", "/witness/add-checkpoint", request.as_bytes())
            .unwrap();
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("is not the log's key at that size"), "{said}");

    // Lost: stores, database and log key.
    wait_for("the mirror's statements, held", || {
        Ok((mirror.number(&lab, "collections_held")? == 4).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    lab.stop_agent("web-04").unwrap();
    mirror.caught_up(&lab).unwrap();
    mirror.stop().unwrap();
    lab.kill_server().unwrap();
    for lost in ["store-a", "store-b", "server/log-keys"] {
        fs_err::remove_dir_all(lab.path(lost)).unwrap();
    }
    for lost in ["exhibit.db", "exhibit.db-wal", "exhibit.db-shm", "keys/log"] {
        drop(fs_err::remove_file(lab.path("server").join(lost)));
    }
    let mut restore = lab.tool("exhibit-server");
    restore.arg("restore").arg(lab.path("server")).arg("--from").arg(&mirror.directory);
    let said = refused(&mut restore, 1).unwrap();
    assert!(said.contains("log-key propose"), "{said}");
    let started = attempt(lab.tool("exhibit-server").arg("run").arg(lab.path("server"))).unwrap();
    assert!(!started.status.success(), "it has no key");
    change(&mut lab, 3, "lost").unwrap();
    let started = attempt(lab.tool("exhibit-server").arg("run").arg(lab.path("server"))).unwrap();
    assert!(!started.status.success(), "the restoration is not recorded");
    run(&mut restore).unwrap();
    lab.start_server().unwrap();
    // The endpoint kept running, with the pins of its enrolment.
    lab.wait_connected("web-03").unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let (fifth, _) = collected(&mut lab, "web-03").unwrap();
    mirror.start(&lab).unwrap();
    assert!(mirror.caught_up(&lab).unwrap() > held);
    let (status, code) = mirror.status(&lab).unwrap();
    assert_eq!((code, status.get("fraud")), (0, Some(&Value::Null)), "{status}");
    for (incident, name) in [(&fourth, "fourth.bundle"), (&fifth, "fifth.bundle")] {
        let bundle = export(&lab, incident, name);
        for pinned in [&oldest, &newer, &trust(&lab, &format!("trust-{name}"))] {
            verifies(&bundle, pinned);
        }
    }
    let fsck = lab.json(&["ledger", "fsck"]);
    assert!(fsck.is_ok(), "{fsck:?}");
    mirror.stop().unwrap();
}
