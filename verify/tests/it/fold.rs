//! The rule book (`custody`) over genuine bundles, beside this verifier: what the verifier takes, the rule book takes.

use std::collections::BTreeMap;

use custody::act::{Act, Beside};
use custody::{At, Pins, State, View};
use evidence::digest::Digest;
use evidence::entry::{ActObject, EntryType};
use evidence::json;
use evidence::log_key::LogKeys;
use evidence::signed::signature_name;
use testkit::bundles::*;

use crate::verdicts::verify;

fn pins() -> Pins {
    let key = ledger::VerifierKey::parse(&log_key(LOG, "exhibit/acme")).unwrap();
    Pins {
        deployment: "acme".parse().unwrap(),
        authority: authority(),
        ca_sha256: ca_digest(),
        log_keys: LogKeys::unchanged(key),
    }
}

/// The signed documents of a bundle, by digest.
fn documents(files: &Files) -> BTreeMap<Digest, ActObject> {
    let signed = |name: &str| {
        let stem = name.strip_suffix(".json")?;
        let armours = (1..).map_while(|number| files.get(&signature_name(stem, number)));
        let signatures: Vec<String> =
            armours.map(|armour| String::from_utf8(armour.clone()).unwrap()).collect();
        (!signatures.is_empty()).then(|| ActObject { document: files[name].clone(), signatures })
    };
    files.keys().filter_map(|name| signed(name)).map(|object| (object.event(), object)).collect()
}

/// Folds the entries of a bundle in the order of the log. Returns how many there were.
fn fold(files: &Files) -> Result<usize, String> {
    let documents = documents(files);
    let proof =
        |name: &str| ledger::ProofFile::parse(&files[&name.replace(".entry", ".tlog-proof")]).unwrap();
    let names = files.keys().filter(|name| name.starts_with("custody/") && name.ends_with(".entry"));
    let entries: BTreeMap<u64, &Vec<u8>> = names.map(|name| (proof(name).index(), &files[name])).collect();
    let mut state = State::new(pins(), View::Bundle);
    for (index, bytes) in &entries {
        let said = |broken: custody::rule::Broken| format!("entry {index}: {broken}");
        let entry = custody::entry::read(bytes).map_err(said)?;
        let at = At { index: *index, leaf: ledger::leaf_hash(bytes) };
        let inline = entry.act.clone();
        let object = inline.unwrap_or_else(|| documents[&entry.envelope.event].clone());
        let mut beside = Beside::default();
        if entry.envelope.type_ == EntryType::CollectionStarted {
            let named = |name| entry.envelope.reference(name).unwrap();
            let file = format!("orders/{}.targets/{}.json", named("order"), named("endpoint"));
            beside.target = Some(json::parse_document(&files[&file]).unwrap());
        }
        let act = Act::read(&entry, &object, beside).map_err(said)?;
        let change = state.step(at, &entry, &act).map_err(said)?;
        state.take(change);
    }
    Ok(entries.len())
}

/// Both take a bundle.
fn taken(name: &str, recipe: &Recipe<'_>) {
    let files = recipe.build().files;
    let report = verify(&files);
    assert_eq!(report.exit_code(), 0, "{name}: {}", report.text());
    let folded = fold(&files);
    assert!(folded.as_ref().is_ok_and(|entries| *entries > 10), "{name}: {folded:?}");
}

#[test]
fn the_rule_book_takes_every_genuine_bundle() {
    taken("one endpoint", &Recipe::one_endpoint());
    taken("five endpoints", &Recipe::default());
    taken("five endpoints that collect", &Recipe { machines: all_collect(), ..Recipe::default() });
    taken("twelve rosters", &Recipe { roster_versions: 12, ..Recipe::default() });
    let mirrored = |retired| Recipe {
        drafts: Box::new(move |drafts| mirrored(drafts, &Told { retired, ..Told::default() })),
        ..Recipe::default()
    };
    taken("a mirror", &mirrored(Retired::Never));
    taken("a mirror that was retired later", &mirrored(Retired::After));
    let disposed = Recipe {
        drafts: Box::new(|drafts| {
            let mut ending = Ending::of(drafts);
            let plan = ending.approved();
            ending.destroyed(&plan);
        }),
        files: Box::new(|files| {
            let gone = collections(files);
            without_evidence(files, &gone);
        }),
        ..Recipe::default()
    };
    taken("evidence that was destroyed", &disposed);
}

/// The forgeries that made the fold necessary: rules of order in time.
#[test]
fn the_rule_book_refuses_a_collection_after_a_cancellation_or_before_its_endpoint() {
    let forged = |change: fn(&mut Vec<Draft>)| Recipe { drafts: Box::new(change), ..Recipe::one_endpoint() };
    let broken = |change| fold(&forged(change).build().files).unwrap_err();
    assert_eq!(
        broken(|drafts| {
            let enrolled = drafts.iter().position(|draft| draft.type_ == EntryType::AgentEnrolled).unwrap();
            let mut late = drafts.remove(enrolled);
            late.time = at("11:40:00");
            drafts.push(late);
        }),
        "entry 9: collection-3: web-03#1 was never enrolled"
    );
    assert_eq!(
        broken(|drafts| {
            let issued = drafts.iter().position(|draft| draft.type_ == EntryType::OrderIssued).unwrap();
            let refs = [("order", drafts[issued].act.event().to_string())];
            let cancelled = Draft::new(EntryType::OrderCancelled, incident(), "09:50:00", refs, |draft| {
                draft.signed("person:alice", ALICE)
            });
            drafts.insert(issued + 2, cancelled);
        }),
        "entry 11: collection-9: its order was cancelled before"
    );
}
