//! Stores over time: re-read, mended, added, drained, retired.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proto::{service, v1};

use crate::container::*;
use crate::evidence_in::{Scene, scene};
use crate::lab::*;

async fn rows(session: &Session) -> v1::ListStoresResponse {
    service::store_client(session.channel.clone())
        .list_stores(v1::ListStoresRequest {})
        .await
        .unwrap()
        .into_inner()
}

/// A pass over every store, to its end.
async fn scrub(session: &Session) -> Vec<(String, v1::ScrubState)> {
    let mut stream = service::store_client(session.channel.clone())
        .scrub(v1::ScrubRequest { stores: Vec::new() })
        .await
        .unwrap()
        .into_inner();
    let mut last = v1::ScrubProgress::default();
    while let Some(progress) = stream.message().await.unwrap() {
        last = progress;
    }
    assert!(last.finished);
    let states = last.stores.into_iter();
    states.map(|row| (row.store, row.scrub.unwrap())).collect()
}

async fn repair(session: &Session) -> v1::RepairProgress {
    let mut stream = service::store_client(session.channel.clone())
        .repair(v1::RepairRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut last = v1::RepairProgress::default();
    while let Some(progress) = stream.message().await.unwrap() {
        last = progress;
    }
    assert!(last.finished);
    last
}

fn damage(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[7] ^= 0x10;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// Types of the incident's entries about `object` on `store`, oldest first.
async fn said(session: &Session, incident: &str, object: &str) -> Vec<String> {
    let request = v1::EntriesRequest { from: 0, count: 0, incident: incident.to_owned(), follow: false };
    let mut client = service::ledger_client(session.channel.clone());
    let mut stream = client.entries(request).await.unwrap().into_inner();
    let mut said = Vec::new();
    while let Some(row) = stream.message().await.unwrap() {
        let entry = evidence::entry::Entry::parse(&row.entry).unwrap();
        if entry.envelope.reference("object") == Some(object) {
            said.push(format!("{} {}", entry.envelope.type_, entry.envelope.reference("store").unwrap()));
        }
    }
    said
}

async fn stored_scene() -> Scene {
    let scene = scene().await;
    let attempt = attempt(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &scene.web, &scene.order).await;
    scene
}

/// The key of an object below a store's directory.
fn key(lab: &Collector, store: &str, path: &Path) -> String {
    path.strip_prefix(lab.path(store)).unwrap().to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_finds_what_is_damaged_and_gone_and_both_are_mended_and_recorded_each_time() {
    let Scene { lab, ada, incident, .. } = stored_scene().await;
    for (store, state) in scrub(&ada).await {
        assert_eq!(
            (state.damaged, state.missing, state.unreadable, state.ledger_problems),
            (0, 0, 0, 0),
            "{store}"
        );
        assert!(state.objects > 10 && state.bytes > 10_000, "{store}: {state:?}");
    }
    let (rotten, gone) = (lab.stored("a", "segments/")[0].clone(), lab.stored("b", "segments/")[0].clone());
    let object = key(&lab, "a", &rotten);
    let whole = fs_err::read(&rotten).unwrap();
    for round in 1..=2 {
        damage(&rotten);
        let found = scrub(&ada).await;
        assert_eq!(found.iter().map(|(_, state)| state.damaged).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(repair(&ada).await.waiting, 0);
        wait::until("the damaged copy is mended", || fs_err::read(&rotten).unwrap() == whole);
        fs_err::remove_file(&gone).unwrap();
        let found = scrub(&ada).await;
        assert_eq!(found.iter().map(|(_, state)| state.missing).collect::<Vec<_>>(), [0, 1]);
        repair(&ada).await;
        wait::until("the lost copy is made", || gone.exists());
        assert!(fs_err::read(&gone).unwrap() == whole);
        let expected = [
            "evidence.fixity_failed store-1",
            "evidence.repaired store-1",
            "evidence.fixity_failed store-2",
            "evidence.repaired store-2",
        ];
        eventually_said(&ada, &incident, &object, &expected.repeat(round)).await;
    }
    let damaged = lab.stored("a", "damaged/");
    assert_eq!(damaged.len(), 2, "what was damaged is kept aside: {damaged:?}");
    // A tile of one copy of the ledger: told, though its key says nothing of its content.
    let width = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().parse().unwrap_or(256_u32);
    let tile = lab.stored("b", "ledger/tile/0/").into_iter().max_by_key(width).unwrap();
    let right = fs_err::read(&tile).unwrap();
    damage(&tile);
    let found = scrub(&ada).await;
    assert_eq!(found[0].1.ledger_problems, 0);
    assert!(found[1].1.ledger_problems > 0);
    // And mended from the other copy, under the root that the log signed.
    assert_eq!(fs_err::read(&tile).unwrap(), right);
    assert_eq!(scrub(&ada).await[1].1.ledger_problems, 0);
    let unknown = service::store_client(ada.channel.clone())
        .scrub(v1::ScrubRequest { stores: vec!["store-9".to_owned()] })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    assert!(unknown.message().contains("store-1, store-2"), "{}", unknown.message());
}

async fn eventually_said(session: &Session, incident: &str, object: &str, expected: &[&str]) {
    let last = std::cell::RefCell::new(Vec::new());
    let is_said = async || {
        let now = said(session, incident, object).await;
        let is_said = now == expected;
        last.replace(now);
        is_said
    };
    let waited =
        tokio::time::timeout(PATIENCE / 2, wait::until_async("the entries of an object", is_said)).await;
    assert!(waited.is_ok(), "{:?} instead of {expected:?}", last.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_store_has_whole_any_more_is_said_and_stays_queued() {
    let Scene { lab, ada, incident, .. } = stored_scene().await;
    let (one, other) = (lab.stored("a", "segments/")[0].clone(), lab.stored("b", "segments/")[0].clone());
    let object = key(&lab, "a", &one);
    damage(&one);
    damage(&other);
    let found = scrub(&ada).await;
    assert_eq!(found.iter().map(|(_, state)| state.damaged).collect::<Vec<_>>(), [1, 1]);
    let left = repair(&ada).await;
    assert_eq!(left.waiting, 2, "{left:?}");
    assert!(left.problems[0].contains("no store has it whole"), "{:?}", left.problems);
    let said = said(&ada, &incident, &object).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|line| line.starts_with("evidence.fixity_failed")), "{said:?}");
    let rows = rows(&ada).await.stores;
    assert_eq!(rows.iter().map(|row| row.wanting).collect::<Vec<_>>(), [1, 1], "{rows:?}");
    assert!(rows[0].repair_error.contains("no store has it whole"));
}

fn operator(lab: &Collector, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program())
        .arg("store")
        .arg(arguments[0])
        .arg(lab.path("server"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_added_filled_and_another_drained_and_retired() {
    let Scene { mut lab, .. } = stored_scene().await;
    let settings = lab.path("server/server.toml");
    let before = fs_err::read_to_string(&settings).unwrap();
    let c = lab.path("c");
    let (code, told) = operator(&lab, &["add", "store-3", c.to_str().unwrap(), "--domain", "other-room"]);
    assert_eq!(code, Some(0), "{told}");
    let after = fs_err::read_to_string(&settings).unwrap();
    let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(comments(&before), comments(&after), "comments stay:\n{after}");
    let (code, told) = operator(&lab, &["add", "store-3", lab.path("d").to_str().unwrap()]);
    assert_eq!(code, Some(2), "{told}");
    let (code, told) = operator(&lab, &["retire", "store-1"]);
    assert!(code == Some(2) && told.contains("not leaving"), "{told}");

    assert_eq!(lab.terminate(), Some(0));
    lab.start();
    let names = |lab: &Collector, store: &str| -> Vec<PathBuf> {
        let rooms = ["segments/", "seals/", "documents/", "details/", "targets/"];
        let all = rooms.iter().flat_map(|room| lab.stored(store, room));
        all.map(|path| key(lab, store, &path).into()).collect()
    };
    wait::until("the new store is filled", || names(&lab, "a") == names(&lab, "c"));
    let (code, told) = operator(&lab, &["drain", "store-1"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(lab.terminate(), Some(0));
    // Only the store that leaves has it whole: it must go to the others before it may.
    let lonely = lab.stored("a", "segments/")[0].clone();
    let lonely = key(&lab, "a", &lonely);
    for store in ["b", "c"] {
        fs_err::remove_file(lab.path(store).join(&lonely)).unwrap();
    }
    let (code, told) = operator(&lab, &["retire", "store-1"]);
    assert!(code == Some(1) && told.contains(&lonely), "{code:?} {told}");
    lab.start();
    wait::until("it is on the others", || {
        ["b", "c"].iter().all(|store| lab.path(store).join(&lonely).exists())
    });
    let ada = lab.login("ada", ADA).await;
    let listed = rows(&ada).await;
    let states: Vec<_> = listed
        .stores
        .iter()
        .map(|row| (row.store.as_str(), row.state.as_str(), row.domain.as_str()))
        .collect();
    assert_eq!(
        (states[0].0, states[1], states[2].0),
        ("store-2", ("store-3", "ok", "other-room"), "store-1")
    );
    assert_eq!(states[2].1, "leaving");
    assert!(listed.independent);
    // New entries go to the others only.
    let checkpoint = fs_err::read(lab.path("a/ledger/checkpoint")).unwrap();
    ada.open_incident().await;
    assert_eq!(fs_err::read(lab.path("a/ledger/checkpoint")).unwrap(), checkpoint);
    assert_eq!(
        fs_err::read(lab.path("b/ledger/checkpoint")).unwrap(),
        fs_err::read(lab.path("c/ledger/checkpoint")).unwrap()
    );
    assert_eq!(lab.terminate(), Some(0));
    let (code, told) = operator(&lab, &["retire", "store-1"]);
    assert_eq!(code, Some(0), "{told}");
    fs_err::rename(lab.path("a"), lab.path("old")).unwrap();
    lab.start();
    let ada = lab.login("ada", ADA).await;
    assert_eq!(rows(&ada).await.stores.len(), 2);
    for (store, state) in scrub(&ada).await {
        assert_eq!(
            (state.damaged, state.missing, state.unreadable, state.ledger_problems),
            (0, 0, 0, 0),
            "{store}"
        );
    }
    let (code, told) = operator(&lab, &["drain", "store-2"]);
    assert!(code == Some(2) && told.contains("stay"), "{told}");
}
