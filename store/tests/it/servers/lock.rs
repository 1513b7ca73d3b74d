//! Object Lock on a real server: a locked object stays, whoever asks.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::*;
use store::raw_bucket::LockUntil;
use store::{Guarantees, Lock, Store, StoreErrorClass};

#[test]
fn a_segment_under_compliance_refuses_deletion_and_a_shorter_date() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(Kind::Lock) };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    assert_eq!(store.guarantees().lock, Lock::Compliance { days: 1 });
    let bytes = b"a segment";
    store.create(&key(bytes), bytes).unwrap();
    let (mode, until) = store.retention(&key(bytes)).unwrap().unwrap();
    assert_eq!(mode, LockMode::Compliance);
    assert!(until > SystemTime::now() + Duration::from_secs(86_000));

    // The same again, with the SDK alone: by version, with the bypass, many at once, a shorter date.
    let raw = Bucket::new(&settings).unwrap();
    let object = key(bytes).to_string();
    let version = raw.versions(&object).unwrap().remove(0);
    for bypass in [false, true] {
        let client = raw.client.delete_object().bucket(&raw.name).key(&object).version_id(&version.id);
        let client = client.set_bypass_governance_retention(bypass.then_some(true));
        let answer = raw.wait(async move { Ok(client.send().await) }).unwrap();
        let refusal = answer.err().unwrap();
        let code = aws_sdk_s3::error::ProvideErrorMetadata::code(&refusal).unwrap_or_default().to_owned();
        println!("measured: DELETE of a COMPLIANCE-locked version, bypass {bypass}: {code}");
        assert_eq!(code, "AccessDenied");
    }
    let one = ObjectIdentifier::builder().key(&object).version_id(&version.id).build().unwrap();
    let all = Delete::builder().objects(one).build().unwrap();
    let many = raw.client.delete_objects().bucket(&raw.name).delete(all);
    let answer = raw.wait(async move { Ok(many.send().await.unwrap()) }).unwrap();
    assert_eq!((answer.deleted().len(), answer.errors().len()), (0, 1));
    let until = SystemTime::now() + Duration::from_secs(60);
    for mode in [LockMode::Compliance, LockMode::Governance] {
        assert!(raw.retain(&object, Some(&version.id), LockUntil { mode, until }).is_err());
    }
    assert_eq!(store.read(&key(bytes)).unwrap(), bytes);

    // What anybody may do is put a delete marker over it: nothing is lost, and the store can be repaired.
    raw.delete(&object, None, false).unwrap();
    assert_eq!(store.read(&key(bytes)).err().unwrap().class(), StoreErrorClass::NotFound);
    store.create(&key(bytes), bytes).unwrap();
    assert_eq!(store.read(&key(bytes)).unwrap(), bytes);
    assert_eq!(raw.get(&object, Some(&version.id)).unwrap(), bytes);
}

#[test]
fn what_is_locked_is_not_destroyed_on_any_word_and_says_until_when() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(Kind::Lock) };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&key(b"locked"), b"locked").unwrap();
    let object = store::Disposable::of(&key(b"locked")).unwrap();
    let store::Disposable::Collection(collection) = object else { panic!("a segment is of a collection") };
    let warrant = store::warrants::over(&[collection], &[]);
    let refusal = store.dispose(&object, &warrant, &|| true).err().unwrap();
    println!("measured: disposal of a COMPLIANCE-locked segment: {refusal}");
    let store::StoreError::Locked { until: Some(until), .. } = &refusal else { panic!("{refusal}") };
    let told = store.locked_until(&key(b"locked")).unwrap().unwrap();
    assert!(told.duration_since(*until).unwrap_or_default() < Duration::from_secs(2));
    assert!(*until > SystemTime::now() + Duration::from_secs(86_000));
    assert_eq!(refusal.class(), StoreErrorClass::Permanent);
    assert_eq!(store.read(&key(b"locked")).unwrap(), b"locked");
}

#[test]
fn every_version_goes_also_one_that_a_delete_marker_hides() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = ceph.bucket(Kind::Versioned);
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    let raw = Bucket::new(&settings).unwrap();
    let (hidden, wrong) = (key(b"hidden"), key(b"right"));
    store.create(&hidden, b"hidden").unwrap();
    raw.delete(&format!("{}{hidden}", settings.prefix), None, false).unwrap();
    store.create(&wrong, b"wrong").unwrap();
    store.displace(&wrong).unwrap();
    store.create(&wrong, b"right").unwrap();
    let document = Key::document(&[7; 32]);
    store.create(&document, b"{}\n").unwrap();
    let object = store::Disposable::of(&hidden).unwrap();
    let store::Disposable::Collection(collection) = object else { panic!("a segment is of a collection") };
    let warrant = store::warrants::over(&[collection], &[]);
    // hidden, right, wrong below its marker, and its displaced copy.
    let done = store.dispose(&object, &warrant, &|| true).unwrap();
    assert!(done.is_all && done.count == 4);
    let left: Vec<String> = raw
        .versions(&settings.prefix)
        .unwrap()
        .into_iter()
        .map(|version| version.name)
        .filter(|name| !name.contains("probe/"))
        .collect();
    let mut expected = [format!("{}{document}", settings.prefix), format!("{}store.json", settings.prefix)];
    expected.sort();
    let mut left = left;
    left.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_damaged_object_under_a_lock_is_displaced_and_nothing_is_destroyed() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(Kind::Lock) };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&key(b"right"), b"wrong").unwrap();
    store.displace(&key(b"right")).unwrap();
    store.create(&key(b"right"), b"right").unwrap();
    assert_eq!(store.read(&key(b"right")).unwrap(), b"right");
    let raw = Bucket::new(&settings).unwrap();
    let versions = raw.versions(key(b"right").as_str()).unwrap();
    assert_eq!(versions.iter().filter(|version| !version.is_marker).count(), 2);
    assert_eq!(raw.list("damaged/").unwrap().len(), 1);
}

#[test]
fn a_legal_hold_keeps_an_object_until_it_is_cleared() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = ceph.bucket(Kind::Lock);
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&key(b"held"), b"held").unwrap();
    let raw = Bucket::new(&settings).unwrap();
    let object = key(b"held").to_string();
    let version = raw.versions(&object).unwrap().remove(0);
    assert!(!store.is_held(&key(b"held")).unwrap());
    store.set_legal_hold(&key(b"held"), true).unwrap();
    assert!(store.is_held(&key(b"held")).unwrap());
    assert!(raw.delete(&object, Some(&version.id), true).is_err());
    store.set_legal_hold(&key(b"held"), false).unwrap();
    raw.delete(&object, Some(&version.id), false).unwrap();
    assert_eq!(store.set_legal_hold(&key(b"held"), true).err().unwrap().class(), StoreErrorClass::NotFound);
}

#[test]
fn details_in_a_bucket_that_keeps_everything_are_not_said_to_be_erased() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = ceph.bucket(Kind::Retaining(ONE_DAY));
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    assert_eq!(store.guarantees(), Guarantees { erasable: false, ..store.guarantees() });
    let detail = Key::detail(&Sha256::digest(b"a name").into());
    store.create(&detail, b"a name").unwrap();
    let refusal = store.remove(&detail).err().unwrap();
    assert!(said(&refusal).contains("Object Lock"), "{refusal}");
    assert_eq!(store.read(&detail).unwrap(), b"a name");
    // With a retention of the settings, too, details stay erasable: they are not locked.
    let settings = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(Kind::Lock) };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&detail, b"a name").unwrap();
    store.remove(&detail).unwrap();
    assert!(Bucket::new(&settings).unwrap().versions(detail.as_str()).unwrap().is_empty());
}

#[test]
fn a_bucket_without_object_lock_is_refused_when_a_retention_is_asked_for() {
    let Some(ceph) = Server::ceph() else { return };
    for kind in [Kind::Plain, Kind::Versioned] {
        let settings = S3Settings { retention: Some(ONE_DAY), ..ceph.bucket(kind) };
        let refusal = S3Store::initialise(&settings, &identity(&settings)).err().unwrap();
        assert!(said(&refusal).contains("Object Lock"), "{refusal}");
        assert!(Bucket::new(&settings).unwrap().list("store.json").unwrap().is_empty());
    }
}

#[test]
fn what_settings_promise_and_the_bucket_does_not_keep_fails_each_write() {
    let Some(ceph) = Server::ceph() else { return };
    let plain = ceph.bucket(Kind::Plain);
    S3Store::initialise(&plain, &identity(&plain)).unwrap();
    // Somebody adds `retention` to settings of a store that was made without.
    let settings = S3Settings { retention: Some(ONE_DAY), ..plain };
    let store = S3Store::open(&settings).unwrap();
    assert_eq!(store.guarantees().lock, Lock::None);
    let refusal = store.create(&key(b"x"), b"x").err().unwrap();
    assert_eq!(refusal.class(), StoreErrorClass::Permanent, "{}", said(&refusal));
}

#[test]
fn erasure_in_a_bucket_with_suspended_versioning_takes_the_old_version_too() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = ceph.bucket(Kind::Versioned);
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    let detail = Key::detail(&Sha256::digest(b"a name").into());
    store.create(&detail, b"a name").unwrap();
    let raw = Bucket::new(&settings).unwrap();
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let set = raw.client.put_bucket_versioning().bucket(&raw.name).versioning_configuration(suspended);
    raw.wait(async move { Ok(set.send().await.unwrap()) }).unwrap();
    // Measured anew, the bucket keeps no versions; the old one is there all the same.
    let store = S3Store::open(&settings).unwrap();
    assert!(!store.capabilities().unwrap().versions);
    store.remove(&detail).unwrap();
    assert!(raw.versions(detail.as_str()).unwrap().is_empty());
}
