//! The fields of every answer in JSON: one deployment is led through its life, and of each command's output the paths and types are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use lab::{Lab, attempt, text, wait_for};
use serde_json::Value;

use crate::mirror::bench::Mirror;

/// Types by path: `timeline[].type` is a string.
type Fields = BTreeMap<String, BTreeSet<&'static str>>;

/// Fields whose keys are data: outcomes, names of stores. Their keys count as one.
const KEYED_BY_DATA: [&str; 1] = ["counts"];

fn add(fields: &mut Fields, path: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    fields.entry(path.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(members) => {
            for member in members {
                add(fields, &format!("{path}[]"), member);
            }
        }
        Value::Object(members) => {
            let is_keyed_by_data = path.rsplit('.').next().is_some_and(|last| KEYED_BY_DATA.contains(&last));
            for (name, member) in members {
                let name = if is_keyed_by_data { "*" } else { name };
                add(fields, &format!("{path}.{name}"), member);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Answers by command.
#[derive(Default)]
struct Answers(BTreeMap<String, Fields>);

impl Answers {
    /// Runs a command that prints JSON, keeps the fields and gives the last value.
    fn ask(&mut self, name: &str, command: &mut Command, code: i32) -> Value {
        let output = attempt(command).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {said}{error}");
        let fields = self.0.entry(name.to_owned()).or_default();
        let mut last = Value::Null;
        let mut values = 0;
        for value in serde_json::Deserializer::from_str(&said).into_iter::<Value>() {
            last = value.unwrap_or_else(|error| panic!("{command:?} prints no JSON ({error}): {said}"));
            add(fields, "", &last);
            values += 1;
        }
        assert!(values > 0, "{command:?} prints nothing");
        last
    }

    /// `exhibit --json` as that person; the verbs are the name.
    fn exhibit(&mut self, lab: &Lab, person: &str, verbs: &[&str], args: &[&str]) -> Value {
        let mut command = lab.exhibit_as(person);
        command.arg("--json").args(verbs).args(args);
        self.ask(&format!("exhibit {}", verbs.join(" ")), &mut command, 0)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, fields) in &self.0 {
            text.push_str(&format!("{name}\n"));
            for (path, kinds) in fields {
                let path = if path.is_empty() { "(whole)" } else { path };
                let kinds: Vec<&str> = kinds.iter().copied().collect();
                text.push_str(&format!("  {path}: {}\n", kinds.join("|")));
            }
        }
        text
    }
}

fn shown(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// Authorities, rosters and pins: nothing of it needs a collector.
fn ask_offline(answers: &mut Answers, lab: &Lab) {
    let admin = lab.path("admin-2");
    let person = "carol=responder,endpoint-admin";
    answers.exhibit(
        lab,
        "carol",
        &["authority", "init"],
        &[
            shown(&admin),
            "--deployment",
            "other",
            "--person",
            person,
            "--authority-keys",
            "2",
            "--threshold",
            "2",
        ],
    );
    answers.exhibit(lab, "carol", &["authority", "roster"], &[shown(&admin)]);
    answers.exhibit(lab, "carol", &["profile", "list"], &[]);
    answers.exhibit(lab, "carol", &["profile", "show"], &["linux-triage"]);
    let profile = lab.files_profile("lint", &["/etc/hostname"]).unwrap();
    answers.exhibit(lab, "carol", &["profile", "lint"], &[shown(&profile)]);
}

/// An incident from its opening to the export of its bundle.
fn ask_of_an_incident(answers: &mut Answers, lab: &Lab) -> String {
    let dir = lab.path("fixture");
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::write(dir.join("file"), b"what is to be collected\n").unwrap();
    let profile = lab.files_profile("answers", &[&format!("{}/**", dir.display()), "/no/such/file"]).unwrap();
    let opened = answers.exhibit(
        lab,
        "responder",
        &["incident", "open"],
        &["--title", "Odd logins", "--severity", "high", "--tlp", "amber", "--class", "intrusions"],
    );
    let incident = text(&opened, "incident").unwrap();
    answers.exhibit(lab, "responder", &["incident", "note"], &[&incident, "a note"]);
    let order =
        ["--incident", &incident, "--on", "web-03", "--purpose", "test", "--profile", shown(&profile)];
    answers.exhibit(lab, "responder", &["collect"], &[&order[..], &["--wait"]].concat());
    let collection = text(&lab.last_collection(&incident).unwrap(), "collection").unwrap();
    answers.exhibit(lab, "responder", &["collection", "list"], &["--incident", &incident]);
    answers.exhibit(lab, "responder", &["collection", "show"], &[&collection]);
    answers.exhibit(lab, "responder", &["evidence", "ls"], &[&collection, "--purpose", "look"]);
    let out = lab.path("item");
    let item = dir.join("file");
    answers.exhibit(
        lab,
        "responder",
        &["evidence", "get"],
        &[&collection, shown(&item), "--purpose", "look", "--out", shown(&out)],
    );
    let bundle = lab.path("bundle");
    answers.exhibit(
        lab,
        "responder",
        &["bundle", "export"],
        &[&incident, "--purpose", "test", "--out", shown(&bundle)],
    );
    let trust = lab.path("trust");
    answers.exhibit(lab, "responder", &["trust", "export"], &[shown(&trust)]);
    answers.exhibit(lab, "responder", &["verify"], &[shown(&bundle), "--trust", shown(&trust)]);
    let mut verify = lab.tool("exhibit-verify");
    answers.ask("exhibit-verify", verify.arg(&bundle).arg("--trust").arg(&trust).arg("--json"), 0);
    answers.exhibit(lab, "responder", &["incident", "show"], &[&incident]);
    answers.exhibit(lab, "responder", &["incident", "list"], &[]);
    incident
}

/// Orders that another person approves, rejects and cancels.
fn ask_of_orders(answers: &mut Answers, lab: &Lab) {
    let profile = lab.files_profile("private", &["/etc/ssh/no-such-file"]).unwrap();
    let incident = lab.incident().unwrap();
    let issue = |answers: &mut Answers| {
        let args =
            ["--incident", &incident, "--on", "web-03", "--purpose", "test", "--profile", shown(&profile)];
        let issued = answers.exhibit(lab, "responder", &["collect", "--no-wait"], &args);
        text(&issued, "order").unwrap()
    };
    let (one, two, three) = (issue(answers), issue(answers), issue(answers));
    answers.exhibit(lab, "bob", &["order", "approve"], &[&one]);
    answers.exhibit(lab, "bob", &["order", "reject"], &[&two]);
    answers.exhibit(lab, "responder", &["order", "cancel"], &[&three]);
    wait_for("the approved order's end", || {
        let order = lab.json(&["order", "show", &one])?;
        Ok((order.to_string().contains("stored")).then_some(()))
    })
    .unwrap();
    answers.exhibit(lab, "responder", &["order", "show"], &[&one]);
    answers.exhibit(lab, "responder", &["order", "list"], &[]);
}

/// From the close of an incident to the certificate of destruction.
fn ask_of_disposal(answers: &mut Answers, lab: &Lab, incident: &str) {
    answers.exhibit(lab, "bob", &["incident", "hold", "place"], &[incident, "--reason", "wait"]);
    answers.exhibit(lab, "bob", &["incident", "hold", "release"], &[incident, "--reason", "go on"]);
    answers.exhibit(lab, "responder", &["incident", "close"], &[incident, "--reason", "done"]);
    answers.exhibit(lab, "responder", &["incident", "reopen"], &[incident, "--reason", "not yet"]);
    answers.exhibit(lab, "responder", &["incident", "close"], &[incident, "--reason", "done"]);
    answers.exhibit(
        lab,
        "bob",
        &["incident", "retention", "set"],
        &[incident, "--until", "2026-01-01", "--reason", "law"],
    );
    answers.exhibit(
        lab,
        "responder",
        &["disposition", "propose", "--dry-run"],
        &[incident, "--reason", "look"],
    );
    let proposed =
        answers.exhibit(lab, "responder", &["disposition", "propose"], &[incident, "--reason", "time"]);
    let plan = text(&proposed, "plan").unwrap();
    answers.exhibit(lab, "bob", &["disposition", "approve"], &[incident, &plan, "--reason", "checked"]);
    wait_for("everything gone", || {
        let shown = lab.json(&["disposition", "show", incident])?;
        let places: Vec<Value> =
            shown["plans"].as_array().unwrap().iter().flat_map(|plan| lab::rows(&plan["places"])).collect();
        Ok((!places.is_empty() && places.iter().all(|place| place["state"] == "gone")).then_some(()))
    })
    .unwrap();
    answers.exhibit(lab, "responder", &["disposition", "show"], &[incident]);
    let out = lab.path("certificate");
    answers.exhibit(lab, "responder", &["disposition", "certificate"], &[incident, "--out", shown(&out)]);
    let mut verify = lab.tool("exhibit-verify");
    verify.arg(&out).arg("--trust").arg(lab.trust().unwrap()).arg("--json");
    answers.ask("exhibit-verify (disposed)", &mut verify, 0);
}

/// Ledger, stores, programs on the collector's machine, a mirror.
fn ask_operators(answers: &mut Answers, lab: &Lab) {
    answers.exhibit(lab, "responder", &["ledger", "tail"], &["--from", "0"]);
    answers.exhibit(lab, "responder", &["ledger", "prove"], &["--index", "1"]);
    answers.exhibit(lab, "responder", &["ledger", "fsck"], &["--evidence"]);
    answers.exhibit(lab, "responder", &["ledger", "checkpoint"], &[]);
    answers.exhibit(lab, "responder", &["store", "list"], &[]);
    answers.exhibit(lab, "responder", &["store", "repair"], &[]);
    answers.exhibit(lab, "responder", &["store", "scrub"], &[]);
    let mut mirror = Mirror::made(lab, "backup-1", &[]).unwrap();
    answers.exhibit(
        lab,
        "responder",
        &["mirror", "admit"],
        &[shown(&mirror.directory.join("admission.json"))],
    );
    mirror.start(lab).unwrap();
    mirror.caught_up(lab).unwrap();
    let mut status = lab.tool("exhibit-server");
    status.args(["mirror", "status", "--json"]).arg(&mirror.directory);
    answers.ask("exhibit-server mirror status", &mut status, 0);
    mirror.stop().unwrap();
    answers.exhibit(lab, "responder", &["mirror", "retire"], &["backup-1", "--reason", "test"]);
}

/// The endpoint's own words, and its end.
fn ask_of_the_endpoint(answers: &mut Answers, lab: &Lab) {
    let mut log = lab.tool("exhibit-agent");
    answers.ask("exhibit-agent log", log.args(["log", "--json", "--state"]).arg(lab.state("web-03")), 0);
    answers.exhibit(lab, "responder", &["endpoint", "list"], &[]);
    answers.exhibit(lab, "responder", &["endpoint", "show"], &["web-03"]);
    answers.exhibit(lab, "responder", &["endpoint", "token"], &["web-04"]);
    answers.exhibit(lab, "responder", &["endpoint", "retire"], &["web-03", "--reason", "test"]);
    answers.exhibit(lab, "responder", &["login"], &[]);
}

#[test]
fn the_fields_of_every_answer_are_what_they_were() {
    let mut answers = Answers::default();
    let two_persons = ["--two-persons", "sensitive"].map(str::to_owned).to_vec();
    let mut lab = Lab::with(&lab::Options { authority: two_persons, ..lab::Options::default() }).unwrap();
    lab.log_in("bob").unwrap();
    ask_offline(&mut answers, &lab);
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let incident = ask_of_an_incident(&mut answers, &lab);
    ask_of_orders(&mut answers, &lab);
    ask_operators(&mut answers, &lab);
    ask_of_disposal(&mut answers, &lab, &incident);
    ask_of_the_endpoint(&mut answers, &lab);
    super::compare("answers.txt", &answers.text());
}
