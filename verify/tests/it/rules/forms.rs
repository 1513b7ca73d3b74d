//! `entry-22`, `incident-3`: fields of acts.

use evidence::entry::{EntryType, pairs};
use testkit::bundles::*;

use super::refused;
use crate::forged::with;

type Fields = &'static [(&'static str, &'static str)];

fn fields(found: Fields) -> Vec<(String, String)> {
    found.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Gives the incident's act of a type other fields; `by` signs it, or nobody.
fn told(type_: EntryType, by: Option<(&'static str, u8)>, found: Fields) -> Recipe<'static> {
    with! { drafts: move |drafts: &mut Vec<Draft>| {
        let draft = drafts.iter_mut().find(|draft| draft.type_ == type_ && draft.chain == incident()).unwrap();
        let mut act = draft.act_by(by.map_or("collector:c1", |(by, _)| by));
        act.fields = fields(found);
        draft.act = match by {
            Some((_, number)) => sign(&act, &[number]).into(),
            None => own(&act),
        };
    } }
}

/// The same for the statement of a mirror.
fn stated(found: Fields) -> Recipe<'static> {
    with! { drafts: move |drafts: &mut Vec<Draft>| {
        mirrored(drafts, &Told::default());
        let draft = drafts.iter_mut().find(|draft| draft.type_ == EntryType::EvidenceReplicated).unwrap();
        let mut act = draft.act_by("mirror:backup-1");
        act.fields = fields(found);
        draft.act = sign(&act, &[BACKUP]).into();
    } }
}

const ALICES: Option<(&str, u8)> = Some(("person:alice", ALICE));
const DANS: Option<(&str, u8)> = Some(("person:dan", DAN));
const DIGEST: &str = "0101010101010101010101010101010101010101010101010101010101010101";

#[test]
fn entry_22_fields_that_are_not_those_of_the_type() {
    use EntryType::{EvidenceAccessed, IncidentNoted, IncidentOpened};
    let acts = "custody.acts";
    refused(
        "entry-22",
        vec![
            ("a remark", acts, told(IncidentNoted, DANS, &[("remark", "planted")])),
            (
                "no traffic light",
                acts,
                told(IncidentOpened, ALICES, &[("class", "test"), ("severity", "low")]),
            ),
            ("no fields", acts, told(IncidentOpened, ALICES, &[])),
            (
                "a fourth field",
                acts,
                told(
                    IncidentOpened,
                    ALICES,
                    &[("class", "test"), ("remark", "planted"), ("severity", "low"), ("tlp", "red")],
                ),
            ),
            (
                "a part of a selection",
                acts,
                told(EvidenceAccessed, None, &[("items", "1"), ("partial", "yes")]),
            ),
            (
                "a number that is none",
                acts,
                told(EvidenceAccessed, None, &[("items", "01"), ("partial", "yes"), ("selection", DIGEST)]),
            ),
            (
                "partial, but no",
                acts,
                told(EvidenceAccessed, None, &[("items", "1"), ("partial", "no"), ("selection", DIGEST)]),
            ),
            ("a statement without lengths", acts, stated(&[])),
            ("a statement with a length that is none", acts, stated(&[("bytes", "many"), ("segments", "2")])),
            (
                "a remark of the export",
                "export",
                with! { export: |paper: &mut Paper<evidence::entry::act::Act>| {
                    paper.document.fields = pairs::sorted([("remark", "planted".into())]);
                } },
            ),
        ],
    );
}

#[test]
fn incident_3_words_that_are_in_no_list() {
    let opened = |found: Fields| told(EntryType::IncidentOpened, ALICES, found);
    let acts = "custody.acts";
    refused(
        "incident-3",
        vec![
            ("a severity", acts, opened(&[("class", "test"), ("severity", "extreme"), ("tlp", "red")])),
            ("a class", acts, opened(&[("class", "Test"), ("severity", "low"), ("tlp", "red")])),
            ("a traffic light", acts, opened(&[("class", "test"), ("severity", "low"), ("tlp", "white")])),
        ],
    );
}
