//! A mirror destroys its own copy after two persons approved, and signs that. A new mirror does not ask for destroyed objects.

use lab::{Lab, run, text, wait_for};
use serde_json::Value;

use super::bench::{Mirror, collected};

fn places(lab: &Lab, incident: &str) -> Vec<(String, String, String)> {
    let shown = lab.json(&["disposition", "show", incident]).unwrap();
    let plans = shown["plans"].as_array().unwrap().clone();
    let places = plans.iter().flat_map(|plan| lab::rows(&plan["places"]));
    places
        .map(|row| {
            let field = |name| text(&row, name).unwrap();
            (field("object"), field("id"), field("state"))
        })
        .collect()
}

fn held(mirror: &Mirror, collection: &str) -> usize {
    ["segments", "seals"]
        .iter()
        .filter_map(|room| fs_err::read_dir(mirror.store.join(room).join(collection)).ok())
        .map(Iterator::count)
        .sum()
}

#[test]
fn mirrors_confirm_and_a_retired_one_is_said_not_to_have() {
    let mut lab = Lab::new().unwrap();
    lab.log_in("bob").unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    let mut gone = Mirror::admitted(&lab, "backup-2", &[]).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    mirror.start(&lab).unwrap();
    gone.start(&lab).unwrap();
    wait_for("both mirrors' statements", || {
        let shown = lab.json(&["incident", "show", &incident])?;
        let rows = shown.get("timeline").map(lab::rows).unwrap_or_default();
        let stated = rows.iter().filter(|row| row["type"] == "evidence.replicated").count();
        Ok((stated == 2).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", mirror.log(&lab), lab.logs()));
    assert!(held(&mirror, &id) > 1);
    gone.stop().unwrap();
    run(lab.exhibit().args(["mirror", "retire", "backup-2", "--reason", "replaced"])).unwrap();

    run(lab.exhibit().args(["incident", "close", &incident, "--reason", "done"])).unwrap();
    let mut set = lab.exhibit_as("bob");
    run(set.args(["incident", "retention", "set", &incident, "--until", "2026-01-01", "--reason", "law"]))
        .unwrap();
    let proposed = lab.json(&["disposition", "propose", &incident, "--reason", "time"]).unwrap();
    let plan = text(&proposed, "plan").unwrap();
    let mut approve = lab.exhibit_as("bob");
    run(approve.args(["disposition", "approve", &incident, &plan, "--reason", "checked"])).unwrap();
    wait_for("the mirror's confirmations", || {
        let places = places(&lab, &incident);
        let gone = places.iter().filter(|(_, id, state)| id == "backup-1" && state == "gone").count();
        Ok((gone == 2).then_some(()))
    })
    .unwrap_or_else(|cause| {
        panic!("{cause:#}\n{:?}\n{}\n{}", places(&lab, &incident), mirror.log(&lab), lab.logs())
    });
    assert_eq!(held(&mirror, &id), 0);
    let retired: Vec<_> = places(&lab, &incident)
        .into_iter()
        .filter(|(_, id, _)| id == "backup-2")
        .map(|(_, _, state)| state)
        .collect();
    assert_eq!(retired, ["not confirmed", "not confirmed"]);

    // A new mirror holds the ledger, asks for nothing that is gone, and is content; the old one's scrub is, too.
    let mut late = Mirror::admitted(&lab, "backup-3", &[]).unwrap();
    late.start(&lab).unwrap();
    late.caught_up(&lab).unwrap();
    assert_eq!(held(&late, &id), 0);
    mirror.caught_up(&lab).unwrap();
    mirror.stop().unwrap();
    drop(fs_err::remove_file(mirror.directory.join("scrubbed")));
    mirror.start(&lab).unwrap();
    wait_for("the scrub", || Ok(mirror.directory.join("scrubbed").exists().then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    for one in [&mirror, &late] {
        let (status, code) = one.status(&lab).unwrap();
        assert_eq!(
            (code, status.get("collections_waiting").and_then(Value::as_u64)),
            (0, Some(0)),
            "{status}"
        );
    }
    assert_eq!(held(&mirror, &id), 0);

    let out = lab.path("certificate");
    run(lab.exhibit().args(["disposition", "certificate", &incident, "--out"]).arg(&out)).unwrap();
    let report = lab.verify(&out).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.text().contains("VERIFIED, DISPOSED"), "{}", report.text());
    let certificate = fs_err::read_to_string(out.join("destruction.txt")).unwrap();
    assert!(certificate.contains("mirror backup-1, which signed that"), "{certificate}");
    assert!(certificate.contains("at mirror backup-2; it was retired"), "{certificate}");
    late.stop().unwrap();
    mirror.stop().unwrap();
    assert!(lab.stop_server().unwrap());
}
