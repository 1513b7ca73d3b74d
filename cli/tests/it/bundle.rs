//! A small bundle made by the same code that collects and signs: one incident, one order, one endpoint, one collection.

use std::path::{Path, PathBuf};

use evidence::bundle::{BundleVersion, Overview, SUMS_NAMESPACE, Sums};
use evidence::digest::Digest;
use evidence::enrolment::{AgentBuild, EnrolmentRequest, EnrolmentType, Token, TokenType};
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::detail::Detail;
use evidence::entry::pairs;
use evidence::entry::{ActObject, ChainHead, Entry, EntryType};
use evidence::id::{Actor, Chain, DeploymentId, EndpointId, Generation, IncidentId, PersonId};
use evidence::json;
use evidence::keys::SigningKey;
use evidence::keys::sshsig;
use evidence::manifest::{
    Agent, Clock, CollectionResult, Encoding, EndpointOrigin, LogHead, Manifest, ManifestType, Origin,
    StepEnd, StepResult,
};
use evidence::order::{Limits, Order, OrderType, Plan, ProfileRef, Sensitivity, Step, Target, TargetSet};
use evidence::roster::{AuthoritySet, Person, Role, Roster, RosterType, Rules};
use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::{FileTime, Time};
use ledger::{KeyType, Leaves, NoteSigner, consistency_proof};

use crate::parts::{Log, container};

/// Bundle and trust directory in one temporary folder.
pub struct Made {
    _folder: tempfile::TempDir,
    /// The bundle.
    pub bundle: PathBuf,
    /// What a verifier pins.
    pub trust: PathBuf,
    /// Its collection.
    pub collection: Digest,
}

/// A key whose seed is known.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Times an hour into a day that is long past.
pub fn at(second: u64) -> Time {
    Time::from_unix_ms(1_790_000_000_000 + second * 1000).unwrap()
}

/// Makes one.
pub fn make() -> Made {
    let deployment: DeploymentId = "demo".parse().unwrap();
    let incident: IncidentId = "INC-2026-0001".parse().unwrap();
    let alice: PersonId = "alice".parse().unwrap();
    let endpoint: EndpointId = "web-03".parse().unwrap();
    let (authority, person, one_time, evidence_key, tls) = (key(1), key(2), key(3), key(4), key(5));
    let folder = tempfile::tempdir().unwrap();
    let (bundle, trust) = (folder.path().join("bundle"), folder.path().join("trust"));
    let put = |name: &str, bytes: &[u8]| {
        let path = bundle.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    let split = |name: &str, signed: &Signed| {
        for (name, bytes) in signed.split(name) {
            put(&name, &bytes);
        }
    };
    let act = |type_: EntryType,
               chain: &Chain,
               refs: &[(String, String)],
               fields: Vec<(String, String)>,
               by: Actor,
               detail: Option<Digest>| Act {
        type_: ActType,
        deployment: deployment.clone(),
        act: type_,
        incident: chain.clone(),
        at: at(90),
        by,
        refs: refs.to_vec(),
        fields,
        detail,
        nonce: ActNonce::Once(FixedBytes([9; 16])),
    };
    let mut log = Log {
        deployment: deployment.clone(),
        signer: NoteSigner::new("exhibit/demo", &[8; 32]).unwrap(),
        entries: Vec::new(),
        leaves: Vec::new(),
        heads: [ChainHead::START; 2],
    };
    let own = Chain::Deployment;
    let case = Chain::Incident(incident.clone());

    let ca = b"not a certificate".to_vec();
    let set = AuthoritySet::new(1, vec![authority.public()]).unwrap();
    let log_key = log.signer.verifier_key(KeyType::Ed25519).to_string();
    let refs = pairs::sorted([
        ("authority", set.id().to_string()),
        ("ca", Digest::of(&ca).to_string()),
        ("log", log_key.clone()),
    ]);
    let genesis =
        act(EntryType::LogGenesis, &own, &refs, Vec::new(), Actor::Collector("c1".parse().unwrap()), None);
    let genesis = ActObject { document: json::to_document(&genesis).unwrap(), signatures: Vec::new() };
    log.push(EntryType::LogGenesis, own.clone(), refs, genesis);

    let roster = Roster {
        type_: RosterType,
        deployment: deployment.clone(),
        version: 1,
        previous: None,
        issued: at(0),
        not_after: at(86_400),
        authority: set.clone(),
        persons: vec![
            Person {
                id: alice.clone(),
                keys: vec![person.public()],
                roles: vec![Role::Responder, Role::EndpointAdmin],
            },
            Person {
                id: "bob".parse().unwrap(),
                keys: vec![key(20).public(), key(21).public()],
                roles: vec![Role::Auditor],
            },
        ],
        rules: Rules { two_persons: Vec::new(), order_hours_max: 24 },
    };
    let roster = Signed::sign(&roster, &[&authority]).unwrap();
    split("deployment/roster-1", &roster);
    let refs = pairs::sorted([("roster", roster.digest().to_string()), ("version", "1".to_owned())]);
    log.push(EntryType::RosterPublished, own.clone(), refs, roster.clone().into());

    let token = Token {
        type_: TokenType,
        deployment: deployment.clone(),
        endpoint: endpoint.clone(),
        generation: Generation::FIRST,
        key: one_time.public(),
        issuer: alice.clone(),
        issued: at(10),
        not_after: at(10_000),
        enrol: "127.0.0.1:1".parse().unwrap(),
        collector: "127.0.0.1:2".parse().unwrap(),
        collector_id: "c1".parse().unwrap(),
        authority: set.id(),
        ca_sha256: Digest::of(&ca),
        log_key: log_key.parse().unwrap(),
        roster_version_min: 1,
    };
    let token = Signed::sign(&token, &[&person]).unwrap();
    split("deployment/token-web-03-1", &token);
    let refs = pairs::sorted([
        ("endpoint", endpoint.to_string()),
        ("generation", "1".to_owned()),
        ("token", token.digest().to_string()),
    ]);
    log.push(EntryType::EndpointAdmitted, own.clone(), refs, token.clone().into());

    let enrolment = EnrolmentRequest {
        type_: EnrolmentType,
        deployment: deployment.clone(),
        endpoint: endpoint.clone(),
        generation: Generation::FIRST,
        token: token.digest(),
        evidence_key: evidence_key.public(),
        tls_key: tls.public(),
        csr_sha256: Digest::ZERO,
        nonce: FixedBytes([1; 16]),
        at: at(20),
        agent: AgentBuild { version: "0.1.0".to_owned(), build_sha256: Digest::ZERO },
    };
    let enrolment = Signed::sign(&enrolment, &[&one_time, &evidence_key, &tls]).unwrap();
    split("deployment/enrolment-web-03-1", &enrolment);
    let fingerprint = evidence_key.public().fingerprint();
    let refs = pairs::sorted([
        ("endpoint", endpoint.to_string()),
        ("evidence_key", fingerprint.to_string()),
        ("generation", "1".to_owned()),
        ("token", token.digest().to_string()),
    ]);
    log.push(EntryType::AgentEnrolled, own, refs, enrolment.into());

    let (title, title_digest) =
        Detail { salt: FixedBytes([2; 16]), text: "A \"title\",\"by\":\"person:bob\"".to_owned() }
            .encode()
            .unwrap();
    put(&format!("details/{title_digest}.json"), &title);
    let refs = pairs::sorted([("incident", incident.to_string())]);
    let fields = pairs::sorted([
        ("severity", "high".to_owned()),
        ("tlp", "amber".to_owned()),
        ("class", "intrusions".to_owned()),
    ]);
    let opened = act(
        EntryType::IncidentOpened,
        &case,
        &refs,
        fields,
        Actor::Person(alice.clone()),
        Some(title_digest),
    );
    log.push(
        EntryType::IncidentOpened,
        case.clone(),
        refs,
        Signed::sign(&opened, &[&person]).unwrap().into(),
    );

    let target =
        Target { endpoint: endpoint.clone(), generation: Generation::FIRST, evidence_key: fingerprint };
    let targets = TargetSet::new(vec![target]).unwrap();
    let limits = Limits {
        wall_s: 1800,
        stored_bytes: 1 << 33,
        plain_bytes: 1 << 36,
        item_bytes: 1 << 31,
        items: 1000,
        cpu_pct: 100,
    };
    let order = Order {
        type_: OrderType,
        deployment: deployment.clone(),
        incident: incident.clone(),
        nonce: FixedBytes([3; 16]),
        issuer: alice.clone(),
        issued: at(60),
        expires: at(3600),
        attempts: 3,
        roster_version: 1,
        roster_sha256: roster.digest(),
        targets_count: targets.count(),
        targets_root: targets.root(),
        profile: ProfileRef { name: "small".to_owned(), version: "1".to_owned(), sha256: Digest::ZERO },
        purpose: "a purpose with \"issuer\":\"bob\" in it".to_owned(),
        sensitivity: Sensitivity::Normal,
        limits,
        plan: Plan::new(vec![Step::Host {}, Step::Sockets {}]),
    };
    let order = Signed::sign(&order, &[&person]).unwrap();
    let order_id = order.digest();
    split(&format!("orders/{order_id}"), &order);
    put(
        &format!("orders/{order_id}.targets/web-03.json"),
        &json::to_document(&targets.proof(&endpoint).unwrap()).unwrap(),
    );
    let refs = pairs::sorted([("order", order_id.to_string()), ("roster", roster.digest().to_string())]);
    log.push(EntryType::OrderIssued, case.clone(), refs, order.into());

    let nonce = FixedBytes([4; 16]);
    let collection = collection_id(&order_id, &fingerprint, 1, &nonce);
    let delegation = Delegation {
        type_: DelegationType,
        deployment: deployment.clone(),
        endpoint: endpoint.clone(),
        generation: Generation::FIRST,
        order: order_id,
        attempt: 1,
        collection,
        sealer: key(6).public(),
        at: at(140),
        nonce,
    };
    let delegation = Signed::sign(&delegation, &[&evidence_key]).unwrap();
    let home = format!("evidence/{collection}");
    split(&format!("{home}/delegation"), &delegation);
    let refs = pairs::sorted([
        ("attempt", "1".to_owned()),
        ("collection", collection.to_string()),
        ("endpoint", "web-03".to_owned()),
        ("order", order_id.to_string()),
    ]);
    log.push(EntryType::CollectionStarted, case.clone(), refs, delegation.clone().into());

    let (segments, summary) = container(&deployment, collection, order_id);
    let bytes: Vec<u8> = segments.iter().flat_map(|segment| segment.bytes.clone()).collect();
    put(&format!("{home}/container.tar.zst"), &bytes);
    for segment in &segments {
        put(&format!("{home}/seals/{:06}.seal", segment.index), &segment.seal);
    }
    let step = |collector: &str, items: u64| StepResult {
        collector: collector.to_owned(),
        begun: at(141),
        ended: at(142),
        items,
        result: StepEnd::Done,
    };
    let manifest = Manifest {
        type_: ManifestType,
        deployment: deployment.clone(),
        collection,
        origin: Origin::Endpoint(EndpointOrigin {
            id: endpoint,
            generation: Generation::FIRST,
            evidence_key: evidence_key.public(),
            order: order_id,
            attempt: 1,
        }),
        delegation: delegation.digest(),
        encoding: Encoding::TarZstd,
        incident: incident.clone(),
        begun: at(141),
        ended: at(151),
        clock: Clock {
            wall: FileTime::new(1_790_000_151, 0).unwrap(),
            boot: FileTime::new(100, 0).unwrap(),
            offset_ms: Some(0),
            synchronised: Some(true),
        },
        boot_id: None,
        machine_id: None,
        agent: Agent {
            version: "0.1.0".to_owned(),
            build_sha256: Digest::ZERO,
            uid: 0,
            capabilities: "0".to_owned(),
        },
        policy_sha256: Digest::ZERO,
        limits,
        steps: vec![step("host", 1), step("sockets", 1)],
        segments: summary.segments,
        stored_len: summary.stored_len,
        plain_len: summary.plain_len,
        container_sha256: summary.container_sha256,
        items: summary.items,
        items_root: summary.items_root,
        outcomes: summary.counts_by_outcome.clone().into_iter().collect(),
        content_bytes: summary.content_bytes,
        seal_head: summary.seal_head,
        footprint: Vec::new(),
        limitations: vec!["says \"collection\":\"nothing\"".to_owned()],
        log_head: LogHead { seq: 1, sha256: Digest::ZERO },
        result: CollectionResult::Complete,
    };
    let manifest = Signed::sign(&manifest, &[&key(6), &evidence_key]).unwrap();
    split(&format!("{home}/manifest"), &manifest);
    let refs = pairs::sorted([
        ("collection", collection.to_string()),
        ("copies", "2".to_owned()),
        ("degraded", "no".to_owned()),
        ("endpoint", "web-03".to_owned()),
        ("independent", "yes".to_owned()),
        ("manifest", manifest.digest().to_string()),
        ("order", order_id.to_string()),
    ]);
    let head = log.push(EntryType::CollectionStored, case.clone(), refs, manifest.into());

    let size = log.entries.len();
    for (index, bytes) in log.entries.iter().enumerate() {
        let envelope = Entry::parse(bytes).unwrap().envelope;
        let name = match envelope.incident {
            Chain::Deployment => format!("custody/deployment/{index}"),
            Chain::Incident(_) => format!("custody/{:06}", envelope.seq),
        };
        put(&format!("{name}.entry"), bytes);
        put(&format!("{name}.tlog-proof"), log.proof(index, size).as_bytes());
    }
    put("ledger/checkpoint", log.note(size).to_string().as_bytes());
    let count = log.heads[1].next_seq;
    let overview = Overview {
        format: BundleVersion,
        deployment: deployment.clone(),
        incident: incident.clone(),
        origin: "exhibit/demo".to_owned(),
        exported: at(200),
        by: Actor::Person(alice.clone()),
        head_seq: count - 1,
        head: log.leaves[head].into(),
        entries: u64::try_from(size).unwrap(),
        collections: vec![collection],
        partial: false,
        quorum: true,
        without_quorum: false,
    };
    put("bundle.json", &json::to_document(&overview).unwrap());

    let mut sums = Sums::new();
    for file in files(&bundle) {
        sums.insert(&file, Digest::of(&fs_err::read(bundle.join(&file)).unwrap())).unwrap();
    }
    let sums = sums.encode();
    put("SHA256SUMS", &sums);
    put("SHA256SUMS.sig", sshsig::sign(&person, SUMS_NAMESPACE, &sums).unwrap().as_bytes());
    let refs = pairs::sorted([
        ("count", count.to_string()),
        ("head", overview.head.to_string()),
        ("sums", Digest::of(&sums).to_string()),
    ]);
    let exported = act(EntryType::BundleExported, &case, &refs, Vec::new(), Actor::Person(alice), None);
    let index =
        log.push(EntryType::BundleExported, case, refs, Signed::sign(&exported, &[&person]).unwrap().into());
    put("export/entry", &log.entries[index]);
    put("export/entry.tlog-proof", log.proof(index, index + 1).as_bytes());
    put("export/checkpoint", log.note(index + 1).to_string().as_bytes());
    let (old, new) = (u64::try_from(size).unwrap(), u64::try_from(index + 1).unwrap());
    let consistency = consistency_proof(&Leaves(&log.leaves), old, new).unwrap();
    let lines: String = consistency.iter().map(|hash| hash.to_base64() + "\n").collect();
    put("export/consistency", lines.as_bytes());

    fs_err::create_dir(&trust).unwrap();
    fs_err::write(trust.join("authority"), set.to_trust_file()).unwrap();
    fs_err::write(trust.join("policy"), format!("log {log_key}\nquorum none\n")).unwrap();
    fs_err::write(trust.join("roster_version_min"), "1\n").unwrap();
    Made { _folder: folder, bundle, trust, collection }
}

/// Every file below, by its name in the bundle.
pub fn files(bundle: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for file in fs_err::read_dir(folder).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_dir() {
                walk(root, &file.path(), found);
            } else {
                found.push(file.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(bundle, bundle, &mut found);
    found.sort();
    found
}
