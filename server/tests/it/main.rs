//! The collector's programs as processes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers are tests, too"
)]

mod durability;
mod log_key;
mod operator;
mod signer;

use std::path::{Path, PathBuf};
use std::process::Command;

/// `exhibit-server` as it was built for this test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exhibit-server"))
}

/// The worked examples of docs/spec: deployment `acme`, authority 2 of 3.
fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/documents").join(name)
}

/// A fresh authority, and a roster that is in force now: the worked examples end with their day.
fn make_roster(place: &Path) {
    use evidence::keys::SigningKey;
    use evidence::roster::{AuthoritySet, Roster};
    use evidence::signed::Signed;
    let example = Signed::parse(&fs_err::read(vector("roster-1.signed")).unwrap()).unwrap();
    let key = SigningKey::from_seed(&[1; 32]);
    let now = server::clock::now();
    let authority = AuthoritySet::new(1, vec![key.public()]).unwrap();
    let roster = Roster {
        issued: now,
        not_after: now.checked_add(std::time::Duration::from_secs(86_400)).unwrap(),
        authority: authority.clone(),
        ..example.read::<Roster>().unwrap()
    };
    fs_err::write(place.join("authority"), authority.to_trust_file()).unwrap();
    fs_err::write(place.join("roster.signed"), Signed::sign(&roster, &[&key]).unwrap().encode()).unwrap();
}

/// `exhibit-server init` into `place/server`, stores in `place/a` and `place/b`.
fn init(command: &mut Command, place: &Path) {
    make_roster(place);
    command
        .arg("init")
        .arg(place.join("server"))
        .arg("--authority")
        .arg(place.join("authority"))
        .arg("--roster")
        .arg(place.join("roster.signed"))
        .arg("--store")
        .arg(place.join("a"))
        .arg("--store")
        .arg(place.join("b"))
        .args(["--address", "collector.example.org:7443", "--enrol-address", "collector.example.org:7444"]);
}
