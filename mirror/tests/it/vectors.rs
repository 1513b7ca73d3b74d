//! docs/spec/vectors/mirror: made from fixed keys; `EXHIBIT_WRITE_VECTORS=1` writes them anew.

use std::path::Path;

use certs::request::TlsKey;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::id::{Actor, Chain};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use ledger::{Checkpoint, Hash, KeyType, Note};
use mirror::cosign::fraud::FraudProof;
use mirror::cosign::state::State;
use mirror::init::admission_line;
use mirror::note::LogNote;

use crate::world::{ADA, at, key, keys, log_signer, pins};

const SECONDS: u64 = 1_793_700_000;

fn checkpoint(size: u64, first: u8) -> (Note, Vec<Hash>) {
    let leaves: Vec<Hash> = (0..size)
        .map(|index| ledger::leaf_hash(&[if index == 0 { first } else { 0 }, u8::try_from(index).unwrap()]))
        .collect();
    let text = Checkpoint::new("exhibit/acme", size, ledger::root_of(&leaves)).unwrap().to_text();
    (Note::new(&text, vec![log_signer().sign(&text).unwrap()]).unwrap(), leaves)
}

fn act(type_: EntryType, chain: Chain, by: Actor, refs: Vec<(String, String)>, nonce: ActNonce) -> Act {
    Act {
        type_: ActType,
        deployment: "acme".parse().unwrap(),
        act: type_,
        incident: chain,
        at: at("2026-11-21T12:00:00.000Z"),
        by,
        refs,
        fields: if nonce == ActNonce::ByContent {
            evidence::entry::pairs::sorted([("bytes", "8400000".to_owned()), ("segments", "2".to_owned())])
        } else {
            Vec::new()
        },
        detail: None,
        nonce,
    }
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    let keys = keys();
    let tls = TlsKey::from_seed(&[34; 32]);
    let (deployment, id) = ("acme".parse().unwrap(), "backup-1".parse().unwrap());
    let cosigner = |role: &str| {
        let signer = if role == "witness" { &keys.witness } else { &keys.mirror };
        signer.verifier_key(KeyType::CosignatureV1).to_string()
    };
    let refs = evidence::entry::pairs::sorted([
        ("key", keys.act.public().fingerprint().to_string()),
        ("mirror", "backup-1".to_owned()),
        ("mirror_key", cosigner("mirror")),
        ("tls_key", tls.public().fingerprint().to_string()),
        ("witness_key", cosigner("witness")),
    ]);
    let nonce = ActNonce::Once(FixedBytes([7; 16]));
    let ada = Actor::Person("ada".parse().unwrap());
    let admitted = act(EntryType::MirrorAdmitted, Chain::Deployment, ada, refs, nonce);
    let admitted = Signed::sign(&admitted, &[&key(ADA)]).unwrap();

    let (note, leaves) = checkpoint(70, 0);
    let text = note.text().to_owned();
    let refs = evidence::entry::pairs::sorted([
        ("collection", Digest::of(b"collection").to_string()),
        ("manifest", Digest::of(b"manifest").to_string()),
        ("mirror", "backup-1".to_owned()),
        ("root", Digest::from(ledger::root_of(&leaves)).to_string()),
        ("size", "70".to_owned()),
    ]);
    let incident = Chain::Incident("INC-2026-0007".parse().unwrap());
    let by = Actor::Mirror("backup-1".parse().unwrap());
    let replicated = act(EntryType::EvidenceReplicated, incident, by, refs, ActNonce::ByContent);
    let replicated = Signed::sign(&replicated, &[&keys.act]).unwrap();

    let cosigned = |signer: &ledger::NoteSigner| {
        let mut note = note.clone();
        note.add(signer.cosign(&text, SECONDS).unwrap()).unwrap();
        note.to_string()
    };
    let (witnessed, held) = (cosigned(&keys.witness), cosigned(&keys.mirror));
    let mut state = State::new("acme");
    (state.witnessed, state.held) = (Some(witnessed.clone()), Some(held.clone()));

    let (older, _) = checkpoint(50, 1);
    let proof = ledger::consistency_proof(&ledger::Leaves(&leaves), 50, 70).unwrap();
    let root = ledger::root_of(&leaves[..50]);
    let fraud = FraudProof::new("acme", "2026-11-21T12:00:00.000Z", &older, &note, Some((&root, &proof)));
    fraud.check(&pins().log_keys.keys()).unwrap();
    LogNote::read(held.as_bytes(), "exhibit/acme", &pins().log_keys.keys()).unwrap();

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
    if std::env::var_os("EXHIBIT_WRITE_VECTORS").is_some() {
        fs_err::create_dir_all(&folder).unwrap();
        for (name, bytes) in &files {
            fs_err::write(folder.join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in files {
        let stored = fs_err::read(folder.join(name)).unwrap();
        assert_eq!(String::from_utf8(stored).unwrap(), String::from_utf8(bytes).unwrap(), "{name}");
    }
}
