//! The order of system calls, seen from outside: the collector reports nothing before it is flushed.

use std::path::Path;

use testkit::strace::{self, Call};

/// Runs `init` under strace; gives every call that matters, in order of completion.
fn trace(place: &Path) -> Vec<Call> {
    let log = place.join("trace");
    let mut command = strace::command(&log, "write,fsync,linkat,renameat,renameat2");
    command.arg(super::program());
    super::init(&mut command, place);
    let output = command.output().expect("strace is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    strace::parse(&fs_err::read_to_string(&log).unwrap())
}

#[test]
fn every_object_is_flushed_before_its_name_and_its_name_before_anything_is_said() {
    let place = tempfile::Builder::new().prefix("a collector's place ").tempdir().unwrap();
    let calls = trace(place.path());
    let said = calls
        .iter()
        .position(|call| call.name == "write" && call.arguments.contains("Collector of deployment"));
    let said = said.expect("init says what it made");
    let mut named = 0;
    for (at, call) in calls.iter().enumerate() {
        if !call.is_naming() || !call.descriptor(0).ends_with("/tmp") {
            continue;
        }
        named += 1;
        let temporary = format!("{}/{}", call.descriptor(0), call.quoted(0));
        let directory = call.descriptor(1);
        let touches = |number: usize, name: &str, path: &str| {
            let other = &calls[number];
            other.thread == call.thread && other.name == name && other.descriptor(0) == path
        };
        let written = (0..at).rev().find(|number| touches(*number, "write", &temporary));
        let flushed = (0..at).rev().find(|number| touches(*number, "fsync", &temporary));
        let name_flushed = (at..said).find(|number| touches(*number, "fsync", directory));
        assert!(written.is_some() && written < flushed, "not flushed before its name: {call:?}");
        assert!(name_flushed.is_some(), "name not flushed before it was reported: {call:?}");
    }
    // Marker, document, bundles, tiles and checkpoints of two entries, in two stores.
    assert!(named >= 2 * 8, "{named} objects were named");
    // Everything in the stores came this way.
    let objects = ["a", "b"].map(|store| count_files(&place.path().join(store)));
    let checkpoints_replaced = 2;
    assert_eq!(objects.iter().sum::<usize>() + checkpoints_replaced, named);
}

fn count_files(directory: &Path) -> usize {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}
