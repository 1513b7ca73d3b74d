//! Forged rosters, orders, approvals, tokens, enrolments.

use testkit::bundles::*;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::keys::sshsig;

use super::{draft, first_roster_digest, refused, remove_entry};

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
                remove_entry(files, "custody/deployment/5");
            } },
        ),
        (
            "a roster that was never published",
            "roster",
            with! { files: |files: &mut Files| { remove_entry(files, "custody/deployment/5"); } },
        ),
        ("an order by a person who lost the role", "order", with! { order: lost }),
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
        ("an order by a stranger's key", "order", with! { order: |paper| paper.keys = vec![MALLORY] }),
        ("an order signed by the approver", "order", with! { order: |paper| paper.keys = vec![BOB] }),
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
                let opened = drafts.iter().position(|draft| draft.type_ == EntryType::IncidentOpened).unwrap();
                drafts.insert(opened, Draft::new(EntryType::EndpointRetired, Chain::Deployment, "09:05:00", refs, |draft| draft.signed("person:cat", CAT)));
            } },
        ),
    ]);
}
