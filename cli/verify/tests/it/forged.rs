//! The skilled hand: one rule is broken, and everything behind it hashed, signed and logged again by the real keys. Each forgery must be
//! caught by the check that is there for it, under sums signed by a stranger and under sums signed by a real responder.

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::{ActPlace, Entry, EntryType};
use evidence::id::Chain;
use evidence::order::Decision;
use evidence::outcome::Outcome;
use evidence::roster::Role;
use evidence::sshsig;
use exhibit_verify::{Effort, Report, Verdict, verify_memory};

use crate::bundle_builder::*;

/// Each `(why, check, recipe)`: the bundle fails `check` whoever signs its sums.
fn refused(forgeries: Vec<(&str, &str, Recipe<'_>)>) {
    let mut missed = Vec::new();
    for (why, check, mut recipe) in forgeries {
        let bundle = recipe.build();
        let report = verify(&bundle.files);
        if report.exit_code() != 1 || !fails(&report, check) || fails(&report, "sums") {
            missed.push(format!("{why}, not caught by {check}: {}", failures(&report)));
        }
        let newest =
            fails(&report, "roster") || fails(&report, "checkpoint") || fails(&report, "custody.inclusion");
        recipe.sums_key = MALLORY;
        let report = verify(&recipe.build().files);
        let caught =
            report.exit_code() == 1 && fails(&report, check) && (newest || fails(&report, "sums.signature"));
        if !caught {
            missed.push(format!("{why}, under a stranger's sums: {}", failures(&report)));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn failures(report: &Report) -> String {
    let failed = checks(report, Verdict::Failed);
    failed
        .iter()
        .map(|check| format!("{} ({}); ", check.check, check.says))
        .collect()
}

fn good<'a>() -> Recipe<'a> {
    Recipe::default()
}

macro_rules! with {
    ($($step:ident: $hook:expr),* $(,)?) => {
        Recipe { $($step: Box::new($hook),)* ..good() }
    };
}

fn entry_of(files: &Files, name: &str) -> Entry {
    Entry::parse(&files[name]).unwrap()
}

fn take(files: &mut Files, base: &str) -> [Vec<u8>; 2] {
    [".entry", ".tlog-proof"].map(|ending| files.remove(&format!("{base}{ending}")).unwrap())
}

fn draft(drafts: &mut [Draft], type_: EntryType) -> &mut Draft {
    drafts.iter_mut().find(|draft| draft.type_ == type_).unwrap()
}

fn folder_of(files: &Files, with: &str) -> String {
    let name = files
        .keys()
        .find(|name| name.starts_with("evidence/") && name.ends_with(with))
        .unwrap();
    name.strip_suffix(with).unwrap().to_owned()
}

fn stored(files: &Files) -> String {
    folder_of(files, "manifest.json")
}

fn interrupted(files: &Files) -> String {
    let stored = stored(files);
    let delegation = files
        .keys()
        .find(|name| name.ends_with("/delegation.json") && !name.starts_with(&stored))
        .unwrap();
    delegation.strip_suffix("delegation.json").unwrap().to_owned()
}

#[test]
fn custody_entries() {
    refused(vec![
        (
            "last entry dropped",
            "custody.chain",
            with! { files: |files: &mut Files| { take(files, "custody/000009"); } },
        ),
        (
            "last entry dropped, bundle.json follows",
            "export",
            with! {
                files: |files: &mut Files| {
                    take(files, "custody/000009");
                    let leaf = ledger::leaf_hash(&files["custody/000008.entry"]);
                    edit(files, "bundle.json", |overview: &mut Overview| (overview.head_seq, overview.head) = (8, leaf.into()));
                },
                export: |paper| paper.document.refs[0].1 = "10".into(),
            },
        ),
        (
            "middle entry dropped",
            "custody.chain",
            with! { files: |files: &mut Files| { take(files, "custody/000004"); } },
        ),
        (
            "middle entry dropped and the rest renumbered",
            "custody.inclusion",
            with! { files: |files: &mut Files| {
                for seq in 4..9 {
                    let mut entry = entry_of(files, &format!("custody/{:06}.entry", seq + 1));
                    let prev: Digest = ledger::leaf_hash(&files[&format!("custody/{:06}.entry", seq - 1)]).into();
                    (entry.envelope.seq, entry.envelope.prev) = (seq, prev);
                    files.insert(format!("custody/{seq:06}.entry"), entry.encode().unwrap());
                    let proof = files[&format!("custody/{:06}.tlog-proof", seq + 1)].clone();
                    files.insert(format!("custody/{seq:06}.tlog-proof"), proof);
                }
                take(files, "custody/000009");
                let leaf = ledger::leaf_hash(&files["custody/000008.entry"]);
                edit(files, "bundle.json", |overview: &mut Overview| (overview.head_seq, overview.head) = (8, leaf.into()));
            } },
        ),
        (
            "an entry of another incident in the chain",
            "custody.chain",
            with! { files: |files: &mut Files| {
                let other = files.keys().find(|name| name.starts_with(ELSEWHERE) && files[*name].windows(13).any(|part| part == b"INC-2026-0008"));
                let other = other.unwrap().strip_suffix(".entry").unwrap().to_owned();
                take(files, "custody/000000");
                for (ending, bytes) in [".entry", ".tlog-proof"].into_iter().zip(take(files, &other)) {
                    files.insert(format!("custody/000000{ending}"), bytes);
                }
            } },
        ),
        (
            "an entry of another deployment",
            "custody.chain",
            with! { entry: |(_, entry)| if entry.envelope.type_ == EntryType::EvidenceAccessed {
                entry.envelope.deployment = "other".parse().unwrap();
            } },
        ),
        (
            "two entries swapped in the log",
            "custody.chain",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let time = drafts[10].time;
                drafts[10].time = at("09:59:59");
                drafts[9].time = time;
            } },
        ),
        (
            "a gap in the numbers",
            "custody.chain",
            with! { entry: |(_, entry)| if entry.envelope.type_ == EntryType::EvidenceAccessed { entry.envelope.seq = 12; },
            files: |files: &mut Files| assert!(files.contains_key("custody/000012.entry")) },
        ),
        (
            "a wrong link",
            "custody.chain",
            with! { entry: |(_, entry)| if entry.envelope.type_ == EntryType::OrderIssued { entry.envelope.prev = Digest([1; 32]); } },
        ),
        (
            "the same act twice",
            "custody.chain",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let (refs, act) = { let order = draft(drafts, EntryType::OrderApproved); (order.refs.clone(), order.act.clone()) };
                drafts.push(Draft { type_: EntryType::OrderApproved, chain: incident(), time: at("11:40:00"), refs, act });
            } },
        ),
        (
            "rosters published in reverse",
            "roster",
            with! { drafts: |drafts: &mut Vec<Draft>| drafts.swap(1, 5) },
        ),
        (
            "deployment entry dated before its neighbour",
            "custody.chain",
            with! { drafts: |drafts: &mut Vec<Draft>| draft(drafts, EntryType::AgentEnrolled).time = at("06:00:00") },
        ),
    ]);
}

#[test]
fn custody_acts() {
    refused(vec![
        (
            "an act in the name of another person",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let opened = draft(drafts, EntryType::IncidentOpened);
                opened.act = opened.signed("person:eve", ALICE);
            } },
        ),
        (
            "an act by a person without the role",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let opened = draft(drafts, EntryType::IncidentOpened);
                opened.act = opened.signed("person:dan", DAN);
            } },
        ),
        (
            "an act by a stranger",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let opened = draft(drafts, EntryType::IncidentOpened);
                opened.act = opened.signed("person:alice", MALLORY);
            } },
        ),
        (
            "an act by a person who had left",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let opened = draft(drafts, EntryType::IncidentOpened);
                opened.act = opened.signed("person:eve", EVE);
            } },
        ),
        (
            "a recorder's act with a signature",
            "custody.inclusion",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let accessed = draft(drafts, EntryType::EvidenceAccessed);
                accessed.act = accessed.signed("person:alice", ALICE);
            } },
        ),
        (
            "an unsigned act in the name of a person",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let accessed = draft(drafts, EntryType::EvidenceAccessed);
                accessed.act = own(&accessed.act_by("person:alice"));
            } },
        ),
        (
            "refs that are not those of the act",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let accessed = draft(drafts, EntryType::EvidenceAccessed);
                accessed.refs[1].1 = "bob".into();
            } },
        ),
        (
            "an act of another type",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let accessed = draft(drafts, EntryType::EvidenceAccessed);
                let mut act = accessed.act_by("collector:c1");
                act.act = EntryType::OrderRefused;
                accessed.act = own(&act);
            } },
        ),
        (
            "a note signed in the namespace of orders",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let noted = draft(drafts, EntryType::IncidentNoted);
                noted.act.signatures = vec![sshsig::sign(&key(DAN), "exhibit-order-v1", &noted.act.document).unwrap()];
            } },
        ),
        (
            "an approval entry for a rejection",
            "custody.acts",
            with! { approval: |paper| paper.document.decision = Decision::Reject },
        ),
        (
            "an inline act said to be elsewhere",
            "custody.acts",
            with! { entry: |(_, entry)| if entry.envelope.type_ == EntryType::EvidenceAccessed {
                (entry.envelope.act, entry.act) = (ActPlace::Digest, None);
            } },
        ),
        (
            "another genesis key",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let genesis = draft(drafts, EntryType::LogGenesis);
                genesis.refs[2].1 = log_key(41, "exhibit/acme");
                genesis.act = own(&genesis.act_by("collector:c1"));
            } },
        ),
        (
            "a detail with another text",
            "custody.acts",
            with! { files: |files: &mut Files| {
                let name = format!("details/{}.json", title().1);
                edit(files, &name, |detail: &mut evidence::detail::Detail| detail.text = "all is well".into());
            } },
        ),
        (
            "a detail that no act names",
            "coverage",
            with! { files: |files: &mut Files| {
                let detail = evidence::detail::Detail { salt: evidence::text::FixedBytes([9; 16]), text: "planted".into() };
                let (bytes, digest) = detail.encode().unwrap();
                files.insert(format!("details/{digest}.json"), bytes);
            } },
        ),
        (
            "an approval file with other signatures than its entry",
            "custody.acts",
            with! { files: |files: &mut Files| {
                let name = files.keys().find(|name| name.starts_with("approvals/") && name.ends_with(".json")).unwrap().clone();
                let armour = sshsig::sign(&key(ALICE), "exhibit-approval-v1", &files[&name]).unwrap();
                files.insert(format!("{name}.sig"), armour.into_bytes());
            } },
        ),
    ]);
}

#[test]
fn rosters_orders_and_endpoints() {
    let lost = |paper: &mut Paper<evidence::order::Order>| {
        paper.document.issuer = "eve".parse().unwrap();
        paper.keys = vec![EVE];
    };
    refused(vec![
        (
            "a roster by an endpoint's key",
            "roster",
            with! { roster: |paper| if paper.document.version == 2 { paper.keys = vec![EVIDENCE]; } },
        ),
        (
            "a roster signed in another namespace",
            "roster",
            with! { files: |files: &mut Files| {
                let armour = sshsig::sign(&key(AUTHORITY), "exhibit-act-v1", &files["deployment/roster-2.json"]).unwrap();
                files.insert("deployment/roster-2.json.sig".into(), armour.into_bytes());
            } },
        ),
        (
            "a roster that does not follow",
            "roster",
            with! { roster: |paper| if paper.document.version == 2 { paper.document.previous = Some(Digest([1; 32])); } },
        ),
        (
            "a roster of another deployment",
            "roster",
            with! { roster: |paper| if paper.document.version == 2 { paper.document.deployment = "other".parse().unwrap(); } },
        ),
        (
            "the newest roster left out",
            "order",
            with! { files: |files: &mut Files| {
                files.retain(|name, _| !name.starts_with("deployment/roster-2"));
                take(files, "custody/deployment/5");
            } },
        ),
        (
            "a roster that was never published",
            "roster",
            with! { files: |files: &mut Files| { take(files, "custody/deployment/5"); } },
        ),
        (
            "an order by a person who lost the role",
            "order",
            with! { order: lost },
        ),
        (
            "an order under the roster before, by a person who has lost the role since",
            "order",
            with! { order: move |paper| {
                lost(paper);
                let mut first = Vec::new();
                first_roster_digest(&mut first);
                paper.document.roster_version = 1;
                paper.document.roster_sha256 = first[0];
            } },
        ),
        (
            "an order by a stranger's key",
            "order",
            with! { order: |paper| paper.keys = vec![MALLORY] },
        ),
        (
            "an order signed by the approver",
            "order",
            with! { order: |paper| paper.keys = vec![BOB] },
        ),
        (
            "an order of another deployment",
            "order",
            with! { order: |paper| paper.document.deployment = "other".parse().unwrap() },
        ),
        (
            "an order for another incident",
            "order",
            with! { order: |paper| paper.document.incident = "INC-2026-0008".parse().unwrap() },
        ),
        (
            "an order that had expired",
            "order",
            with! { order: |paper| paper.document.expires = at("09:30:30"), drafts: |drafts: &mut Vec<Draft>| {
                draft(drafts, EntryType::OrderIssued).time = at("09:31:00");
            } },
        ),
        (
            "an order with a wrong label",
            "order",
            with! { order: |paper| paper.document.sensitivity = evidence::order::Sensitivity::Normal },
        ),
        (
            "an order that names another roster",
            "order",
            with! { order: |paper| paper.document.roster_sha256 = Digest([9; 32]) },
        ),
        (
            "an order entry with another roster",
            "custody.acts",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                draft(drafts, EntryType::OrderIssued).refs[1].1 = Digest([9; 32]).to_string();
            } },
        ),
        (
            "an approval by the issuer",
            "order",
            with! { approval: |paper| {
                paper.document.approver = "alice".parse().unwrap();
                paper.keys = vec![ALICE];
            } },
        ),
        (
            "an approval by a person without the role",
            "order",
            with! { approval: |paper| {
                paper.document.approver = "dan".parse().unwrap();
                paper.keys = vec![DAN];
            } },
        ),
        (
            "an approval of another order",
            "order",
            with! { approval: |paper| paper.document.order = Digest([9; 32]) },
        ),
        (
            "no approval",
            "order",
            with! { drafts: |drafts: &mut Vec<Draft>| drafts.retain(|draft| draft.type_ != EntryType::OrderApproved) },
        ),
        (
            "an approval after the start",
            "delegation",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let at = drafts.iter().position(|draft| draft.type_ == EntryType::OrderApproved).unwrap();
                let mut approval = drafts.remove(at);
                approval.time = drafts[at].time;
                drafts.insert(at + 1, approval);
            } },
        ),
        (
            "a target proof of another endpoint",
            "delegation",
            with! { files: |files: &mut Files| {
                let name = files.keys().find(|name| name.ends_with(".targets/web-03.json")).unwrap().clone();
                let proof = targets(EVIDENCE).proof(&"db-01".parse().unwrap()).unwrap();
                files.insert(name, evidence::json::to_document(&proof).unwrap());
            } },
        ),
        (
            "an order for others",
            "delegation",
            with! { order: |paper| paper.document.targets_root = targets(77).root() },
        ),
        (
            "a token by one who is no endpoint-admin",
            "endpoint",
            with! { token: |paper| {
                paper.document.issuer = "alice".parse().unwrap();
                paper.keys = vec![ALICE];
            } },
        ),
        (
            "a token by another than it names",
            "endpoint",
            with! { token: |paper| paper.document.issuer = "bob".parse().unwrap() },
        ),
        (
            "a token that had expired",
            "endpoint",
            with! { token: |paper| paper.document.not_after = at("08:15:00") },
        ),
        (
            "a token of another slot",
            "endpoint",
            with! { token: |paper| paper.document.endpoint = "db-01".parse().unwrap() },
        ),
        (
            "an enrolment under another token",
            "endpoint",
            with! { enrolment: |paper| paper.document.token = Digest([9; 32]) },
        ),
        (
            "an enrolment without the one-time key",
            "endpoint",
            with! { enrolment: |paper| paper.keys[0] = MALLORY },
        ),
        (
            "an enrolment with another evidence key",
            "delegation",
            with! { enrolment: |paper| {
                paper.document.evidence_key = key(MALLORY).public();
                paper.keys[1] = MALLORY;
            } },
        ),
        (
            "an enrolment that claims another's key",
            "endpoint",
            with! { enrolment: |paper| paper.document.evidence_key = key(MALLORY).public() },
        ),
        (
            "an enrolment entry with another key",
            "endpoint",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                draft(drafts, EntryType::AgentEnrolled).refs[1].1 = key(MALLORY).public().fingerprint().to_string();
            } },
        ),
        (
            "enrolled before it was admitted",
            "endpoint",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                drafts.swap(2, 3);
                drafts[2].time = at("08:10:01");
                drafts[3].time = at("08:20:01");
            } },
        ),
        (
            "an endpoint that had been retired",
            "delegation",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let refs = [("endpoint", "web-03".to_owned()), ("generation", "1".to_owned())];
                drafts.insert(6, Draft::new(EntryType::EndpointRetired, Chain::Deployment, "09:05:00", refs, |draft| draft.signed("person:cat", CAT)));
            } },
        ),
    ]);
}

/// Digest of the first roster as the builder makes it.
fn first_roster_digest(out: &mut Vec<Digest>) {
    let files = good().build().files;
    out.push(Digest::of(&files["deployment/roster-1.json"]));
}

#[test]
fn evidence() {
    let second = |change: fn(&mut Collected)| {
        move |collected: &mut Collected| {
            if collected.attempt == 2 {
                change(collected);
            }
        }
    };
    refused(vec![
        (
            "another delegation key",
            "delegation",
            with! { collected: |collected: &mut Collected| collected.delegation.keys = vec![MALLORY] },
        ),
        (
            "an attempt more than ordered",
            "delegation",
            with! { order: |paper| paper.document.attempts = 1 },
        ),
        (
            "a delegation of another generation",
            "delegation",
            with! { collected: second(|collected| {
                collected.delegation.document.generation = "2".parse().unwrap();
            }) },
        ),
        (
            "seals by a foreign sealer",
            "seals",
            with! { collected: second(|collected| collected.forge.sealer = MALLORY) },
        ),
        (
            "tail cut, seek table made anew, by a foreign sealer",
            "seals",
            with! { collected: second(|collected| {
                collected.forge.sealer = MALLORY;
                collected.forge.plain.truncate(1 << 20);
                collected.forge.cuts.clear();
            }) },
        ),
        (
            "tail cut by the true sealer, old manifest",
            "container",
            with! {
                collected: second(|collected| {
                    collected.forge.plain.truncate(1 << 20);
                    collected.forge.cuts.clear();
                }),
            },
        ),
        (
            "tail segment dropped, the manifest says so",
            "manifest",
            with! { collected: second(|collected| collected.forge.keep = 1) },
        ),
        (
            "tail segment dropped, the seal before called final",
            "container",
            with! { collected: second(|collected| {
                collected.forge.keep = 1;
                collected.forge.edit = |header| (header.is_final, header.open) = (true, false);
            }) },
        ),
        (
            "seal of another attempt",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.attempt = 1) },
        ),
        (
            "seal of another order",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.order = Digest([1; 32])) },
        ),
        (
            "seals not linked",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.prev = Digest::ZERO) },
        ),
        (
            "an outcome edited, resealed, the manifest old",
            "manifest",
            with! {
                collected: second(|collected| {
                    let forge = &mut collected.forge;
                    forge.record(b"/etc/torn").outcome = Outcome::Modified;
                    let lines = forge.record(b"live/outcomes.jsonl").clone();
                    let at = usize::try_from(lines.data.unwrap()).unwrap();
                    let end = at + usize::try_from(lines.size.unwrap()).unwrap();
                    let text = String::from_utf8(forge.plain[at..end].to_vec()).unwrap().replacen("io_error", "modified", 1);
                    forge.plain[at..end].copy_from_slice(text.as_bytes());
                    forge.record(b"live/outcomes.jsonl").sha256 = Some(Digest::of(text.as_bytes()));
                }),
                manifest: |paper| {
                    let torn = paper.document.outcomes.iter().position(|(outcome, _)| *outcome == Outcome::Modified).unwrap();
                    paper.document.outcomes[torn].0 = Outcome::IoError;
                    paper.document.outcomes.sort();
                },
            },
        ),
        (
            "a manifest by the sealer alone",
            "manifest",
            with! { manifest: |paper| paper.keys.truncate(1) },
        ),
        (
            "a manifest by sealer and stranger",
            "manifest",
            with! { manifest: |paper| paper.keys[1] = MALLORY },
        ),
        (
            "a manifest with its signatures swapped",
            "manifest",
            with! { manifest: |paper| paper.keys.reverse() },
        ),
        (
            "the manifest of another delegation",
            "manifest",
            with! { manifest: |paper| paper.document.delegation = Digest([1; 32]) },
        ),
        (
            "a manifest of another incident",
            "manifest",
            with! { manifest: |paper| paper.document.incident = "INC-2026-0008".parse().unwrap() },
        ),
        (
            "a manifest with another plan",
            "manifest",
            with! { manifest: |paper| paper.document.steps.truncate(2) },
        ),
        (
            "a manifest with wider limits",
            "manifest",
            with! { manifest: |paper| paper.document.limits.items += 1 },
        ),
        (
            "a manifest with another root",
            "manifest",
            with! { manifest: |paper| paper.document.items_root = Digest([1; 32]) },
        ),
        (
            "a manifest with fewer items",
            "manifest",
            with! { manifest: |paper| paper.document.items -= 1 },
        ),
        (
            "two manifests swapped",
            "custody.acts",
            with! { files: |files: &mut Files| {
                let (stored, interrupted) = (stored(files), interrupted(files));
                for name in ["manifest.json", "manifest.json.sig", "manifest.json.2.sig"] {
                    let moved = files.remove(&format!("{stored}{name}")).unwrap();
                    files.insert(format!("{interrupted}{name}"), moved);
                }
            } },
        ),
        (
            "the manifest lost",
            "manifest",
            with! { files: |files: &mut Files| files.retain(|name, _| !name.contains("/manifest.")) },
        ),
        (
            "the stored evidence left out",
            "coverage",
            with! { files: |files: &mut Files| {
                let stored = stored(files);
                files.retain(|name, _| !name.starts_with(&stored));
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.retain(|id| !stored.contains(&id.to_string())));
            } },
        ),
        (
            "the interrupted evidence left out",
            "coverage",
            with! { files: |files: &mut Files| {
                let interrupted = interrupted(files);
                files.retain(|name, _| !name.starts_with(&interrupted));
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.retain(|id| !interrupted.contains(&id.to_string())));
            } },
        ),
        (
            "the interrupted collection cut by its last segment",
            "seals",
            with! { files: |files: &mut Files| {
                let folder = interrupted(files);
                let seal = files.remove(&format!("{folder}seals/000001.seal")).unwrap();
                let length = usize::try_from(evidence::seal::Seal::parse(&seal).unwrap().header.stored_len).unwrap();
                let container = files.get_mut(&format!("{folder}container.tar.zst")).unwrap();
                container.truncate(container.len() - length);
            } },
        ),
        (
            "progress that the seals do not know",
            "seals",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let progress = draft(drafts, EntryType::CollectionProgress);
                progress.refs[2].1 = Digest([1; 32]).to_string();
                progress.act = own(&progress.act_by("collector:c1"));
            } },
        ),
        (
            "stored twice",
            "coverage",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let (refs, act) = { let stored = draft(drafts, EntryType::CollectionStored); (stored.refs.clone(), stored.act.clone()) };
                drafts.push(Draft { type_: EntryType::CollectionStored, chain: incident(), time: at("11:40:00"), refs, act });
            } },
        ),
        (
            "never started",
            "coverage",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let at = drafts.iter().rposition(|draft| draft.type_ == EntryType::CollectionStarted).unwrap();
                drafts.remove(at);
            } },
        ),
        (
            "collection.stored of another endpoint",
            "manifest",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                draft(drafts, EntryType::CollectionStored).refs[3].1 = "db-01".into();
            } },
        ),
        (
            "a collection that bundle.json does not list",
            "coverage",
            with! { files: |files: &mut Files| {
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.truncate(1));
            } },
        ),
    ]);
}

#[test]
fn containers_that_two_readers_read_differently() {
    const HIDDEN: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0hidden";
    let second = |change: fn(&mut crate::forge::Forge)| {
        move |collected: &mut Collected| {
            if collected.attempt == 2 {
                change(&mut collected.forge);
            }
        }
    };
    refused(vec![
        (
            "hidden frame before",
            "container",
            with! { collected: second(|forge| forge.hidden[0] = HIDDEN.to_vec()) },
        ),
        (
            "hidden frame before the seek table",
            "container",
            with! { collected: second(|forge| forge.hidden[1] = HIDDEN.to_vec()) },
        ),
        (
            "hidden frame behind the seek table",
            "container",
            with! { collected: second(|forge| forge.hidden[2] = HIDDEN.to_vec()) },
        ),
        (
            "a second archive in a frame behind",
            "container",
            with! { collected: second(|forge| {
                forge.hidden[2] = evidence::container::compress_frame(&forge.plain[..4096], 1).unwrap();
            }) },
        ),
        (
            "a second archive behind the end",
            "container",
            with! { collected: second(|forge| {
                let again = forge.plain.clone();
                forge.plain.extend(again);
            }) },
        ),
        (
            "a member name twice",
            "container",
            with! { collected: second(|forge| {
                let first = forge.record(b"/etc/hello").clone();
                let other = forge.record(b"/etc/other");
                (other.path, other.shown, other.member) = (first.path, first.shown, first.member);
                let (header, at) = (evidence::tar::member_header(other).unwrap(), usize::try_from(other.at.unwrap()).unwrap());
                forge.plain[at..at + header.len()].copy_from_slice(&header);
            }) },
        ),
        (
            "a pax size that overrides",
            "container",
            with! { collected: second(|forge| {
                let mut other = forge.record(b"/etc/other").clone();
                (other.size, other.stored) = (Some(1 << 40), Some(1 << 40));
                let (header, at) = (evidence::tar::member_header(&other).unwrap(), usize::try_from(other.at.unwrap()).unwrap());
                forge.plain[at..at + header.len()].copy_from_slice(&header);
            }) },
        ),
        (
            "content altered under its old digest",
            "container",
            with! { collected: second(|forge| {
                let at = usize::try_from(forge.record(b"/etc/other").data.unwrap()).unwrap();
                forge.plain[at] ^= 1;
            }) },
        ),
        (
            "a header altered",
            "container",
            with! { collected: second(|forge| {
                let at = usize::try_from(forge.record(b"/etc/other").data.unwrap()).unwrap();
                forge.plain[at - 400] ^= 1;
            }) },
        ),
        (
            "bytes behind the last segment",
            "container",
            with! { files: |files: &mut Files| {
                let folder = stored(files);
                files.get_mut(&format!("{folder}container.tar.zst")).unwrap().extend(HIDDEN);
            } },
        ),
    ]);
}

#[test]
fn checkpoints_exports_and_planted_files() {
    let other = || {
        let recipe = Recipe {
            drafts: Box::new(|drafts: &mut Vec<Draft>| {
                let accessed = draft(drafts, EntryType::EvidenceAccessed);
                accessed.refs[1].1 = "bob".into();
                accessed.act = own(&accessed.act_by("collector:c1"));
            }),
            ..good()
        };
        recipe.build().files
    };
    let from_other = move |names: &'static [&'static str]| {
        let other = other();
        move |files: &mut Files| {
            for name in names {
                assert_ne!(
                    files.insert((*name).to_owned(), other[*name].clone()).as_ref(),
                    Some(&other[*name])
                );
            }
        }
    };
    let mut foreign = good();
    foreign.log = 41;
    let mut renamed = good();
    renamed.origin = "exhibit/other";
    refused(vec![
        ("the ledger of another key", "checkpoint", foreign),
        ("the ledger of another name", "checkpoint", renamed),
        (
            "a fork of the same size",
            "custody.inclusion",
            with! { files: from_other(&["ledger/checkpoint"]) },
        ),
        (
            "an export checkpoint on a fork",
            "export",
            with! { after: from_other(&["export/checkpoint"]) },
        ),
        (
            "an export on a fork",
            "export",
            with! { after: from_other(&["export/checkpoint", "export/entry", "export/entry.tlog-proof"]) },
        ),
        (
            "the export of another bundle",
            "export",
            with! { after: from_other(&["export/entry"]) },
        ),
        (
            "export/ left out",
            "export",
            with! { after: |files: &mut Files| files.retain(|name, _| !name.starts_with("export/")) },
        ),
        (
            "a proof of consistency left out",
            "export",
            with! { after: |files: &mut Files| { files.insert("export/consistency".into(), vec![]); } },
        ),
        (
            "an export by another responder",
            "export",
            with! {
                roster: |paper| paper.document.persons[1].roles = vec![Role::Responder, Role::Approver],
                export: |paper| { paper.document.by = by_actor("person:bob"); paper.keys = vec![BOB]; }
            },
        ),
        (
            "an export of other sums",
            "export",
            with! { export: |paper| paper.document.refs[2].1 = Digest([1; 32]).to_string() },
        ),
        (
            "an export of another head",
            "export",
            with! { export: |paper| paper.document.refs[1].1 = Digest([1; 32]).to_string() },
        ),
        (
            "an export of another count",
            "export",
            with! { export: |paper| paper.document.refs[0].1 = "9".into() },
        ),
        (
            "an export in another incident",
            "export",
            with! { export: |paper| paper.document.incident = other_incident() },
        ),
        (
            "an export by one who is no responder",
            "export",
            with! { export: |paper| { paper.document.by = by_actor("person:dan"); paper.keys = vec![DAN]; } },
        ),
        (
            "an export proof with extra data",
            "export",
            with! { after: |files: &mut Files| {
                let name = "export/entry.tlog-proof";
                let text = String::from_utf8(files[name].clone()).unwrap().replacen("index", "extra AQID\nindex", 1);
                files.insert(name.into(), text.into_bytes());
            } },
        ),
        (
            "an export proof with a signature line more",
            "export",
            with! { after: |files: &mut Files| {
                let line = signer(MALLORY, "exhibit/other").sign("x\n").unwrap().to_string();
                files.get_mut("export/entry.tlog-proof").unwrap().extend(line.into_bytes());
            } },
        ),
        (
            "a planted file, listed",
            "coverage",
            with! { files: |files: &mut Files| { files.insert("evidence.txt".into(), b"planted".to_vec()); } },
        ),
        (
            "a planted collection, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                files.insert(format!("evidence/{}/container.tar.zst", Digest([1; 32])), b"planted".to_vec());
            } },
        ),
        (
            "a planted file in a collection, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                let folder = stored(files);
                files.insert(format!("{folder}notes.txt"), b"planted".to_vec());
            } },
        ),
        (
            "an order that was never logged, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                files.insert(format!("orders/{}.json", Digest([1; 32])), b"planted\n".to_vec());
            } },
        ),
        (
            "an approval that was never logged, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                files.insert(format!("approvals/{}.json", Digest([1; 32])), b"planted\n".to_vec());
            } },
        ),
        (
            "a token that was never logged, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                files.insert("deployment/token-db-01-1.json".into(), b"planted\n".to_vec());
            } },
        ),
        (
            "a stamp under another name, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                files.insert("ledger/other.tsr".into(), b"planted".to_vec());
            } },
        ),
        (
            "keys for stock tools that name a stranger",
            "conveniences",
            with! { files: |files: &mut Files| {
                let line = format!("person:alice namespaces=\"exhibit-act-v1\" {}\n", key(MALLORY).public());
                files.get_mut("deployment/allowed_signers").unwrap().extend(line.into_bytes());
            } },
        ),
        (
            "another log key for stock tools",
            "conveniences",
            with! { files: |files: &mut Files| {
                files.insert("deployment/log.vkey".into(), format!("{}\n", log_key(41, "exhibit/acme")).into_bytes());
            } },
        ),
        (
            "bundle.json of another deployment",
            "roster",
            with! { files: |files: &mut Files| {
                edit(files, "bundle.json", |overview: &mut Overview| overview.deployment = "other".parse().unwrap());
            } },
        ),
        (
            "bundle.json by another person",
            "sums.signature",
            with! { files: |files: &mut Files| {
                edit(files, "bundle.json", |overview: &mut Overview| overview.by = by_actor("person:bob"));
            } },
        ),
        (
            "sums by one who is no responder",
            "sums.signature",
            Recipe {
                sums_key: DAN,
                ..good()
            },
        ),
    ]);
}

#[test]
fn an_older_roster_is_refused_where_a_minimum_is_pinned() {
    // Everything is as if the second roster did not exist: only who knows of it can tell.
    let mut first = Vec::new();
    first_roster_digest(&mut first);
    let recipe = with! {
        order: move |paper| (paper.document.roster_version, paper.document.roster_sha256) = (1, first[0]),
        drafts: |drafts: &mut Vec<Draft>| { drafts.remove(5); },
        files: |files: &mut Files| {
            files.retain(|name, _| !name.starts_with("deployment/roster-2") && name != "deployment/allowed_signers");
        },
    };
    let bundle = recipe.build();
    let report = verify(&bundle.files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let mut pins = trust_files();
    pins.insert("roster_version_min".into(), b"2\n".to_vec());
    let report = verify_memory(&bundle.files, &trust_of(&pins), Effort::Whole).unwrap();
    assert!(
        report.exit_code() == 1 && fails(&report, "roster"),
        "{}",
        report.text()
    );
}

#[test]
fn an_entry_of_a_later_version_cannot_be_judged() {
    let recipe = with! { drafts: |drafts: &mut Vec<Draft>| {
        drafts.push(Draft::new(EntryType::CustodyOffered, incident(), "11:45:00", [], |draft| draft.signed("person:alice", ALICE)));
    } };
    let report = verify(&recipe.build().files);
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    assert!(
        checks(&report, Verdict::NotChecked)
            .iter()
            .any(|check| check.check == "custody.acts" && check.says.contains("custody.offered"))
    );
}

#[test]
fn a_partial_production_is_never_called_verified() {
    let recipe = with! { files: |files: &mut Files| {
        let stored = stored(files);
        files.retain(|name, _| !(name.starts_with(&stored) && (name.contains("/seals/") || name.ends_with(".zst"))));
        edit(files, "bundle.json", |overview: &mut Overview| {
            overview.collections.retain(|id| !stored.contains(&id.to_string()));
            overview.partial = true;
        });
    } };
    let report = verify(&recipe.build().files);
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    assert!(report.text().contains("PARTIAL"), "{}", report.text());
}

#[test]
fn a_collection_without_any_segment_is_an_interrupted_one() {
    let recipe = with! {
        collected: |collected: &mut Collected| if collected.attempt == 1 { collected.forge.keep = 0; },
        drafts: |drafts: &mut Vec<Draft>| {
            drafts.retain(|draft| draft.type_ != EntryType::CollectionProgress);
            let interrupted = draft(drafts, EntryType::CollectionInterrupted);
            interrupted.refs[1].1 = Digest::ZERO.to_string();
            interrupted.act = own(&interrupted.act_by("collector:c1"));
        },
        files: |files: &mut Files| {
            let folder = interrupted(files);
            files.remove(&format!("{folder}container.tar.zst"));
            edit(files, "bundle.json", |overview: &mut Overview| overview.collections.retain(|id| !folder.contains(&id.to_string())));
        },
    };
    let report = verify(&recipe.build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
}
