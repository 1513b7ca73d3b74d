//! A skilled forger: one rule is broken, and everything after it is hashed, signed and logged again by the real keys. The check for that
//! rule must catch each forgery, under sums signed by a stranger and under sums signed by a real responder.

use std::path::Path;

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use exhibit_verify::{Report, Verdict};

use crate::verdicts::*;
use testkit::bundles::*;
use testkit::vectors::compare;

/// Rows of `(name, check, what is changed)`: the bundle fails `check` whoever signs its sums; and under verify.py.
/// All the checks that fail in each verifier stand in `tests/reports/forgeries`, a file for each list; `EXHIBIT_BLESS=1` writes it anew.
pub fn refused(forgeries: Vec<(&str, &str, Recipe<'_>)>) {
    let (mut missed, mut table) = (Vec::new(), Vec::new());
    for (why, check, mut recipe) in forgeries {
        let bundle = recipe.build();
        let judged = judged(&bundle.files, &trust_files());
        let plainly = judged.plainly_failed().join(", ");
        let Judged { report, code, said } = judged;
        table.push(format!("{why}\n    exhibit-verify: {}\n    verify.py: {plainly}\n", failed(&report)));
        if report.exit_code() != 1 || !fails(&report, check) || fails(&report, "sums") {
            missed.push(format!("{why}, not caught by {check}: {}", failures(&report)));
        }
        if code != 1 {
            missed.push(format!("{why}, under verify.py: {code}\n{said}"));
        }
        let newest =
            fails(&report, "roster") || fails(&report, "checkpoint") || fails(&report, "custody.inclusion");
        recipe.sums_key = MALLORY;
        let report = judged_under(&recipe.build().files, &trust());
        let caught =
            report.exit_code() == 1 && fails(&report, check) && (newest || fails(&report, "sums.signature"));
        if !caught {
            missed.push(format!("{why}, under a stranger's sums: {}", failures(&report)));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let test = std::thread::current().name().unwrap().replace("::", "/");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports/forgeries");
    compare(&folder.join(format!("{test}.txt")), &table.concat());
}

fn failures(report: &Report) -> String {
    let failed = checks(report, Verdict::Failed);
    failed.iter().map(|check| format!("{} ({}); ", check.check, check.says)).collect()
}

fn good<'a>() -> Recipe<'a> {
    Recipe::default()
}

macro_rules! with {
    ($($step:ident: $hook:expr),* $(,)?) => {
        Recipe { $($step: Box::new($hook),)* ..testkit::bundles::Recipe::default() }
    };
}

pub(crate) use with;

mod custody;
mod evidence_files;
mod exports;
mod logins;
mod parties;
mod rules;
mod times;

fn entry_of(files: &Files, name: &str) -> Entry {
    Entry::parse(&files[name]).unwrap()
}

fn remove_entry(files: &mut Files, base: &str) -> [Vec<u8>; 2] {
    [".entry", ".tlog-proof"].map(|ending| files.remove(&format!("{base}{ending}")).unwrap())
}

fn draft(drafts: &mut [Draft], type_: EntryType) -> &mut Draft {
    drafts.iter_mut().find(|draft| draft.type_ == type_).unwrap()
}

/// The folder of web-03's stored collection.
fn stored(files: &Files) -> String {
    format!("evidence/{}/", stored_id(files))
}

/// The folder of web-03's interrupted collection.
fn interrupted(files: &Files) -> String {
    let stored = stored_id(files);
    let of = &collections_by_endpoint(files)[&("web-03".to_owned(), 1)];
    format!("evidence/{}/", of.iter().find(|id| **id != stored).unwrap())
}

/// Digest of the first roster as the builder makes it.
fn first_roster_digest(out: &mut Vec<Digest>) {
    let files = good().build().files;
    out.push(Digest::of(&files["deployment/roster-1.json"]));
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
    let report = judged_under(&bundle.files, &trust_of(&pins));
    assert!(report.exit_code() == 1 && fails(&report, "roster"), "{}", report.text());
}

#[test]
fn an_entry_of_a_later_version_cannot_be_judged() {
    for name in ["custody.offered", "evidence.invented"] {
        let recipe = with! { drafts: |drafts: &mut Vec<Draft>| {
            drafts.push(Draft::new(name.parse().unwrap(), incident(), "11:45:00", [], |draft| draft.signed("person:alice", ALICE)));
        } };
        let report = verify(&recipe.build().files);
        assert_eq!(report.exit_code(), 2, "{}", report.text());
        assert!(
            checks(&report, Verdict::NotChecked)
                .iter()
                .any(|check| check.check == "custody.acts" && check.says.contains(name))
        );
    }
}

/// Its refs, its signatures and the place of its act are for the later version to judge; its place in chain and log is not.
#[test]
fn entry_2_an_entry_of_an_unknown_type_is_not_checked_and_its_place_is() {
    let invented = |prev: Option<Digest>| {
        with! {
            drafts: |drafts: &mut Vec<Draft>| {
                let refs = [("colour", "blue".to_owned()), ("size", "large".to_owned())];
                let issued = drafts.iter().position(|draft| draft.type_ == EntryType::OrderIssued).unwrap();
                drafts.insert(issued + 1, Draft::new("evidence.invented".parse().unwrap(), incident(), "09:31:00", refs, |draft| {
                    own(&draft.act_by("collector:c1"))
                }));
            },
            entry: move |(_, entry)| {
                if entry.envelope.type_.to_string() == "evidence.invented" {
                    (entry.envelope.act, entry.act) = (evidence::entry::ActLocation::Digest, None);
                    entry.envelope.prev = prev.unwrap_or(entry.envelope.prev);
                }
            },
        }
    };
    let report = verify(&invented(None).build().files);
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    let open = checks(&report, Verdict::NotChecked);
    let says = open.iter().find(|check| check.check == "custody.acts").unwrap();
    assert!(says.required && says.says.contains("evidence.invented at "), "{}", report.text());
    let report = verify(&invented(Some(Digest([1; 32]))).build().files);
    assert!(report.exit_code() == 1 && fails(&report, "custody.chain"), "{}", report.text());
}

#[test]
fn a_whole_bundle_cannot_be_called_a_part_to_lose_evidence() {
    let recipe = with! { files: |files: &mut Files| {
        let stored = stored(files);
        files.retain(|name, _| !(name.starts_with(&stored) && (name.contains("/seals/") || name.ends_with(".zst"))));
        edit(files, "bundle.json", |overview: &mut Overview| {
            overview.collections.retain(|id| !stored.contains(&id.to_string()));
            overview.partial = true;
        });
    } };
    let report = verify(&recipe.build().files);
    assert_eq!(report.exit_code(), 1, "{}", report.text());
    assert!(fails(&report, "coverage"), "{}", report.text());
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
