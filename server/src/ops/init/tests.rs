//! A collector made from the worked examples of docs/spec.

use super::*;
use crate::config::Config;
use crate::config::layout::LayoutError;
use crate::log::ledger::{FsckOptions, fsck};

/// The deployment `acme` of docs/spec/vectors: authority 2 of 3, roster in force on this day.
pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/documents")
}

pub(crate) fn day() -> Time {
    "2026-11-21T12:00:00.000Z".parse().unwrap()
}

pub(crate) fn options(place: &Path) -> InitOptions {
    InitOptions {
        directory: place.join("server"),
        authority: vectors().join("authority"),
        roster: vectors().join("roster-1.signed"),
        stores: vec![place.join("a").into(), place.join("b").into()],
        deployment: None,
        collector: "collector-1".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        enrol_listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        reach: Some("collector.example.org:7443".parse().unwrap()),
        enrol_reach: Some("collector.example.org:7444".parse().unwrap()),
        copies: None,
        degraded: Degraded::Wait,
        tsas: Vec::new(),
    }
}

#[test]
fn a_collector_is_made_whole_private_and_with_its_first_entries() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    let made = init(&options, day()).unwrap();
    assert_eq!((made.deployment.as_str(), made.entries, made.independent), ("acme", 2, false));
    let layout = Layout::new(&options.directory);
    layout.check_modes().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    for private in [layout.ca(), layout.log_key(), layout.database()] {
        assert_eq!(mode(&private), 0o600, "{}", private.display());
    }
    assert_eq!(mode(&options.directory), 0o700);
    let config = Config::load(&options.directory).unwrap();
    assert_eq!(config.replication.copies, 2);
    let card: serde_json::Value =
        serde_json::from_str(&fs_err::read_to_string(layout.card()).unwrap()).unwrap();
    assert_eq!(card["log_key"], made.log_key);
    assert_eq!(card["ca_sha256"], made.ca_sha256.to_string());
    assert_eq!(Digest::of(&STANDARD.decode(card["ca"].as_str().unwrap()).unwrap()), made.ca_sha256);
    let (replicas, key) = crate::ops::foundation::open_for_check(&config, &layout).unwrap();
    let db = Db::open(&layout.database(), 1).unwrap();
    let report = fsck(&replicas, &key, Some(&db), FsckOptions { evidence: true });
    assert_eq!((report.entries, report.problems.as_slice()), (2, [].as_slice()));
    let roster = db.read(crate::rows::rosters::newest).unwrap().unwrap();
    assert_eq!(roster.signed.encode(), fs_err::read(&options.roster).unwrap());
}

#[test]
fn places_with_content_are_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    fs_err::create_dir(&options.directory).unwrap();
    std::fs::set_permissions(&options.directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    fs_err::write(options.directory.join("thesis.txt"), "mine").unwrap();
    assert!(matches!(init(&options, day()), Err(InitError::NotEmpty { .. })));
    assert_eq!(fs_err::read_dir(&options.directory).unwrap().count(), 1);
    fs_err::remove_file(options.directory.join("thesis.txt")).unwrap();
    std::fs::set_permissions(&options.directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(
        init(&options, day()),
        Err(InitError::Foundation(FoundationError::Layout(LayoutError::Mode { .. })))
    ));
    std::fs::set_permissions(&options.directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    init(&options, day()).unwrap();
    assert!(matches!(init(&options, day()), Err(InitError::NotEmpty { .. })));
}

#[test]
fn a_roster_that_is_not_in_force_makes_no_collector() {
    let place = tempfile::tempdir().unwrap();
    let good = options(place.path());
    let refused = |options: &InitOptions, now: &str| {
        let error = init(options, now.parse().unwrap()).err().unwrap();
        assert!(matches!(error, InitError::Roster { .. }), "{error}");
        assert!(!options.directory.exists());
        error.to_string()
    };
    assert!(refused(&good, "2027-03-01T00:00:00.000Z").contains("roster-1.signed"));
    let foreign = InitOptions { deployment: Some("other".parse().unwrap()), ..good.clone() };
    assert!(refused(&foreign, "2026-11-21T12:00:00.000Z").contains("other"));
    let other = InitOptions { roster: vectors().join("order.signed"), ..good.clone() };
    refused(&other, "2026-11-21T12:00:00.000Z");
    // One signature of the two that the authority asks for.
    let signed = Signed::parse(&fs_err::read(&good.roster).unwrap()).unwrap();
    let single = Signed::from_parts(signed.document.clone(), signed.signatures[..1].to_vec()).unwrap();
    let path = place.path().join("single.signed");
    fs_err::write(&path, single.encode()).unwrap();
    refused(&InitOptions { roster: path, ..good.clone() }, "2026-11-21T12:00:00.000Z");
    let settings = InitOptions { copies: Some(3), ..good };
    assert!(matches!(init(&settings, day()), Err(InitError::Settings { .. })));
}
