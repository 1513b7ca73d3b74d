//! A complete bundle with fixed keys and times, made step by step by somebody who holds every private key there is.
//!
//! Each step has a hook that may change what it made before anything that follows is hashed, signed, logged and exported: so a
//! test breaks one rule, and all that stands behind it is right again. This is the skilled hand.

use std::collections::BTreeMap;

use evidence::bundle::{
    BundleVersion, Overview, SUMS_NAMESPACE, Sums, UNCOVERED, allowed_signers, consistency,
};
use evidence::digest::Digest;
use evidence::enrolment::{AgentBuild, EnrolmentRequest, EnrolmentType, Token};
use evidence::entry::act::Act;
use evidence::entry::pairs;
use evidence::entry::{ActObject, Entry, EntryType, EntryVersion, Envelope};
use evidence::id::{Chain, Generation};
use evidence::json;
use evidence::keys::sshsig;
use evidence::manifest::Manifest;
use evidence::order::*;
use evidence::roster::*;
use evidence::seal::Identity;
use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use ledger::Leaves;

use crate::forge::{Built as Container, Forge};

pub const AUTHORITY: u8 = 1;
pub const ALICE: u8 = 10;
pub const BOB: u8 = 12;
pub const CAT: u8 = 13;
pub const DAN: u8 = 14;
pub const EVE: u8 = 15;
pub const EVIDENCE: u8 = 20;
pub const TLS: u8 = 21;
pub const TOKEN: u8 = 22;
pub const SEALER: u8 = 23;
pub const LOG: u8 = 40;
pub const MALLORY: u8 = 66;

pub const INCIDENT: &str = "INC-2026-0007";
/// Where the `files` hook finds the log's entries that are no part of the bundle.
pub const ELSEWHERE: &str = "elsewhere/";

mod disposal;
mod documents;
mod drafts;
mod log;
mod machines;
mod mirror;
mod produce;
mod verdicts;

pub use disposal::*;
pub use documents::*;
pub use machines::*;
pub use mirror::*;
pub use produce::*;
pub use verdicts::*;

pub use testkit::people::{key, sign};

use log::Log;

pub type Files = BTreeMap<String, Vec<u8>>;
pub type Hook<'a, T> = Box<dyn Fn(&mut T) + Send + Sync + 'a>;

pub fn at(text: &str) -> Time {
    format!("2026-11-21T{text}.000Z").parse().unwrap()
}

/// An act before it is an entry.
pub struct Draft {
    pub type_: EntryType,
    pub chain: Chain,
    pub time: Time,
    pub refs: Vec<(String, String)>,
    pub act: ActObject,
}

/// A document and the keys that sign it.
pub struct Paper<T> {
    pub document: T,
    pub keys: Vec<u8>,
}

/// One collection before its container is cut.
pub struct Collected {
    pub attempt: u32,
    pub delegation: Paper<Delegation>,
    pub forge: Forge,
}

/// The steps, each with its hook. All do nothing by default.
pub struct Recipe<'a> {
    pub roster: Hook<'a, Paper<Roster>>,
    pub token: Hook<'a, Paper<Token>>,
    pub enrolment: Hook<'a, Paper<EnrolmentRequest>>,
    pub order: Hook<'a, Paper<Order>>,
    pub approval: Hook<'a, Paper<Approval>>,
    pub collected: Hook<'a, Collected>,
    /// After the segments are sealed.
    pub container: Hook<'a, (u32, Container)>,
    pub manifest: Hook<'a, Paper<Manifest>>,
    /// All entries of the log, in its order, before they are numbered.
    pub drafts: Hook<'a, Vec<Draft>>,
    /// Each entry when it is numbered, with its place in the log, before it is hashed.
    pub entry: Hook<'a, (usize, Entry)>,
    /// Bytes of each entry before they are hashed.
    pub leaf: Hook<'a, (usize, Vec<u8>)>,
    /// The bundle's files before they are summed.
    pub files: Hook<'a, Files>,
    /// The export's act.
    pub export: Hook<'a, Paper<Act>>,
    /// Everything, at the very end.
    pub after: Hook<'a, Files>,
    pub sums_key: u8,
    pub log: u8,
    /// The log's name.
    pub origin: &'a str,
    /// Keys that cosign every checkpoint, and their names.
    pub cosigners: Vec<(u8, &'static str)>,
    pub sealer: u8,
    /// The long file of the stored collection, and the frames in each of its segments but the last.
    pub long: Vec<u8>,
    pub cuts: Vec<usize>,
    /// How many rosters were published before the order, at least two; eve leaves with the second.
    pub roster_versions: u64,
    /// The endpoints beside web-03. No hook but `roster`, `drafts`, `entry`, `leaf` and `files` sees what they sign.
    pub machines: Vec<Machine>,
}

impl Default for Recipe<'_> {
    fn default() -> Self {
        Self {
            roster: Box::new(|_| ()),
            token: Box::new(|_| ()),
            enrolment: Box::new(|_| ()),
            order: Box::new(|_| ()),
            approval: Box::new(|_| ()),
            collected: Box::new(|_| ()),
            container: Box::new(|_| ()),
            manifest: Box::new(|_| ()),
            drafts: Box::new(|_| ()),
            entry: Box::new(|_| ()),
            leaf: Box::new(|_| ()),
            files: Box::new(|_| ()),
            export: Box::new(|_| ()),
            after: Box::new(|_| ()),
            sums_key: ALICE,
            log: LOG,
            origin: "exhibit/acme",
            cosigners: Vec::new(),
            sealer: SEALER,
            long: vec![0; 1_100_000],
            cuts: vec![1],
            roster_versions: 2,
            machines: MACHINES.to_vec(),
        }
    }
}

impl Recipe<'_> {
    /// The bundle of docs/spec/vectors, in which web-03 is the only endpoint.
    pub fn one_endpoint() -> Self {
        Self { machines: vec![], ..Self::default() }
    }

    /// An order of alice's that asks web-03 and db-01 for everything.
    fn order_under(roster: &Signed) -> Order {
        Order {
            type_: OrderType,
            deployment: "acme".parse().unwrap(),
            incident: INCIDENT.parse().unwrap(),
            nonce: FixedBytes([5; 16]),
            issuer: "alice".parse().unwrap(),
            issued: at("09:30:00"),
            expires: at("21:30:00"),
            attempts: 3,
            roster_version: roster.read::<Roster>().unwrap().version,
            roster_sha256: roster.digest(),
            targets_count: targets(EVIDENCE).count(),
            targets_root: targets(EVIDENCE).root(),
            profile: ProfileRef { name: "linux-triage".into(), version: "1".into(), sha256: Digest([8; 32]) },
            purpose: "suspicious logins".into(),
            sensitivity: Sensitivity::Sensitive,
            limits: limits(),
            plan: plan(),
        }
    }
}

/// A finished bundle.
pub struct Bundle {
    pub files: Files,
}

impl Draft {
    pub fn new<const N: usize>(
        type_: EntryType,
        chain: Chain,
        time: &str,
        refs: [(&str, String); N],
        make: impl FnOnce(&Self) -> ActObject,
    ) -> Self {
        let act = ActObject { document: vec![], signatures: vec![] };
        let mut draft = Self { type_, chain, time: at(time), refs: pairs::sorted(refs), act };
        draft.act = make(&draft);
        draft
    }

    /// The act of a person about this entry.
    pub fn signed(&self, by: &str, number: u8) -> ActObject {
        sign(&self.act_by(by), &[number]).into()
    }

    pub fn act_by(&self, by: &str) -> Act {
        act(self.type_, &self.chain, self.time, by, &self.refs)
    }
}

fn put(files: &mut Files, name: &str, signed: &Signed) {
    files.extend(signed.split(name));
}

/// SHA256SUMS of the files as they are, and its signature by a key.
pub fn sum(files: &mut Files, number: u8) {
    let mut sums = Sums::new();
    for (name, bytes) in files.iter().filter(|(name, _)| !UNCOVERED.contains(&name.as_str())) {
        sums.insert(name, Digest::of(bytes)).unwrap();
    }
    let bytes = sums.encode();
    let armour = sshsig::sign(&key(number), SUMS_NAMESPACE, &bytes).unwrap();
    files.insert("SHA256SUMS".into(), bytes);
    files.insert("SHA256SUMS.sig".into(), armour.into_bytes());
}

/// Reads a document of a bundle, changes it, and writes it back without its signatures being asked.
pub fn edit<T: serde::de::DeserializeOwned + serde::Serialize>(
    files: &mut Files,
    name: &str,
    change: impl FnOnce(&mut T),
) {
    let mut document: T = json::parse_document(&files[name]).unwrap();
    change(&mut document);
    files.insert(name.into(), json::to_document(&document).unwrap());
}

impl Recipe<'_> {
    /// Runs all steps.
    pub fn build(&self) -> Bundle {
        let mut files = Files::new();
        let mut rosters: Vec<Signed> = Vec::new();
        for version in 1..=self.roster_versions {
            let mut roster = first_roster();
            if let Some(previous) = rosters.last() {
                roster =
                    Roster { version, previous: Some(previous.digest()), issued: at("09:00:00"), ..roster };
                roster.persons.pop();
            }
            let mut paper = Paper { document: roster, keys: vec![AUTHORITY] };
            (self.roster)(&mut paper);
            let signed = sign(&paper.document, &paper.keys);
            put(&mut files, &format!("deployment/roster-{version}"), &signed);
            rosters.push(signed);
        }
        let mut paper = Paper { document: token(), keys: vec![CAT] };
        (self.token)(&mut paper);
        let token = sign(&paper.document, &paper.keys);
        put(&mut files, "deployment/token-web-03-1", &token);
        let mut paper = Paper {
            document: EnrolmentRequest {
                type_: EnrolmentType,
                deployment: "acme".parse().unwrap(),
                endpoint: "web-03".parse().unwrap(),
                generation: Generation::FIRST,
                token: token.digest(),
                evidence_key: key(EVIDENCE).public(),
                tls_key: key(TLS).public(),
                csr_sha256: Digest([2; 32]),
                nonce: FixedBytes([1; 16]),
                at: at("08:20:00"),
                agent: AgentBuild { version: "0.1.0".into(), build_sha256: Digest([6; 32]) },
            },
            keys: vec![TOKEN, EVIDENCE, TLS],
        };
        (self.enrolment)(&mut paper);
        let evidence_print = paper.document.evidence_key.fingerprint();
        let enrolment = sign(&paper.document, &paper.keys);
        put(&mut files, "deployment/enrolment-web-03-1", &enrolment);

        let mut paper = Paper { document: Self::order_under(rosters.last().unwrap()), keys: vec![ALICE] };
        (self.order)(&mut paper);
        let order_roster = paper.document.roster_sha256;
        let order = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("orders/{}", order.digest()), &order);
        let proof = targets(EVIDENCE).proof(&"web-03".parse().unwrap()).unwrap();
        files.insert(
            format!("orders/{}.targets/web-03.json", order.digest()),
            json::to_document(&proof).unwrap(),
        );
        let mut paper = Paper {
            document: Approval {
                type_: ApprovalType,
                deployment: "acme".parse().unwrap(),
                order: order.digest(),
                approver: "bob".parse().unwrap(),
                at: at("09:35:00"),
                decision: Decision::Approve,
            },
            keys: vec![BOB],
        };
        (self.approval)(&mut paper);
        let approval = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("approvals/{}", approval.digest()), &approval);

        let mut made = Vec::new();
        for attempt in [1_u32, 2] {
            let nonce = FixedBytes([u8::try_from(attempt).unwrap(); 16]);
            let collection =
                collection_id(&order.digest(), &key(EVIDENCE).public().fingerprint(), attempt, &nonce);
            let delegation = Delegation {
                type_: DelegationType,
                deployment: "acme".parse().unwrap(),
                endpoint: "web-03".parse().unwrap(),
                generation: Generation::FIRST,
                order: order.digest(),
                attempt,
                collection,
                sealer: key(self.sealer).public(),
                at: at("10:00:00"),
                nonce,
            };
            let identity = Identity {
                deployment: delegation.deployment.clone(),
                collection,
                order: delegation.order,
                attempt: attempt.into(),
            };
            // The first attempt is cut after two of its segments, the second has two in all.
            let (long, cuts, keep) = if attempt == 1 {
                (&vec![0; 2_200_000], vec![1, 1], 2)
            } else {
                (&self.long, self.cuts.clone(), self.cuts.len() + 1)
            };
            let mut collected = Collected {
                attempt,
                delegation: Paper { document: delegation, keys: vec![EVIDENCE] },
                forge: Forge::new(identity, self.sealer, long, cuts, keep),
            };
            (self.collected)(&mut collected);
            let signed = sign(&collected.delegation.document, &collected.delegation.keys);
            let mut container = (attempt, collected.forge.build());
            (self.container)(&mut container);
            let folder = format!("evidence/{collection}");
            put(&mut files, &format!("{folder}/delegation"), &signed);
            let stored: Vec<u8> =
                container.1.segments.iter().flat_map(|(stored, _)| stored.iter().copied()).collect();
            files.insert(format!("{folder}/container.tar.zst"), stored);
            for (index, (_, seal)) in container.1.segments.iter().enumerate() {
                files.insert(format!("{folder}/seals/{index:06}.seal"), seal.clone());
            }
            made.push((collected.delegation.document, signed, container.1));
        }
        let [first, second] = made.as_slice() else { panic!("two attempts") };
        let mut paper = Paper {
            document: manifest(&second.0, second.1.digest(), &second.2),
            keys: vec![self.sealer, EVIDENCE],
        };
        (self.manifest)(&mut paper);
        let manifest = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("evidence/{}/manifest", second.0.collection), &manifest);
        let (title, title_digest) = title();
        files.insert(format!("details/{title_digest}.json"), title);

        let mut drafts = self.draft(
            &rosters,
            &token,
            &enrolment,
            evidence_print.to_string(),
            &order,
            order_roster,
            &approval,
        );
        let second_roster =
            drafts.iter().rposition(|draft| draft.type_ == EntryType::RosterPublished).unwrap();
        let more = rosters.iter().skip(2).map(published).chain(self.enrol_machines(&mut files));
        let more: Vec<Draft> = more.collect();
        drafts.splice(second_roster + 1..second_roster + 1, more);
        drafts.extend(Self::draft_collections(first, second, &manifest, title_digest));
        drafts.extend(self.collect_from_machines(&mut files, rosters.last().unwrap()));
        (self.drafts)(&mut drafts);
        let mut log =
            Log { leaves: vec![], signer: signer(self.log, self.origin), cosigners: &self.cosigners };
        let mut heads: BTreeMap<Chain, (u64, Digest)> = BTreeMap::new();
        let mut entries = Vec::new();
        for draft in drafts {
            self.append(&mut log, &mut heads, &mut entries, draft);
        }
        let size = log.leaves.len();
        let mut head = (0, Digest::ZERO);
        for (index, (entry, bytes)) in entries.iter().enumerate() {
            let name = match &entry.envelope.incident {
                chain if *chain == incident() => {
                    head = (entry.envelope.seq, ledger::leaf_hash(bytes).into());
                    format!("custody/{:06}", entry.envelope.seq)
                }
                // Logins are no part of a bundle, so the deployment's chain has gaps in it.
                Chain::Deployment if entry.envelope.type_ != EntryType::LoginIssued => {
                    format!("custody/deployment/{index}")
                }
                // For hooks that want to put a true entry where it does not belong.
                _ => format!("{ELSEWHERE}{index}"),
            };
            files.insert(format!("{name}.entry"), bytes.clone());
            files.insert(format!("{name}.tlog-proof"), log.proof(index, size));
        }
        files.insert("ledger/checkpoint".into(), log.note(size).to_string().into_bytes());
        let collections = Overview::listed(collections_by_endpoint(&files).into_values().flatten());
        let overview = Overview {
            format: BundleVersion,
            deployment: "acme".parse().unwrap(),
            incident: INCIDENT.parse().unwrap(),
            origin: self.origin.to_owned(),
            exported: at("12:00:00"),
            by: "person:alice".parse().unwrap(),
            head_seq: head.0,
            head: head.1,
            entries: size as u64,
            collections,
            partial: false,
            quorum: false,
            without_quorum: false,
        };
        files.insert("bundle.json".into(), json::to_document(&overview).unwrap());
        files.insert(
            "README.txt".into(),
            b"An Exhibit bundle. Check it with exhibit-verify or verify.sh.\n".to_vec(),
        );
        files.insert("verify.sh".into(), b"#!/bin/sh\necho use your own copy; exit 2\n".to_vec());
        files.insert(
            "certification.txt".into(),
            b"I, ____, certify under FRE 902(13) and (14) ...\n".to_vec(),
        );
        let newest: Roster = rosters.last().unwrap().read().unwrap();
        let signers = allowed_signers(&newest, enrolled(&files));
        files.insert("deployment/allowed_signers".into(), signers);
        files.insert(
            "deployment/log.vkey".into(),
            format!("{}\n", log_key(self.log, self.origin)).into_bytes(),
        );
        files.insert("deployment/ca.pem".into(), CA.as_bytes().to_vec());
        (self.files)(&mut files);
        files.retain(|name, _| !name.starts_with(ELSEWHERE));
        self.export(&mut files, &mut log, &mut heads, &mut entries, size);
        (self.after)(&mut files);
        Bundle { files }
    }

    /// Signs the sums, logs the export behind an entry of somebody else, and writes `export/`.
    fn export(
        &self,
        files: &mut Files,
        log: &mut Log<'_>,
        heads: &mut BTreeMap<Chain, (u64, Digest)>,
        entries: &mut Vec<(Entry, Vec<u8>)>,
        size: usize,
    ) {
        sum(files, self.sums_key);
        let overview: Overview = json::parse_document(&files["bundle.json"]).unwrap();
        let refs = [
            ("sums", Digest::of(&files["SHA256SUMS"]).to_string()),
            ("head", overview.head.to_string()),
            ("count", (overview.head_seq + 1).to_string()),
        ];
        let mut draft = Draft::new(EntryType::BundleExported, incident(), "12:00:02", refs, |draft| {
            draft.signed("person:alice", ALICE)
        });
        let mut paper = Paper { document: draft.act_by("person:alice"), keys: vec![ALICE] };
        if overview.partial {
            paper.document.fields = pairs::sorted(selection(files).fields());
        }
        (self.export)(&mut paper);
        draft.refs = paper.document.refs.clone();
        draft.chain = paper.document.incident.clone();
        draft.act = sign(&paper.document, &paper.keys).into();
        let noted = Draft::new(EntryType::IncidentNoted, other_incident(), "12:00:01", [], |draft| {
            draft.signed("person:dan", DAN)
        });
        self.append(log, heads, entries, noted);
        self.append(log, heads, entries, draft);
        let later = log.leaves.len();
        files.insert("export/entry".into(), entries.last().unwrap().1.clone());
        files.insert("export/entry.tlog-proof".into(), log.proof(later - 1, later));
        files.insert("export/checkpoint".into(), log.note(later).to_string().into_bytes());
        let proof = ledger::consistency_proof(&Leaves(&log.leaves), size as u64, later as u64).unwrap();
        files.insert("export/consistency".into(), consistency(&proof));
    }

    fn append(
        &self,
        log: &mut Log<'_>,
        heads: &mut BTreeMap<Chain, (u64, Digest)>,
        entries: &mut Vec<(Entry, Vec<u8>)>,
        draft: Draft,
    ) {
        let index = entries.len();
        let head = heads.entry(draft.chain.clone()).or_insert((0, Digest::ZERO));
        let envelope = Envelope {
            entry: EntryVersion,
            deployment: "acme".parse().unwrap(),
            type_: draft.type_,
            incident: draft.chain,
            seq: head.0,
            prev: head.1,
            time: draft.time,
            event: draft.act.event(),
            refs: draft.refs,
            act: Entry::act_location(draft.type_, &draft.act),
        };
        let inline = envelope.act == evidence::entry::ActLocation::Inline;
        let mut entry = (index, Entry { envelope, act: inline.then_some(draft.act) });
        (self.entry)(&mut entry);
        // Not `Entry::encode`: an operator's log takes what its key signs, also what the rules forbid.
        let mut bytes = json::to_document(&entry.1.envelope).unwrap();
        bytes.extend(entry.1.act.iter().flat_map(ActObject::encode));
        let mut leaf = (index, bytes);
        (self.leaf)(&mut leaf);
        let hash = ledger::leaf_hash(&leaf.1);
        *head = (head.0 + 1, hash.into());
        log.leaves.push(hash);
        entries.push((entry.1, leaf.1));
    }
}
