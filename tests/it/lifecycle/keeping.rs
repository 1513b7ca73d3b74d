//! Holds and retention over an incident's life, under the roles of two persons, and over the loss of the database.

use lab::{Lab, attempt, run, text};
use serde_json::Value;

use super::{count, refused, timeline};

/// What `incident show` says of what keeps the evidence.
fn retention(lab: &Lab, incident: &str) -> Value {
    let shown = lab.json(&["incident", "show", incident]).unwrap();
    shown.get("retention").unwrap().clone()
}

fn kept(lab: &Lab, incident: &str) -> String {
    retention(lab, incident)["kept"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn holds_and_retention_keep_evidence_and_survive_the_database() {
    let mut lab = Lab::new().unwrap();
    lab.log_in("bob").unwrap();
    let incident = lab.incident().unwrap();
    let id = incident.as_str();
    let hold = |person: &str, args: &[&str]| {
        let mut command = lab.exhibit_as(person);
        command.args(["incident", "hold"]).args(args).args(["--reason", "because"]);
        command
    };
    let set = |person: &str, args: &[&str]| {
        let mut command = lab.exhibit_as(person);
        command.args(["incident", "retention", "set", id]).args(args).args(["--reason", "because"]);
        command
    };
    assert_eq!(kept(&lab, id), "the incident is open");

    // Who may: a responder places, only an approver releases and says how long.
    run(&mut hold("responder", &["place", id])).unwrap();
    run(&mut hold("bob", &["place", id])).unwrap();
    assert!(kept(&lab, id).starts_with("under legal hold; 2 stand"), "{}", kept(&lab, id));
    let no_role = refused(
        &mut hold("responder", &["release", id, "--hold", &first(&lab, id)]),
        "needs the role approver",
    );
    refused(&mut set("responder", &["--days", "1"]), "needs the role approver");
    refused(&mut hold("responder", &["place", "INC-2026-9999"]), "no incident");
    for (args, words) in [
        (vec!["release", id], "2 holds stand"),
        (vec!["release", id, "--hold", "0123456789"], "no such hold"),
    ] {
        let output = attempt(&mut hold("bob", &args)).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(words), "{said}");
    }

    run(&mut hold("bob", &["release", id, "--hold", &first(&lab, id)])).unwrap();
    run(&mut set("bob", &["--days", "3650"])).unwrap();
    run(lab.exhibit().args(["incident", "close", id, "--reason", "done"])).unwrap();
    assert!(kept(&lab, id).starts_with("under legal hold; 1 stand"), "{}", kept(&lab, id));
    run(&mut hold("bob", &["release", id])).unwrap();
    assert!(kept(&lab, id).starts_with("it is kept until 20"), "{}", kept(&lab, id));
    // A day is the day in UTC wherever it is typed: 2026-03-29 has 23 hours in Berlin and begins elsewhere on Kiritimati.
    for zone in ["Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns"] {
        run(set("bob", &["--until", "2026-03-29"]).env("TZ", zone).env("LC_ALL", "de_DE.UTF-8")).unwrap();
        assert_eq!(text(&retention(&lab, id), "until").unwrap(), "2026-03-29T00:00:00.000Z", "{zone}");
    }
    run(&mut set("bob", &["--until", "2026-01-01"])).unwrap();
    assert_eq!(kept(&lab, id), "", "closed, no hold, its time has come");
    // A hold comes at the last moment, on a closed incident.
    run(&mut hold("responder", &["place", id])).unwrap();
    assert!(kept(&lab, id).starts_with("under legal hold; 1 stand"), "{}", kept(&lab, id));

    let before = retention(&lab, id);
    assert_eq!(text(&before, "until").unwrap(), "2026-01-01T00:00:00.000Z");
    assert_eq!(before["holds"][0]["reason"], "because");
    let types = timeline(&lab, id);
    assert_eq!(
        [count(&types, "hold.placed"), count(&types, "hold.released"), count(&types, "retention.changed")],
        [3, 2, 5]
    );
    assert!(lab.stop_server().unwrap());
    let server = lab.path("server");
    for suffix in ["", "-wal", "-shm"] {
        let path = server.join(format!("exhibit.db{suffix}"));
        if path.exists() {
            fs_err::remove_file(path).unwrap();
        }
    }
    run(lab.tool("exhibit-server").arg("rebuild").arg(&server)).unwrap();
    lab.start_server().unwrap();
    assert_eq!(retention(&lab, id), before);
    let bundle = lab.export(id).unwrap();
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!(
        "tried: holds by both persons, releases and retention by the responder ({no_role}), dates typed in three time zones, a database lost; got: evidence kept by every hold and date, the same after rebuild, and a bundle that verifies"
    );
}

/// The oldest hold that stands, as people type it.
fn first(lab: &Lab, incident: &str) -> String {
    let hold = text(&retention(lab, incident)["holds"][0], "hold").unwrap();
    hold.get(..12).unwrap().to_owned()
}
