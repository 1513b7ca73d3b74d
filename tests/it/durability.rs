//! I4, seen from outside: strace watches a collector take a real upload, and every flush is made slow, so that an answer that does not wait
//! for a flush would come long before it.
//!
//! The order for each segment, in both stores: flush its bytes and its seal, give them their names, flush the folder of the names. Then
//! flush the row in the database; then answer the endpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::proxy::Seen;
use lab::{Child, is_root, wait_for};

use crate::faults::fixture;
use crate::field::{Field, Random};

/// How long each flush is held up before it begins.
const FLUSH_DELAY: Duration = Duration::from_millis(150);

/// One finished system call; calls stand in the order in which they finished.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    finished: SystemTime,
}

impl Call {
    /// The path in `5</path>` of the n-th descriptor argument.
    fn descriptor(&self, number: usize) -> &str {
        let path = self.arguments.split('<').nth(number + 1).and_then(|rest| rest.split('>').next());
        path.unwrap_or_default()
    }

    /// The n-th quoted argument.
    fn quoted(&self, number: usize) -> &str {
        self.arguments.split('"').nth(number * 2 + 1).unwrap_or_default()
    }

    fn is_flush_of(&self, path: &str) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.descriptor(0) == path
    }
}

/// `PID TIME name(arguments) = 0 <SECONDS>`, and pairs of `unfinished` and `resumed`.
fn parse(log: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let mut words = line.splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else { continue };
        let (whole, is_resumed) = if let Some(half) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, half);
            continue;
        } else if let Some((_, half)) =
            rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            (format!("{}{half}", begun.remove(thread).unwrap_or_default()), true)
        } else {
            (rest.to_owned(), false)
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        if whole.contains(" = -1 ") || !whole.contains(" = ") {
            continue;
        }
        let seconds = |text: &str| Duration::from_secs_f64(text.parse().unwrap());
        // A call that was printed in one piece carries the time of its beginning, a resumed one that of its end.
        let took = whole.rsplit('<').next().and_then(|text| text.strip_suffix('>'));
        let took = took.filter(|_| !is_resumed).map_or(Duration::ZERO, seconds);
        calls.push(Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            finished: UNIX_EPOCH + seconds(time) + took,
        });
    }
    calls
}

/// strace on a running process, with slow flushes.
fn trace(pid: u32, log: &Path) -> Child {
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-y",
            "-ttt",
            "-T",
            "-s",
            "200",
            "-e",
            "trace=fsync,fdatasync,linkat,renameat,renameat2,pwrite64",
        ])
        .arg("-e")
        .arg(format!("inject=fsync,fdatasync:delay_enter={}", FLUSH_DELAY.as_micros()))
        .arg("-o")
        .arg(log)
        .args(["-p", &pid.to_string()]);
    let tracer = Child::start(command, &log.with_extension("says")).unwrap();
    wait_for("strace on every thread of the collector", || {
        for task in fs_err::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs_err::read_to_string(task?.path().join("status"))?;
            if status.lines().any(|line| line.starts_with("TracerPid:") && line.ends_with("\t0")) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", tracer.log()));
    tracer
}

/// Where in the trace an object got its name in a store, after its bytes were flushed and before the folder of its name was: the place of
/// that last flush.
fn durable(calls: &[Call], store: &Path, folder: &str, name: &str) -> usize {
    let folder = store.join(folder).display().to_string();
    let is_naming = |call: &Call| {
        (call.name == "linkat" || call.name.starts_with("renameat"))
            && call.descriptor(1) == folder
            && call.quoted(1) == name
    };
    let named = calls.iter().position(is_naming).unwrap_or_else(|| panic!("{folder}/{name} got no name"));
    let temporary = format!("{}/{}", calls[named].descriptor(0), calls[named].quoted(0));
    let flushed = calls[..named].iter().any(|call| call.is_flush_of(&temporary));
    assert!(flushed, "{folder}/{name} got its name before {temporary} was flushed");
    let folder_flushed = calls[named..].iter().position(|call| call.is_flush_of(&folder));
    named + folder_flushed.unwrap_or_else(|| panic!("the name {folder}/{name} was never flushed"))
}

#[test]
fn a_segment_is_acknowledged_after_its_bytes_its_seal_and_its_row_are_flushed() {
    let name = "a_segment_is_acknowledged_after_its_bytes_its_seal_and_its_row_are_flushed";
    if !is_root(name) {
        return;
    }
    if !Path::new("/usr/bin/strace").exists() {
        println!("SKIPPED {name}: strace is not installed");
        return;
    }
    let mut field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 20, &mut Random::new(4));
    let profile = field.lab.files_profile("noise", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let log = field.lab.path("trace");
    let pid = field.lab.server().unwrap().pid();
    let mut tracer = trace(pid, &log);
    let order = field.order(&incident, &profile, &[]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    tracer.terminate().unwrap();
    let calls = parse(&fs_err::read_to_string(&log).unwrap());

    let seen = field.proxy.seen();
    let acknowledged = field.acknowledged().unwrap();
    assert!(acknowledged.len() >= 3, "{} segments", acknowledged.len());
    let wal = field.lab.path("server/exhibit.db-wal").display().to_string();
    for ((collection, index), digests) in &acknowledged {
        let objects = [
            (format!("segments/{collection}"), format!("{index:06}-{}.zst", digests.sha256)),
            (format!("seals/{collection}"), format!("{index:06}-{}.seal", digests.seal)),
        ];
        let stored: Vec<usize> = field
            .stores
            .iter()
            .flat_map(|store| objects.iter().map(|(folder, name)| durable(&calls, store, folder, name)))
            .collect();
        let stored = *stored.iter().max().unwrap();
        let written =
            calls[stored..].iter().position(|call| call.name == "pwrite64" && call.descriptor(0) == wal);
        let written = stored + written.unwrap_or_else(|| panic!("segment {index} got no row"));
        let committed = calls[written..].iter().position(|call| call.is_flush_of(&wal));
        let committed =
            written + committed.unwrap_or_else(|| panic!("the row of segment {index} was never flushed"));
        let answer = seen.iter().find(|one| {
            matches!(&one.what, Seen::Position { collection: of, next_index, .. } if of == collection && next_index > index)
        });
        let answered = field.proxy.begun() + answer.unwrap().at;
        let flushed = calls[committed].finished;
        assert!(
            answered >= flushed,
            "segment {index} was acknowledged {:?} too early",
            flushed.duration_since(answered)
        );
    }
    println!(
        "tried: {} segments uploaded to a collector whose every flush takes {FLUSH_DELAY:?} longer; got: each answered after its bytes, seal and row were flushed",
        acknowledged.len()
    );
}
