//! The state that enrolment writes.

use std::os::unix::fs::MetadataExt as _;

use agent::state::identity::{self, Identity, IdentityStateError};

use crate::lab::*;

#[test]
fn keys_and_pins_are_for_the_owner_alone_and_never_overwritten() {
    let lab = Lab::new();
    for entry in
        fs_err::read_dir(&lab.state).unwrap().chain(fs_err::read_dir(lab.state.join("gen-1")).unwrap())
    {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o7777;
        let expected = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", entry.path().display());
    }
    let first = evidence::id::Generation::FIRST;
    let second = first.next().unwrap();
    for (generation, replace) in [(first, false), (first, true), (second, false)] {
        let error = identity::check_room(&lab.state, generation, replace).unwrap_err();
        assert!(matches!(error, IdentityStateError::Enrolled { next: 2, .. }), "{error}");
    }
    identity::check_room(&lab.state, second, true).unwrap();
    // An enrolment that was cut before it was in force is reported, and the old one still holds.
    fs_err::create_dir(lab.state.join("gen-2")).unwrap();
    let error = identity::check_room(&lab.state, second, true).unwrap_err();
    assert!(matches!(error, IdentityStateError::LeftOver { .. }), "{error}");
    assert_eq!(Identity::open(&lab.state).unwrap().pins.generation, first);
}

#[test]
fn a_token_that_is_none_is_refused_with_words_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_exhibit-agent")).args(arguments).output().unwrap()
    };
    let state = dir.path().join("state");
    let output = run(&["enrol", "--token", "exhibit1.nonsense", "--state", state.to_str().unwrap()]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("the token cannot be used") && words.contains("copied whole"), "{words}");
    assert!(!state.exists());

    for (arguments, code, expected) in [
        (vec!["--help"], 0, "Examples"),
        (vec!["enrol"], 64, "--token"),
        (vec!["collect"], 64, "unrecognized subcommand"),
        (vec!["run", "--state", state.to_str().unwrap()], 2, "exhibit-agent enrol"),
        (vec!["log", "--state", state.to_str().unwrap()], 2, "holds no log"),
        (vec!["status", "--state", state.to_str().unwrap()], 2, "exhibit-agent enrol"),
        (vec!["__reader"], 2, "starts it by itself"),
        (vec!["__sealer"], 2, "starts it by itself"),
        (vec!["__link"], 2, "starts it by itself"),
    ] {
        let output = run(&arguments);
        let words = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(words.contains(expected), "{arguments:?}: {words}");
    }
}

#[test]
fn status_and_log_answer_the_owner_without_network() {
    let lab = Lab::new();
    lab.start().stop().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_exhibit-agent"));
        command.args(arguments).arg("--state").arg(&lab.state).output().unwrap()
    };
    let policy = lab.policy.to_str().unwrap();
    let output = run(&["status", "--json", "--policy", policy]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&status["endpoint"], &status["starts"], &status["is_running"]),
        (&"web-03".into(), &1.into(), &false.into())
    );
    assert_eq!(status["policy"][1], evidence::digest::Digest::of(b"").to_string());
    let text = String::from_utf8(run(&["status", "--policy", policy]).stdout).unwrap();
    assert!(text.contains("web-03 generation 1 of acme") && text.contains("no agent runs"), "{text}");
    let text = String::from_utf8(run(&["log"]).stdout).unwrap();
    assert!(text.contains("started") && text.contains("state_generation=1"), "{text}");

    let path = lab.state.join("endpoint-log.jsonl");
    let altered =
        fs_err::read_to_string(&path).unwrap().replace("\"state_generation\":1", "\"state_generation\":2");
    fs_err::write(&path, altered + "{}\n").unwrap();
    let output = run(&["log"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("was altered"));
}
