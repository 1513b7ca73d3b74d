//! Stores without space: small tmpfs mounts.

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::proxy::Seen;
use lab::{Options, attempt, is_root, run, wait_for};

use super::fixture;
use crate::field::{Field, Random};

/// A small file system, gone at the end.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path, mib: u64) -> Self {
        fs_err::create_dir_all(path).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "tmpfs"])
            .arg(path))
        .unwrap();
        Self(path.to_owned())
    }

    fn grow(&self, mib: u64) {
        run(Command::new("mount").args(["-o", &format!("remount,size={mib}m")]).arg(&self.0)).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Best effort: the test has its verdict by now.
        drop(attempt(Command::new("umount").arg("--lazy").arg(&self.0)));
    }
}

/// The endpoint's row once the collector's log says that stores take nothing.
fn wait_full(field: &Field) {
    wait_for("the collector without space", || {
        let log = fs_err::read_to_string(field.lab.path("server.log"))?;
        Ok(log.contains("the sender waits").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
}

#[test]
fn full_stores_hold_the_sender_back_and_acknowledge_nothing() {
    let name = "full_stores_hold_the_sender_back_and_acknowledge_nothing";
    if !is_root(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Small::mount(&folder.path().join("a"), 40), Small::mount(&folder.path().join("b"), 40));
    let field = Field::with(&Options {
        stores: Some((one.store(), two.store())),
        server: vec!["--degraded".to_owned(), "wait".to_owned()],
        ..Options::default()
    })
    .unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 100, &mut Random::new(10));
    let profile = field.lab.files_profile("full", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    wait_full(&field);
    let before = field.acknowledged().unwrap();
    assert_eq!(field.lost(&before), Vec::<String>::new());
    let shown = field.show(&order).unwrap();
    assert_eq!(shown.row.unwrap().state, "running", "{}", field.logs());
    assert!(before.len() < 12, "13 segments do not fit into 40 MiB, {} were acknowledged", before.len());
    one.grow(400);
    two.grow(400);
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!((ended.state.as_str(), ended.attempt), ("stored", 1), "{}\n{}", ended.detail, field.logs());
    let after = field.acknowledged().unwrap();
    assert_eq!(field.lost(&after), Vec::<String>::new());
    let degraded = |what: &Seen| matches!(what, Seen::Position { degraded: true, .. });
    assert!(!field.proxy.seen().iter().any(|one| degraded(&one.what)));
    field.fsck().unwrap();
    println!(
        "tried: both stores full after {} segments, then more space; got: sender held back, stored in attempt 1, {} segments, none lost",
        before.len(),
        after.len()
    );
}

#[test]
fn one_full_store_is_said_everywhere_and_repaired_when_there_is_space() {
    let name = "one_full_store_is_said_everywhere_and_repaired_when_there_is_space";
    if !is_root(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, two) =
        (Small::mount(&folder.path().join("a"), 400), Small::mount(&folder.path().join("b"), 30));
    let field = Field::with(&Options {
        stores: Some((one.store(), two.store())),
        server: vec!["--degraded".to_owned(), "accept".to_owned()],
        ..Options::default()
    })
    .unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 60, &mut Random::new(11));
    let profile = field.lab.files_profile("one-full", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let collected = attempt(
        field
            .lab
            .exhibit()
            .args(["collect", "--incident", &incident, "--on", crate::field::ENDPOINT])
            .args(["--purpose", "test", "--profile"])
            .arg(&profile),
    )
    .unwrap();
    let (out, said) = (
        String::from_utf8_lossy(&collected.stdout).into_owned(),
        String::from_utf8_lossy(&collected.stderr).into_owned(),
    );
    assert_eq!(collected.status.code(), Some(0), "{said}\n{}", field.logs());
    assert!(out.contains("stored-degraded") && said.contains("warning: stored-degraded"), "{out}{said}");
    let row = field.lab.last_collection(&incident).unwrap();
    assert_eq!(lab::text(&row, "state").unwrap(), "stored-degraded", "{row}");
    assert_eq!((row["degraded"].as_bool(), row["copies"].as_u64()), (Some(true), Some(1)), "{row}");
    let id = lab::text(&row, "collection").unwrap();
    let listed = field.lab.exhibit().args(["ledger", "tail", "--from", "0"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entry = listed.lines().find(|line| line.contains("collection.stored")).unwrap();
    assert!(entry.contains("degraded=yes") && entry.contains("copies=1"), "{entry}");
    let positions = field.proxy.seen();
    assert!(positions.iter().any(|one| matches!(one.what, Seen::Position { degraded: true, copies: 1, .. })));
    two.grow(400);
    let repaired = wait_for("the repair of the second store", || {
        let row = field.collection(&id)?;
        Ok((row.state == "stored" && row.copies == 2 && !row.degraded).then_some(row))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    assert_eq!(field.lost(&field.acknowledged().unwrap()), Vec::<String>::new());
    field.fsck().unwrap();
    println!(
        "tried: one of two stores full; got: exit code 0 with a warning, `stored-degraded` in list and entry ({}), \
         later repaired to {} copies, fsck clean",
        entry
            .split_whitespace()
            .filter(|word| word.starts_with("copies") || word.starts_with("degraded"))
            .collect::<Vec<_>>()
            .join(" "),
        repaired.copies
    );
}
