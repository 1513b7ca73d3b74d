//! Encryption by the server (SSE-KMS): the store asks for it, looks for it, and never takes it on trust.

use super::faults::refusal;
use super::proxy::{Fault, Proxy};
use super::*;
use store::{Store as _, StoreErrorClass, conformance};

#[test]
fn what_is_to_be_encrypted_is_or_is_refused() {
    let Some(ceph) = Server::ceph() else { return };
    let direct = S3Settings { kms_key: Some("exhibit-test".to_owned()), ..ceph.bucket(Kind::Plain) };
    conformance::run(&|| fresh_store(&direct));
    let proxy = Proxy::to(direct.endpoint.strip_prefix("http://").unwrap());
    let settings = S3Settings { endpoint: proxy.endpoint(), prefix: "kms/".to_owned(), ..direct.clone() };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&key(b"sealed"), b"sealed").unwrap();
    let raw = Bucket::new(&direct).unwrap();
    let (name, object) = (raw.name.clone(), format!("kms/{}", key(b"sealed")));
    let asked = raw.client.head_object().bucket(name).key(object);
    let head = raw.wait(async move { Ok(asked.send().await.unwrap()) }).unwrap();
    let said = (
        head.server_side_encryption().map(|kind| kind.as_str().to_owned()),
        head.ssekms_key_id().map(str::to_owned),
    );
    println!("measured: Ceph RGW 16, SSE-KMS asked | contract kept | HEAD says {said:?}");
    assert_eq!(said, (Some("aws:kms".to_owned()), Some("exhibit-test".to_owned())));

    proxy.rule(|request| match request.is_put_of("segments/") {
        true => Fault::Unencrypted,
        false => Fault::None,
    });
    refusal(&store, b"plain", StoreErrorClass::Permanent, "without encrypting it");
    // A new store with such a server is not made at all.
    proxy.rule(|request| match request.method.as_str() {
        "PUT" => Fault::Unencrypted,
        _ => Fault::None,
    });
    let ignoring = S3Settings { prefix: "ignoring/".to_owned(), ..settings };
    let error = S3Store::initialise(&ignoring, &identity(&ignoring)).err().unwrap();
    assert!(super::said(&error).contains("without encrypting it"), "{}", super::said(&error));

    let unknown =
        S3Settings { kms_key: Some("no-such-key".to_owned()), prefix: "unknown/".to_owned(), ..direct };
    let error = S3Store::initialise(&unknown, &identity(&unknown)).err().unwrap();
    println!("faults: a key the server does not have: {}", super::said(&error));
    assert!(super::said(&error).contains("does not have the key"), "{}", super::said(&error));
}
