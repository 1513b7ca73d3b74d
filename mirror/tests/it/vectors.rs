//! docs/spec/vectors/mirror: made from fixed keys; `EXHIBIT_BLESS=1` writes them anew.

use std::path::Path;

use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce};
use evidence::entry::{EntryType, pairs};
use evidence::id::Chain;
use evidence::log_key::LogKeys;
use evidence::text::FixedBytes;
use ledger::KeyType;
use mirror::cosign::fraud::FraudProof;
use mirror::cosign::state::State;
use mirror::init::admission_line;
use mirror::keys::Keys;
use mirror::note::LogNote;
use testkit::chains::{act, at};
use testkit::log::Log;
use testkit::people::sign;
use testkit::vectors::compare;

use crate::world::ORIGIN;

// The keys of the vectors, which never change. The other tests use those of `testkit::bundles`.
const ADA: u8 = 2;
const LOG: u8 = 30;
const SECONDS: u64 = 1_793_700_000;

fn keys() -> Keys {
    Keys::from_seeds(&"backup-1".parse().unwrap(), [&[33; 32], &[31; 32], &[32; 32]]).unwrap()
}

/// A log whose first entry differs from that of another log.
fn log(size: u8, first: u8) -> Log {
    let mut log = Log::new(ORIGIN, LOG);
    for index in 0..size {
        log.append(&[if index == 0 { first } else { 0 }, index]);
    }
    log
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    let keys = keys();
    let tls = Digest::of(b"SubjectPublicKeyInfo of the mirror's TLS key, DER");
    let (deployment, id) = ("acme".parse().unwrap(), "backup-1".parse().unwrap());
    let cosigner = |role: &str| {
        let signer = if role == "witness" { &keys.witness } else { &keys.mirror };
        signer.verifier_key(KeyType::CosignatureV1).to_string()
    };
    let refs = pairs::sorted([
        ("key", keys.act.public().fingerprint().to_string()),
        ("mirror", "backup-1".to_owned()),
        ("mirror_key", cosigner("mirror")),
        ("tls_spki_sha256", tls.to_string()),
        ("witness_key", cosigner("witness")),
    ]);
    let at = at("12:00:00");
    let admitted = act(EntryType::MirrorAdmitted, &Chain::Deployment, at, "person:ada", &refs);
    let admitted = Act { nonce: ActNonce::Once(FixedBytes([7; 16])), ..admitted };
    let admitted = sign(&admitted, &[ADA]);

    let newer = log(70, 0);
    let note = newer.note();
    let text = note.text().to_owned();
    let refs = pairs::sorted([
        ("collection", Digest::of(b"collection").to_string()),
        ("manifest", Digest::of(b"manifest").to_string()),
        ("mirror", "backup-1".to_owned()),
        ("root", Digest::from(newer.checkpoint().root).to_string()),
        ("size", "70".to_owned()),
    ]);
    let incident = Chain::Incident("INC-2026-0007".parse().unwrap());
    let replicated = act(EntryType::EvidenceReplicated, &incident, at, "mirror:backup-1", &refs);
    let fields = [("bytes", "8400000".to_owned()), ("segments", "2".to_owned())];
    let replicated = Act { fields: pairs::sorted(fields), nonce: ActNonce::ByContent, ..replicated };
    let replicated = evidence::signed::Signed::sign(&replicated, &[&keys.act]).unwrap();

    let cosigned = |signer: &ledger::NoteSigner| {
        let mut note = note.clone();
        note.add(signer.cosign(&text, SECONDS).unwrap()).unwrap();
        note.to_string()
    };
    let (witnessed, held) = (cosigned(&keys.witness), cosigned(&keys.mirror));
    let mut state = State::new("acme");
    (state.witnessed, state.held) = (Some(witnessed.clone()), Some(held.clone()));

    let (older, grown) = (log(50, 1).note(), (newer.checkpoint_at(50).root, newer.consistency(50)));
    let grown = Some((&grown.0, grown.1.as_slice()));
    let fraud = FraudProof::new("acme", "2026-11-21T12:00:00.000Z", &older, &note, grown);
    let log_keys = LogKeys::unchanged(newer.signer.verifier_key(KeyType::Ed25519));
    fraud.check(&log_keys).unwrap();
    LogNote::read(held.as_bytes(), ORIGIN, &log_keys).unwrap();

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/mirror");
    let files: [(&str, Vec<u8>); 7] = [
        ("admission.json", admission_line(&deployment, &id, &keys, &tls).into_bytes()),
        ("mirror-admitted.signed", admitted.encode()),
        ("evidence-replicated.signed", replicated.encode()),
        ("checkpoint.witness", witnessed.into_bytes()),
        ("checkpoint.mirror", held.into_bytes()),
        ("state.json", state.to_bytes()),
        ("fraud.json", fraud.to_bytes()),
    ];
    for (name, bytes) in files {
        compare(&folder.join(name), &String::from_utf8(bytes).unwrap());
    }
}
