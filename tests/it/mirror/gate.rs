//! The conditions of an export: a mirror cosigned the head with both its keys, and holds the evidence.

use std::process::Command;

use lab::{Lab, attempt, run, text, wait_for};
use serde_json::Value;

use super::bench::{Mirror, collected};

#[test]
fn an_export_waits_for_both_words_of_the_mirror_and_then_verifies_with_everything() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    // Slow enough that the first export comes before the copy.
    let mut mirror = Mirror::admitted(&lab, "backup-1", &["--bandwidth", "1 MiB/s"]).unwrap();
    mirror.start(&lab).unwrap();
    mirror.caught_up(&lab).unwrap();
    let admission: Value =
        serde_json::from_slice(&fs_err::read(mirror.directory.join("admission.json")).unwrap()).unwrap();
    let card: Value =
        serde_json::from_slice(&fs_err::read(lab.path("server/deployment.json")).unwrap()).unwrap();
    let address = mirror.address("witness").unwrap();
    let policy = format!(
        "log {}\nwitness backup-saw {} http://{address}/witness\nwitness backup-holds {} http://{address}/mirror\n\
         group both all backup-saw backup-holds\nquorum both\n",
        text(&card, "log_key").unwrap(),
        text(&admission, "witness_key").unwrap(),
        text(&admission, "mirror_key").unwrap(),
    );
    fs_err::write(lab.path("server/ledger.policy"), &policy).unwrap();
    run(lab.exhibit().args(["trust", "policy"]).arg(lab.path("server/ledger.policy"))).unwrap();
    // The restarted collector asks the witness what it holds before it signs anything.
    assert!(lab.stop_server().unwrap());
    lab.start_server().unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    let at_once = attempt(
        lab.exhibit()
            .args(["bundle", "export", &incident, "--purpose", "test", "--out"])
            .arg(lab.path("too-soon")),
    )
    .unwrap();
    let said = String::from_utf8_lossy(&at_once.stderr).into_owned();
    assert!(!at_once.status.success(), "{said}\n{}", mirror.log(&lab));
    assert!(
        said.contains("no mirror holds") && said.contains(&id) && said.contains("evidence.replicated"),
        "{said}"
    );
    assert!(said.contains("exhibit incident show") && !said.contains("exhibit incident list"), "{said}");
    assert!(!lab.path("too-soon").exists());
    wait_for("the mirror's statement", || Ok((mirror.number(&lab, "collections_held")? == 1).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));
    let bundle = lab
        .export(&incident)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", lab.logs(), mirror.log(&lab)));
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    for name in ["quorum", "custody.complete", "custody.replicated"] {
        let verdict = report.checks.iter().find(|check| check.check == name).unwrap();
        assert_eq!(verdict.verdict, exhibit_verify::Verdict::Ok, "{}", report.text());
    }
    assert_eq!(report.vouched_by.len(), 2, "{:?}", report.vouched_by);
    let plain = run(Command::new("python3")
        .arg(lab::checkout().join("packaging/verify.py"))
        .arg(&bundle)
        .arg(lab.trust().unwrap()))
    .unwrap();
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(
        plain.contains("ok           quorum") && plain.contains("ok           custody.complete"),
        "{plain}"
    );
    assert!(plain.contains("VERIFIED"), "{plain}");
    println!("{}", report.text());
    mirror.stop().unwrap();
}
