//! Forged checkpoints, exports and planted files.

use testkit::bundles::*;

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::roster::Role;

use super::{draft, good, refused, stored};

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
        ("a fork of the same size", "custody.inclusion", with! { files: from_other(&["ledger/checkpoint"]) }),
        ("an export checkpoint on a fork", "export", with! { after: from_other(&["export/checkpoint"]) }),
        (
            "an export on a fork",
            "export",
            with! { after: from_other(&["export/checkpoint", "export/entry", "export/entry.tlog-proof"]) },
        ),
        ("the export of another bundle", "export", with! { after: from_other(&["export/entry"]) }),
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
            "a file planted beside the rosters, listed",
            "coverage",
            with! { files: |files: &mut Files| { files.insert("deployment/findings.html".into(), b"planted".to_vec()); } },
        ),
        (
            "a file planted beside the checkpoint, listed",
            "coverage",
            with! { files: |files: &mut Files| { files.insert("ledger/notes".into(), b"planted".to_vec()); } },
        ),
        (
            "an order with another ending, listed",
            "coverage",
            with! { files: |files: &mut Files| {
                let order = files.keys().find(|name| name.starts_with("orders/") && name.ends_with(".json")).unwrap();
                files.insert(format!("{order}.exe"), b"planted".to_vec());
            } },
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
        ("sums by one who is no responder", "sums.signature", Recipe { sums_key: DAN, ..good() }),
    ]);
}
