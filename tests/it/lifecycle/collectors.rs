//! A collector that restarts, loses its database, or finds stores that are not its own.

use std::path::Path;
use std::process::Command;

use lab::{Lab, Options, attempt, rows, run, text};
use serde_json::Value;

use super::{said, small, verified};
use crate::field::Field;

#[test]
fn an_order_for_an_absent_endpoint_outlives_the_collectors_process() {
    let mut field = Field::silent(&Options::default()).unwrap();
    let profile = small(&field.lab, &[]);
    let incident = field.incident().unwrap();
    let orders = [0, 1].map(|_| field.order(&incident, &profile, &[]).unwrap());
    assert!(field.lab.stop_server().unwrap());
    field.lab.start_server().unwrap();
    field.lab.kill_server().unwrap();
    field.lab.start_server().unwrap();
    field.start_agent(&[]).unwrap();
    for order in &orders {
        let ended = field.wait_ended(order).unwrap();
        assert_eq!(
            (ended.state.as_str(), ended.attempt),
            ("stored", 1),
            "{}\n{}",
            ended.detail,
            field.logs()
        );
    }
    assert_eq!(verified(&field.lab, &incident), 2);
    println!(
        "tried: SIGTERM and SIGKILL of the collector while two orders wait for an absent endpoint; got: both delivered and stored when it came"
    );
}

/// What a person sees, without what is live.
fn views(lab: &Lab, incident: &str, collections: &[String]) -> Vec<Value> {
    let mut views: Vec<Value> = [
        vec!["incident", "list"],
        vec!["incident", "show", incident],
        vec!["order", "list"],
        vec!["collection", "list"],
        vec!["endpoint", "list"],
    ]
    .iter()
    .map(|args| lab.json(args).unwrap())
    .collect();
    for order in rows(&views[2]) {
        views.push(lab.json(&["order", "show", &text(&order, "order").unwrap()]).unwrap());
    }
    for collection in collections {
        views.push(lab.json(&["collection", "show", collection]).unwrap());
    }
    for row in views[4].as_array_mut().unwrap() {
        for live in ["connected", "last_seen", "agent_version", "clock_offset_ms", "warning"] {
            row.as_object_mut().unwrap().remove(live);
        }
    }
    views
}

/// Every file below `dir` with its bytes' digest, in order.
fn digests(dir: &Path) -> String {
    let list = run(Command::new("sh")
        .args(["-c", "find . -type f | LC_ALL=C sort | xargs sha256sum"])
        .current_dir(dir))
    .unwrap();
    String::from_utf8(list.stdout).unwrap()
}

#[test]
fn a_rebuilt_database_shows_and_exports_the_same() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let profile = small(&lab, &[]);
    let incident = lab.incident().unwrap();
    let mut collections = Vec::new();
    for _ in 0..2 {
        let row = lab.collect(&incident, "web-03", &profile).unwrap();
        collections.push(text(&row, "collection").unwrap());
    }
    let note = ["incident", "note", &incident, "Two collections"];
    run(lab.exhibit().args(note)).unwrap();
    let file = lab.path("fixture/file");
    let cat = |lab: &Lab| {
        let read = run(lab
            .exhibit()
            .args(["evidence", "cat", &collections[0]])
            .arg(&file)
            .args(["--purpose", "look"]));
        read.unwrap().stdout
    };
    let read = cat(&lab);
    // Retired and rejected things are rows, too.
    lab.enrol("web-04").unwrap();
    run(lab.exhibit().args(["endpoint", "retire", "web-04"])).unwrap();
    let before_bundle = lab.export(&incident).unwrap();
    let kept = lab.path("before.bundle");
    fs_err::rename(&before_bundle, &kept).unwrap();
    let before = views(&lab, &incident, &collections);
    lab.stop_agent("web-03").unwrap();
    assert!(lab.stop_server().unwrap());

    let server = lab.path("server");
    let exists = attempt(lab.tool("exhibit-server").arg("rebuild").arg(&server)).unwrap();
    assert_eq!(exists.status.code(), Some(2), "a database is never replaced");
    for suffix in ["", "-wal", "-shm"] {
        let path = server.join(format!("exhibit.db{suffix}"));
        if path.exists() {
            fs_err::remove_file(path).unwrap();
        }
    }
    let without = refuses_to_start(&lab, "no database at");
    run(lab.tool("exhibit-server").arg("rebuild").arg(&server)).unwrap();
    lab.start_server().unwrap();
    let after = views(&lab, &incident, &collections);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(cat(&lab), read);
    lab.start_agent("web-03", &[]).unwrap();
    lab.collect(&incident, "web-03", &profile).unwrap();
    assert_eq!(verified(&lab, &incident), 3);
    let now = lab.path(format!("{incident}.bundle"));
    for collection in &collections {
        let inside = Path::new("evidence").join(collection);
        assert_eq!(digests(&kept.join(&inside)), digests(&now.join(&inside)));
    }
    println!(
        "tried: the database deleted ({without}), then rebuild; got: {} lists and views as before, evidence exported byte for byte as before, and collecting goes on",
        after.len()
    );
}

/// Starts the collector, which must refuse with exit code 2 and these words; the first line of what it said last.
fn refuses_to_start(lab: &Lab, words: &str) -> String {
    let mut command = Command::new("timeout");
    command.arg("30").arg(lab::bin_dir().join("exhibit-server")).arg("run").arg(lab.path("server"));
    let (code, text) = said(&attempt(&mut command).unwrap());
    assert_eq!(code, Some(2), "{text}");
    let last = text.rsplit_once("exhibit-server: ").map_or(text.as_str(), |(_, last)| last);
    assert!(last.contains(words), "{words:?} is not in {last:?}");
    last.lines().next().unwrap_or_default().to_owned()
}

/// Puts a copy of `from` in the place of `to`.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        run(Command::new("rm").arg("-rf").arg(to)).unwrap();
    }
    run(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
}

#[test]
fn a_collector_refuses_stores_and_databases_that_contradict_it() {
    let mut lab = Lab::new().unwrap();
    let incident = lab.incident().unwrap();
    assert!(lab.stop_server().unwrap());
    let (db, a, b) = (lab.path("server/exhibit.db"), lab.path("store-a"), lab.path("store-b"));
    let (old_db, old_a, old_b) = (lab.path("old.db"), lab.path("old-a"), lab.path("old-b"));

    let marker = a.join("store.json");
    let ours = fs_err::read_to_string(&marker).unwrap();
    fs_err::set_permissions(&marker, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs_err::write(&marker, ours.replace("\"lab\"", "\"acme\"")).unwrap();
    let foreign = refuses_to_start(&lab, "of acme");
    fs_err::remove_file(&marker).unwrap();
    let before = digests(&a);
    let settings = lab.path("server/server.toml");
    let accept = fs_err::read_to_string(&settings).unwrap();
    let wait = accept.replace("degraded = \"accept\"", "degraded = \"wait\"");
    assert_ne!(accept, wait);
    fs_err::write(&settings, &wait).unwrap();
    let one = refuses_to_start(&lab, "store-a is not an Exhibit store: it has no `store.json`");
    let other = fs_err::read_to_string(b.join("store.json")).unwrap();
    fs_err::remove_file(b.join("store.json")).unwrap();
    let none = refuses_to_start(&lab, "no store can be read");
    assert!(none.contains("store-b is not an Exhibit store"), "{none}");
    fs_err::write(b.join("store.json"), other).unwrap();
    // Unless policy accepts one copy.
    fs_err::write(&settings, &accept).unwrap();
    lab.start_server().unwrap();
    assert!(lab.stop_server().unwrap());
    let log = fs_err::read_to_string(lab.path("server.log")).unwrap();
    assert!(log.contains("A store is away"), "{log}");
    assert_eq!(digests(&a), before, "a place without a marker is left alone");
    fs_err::write(&marker, ours).unwrap();
    println!("tried: a store's marker of another deployment; got: exit 2: {foreign}");
    println!(
        "tried: no marker in one of two stores; got: exit 2: {one}; with `degraded = \"accept\"` it starts, says so, and writes nothing there"
    );
    println!("tried: no marker in both stores; got: exit 2: {none}");

    lab.start_server().unwrap();
    assert!(lab.stop_server().unwrap());
    copy(&db, &old_db);
    copy(&a, &old_a);
    copy(&b, &old_b);
    let note = |lab: &mut Lab, text: &str| {
        lab.start_server().unwrap();
        run(lab.exhibit().args(["incident", "note", &incident, text])).unwrap();
        assert!(lab.stop_server().unwrap());
    };
    note(&mut lab, "one");
    let (new_db, new_a, new_b) = (lab.path("new.db"), lab.path("new-a"), lab.path("new-b"));
    copy(&db, &new_db);
    copy(&a, &new_a);
    copy(&b, &new_b);

    copy(&old_db, &db);
    let behind = refuses_to_start(&lab, "the database is behind store");
    println!("tried: an old copy of the database; got: exit 2: {behind}");
    copy(&new_db, &db);
    copy(&old_a, &a);
    copy(&old_b, &b);
    let lost = refuses_to_start(&lab, "the stores are behind");
    println!("tried: old copies of both stores; got: exit 2: {lost}");
    // All of it old: the collector cannot tell, who was there before can. Another history grows from there; then a store of the first
    // comes back.
    copy(&old_db, &db);
    lab.start_server().unwrap();
    let (code, seen) = said(&attempt(lab.exhibit().args(["incident", "note", &incident, "two"])).unwrap());
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("does not continue the one seen before"), "{seen}");
    assert!(lab.stop_server().unwrap());
    copy(&new_b, &b);
    let fork = refuses_to_start(&lab, "tells another history");
    println!(
        "tried: everything restored from a copy, used, then one store of before mounted again; got: alice: exit 1: {seen}; then the collector: exit 2: {fork}"
    );
    copy(&new_db, &db);
    copy(&new_a, &a);
    lab.start_server().unwrap();
}
