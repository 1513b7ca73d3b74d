//! The log key's own process.

use ledger::{Hash, KeyType, NoteSigner};
use server::log::ledger::{CheckpointSigner, ProcessSigner, SignerError, create_log_key, origin};

fn root(byte: u8) -> Hash {
    Hash([byte; 32])
}

/// Status of this process's children whose command line has `__signer` and this key file.
fn children(key_file: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let command =
            std::fs::File::open(path.join("cmdline")).and_then(std::io::read_to_string).unwrap_or_default();
        if command.contains("__signer") && command.contains(key_file.to_str().unwrap()) {
            found.extend(std::fs::File::open(path.join("status")).and_then(std::io::read_to_string).ok());
        }
    }
    found
}

#[test]
fn the_signer_process_signs_forward_only_is_caged_and_ends_with_its_collector() {
    let place = tempfile::tempdir().unwrap();
    let key_file = place.path().join("log");
    let seed = create_log_key(&key_file).unwrap();
    let signer = ProcessSigner::start(super::program(), &key_file, &origin("acme")).unwrap();
    let own = NoteSigner::new("exhibit/acme", &seed).unwrap();
    assert_eq!(signer.verifier_key().to_string(), own.verifier_key(KeyType::Ed25519).to_string());
    signer.remember(7, &root(7)).unwrap();
    let refused = |result: Result<ledger::Note, SignerError>| match result {
        Err(SignerError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(refused(signer.sign(6, &root(6))).contains("7 was signed before"));
    assert!(refused(signer.sign(7, &root(8))).contains("refused to sign root"));
    let note = signer.sign(7, &root(7)).unwrap();
    note.verify(&[own.verifier_key(KeyType::Ed25519)]).map(drop).unwrap();
    assert_eq!(note.text(), format!("exhibit/acme\n7\n{}\n", root(7).to_base64()));
    signer.sign(1 << 40, &root(9)).unwrap();
    // Seccomp mode 2 is a filter; the other fields say that it gained nothing.
    let status = children(&key_file);
    assert_eq!(status.len(), 1);
    assert!(status[0].contains("Seccomp:\t2") && status[0].contains("NoNewPrivs:\t1"), "{}", status[0]);
    drop(signer);
    assert!(children(&key_file).is_empty());
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let key_file = place.path().join("log");
    create_log_key(&key_file).unwrap();
    assert!(create_log_key(&key_file).is_err(), "a log key is never replaced");
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(ProcessSigner::start(super::program(), &key_file, &origin("acme")).is_err());
}
