//! The life of a deployment: persons approve, leave and come back; endpoints retire, renew and return;
//! collectors restart and lose their database. Each test says in one line what it tried and what it got.

mod collectors;
mod disposal;
mod endpoints;
mod keeping;
mod persons;
mod several_endpoints;

use std::process::{Command, Output};

use lab::{Lab, attempt, rows, run, text};

/// What a command said, with its exit code.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text.trim().to_owned())
}

/// Runs a command that must be refused with exit code 2 and these words; what it said.
fn refused(command: &mut Command, words: &str) -> String {
    let output = attempt(command).unwrap();
    let (code, text) = said(&output);
    assert_eq!(code, Some(2), "{command:?}: {text}");
    assert!(text.contains(words), "{command:?} says {text:?}, not {words:?}");
    text
}

/// Types of an incident's entries, in order.
fn timeline(lab: &Lab, incident: &str) -> Vec<String> {
    let shown = lab.json(&["incident", "show", incident]).unwrap();
    let lines = rows(shown.get("timeline").unwrap());
    lines.iter().map(|row| text(row, "type").unwrap()).collect()
}

/// How often `wanted` is there.
fn count(types: &[String], wanted: &str) -> usize {
    types.iter().filter(|found| *found == wanted).count()
}

/// A folder with one small file, and a profile that takes it. With `more` globs.
fn small(lab: &Lab, more: &[&str]) -> std::path::PathBuf {
    let dir = lab.path("fixture");
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::write(dir.join("file"), b"what is to be collected\n").unwrap();
    let glob = format!("{}/**", dir.display());
    let globs: Vec<&str> = more.iter().copied().chain([glob.as_str()]).collect();
    lab.files_profile("small", &globs).unwrap()
}

/// Exports an incident anew and verifies it; how many collections it holds.
fn verified(lab: &Lab, incident: &str) -> usize {
    let earlier = lab.path(format!("{incident}.bundle"));
    if earlier.exists() {
        fs_err::remove_dir_all(earlier).unwrap();
    }
    let bundle = lab.export(incident).unwrap();
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    report.collections.len()
}

/// Strangers' tools say the same of the bundle that [`verified`] made.
fn verified_by_strangers(lab: &Lab, incident: &str) {
    run(Command::new("python3")
        .arg(lab::checkout().join("packaging/verify.py"))
        .arg(lab.path(format!("{incident}.bundle")))
        .arg(lab.trust().unwrap()))
    .unwrap();
}

/// Makes roster `version` and puts it in force.
fn roster(lab: &Lab, version: u32, more: &[&str]) {
    let admin = lab.path("admin");
    run(lab.exhibit().args(["authority", "roster"]).arg(&admin).args(more)).unwrap();
    run(lab
        .tool("exhibit-server")
        .arg("publish-roster")
        .arg(lab.path("server"))
        .arg(admin.join(format!("roster-{version}.signed"))))
    .unwrap();
}
