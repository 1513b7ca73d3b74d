//! Runs the contract on every kind of store, and prints the table of what each guarantees.

use std::sync::Arc;
use std::time::Instant;

use super::*;
use store::fault::FaultDisk;
use store::{Capabilities, DOMAIN_OF_DEVICE, DirectoryStore, LockProof, Store, conformance};

/// Runs the contract and prints one row of the table.
fn row(name: &str, make: &dyn Fn() -> Arc<dyn Store>) {
    let begun = Instant::now();
    conformance::run(make);
    let seconds = begun.elapsed().as_secs_f32();
    println!("measured: {name:44} | contract kept in {seconds:5.2} s | {}", make().guarantees());
}

/// As `row`, for a bucket whose capabilities are known: losing one of them unnoticed fails here.
fn bucket_row(name: &str, settings: &S3Settings, expected: Capabilities) {
    let measured = *fresh_store(settings).capabilities().unwrap();
    row(name, &|| fresh_store(settings));
    let cells = measured.rows().map(|(name, value)| format!("{name}={value}")).join(" ");
    println!("measured: {name:44} | {cells}");
    assert_eq!(measured, expected, "{name}");
}

/// What Ceph 16 was seen to do in a bucket without versions: conditional puts, no `x-amz-checksum-sha256`.
const CEPH_PLAIN: Capabilities = Capabilities {
    read_after_write: true,
    create_only: true,
    sha256_refused: false,
    sha256_reported: false,
    md5_refused: true,
    versions: false,
    lock: LockProof::None,
    default_retention: None,
};

/// With versions it ignores `If-None-Match`.
const CEPH_VERSIONED: Capabilities = Capabilities { create_only: false, versions: true, ..CEPH_PLAIN };

#[test]
fn directories_keep_the_contract_and_say_what_they_are_worth() {
    let place = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let identity = StoreIdentity {
        store: "one".to_owned(),
        deployment: "acme".to_owned(),
        created: "2026-11-22T00:00:00.000Z".to_owned(),
        domain: DOMAIN_OF_DEVICE.to_owned(),
    };
    row("directory", &|| {
        number.set(number.get() + 1);
        Arc::new(DirectoryStore::initialise(&place.path().join(number.get().to_string()), &identity).unwrap())
    });
    row("directory on a disk that forgets (test)", &|| {
        Arc::new(DirectoryStore::initialise_on(FaultDisk::default(), "fault", &identity).unwrap())
    });
}

#[test]
fn ceph_keeps_the_contract_in_every_kind_of_bucket() {
    let Some(ceph) = Server::ceph() else { return };
    bucket_row("Ceph RGW 16, plain bucket", &ceph.bucket(Kind::Plain), CEPH_PLAIN);
    let tls = S3Settings {
        endpoint: ceph.facts["S3_HTTPS"].clone(),
        ca_file: Some(ca(&ceph)),
        ..ceph.bucket(Kind::Plain)
    };
    bucket_row("Ceph RGW 16, plain bucket over TLS", &tls, CEPH_PLAIN);
    bucket_row("Ceph RGW 16, bucket with versions", &ceph.bucket(Kind::Versioned), CEPH_VERSIONED);
    let compliance = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(Kind::Lock) };
    let expected = Capabilities { lock: LockProof::Compliance, ..CEPH_VERSIONED };
    bucket_row("Ceph RGW 16, Object Lock, COMPLIANCE asked", &compliance, expected);
    let governance = Retention { mode: LockMode::Governance, days: 1 };
    let settings = S3Settings { retention: Some(governance), ..ceph.bucket(Kind::Lock) };
    let expected = Capabilities { lock: LockProof::Governance, ..CEPH_VERSIONED };
    bucket_row("Ceph RGW 16, Object Lock, GOVERNANCE asked", &settings, expected);
    let expected =
        Capabilities { lock: LockProof::Compliance, default_retention: Some(ONE_DAY), ..CEPH_VERSIONED };
    bucket_row("Ceph RGW 16, bucket's default retention", &ceph.bucket(Kind::Retaining(ONE_DAY)), expected);
}

#[test]
fn localstack_keeps_the_contract_with_checksums_and_conditional_writes() {
    let Some(localstack) = Server::named("LocalStack", "EXHIBIT_TEST_LOCALSTACK") else {
        return;
    };
    let plain = Capabilities { sha256_refused: true, sha256_reported: true, ..CEPH_PLAIN };
    bucket_row("LocalStack, plain bucket", &localstack.bucket(Kind::Plain), plain);
    let compliance = S3Settings { retention: Some(ONE_DAY), ..localstack.bucket(Kind::Lock) };
    let expected = Capabilities { versions: true, lock: LockProof::Compliance, ..plain };
    bucket_row("LocalStack, Object Lock, COMPLIANCE asked", &compliance, expected);
}

#[test]
fn garage_keeps_the_contract_without_conditional_writes() {
    let Some(garage) = Server::named("Garage", "EXHIBIT_TEST_GARAGE") else {
        return;
    };
    let expected =
        Capabilities { create_only: false, sha256_refused: true, sha256_reported: true, ..CEPH_PLAIN };
    bucket_row("Garage, plain bucket", &garage.bucket(Kind::Plain), expected);
    // It ignores lock headers with 200; a store that was to lock is refused when it is made.
    let settings =
        S3Settings { retention: Some(ONE_DAY), prefix: "locked/".to_owned(), ..garage.bucket(Kind::Plain) };
    assert!(S3Store::initialise(&settings, &identity(&settings)).is_err());
}
