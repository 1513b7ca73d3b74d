//! The order of system calls, seen from outside: the collector reports nothing before it is flushed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// One finished system call.
#[derive(Debug)]
struct Call {
    thread: String,
    name: String,
    arguments: String,
}

/// Runs `init` under strace; gives every call that matters, in order of completion.
fn trace(place: &Path) -> Vec<Call> {
    let log = place.join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-s", "200", "-o"])
        .arg(&log)
        .args(["-e", "trace=write,fsync,fdatasync,linkat,renameat,renameat2,openat2"])
        .arg(super::program());
    super::init(&mut command, place);
    let output = command.output().expect("strace is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&fs_err::read_to_string(&log).unwrap())
}

/// `PID name(arguments) = 0`, and pairs of `unfinished` and `resumed`.
fn parse(log: &str) -> Vec<Call> {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        let whole = if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread.to_owned(), begun.to_owned());
            continue;
        } else if let Some((_, ended)) =
            rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            format!("{}{ended}", open.remove(thread).unwrap_or_default())
        } else {
            rest.to_owned()
        };
        let Some((name, arguments)) = whole.split_once('(') else {
            continue;
        };
        if !whole.contains(" = -1 ") {
            calls.push(Call {
                thread: thread.to_owned(),
                name: name.to_owned(),
                arguments: arguments.to_owned(),
            });
        }
    }
    calls
}

/// The path in `5</path>` of the n-th descriptor argument.
fn descriptor(arguments: &str, number: usize) -> String {
    let path = arguments.split('<').nth(number + 1).and_then(|rest| rest.split('>').next());
    path.unwrap_or_default().to_owned()
}

/// The n-th quoted argument.
fn quoted(arguments: &str, number: usize) -> String {
    arguments.split('"').nth(number * 2 + 1).unwrap_or_default().to_owned()
}

#[test]
fn every_object_is_flushed_before_its_name_and_its_name_before_anything_is_said() {
    let place = tempfile::tempdir().unwrap();
    let calls = trace(place.path());
    let said = calls
        .iter()
        .position(|call| call.name == "write" && call.arguments.contains("Collector of deployment"));
    let said = said.expect("init says what it made");
    let mut named = 0;
    for (at, call) in calls.iter().enumerate() {
        let is_name = call.name == "linkat" || call.name.starts_with("renameat");
        if !is_name || !descriptor(&call.arguments, 0).ends_with("/tmp") {
            continue;
        }
        named += 1;
        let temporary = format!("{}/{}", descriptor(&call.arguments, 0), quoted(&call.arguments, 0));
        let directory = descriptor(&call.arguments, 1);
        let touches = |number: usize, name: &str, path: &str| {
            let other = &calls[number];
            other.thread == call.thread && other.name == name && descriptor(&other.arguments, 0) == path
        };
        let written = (0..at).rev().find(|number| touches(*number, "write", &temporary));
        let flushed = (0..at).rev().find(|number| touches(*number, "fsync", &temporary));
        let name_flushed = (at..said).find(|number| touches(*number, "fsync", &directory));
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
