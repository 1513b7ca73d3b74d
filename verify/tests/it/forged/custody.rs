//! Forged entries and acts.

use testkit::bundles::*;

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::{ActLocation, EntryType};
use evidence::keys::sshsig;
use evidence::order::Decision;

use super::{draft, entry_of, refused, remove_entry};

#[test]
fn custody_entries() {
    refused(vec![
        (
            "last entry dropped",
            "custody.chain",
            with! { files: |files: &mut Files| { remove_entry(files, "custody/000009"); } },
        ),
        (
            "last entry dropped, bundle.json follows",
            "export",
            with! {
                files: |files: &mut Files| {
                    remove_entry(files, "custody/000009");
                    let leaf = ledger::leaf_hash(&files["custody/000008.entry"]);
                    edit(files, "bundle.json", |overview: &mut Overview| (overview.head_seq, overview.head) = (8, leaf.into()));
                },
                export: |paper| paper.document.refs[0].1 = "10".into(),
            },
        ),
        (
            "middle entry dropped",
            "custody.chain",
            with! { files: |files: &mut Files| { remove_entry(files, "custody/000004"); } },
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
                remove_entry(files, "custody/000009");
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
                remove_entry(files, "custody/000000");
                for (ending, bytes) in [".entry", ".tlog-proof"].into_iter().zip(remove_entry(files, &other)) {
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
                let time = draft(drafts, EntryType::CollectionStarted).time;
                draft(drafts, EntryType::CollectionStarted).time = at("09:59:59");
                draft(drafts, EntryType::OrderApproved).time = time;
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
                (entry.envelope.act, entry.act) = (ActLocation::Digest, None);
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
                let name = format!("details/{}.json", title(TITLE).1);
                edit(files, &name, |detail: &mut evidence::entry::detail::Detail| detail.text = "all is well".into());
            } },
        ),
        (
            "a detail that no act names",
            "coverage",
            with! { files: |files: &mut Files| {
                let detail = evidence::entry::detail::Detail { salt: evidence::text::FixedBytes([9; 16]), text: "planted".into() };
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
