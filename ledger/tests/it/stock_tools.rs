//! The check that a stranger makes without our software: openssl verifies the log's and the cosigner's signature.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ledger::{Checkpoint, KeyType, NoteSigner, VerifierKey, leaf_hash};

/// DER prefix of an Ed25519 SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn openssl_accepts(key: &VerifierKey, message: &[u8], signature: &[u8]) -> bool {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(format!("ledger-openssl-{name}"));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        path
    };
    Command::new("openssl")
        .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"])
        .arg(file("key.der", &[&SPKI[..], &key.public_key()].concat()))
        .arg("-in")
        .arg(file("message", message))
        .arg("-sigfile")
        .arg(file("signature", signature))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn openssl_verifies_a_checkpoint_and_its_cosignature() {
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        println!("skipped: openssl is not on PATH");
        return;
    }
    let signer = NoteSigner::new("ledger.example/one", &[9; 32]).unwrap();
    let key = signer.verifier_key(KeyType::Ed25519);
    let text = Checkpoint::new("ledger.example/one", 1, leaf_hash(b"entry")).unwrap().to_text();
    let signature = signer.sign(&text).unwrap();
    assert!(openssl_accepts(&key, text.as_bytes(), signature.bytes()));
    assert!(!openssl_accepts(&key, text.replace("\n1\n", "\n2\n").as_bytes(), signature.bytes()));

    let cosigned = format!("cosignature/v1\ntime 1790000000\n{text}");
    let signature = signer.cosign(&text, 1_790_000_000).unwrap();
    assert_eq!(signature.bytes()[..8], 1_790_000_000_u64.to_be_bytes());
    assert!(openssl_accepts(&key, cosigned.as_bytes(), &signature.bytes()[8..]));
}
