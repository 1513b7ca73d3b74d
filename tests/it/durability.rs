//! I4, seen from outside: strace watches a collector take a real upload, and every flush is made slow, so that an answer that does not wait
//! for a flush would come long before it.
//!
//! The order for each segment, in both stores: flush its bytes and its seal, give them their names, flush the folder of the names. Then
//! flush the row in the database; then answer the endpoint.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lab::proxy::Seen;
use lab::{Child, is_root, wait_for};
use testkit::strace::{self, Call};

use crate::faults::fixture;
use crate::field::{Field, Random};

/// How long each flush is held up before it begins.
const FLUSH_DELAY: Duration = Duration::from_millis(150);

/// strace on a running process, which holds up each flush for `delay` before it begins.
pub fn trace(pid: u32, log: &Path, delay: Duration) -> Child {
    let mut command = strace::command(log, "fsync,fdatasync,linkat,renameat,renameat2,pwrite64");
    command
        .arg("-e")
        .arg(format!("inject=fsync,fdatasync:delay_enter={}", delay.as_micros()))
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

/// True if this machine lets us trace a collector; otherwise prints that the test is skipped, by name.
pub fn can_trace(test: &str) -> bool {
    let is_installed = Path::new("/usr/bin/strace").exists();
    if !is_installed {
        println!("SKIPPED {test}: strace is not installed");
    }
    is_root(test) && is_installed
}

/// Where in the trace an object got its name in a store, after its bytes were flushed and before the folder of its name was: the place of
/// that last flush.
fn durable(calls: &[Call], store: &Path, folder: &str, name: &str) -> usize {
    let folder = store.join(folder).display().to_string();
    let is_naming = |call: &Call| call.is_naming() && call.descriptor(1) == folder && call.quoted(1) == name;
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
    if !can_trace(name) {
        return;
    }
    let mut field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 20, &mut Random::new(4));
    let profile = field.lab.files_profile("noise", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let log = field.lab.path("trace");
    let pid = field.lab.server().unwrap().pid();
    let mut tracer = trace(pid, &log, FLUSH_DELAY);
    let order = field.order(&incident, &profile, &[]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    tracer.terminate().unwrap();
    let calls = strace::parse(&fs_err::read_to_string(&log).unwrap());

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

#[test]
fn a_trace_is_read_with_blanks_in_paths_calls_in_halves_and_calls_that_failed() {
    let log = "\
41 1795262400.000001 linkat(7</tmp/a lab/store-a/tmp>, \"1 of 2\", 8</tmp/a lab/store-a/seals>, \"000000.seal\", 0) = 0 <0.000010>
42    1795262401.500000 fsync(9</tmp/a lab/server/exhibit.db-wal> <unfinished ...>
41 1795262402.000000 fsync(8</tmp/a lab/store-a/seals>) = -1 EIO (Input/output error) <0.000010>
42    1795262403.000000 <... fsync resumed>) = 0 (DELAYED) <1.500000>
41 1795262404.000000 fsync(8</tmp/a lab/store-a/seals>) = 0 <0.500000>
41 1795262405.000000 +++ exited with 0 +++
";
    let calls = strace::parse(log);
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["linkat", "fsync", "fsync"]);
    let [named, row, folder] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(named.is_naming() && !row.is_naming());
    assert_eq!((named.descriptor(0), named.quoted(0)), ("/tmp/a lab/store-a/tmp", "1 of 2"));
    assert_eq!((named.descriptor(1), named.quoted(1)), ("/tmp/a lab/store-a/seals", "000000.seal"));
    assert!(row.is_flush_of("/tmp/a lab/server/exhibit.db-wal"));
    assert!(folder.is_flush_of("/tmp/a lab/store-a/seals") && !folder.is_flush_of("/tmp/a"));
    let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(1_795_262_400_000 + ms);
    let close = |call: &Call, ms| call.finished.duration_since(at(ms)).unwrap() < Duration::from_millis(1);
    assert!(close(row, 3000) && close(folder, 4500), "{calls:?}");
}
