//! The operator's view: init, fsck, rebuild, and their exit codes.

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str], directory: &Path) -> Output {
    Command::new(super::program()).args(arguments).arg(directory).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn a_collector_is_made_checked_damaged_and_recreated() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(super::program());
    super::init(&mut command, place.path());
    let made = command.output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    assert!(text(&made).contains("NOT INDEPENDENT"), "{}", text(&made));
    let again = command.output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again).contains("is not empty"), "{}", text(&again));

    let server = place.path().join("server");
    let checked = run(&["fsck", "--evidence"], &server);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(
        text(&checked).contains("2 entries") && text(&checked).contains("0 problems"),
        "{}",
        text(&checked)
    );

    let refused = run(&["rebuild"], &server);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("exists already"), "{}", text(&refused));
    fs_err::rename(server.join("exhibit.db"), place.path().join("lost.db")).unwrap();
    let missing = run(&["fsck"], &server);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing).contains("exhibit-server rebuild"), "{}", text(&missing));
    let rebuilt = run(&["rebuild"], &server);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", text(&rebuilt));
    assert_eq!(run(&["fsck"], &server).status.code(), Some(0));

    // A document altered in one store: said with its name, exit code 1.
    let documents = place.path().join("a/documents");
    let document = fs_err::read_dir(&documents).unwrap().next().unwrap().unwrap().path();
    fs_err::remove_file(&document).unwrap();
    fs_err::write(&document, "{}\n").unwrap();
    let failed = run(&["fsck", "--evidence"], &server);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    assert!(text(&failed).contains("store-1: documents/"), "{}", text(&failed));
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    let status =
        |arguments: &[&str]| Command::new(super::program()).args(arguments).output().unwrap().status.code();
    assert_eq!(status(&["init"]), Some(64));
    assert_eq!(status(&["no-such-command"]), Some(64));
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["init", "--help"]), Some(0));
}
