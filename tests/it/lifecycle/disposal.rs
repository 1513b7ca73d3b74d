//! Two persons have evidence destroyed, and what remains proves that this was right.

use lab::{Lab, attempt, run, text, wait_for};
use serde_json::Value;
use testkit::walk::files_below;

use super::{count, refused, said, small, timeline, verified_by_strangers};

/// Names below a store's rooms of evidence and texts.
fn stored(lab: &Lab, store: &str) -> Vec<String> {
    let rooms = ["segments", "seals", "details", "damaged"];
    let files = rooms.iter().flat_map(|room| files_below(&lab.path(store).join(room)));
    files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn states(lab: &Lab, incident: &str) -> Vec<(String, String)> {
    let shown = lab.json(&["disposition", "show", incident]).unwrap();
    let places = shown["plans"].as_array().unwrap().iter().flat_map(|plan| lab::rows(&plan["places"]));
    places.map(|row| (text(&row, "id").unwrap(), text(&row, "state").unwrap())).collect()
}

fn propose(lab: &Lab, person: &str, incident: &str, more: &[&str]) -> std::process::Command {
    let mut command = lab.exhibit_as(person);
    command.args(["--json", "disposition", "propose", incident, "--reason", "its time has come"]).args(more);
    command
}

fn approve(lab: &Lab, person: &str, incident: &str, plan: &str) -> std::process::Command {
    let mut command = lab.exhibit_as(person);
    command.args(["disposition", "approve", incident, plan, "--reason", "checked"]);
    command
}

#[test]
fn evidence_goes_on_the_word_of_two_persons_and_its_custody_stays() {
    let mut lab = Lab::new().unwrap();
    lab.log_in("bob").unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let profile = small(&lab, &[]);
    let incident = lab.incident().unwrap();
    let id = incident.as_str();
    let collection = lab.collect(id, "web-03", &profile).unwrap();
    let collection = text(&collection, "collection").unwrap();
    // Another incident, whose evidence nobody may touch.
    let other = lab.incident().unwrap();
    lab.collect(&other, "web-03", &profile).unwrap();
    let before = (stored(&lab, "store-a"), stored(&lab, "store-b"));

    // Nothing may go from an open incident, before its time, under hold; the reasons are said.
    let open = refused(&mut propose(&lab, "responder", id, &[]), "the incident is open");
    run(lab.exhibit().args(["incident", "close", id, "--reason", "done"])).unwrap();
    refused(&mut propose(&lab, "responder", id, &[]), "no retention is set");
    let until = |until: &str| {
        let mut set = lab.exhibit_as("bob");
        run(set.args(["incident", "retention", "set", id, "--until", until, "--reason", "law"])).unwrap();
    };
    until("2099-01-01");
    refused(&mut propose(&lab, "responder", id, &[]), "it is kept until 2099");
    until("2026-01-01");
    let dry = run(&mut propose(&lab, "responder", id, &["--dry-run"])).unwrap();
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!((dry["collections"].as_array().unwrap().len(), &dry["index"]), (1, &Value::Null));
    assert!(states(&lab, id).is_empty());

    // One person alone changes nothing.
    let proposed = run(&mut propose(&lab, "responder", id, &[])).unwrap();
    let proposed: Value = serde_json::from_slice(&proposed.stdout).unwrap();
    let plan = text(&proposed, "plan").unwrap();
    let alone = refused(&mut approve(&lab, "responder", id, &plan), "is another person's");
    run(lab.exhibit().args(["incident", "hold", "place", id, "--reason", "wait"])).unwrap();
    refused(&mut approve(&lab, "bob", id, &plan), "under legal hold");
    run(lab.exhibit_as("bob").args(["incident", "hold", "release", id, "--reason", "go on"])).unwrap();
    run(lab.exhibit().args(["incident", "note", id, "one more thing"])).unwrap();
    let stale = refused(&mut approve(&lab, "bob", id, &plan), "Propose again");
    assert_eq!(
        (stored(&lab, "store-a").len() > before.0.len(), stored(&lab, "store-b").len() > before.1.len()),
        (true, true)
    );

    let proposed = run(&mut propose(&lab, "bob", id, &[])).unwrap();
    let proposed: Value = serde_json::from_slice(&proposed.stdout).unwrap();
    let plan = text(&proposed, "plan").unwrap();
    run(&mut approve(&lab, "responder", id, plan.get(..12).unwrap())).unwrap();
    // Killed in the midst of it: it goes on, and nothing is recorded twice.
    lab.kill_server().unwrap();
    lab.start_server().unwrap();
    wait_for("everything gone", || {
        let states = states(&lab, id);
        Ok((states.len() == 4 && states.iter().all(|(_, state)| state == "gone")).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    for store in ["store-a", "store-b"] {
        for room in ["segments", "seals", "quarantine"] {
            let folder = lab.path(store).join(room).join(&collection);
            assert!(
                !folder.exists() || fs_err::read_dir(&folder).unwrap().next().is_none(),
                "{}",
                folder.display()
            );
        }
    }
    let types = timeline(&lab, id);
    assert_eq!([count(&types, "disposition.approved"), count(&types, "disposition.executed")], [3, 4]);

    // Gone is said to be gone, and by whom; the other incident is as it was.
    let read = attempt(lab.exhibit().args(["evidence", "ls", &collection, "--purpose", "look"])).unwrap();
    let (code, words) = said(&read);
    assert_ne!(code, Some(0));
    assert!(words.contains("disposed of under plan") && words.contains("person:alice"), "{words}");
    let shown = lab.last_collection(id).unwrap();
    assert_eq!(text(&shown, "state").unwrap(), "disposed");
    let shown = lab.json(&["collection", "show", &collection]).unwrap();
    assert!(shown["manifest"].is_object(), "{shown}");
    let titles = lab.json(&["incident", "list"]).unwrap();
    let title = |wanted: &str| {
        titles.as_array().unwrap().iter().find(|row| row["incident"] == wanted).unwrap()["title"].clone()
    };
    assert_eq!(title(id), "");
    assert_ne!(title(&other), "");

    // The certificate is a bundle that strangers verify; the other incident's bundle is whole.
    let out = lab.path(format!("{id}.bundle"));
    run(lab.exhibit().args(["disposition", "certificate", id, "--out"]).arg(&out)).unwrap();
    let report = lab.verify(&out).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.text().contains("VERIFIED, DISPOSED"), "{}", report.text());
    assert_eq!(report.disposed, [collection.as_str()]);
    let certificate = fs_err::read_to_string(out.join("destruction.txt")).unwrap();
    for words in [
        "CERTIFICATE OF DESTRUCTION",
        "approved by bob (approver)",
        "approved by alice (responder)",
        "store",
        "What this does not prove",
    ] {
        assert!(certificate.contains(words), "{certificate}");
    }
    assert!(!out.join(format!("evidence/{collection}/container.tar.zst")).exists());
    verified_by_strangers(&lab, id);
    let bundle = lab.export(&other).unwrap();
    let report = lab.verify(&bundle).unwrap();
    assert_eq!((report.exit_code(), report.collections.len()), (0, 1), "{}", report.text());

    // Nothing of it is missed: not by fsck, not by the sweep of a start, not after the loss of the database.
    assert!(lab.stop_server().unwrap());
    let server = lab.path("server");
    run(lab.tool("exhibit-server").arg("fsck").arg(&server).arg("--evidence")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = server.join(format!("exhibit.db{suffix}"));
        if path.exists() {
            fs_err::remove_file(path).unwrap();
        }
    }
    run(lab.tool("exhibit-server").arg("rebuild").arg(&server)).unwrap();
    run(lab.tool("exhibit-server").arg("fsck").arg(&server).arg("--evidence")).unwrap();
    // Somebody restores a copy from a backup: it goes again.
    let back = lab.path("store-a/segments").join(&collection);
    fs_err::create_dir_all(&back).unwrap();
    let name = format!("000000-{}.zst", "ab".repeat(32));
    fs_err::write(back.join(&name), b"came back").unwrap();
    lab.start_server().unwrap();
    wait_for("what came back is gone", || Ok((!back.join(&name).exists()).then_some(()))).unwrap();
    assert_eq!(text(&lab.last_collection(id).unwrap(), "state").unwrap(), "disposed");
    let types = timeline(&lab, id);
    assert_eq!([count(&types, "disposition.executed"), count(&types, "evidence.fixity_failed")], [4, 0]);
    assert!(lab.stop_server().unwrap());
    println!(
        "tried: disposal while open ({open}), by one person ({alone}), of a stale plan ({stale}), under hold, then by two persons; \
         got: both stores empty of it, the other incident untouched, a certificate that exhibit-verify and stock tools accept, nothing missed by fsck, sweep and rebuild"
    );
}
