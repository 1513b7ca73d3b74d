//! The worked examples of docs/spec: one document of each type, from fixed keys and times, in
//! docs/spec/vectors/documents. `EXHIBIT_BLESS=1` writes them anew; otherwise they must be unchanged.

use std::path::{Path, PathBuf};

use evidence::bundle::allowed_signers;
use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal, Token, TokenString};
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::detail::Detail;
use evidence::entry::{Entry, EntryType};
use evidence::item::outcome::Outcome;
use evidence::json;
use evidence::log_key::{LogKeyChange, LogKeys, Reason};
use evidence::manifest::*;
use evidence::order::{Approval, Order};
use evidence::roster::{AuthoritySet, Roster};
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::text::FixedBytes;

use crate::enrolment::{
    ENROLMENT_CSR, LOGIN_CSR, RENEWAL_CSR, enrolled_entry, login, renewal, request, token_string,
};
use crate::log_key::Line;
use testkit::chains::Draft;
use testkit::collections;
use testkit::packages::*;
use testkit::vectors::{blessing, load, save};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/documents")
}

pub fn delegation() -> Delegation {
    let order = sign(&order(), &[ADA]).digest();
    let sealer = key(SEALER).public();
    collections::delegation(&target(), order, 1, sealer, at("2026-11-21T12:00:01.000Z"), FixedBytes([4; 16]))
}

pub fn manifest() -> Manifest {
    let step = |collector: &str, begun, ended, items, result| StepResult {
        collector: collector.into(),
        begun: at(begun),
        ended: at(ended),
        items,
        result,
    };
    Manifest {
        type_: ManifestType,
        deployment: "acme".parse().unwrap(),
        collection: delegation().collection,
        origin: Origin::Endpoint(EndpointOrigin {
            id: target().endpoint,
            generation: target().generation,
            evidence_key: key(EVIDENCE).public(),
            order: delegation().order,
            attempt: 1,
        }),
        delegation: sign(&delegation(), &[EVIDENCE]).digest(),
        encoding: Encoding::TarZstd,
        incident: "INC-2026-0007".parse().unwrap(),
        begun: at("2026-11-21T12:00:02.000Z"),
        ended: at("2026-11-21T12:00:31.250Z"),
        clock: Clock {
            wall: "1795262431.250000000".parse().unwrap(),
            boot: "86412.000000001".parse().unwrap(),
            offset_ms: Some(-12),
            synchronised: Some(true),
        },
        boot_id: Some("b7a6d1f0-4a5c-4d3e-9f10-0c1d2e3f4a5b".into()),
        machine_id: None,
        agent: Agent {
            version: "0.1.0".into(),
            build_sha256: Digest([3; 32]),
            uid: 990,
            capabilities: "0000000000080004".into(),
        },
        policy_sha256: Digest([12; 32]),
        limits: order().limits,
        steps: vec![
            step("host", "2026-11-21T12:00:02.000Z", "2026-11-21T12:00:02.100Z", 1, StepEnd::Done),
            step("processes", "2026-11-21T12:00:02.100Z", "2026-11-21T12:00:05.000Z", 180, StepEnd::Done),
            step("files", "2026-11-21T12:00:05.000Z", "2026-11-21T12:00:31.000Z", 419, StepEnd::Limit),
        ],
        segments: 3,
        stored_len: 20_971_520,
        plain_len: 104_857_600,
        container_sha256: Digest([13; 32]),
        items: 600,
        items_root: Digest([14; 32]),
        outcomes: vec![(Outcome::Denied, 1), (Outcome::Ok, 598), (Outcome::SkippedLimit, 1)],
        content_bytes: 104_000_000,
        seal_head: Digest([15; 32]),
        footprint: vec!["page cache and journal of this machine".into()],
        limitations: vec!["what the kernel hides from its own processes".into()],
        log_head: LogHead { seq: 41, sha256: Digest([16; 32]) },
        result: CollectionResult::Limited,
    }
}

pub fn detail() -> Detail {
    Detail { salt: FixedBytes([1; 16]), text: "Logins to mail from an address in no list".into() }
}

pub fn act() -> Act {
    Act {
        type_: ActType,
        deployment: "acme".parse().unwrap(),
        act: EntryType::IncidentOpened,
        incident: "INC-2026-0007".parse().unwrap(),
        at: at("2026-11-21T11:40:00.000Z"),
        by: "person:ada".parse().unwrap(),
        refs: vec![("incident".into(), "INC-2026-0007".into())],
        fields: [("class", "intrusion-attempts"), ("severity", "high"), ("tlp", "amber")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        detail: Some(detail().encode().unwrap().1),
        nonce: ActNonce::Once(FixedBytes([2; 16])),
    }
}

fn opened_entry() -> Entry {
    let Act { act: type_, incident: chain, refs, .. } = act();
    let act = sign(&act(), &[ADA]).into();
    Draft { type_, chain, time: at("2026-11-21T11:40:01.000Z"), refs, act }.entry(0, Digest::ZERO)
}

/// Every example: file name and bytes.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let package = Recipe::good().build();
    let rotation = Line::default().change(41, Reason::Planned).shown().remove(0);
    let signers = allowed_signers(&second_roster(), [enrolled_key()]);
    vec![
        ("act.signed", sign(&act(), &[ADA]).encode()),
        ("agent-enrolled.entry", enrolled_entry(&sign(&request(), &[TOKEN, EVIDENCE])).encode().unwrap()),
        ("allowed_signers", signers),
        ("approval.signed", package.approvals[0].clone()),
        ("authority", authority().to_trust_file().into_bytes()),
        ("delegation.signed", sign(&delegation(), &[EVIDENCE]).encode()),
        ("detail.json", detail().encode().unwrap().0),
        ("enrolment.csr", ENROLMENT_CSR.to_vec()),
        ("enrolment.signed", sign(&request(), &[TOKEN, EVIDENCE]).encode()),
        ("incident-opened.entry", opened_entry().encode().unwrap()),
        ("key-rotated.entry", rotation.entry.clone()),
        ("key-rotated.tlog-proof", rotation.proof.clone()),
        ("log-key.signed", rotation.signed.encode()),
        ("log.vkey", format!("{}\n", log().verifier_key(ledger::KeyType::Ed25519)).into_bytes()),
        ("login.csr", LOGIN_CSR.to_vec()),
        ("login.signed", sign(&login(), &[ADA]).encode()),
        ("manifest.signed", sign(&manifest(), &[SEALER, EVIDENCE]).encode()),
        ("order-approved.entry", package.proven[1].0.clone()),
        ("order-approved.tlog-proof", package.proven[1].1.clone()),
        ("order-issued.entry", package.proven[0].0.clone()),
        ("order-issued.tlog-proof", package.proven[0].1.clone()),
        ("order.signed", package.order.clone()),
        ("renewal.csr", RENEWAL_CSR.to_vec()),
        ("renewal.signed", sign(&renewal(), &[EVIDENCE]).encode()),
        ("roster-1.signed", sign(&first_roster(), &[1, 2]).encode()),
        ("roster-2.signed", package.rosters[0].clone()),
        ("target.json", json::to_document(&package.target).unwrap()),
        ("token.signed", token_string().signed().encode()),
        ("token.txt", format!("{}\n", *token_string().encode()).into_bytes()),
    ]
}

#[test]
fn the_worked_examples_are_unchanged() {
    for (name, bytes) in all() {
        if blessing() {
            save(folder().join(name), &bytes);
        }
        assert_eq!(
            load(folder().join(name)),
            bytes,
            "{name} changed; a format changes by a new version of its type"
        );
    }
    let mut found: Vec<String> =
        folder().read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, all().iter().map(|(name, _)| *name).collect::<Vec<_>>(), "a file that no test makes");
}

/// The stored bytes are read, not those just made: what was signed once must be readable for ever.
#[test]
fn the_stored_examples_verify() {
    fn open<T: Document>(name: &str, signers: &[u8]) -> T {
        let signed = Signed::parse(&load(folder().join(name))).unwrap();
        let (document, keys) = signed.open::<T>().unwrap();
        assert_eq!(keys, signers.iter().map(|number| key(*number).public()).collect::<Vec<_>>(), "{name}");
        document
    }
    assert_eq!(open::<Order>("order.signed", &[ADA]), order());
    assert_eq!(open::<Approval>("approval.signed", &[BOB]).approver.as_str(), "bob");
    assert_eq!(open::<Roster>("roster-2.signed", &[1, 3]), second_roster());
    assert_eq!(open::<Roster>("roster-1.signed", &[1, 2]), first_roster());
    assert_eq!(open::<EnrolmentRequest>("enrolment.signed", &[TOKEN, EVIDENCE]), request());
    assert_eq!(open::<Renewal>("renewal.signed", &[EVIDENCE]), renewal());
    assert_eq!(open::<Login>("login.signed", &[ADA]), login());
    assert_eq!(open::<Token>("token.signed", &[CAT]).endpoint.as_str(), "web-03");
    assert_eq!(open::<Act>("act.signed", &[ADA]), act());
    assert_eq!(open::<Delegation>("delegation.signed", &[EVIDENCE]), delegation());
    assert_eq!(open::<Manifest>("manifest.signed", &[SEALER, EVIDENCE]), manifest());

    let evidence_key = key(EVIDENCE).public();
    let signed = Signed::parse(&load(folder().join("delegation.signed"))).unwrap();
    let delegation = Delegation::verify(&signed, &evidence_key).unwrap();
    let manifest = Signed::parse(&load(folder().join("manifest.signed"))).unwrap();
    Manifest::verify(&manifest, &delegation, &signed.digest(), &evidence_key).unwrap();

    let text = |name: &str| String::from_utf8(load(folder().join(name))).unwrap();
    assert_eq!(AuthoritySet::from_trust_file(&text("authority")).unwrap().id(), authority().id());
    assert_eq!(TokenString::parse(text("token.txt").trim_end()).unwrap().token(), token_string().token());
    assert_eq!(open::<LogKeyChange>("log-key.signed", &[1, 3]).number, 1);
    let shown = ["key-rotated.entry", "key-rotated.tlog-proof"].map(|name| load(folder().join(name)));
    let key = log().verifier_key(ledger::KeyType::Ed25519);
    let keys = LogKeys::proven(&"acme".parse().unwrap(), &authority(), &key, &[(&shown[0], &shown[1])]);
    assert_eq!(keys.unwrap().changes()[0].index, Some(4));
    Detail::open(&load(folder().join("detail.json")), &act().detail.unwrap()).unwrap();
    for name in ["agent-enrolled", "incident-opened", "key-rotated", "order-issued", "order-approved"] {
        let bytes = load(folder().join(format!("{name}.entry")));
        assert_eq!(Entry::parse(&bytes).unwrap().encode().unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_manifest_holds_only_for_its_delegation_and_by_its_two_keys() {
    let signed = sign(&delegation(), &[EVIDENCE]);
    let evidence_key = key(EVIDENCE).public();
    let verify = |manifest: &Manifest, keys: &[u8]| {
        Manifest::verify(&sign(manifest, keys), &delegation(), &signed.digest(), &evidence_key)
    };
    assert!(verify(&manifest(), &[SEALER, EVIDENCE]).is_ok());
    for keys in
        [&[EVIDENCE, SEALER][..], &[SEALER], &[EVIDENCE], &[SEALER, MALLORY], &[SEALER, EVIDENCE, EVIDENCE]]
    {
        assert!(matches!(verify(&manifest(), keys), Err(ManifestError::Signers)), "{keys:?}");
    }
    let wrong = Manifest { collection: Digest::ZERO, ..manifest() };
    assert!(matches!(
        verify(&wrong, &[SEALER, EVIDENCE]),
        Err(ManifestError::Binding { field: "collection" })
    ));
    for keys in [&[SEALER][..], &[MALLORY], &[EVIDENCE, EVIDENCE]] {
        assert!(Delegation::verify(&sign(&delegation(), keys), &evidence_key).is_err());
    }
    let other_id = Delegation { attempt: 2, ..delegation() };
    assert!(Delegation::verify(&sign(&other_id, &[EVIDENCE]), &evidence_key).is_err());
}

#[test]
fn an_unknown_encoding_is_refused_by_its_name() {
    let signed = sign(&manifest(), &[SEALER, EVIDENCE]);
    let text = String::from_utf8(signed.document).unwrap().replace("tar+zstd", "tar+zstd+age");
    let error = json::parse_document::<Manifest>(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("tar+zstd+age"), "{error}");
}
