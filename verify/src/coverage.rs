//! The check `coverage`: the bundle holds each collection that the ledger names, and no file that nothing asked for.
//! Guarantee: a file that no check read fails, by name.
//! Not here: README.txt, verify.py, certification.txt and destruction.txt. They are the exporter's words; only the exporter's signature
//! covers them.

use std::collections::BTreeSet;

use evidence::bundle::{Overview, UNCOVERED};
use evidence::digest::Digest;
use evidence::disposal::Course;
use evidence::time::Time;

use crate::collections::{Expected, number};
use crate::disposal;
use crate::entries::Proven;
use crate::files::Files;

/// Files that hold the exporter's words. No check reads them.
const WORDS: [&str; 4] = ["README.txt", "certification.txt", "destruction.txt", "verify.py"];

/// Checks that the bundle holds the collections that the chain names, and no others.
pub(crate) fn collections(
    files: &Files<'_>,
    overview: &Overview,
    expected: &[Expected],
    course: &Course,
    last: Time,
) -> Result<String, String> {
    let known: BTreeSet<String> = expected.iter().map(|one| one.collection.to_string()).collect();
    for name in files.below("evidence/") {
        let folder = name.strip_prefix("evidence/").and_then(|name| name.split_once('/'));
        let Some((_, file)) = folder.filter(|(collection, _)| known.contains(*collection)) else {
            return Err(format!("{name} is evidence that the ledger does not name"));
        };
        // A bundle has one of the two forms. With both, a part could look like the whole, or the whole like a part.
        let is_item = file.starts_with("items/");
        let is_whole = file.starts_with("seals/") || file == "container.tar.zst";
        if is_item && !overview.partial {
            return Err(format!(
                "{name} belongs to a partial production, and bundle.json does not say that this is one"
            ));
        }
        if is_whole && overview.partial {
            return Err(format!(
                "{name} shows the neighbours of what was chosen: it is in no partial production"
            ));
        }
    }
    if overview.partial {
        return produced(files, overview, expected);
    }
    let mut disposed = 0_u64;
    for one in expected {
        let present = files.has(&format!("evidence/{}/container.tar.zst", one.collection));
        let stores = disposal::stores(course, &one.collection);
        if has_evidence(one) && !present && stores > 0 {
            // The ledger names no number of copies of an interrupted collection: the word of one store counts.
            let copies = match &one.stored {
                Some(stored) => number(stored, "copies")?,
                None => 0,
            };
            if let (true, Err(kept)) = (stores < copies, course.refuse_if_kept(last)) {
                return Err(format!(
                    "collection {} is disposed of in {stores} of {copies} copies and the rest is kept ({kept}), but not in the bundle",
                    one.collection
                ));
            }
            // The check `disposition` judged this: two persons approved, nothing kept the evidence, and a store reports it gone.
            disposed += 1;
            continue;
        }
        if has_evidence(one) && !present {
            return Err(format!("collection {} is in the ledger but not in the bundle", one.collection));
        }
    }
    let listed = listed(expected, |id| files.has(&format!("evidence/{id}/container.tar.zst")));
    if listed != overview.collections {
        return Err("bundle.json lists other collections".to_owned());
    }
    Ok(match disposed {
        0 => format!("{} collections, all that the ledger names", listed.len()),
        _ => format!(
            "{} collections; {disposed} others that the ledger names were disposed of on two persons' word",
            listed.len()
        ),
    })
}

/// Checks the collections of a partial production and counts those of which the exporter chose nothing.
fn produced(files: &Files<'_>, overview: &Overview, expected: &[Expected]) -> Result<String, String> {
    if let Some(text) = files.below("details/").next() {
        return Err(format!("{text} may name anything: a partial production has no texts"));
    }
    let is_here = |id: &Digest| files.below(&format!("evidence/{id}/")).next().is_some();
    let listed = listed(expected, is_here);
    if listed != overview.collections {
        return Err("bundle.json lists other collections".to_owned());
    }
    if listed.is_empty() {
        return Err("a partial production without a single item".to_owned());
    }
    let left_out = expected.iter().filter(|one| has_evidence(one) && !is_here(&one.collection)).count();
    Ok(format!(
        "PARTIAL production: chosen items of {} collections; {left_out} others that the ledger names are left out whole",
        listed.len()
    ))
}

fn listed(expected: &[Expected], is_here: impl Fn(&Digest) -> bool) -> Vec<Digest> {
    Overview::listed(expected.iter().map(|one| one.collection).filter(is_here))
}

/// True if the ledger says that at least one segment arrived.
fn has_evidence(one: &Expected) -> bool {
    let arrived = |proven: &Proven| proven.reference("segments") != Some("0");
    one.stored.is_some() || one.interrupted.iter().any(arrived) || !one.progress.is_empty()
}

/// Checks that a check read every file, except the uncovered ones and the exporter's words.
pub(crate) fn nothing_else(files: &Files<'_>) -> Result<(), String> {
    let unjudged = files.unjudged();
    let strange =
        unjudged.iter().find(|name| !WORDS.contains(&name.as_str()) && !UNCOVERED.contains(&name.as_str()));
    match strange {
        None => Ok(()),
        Some(name) => Err(format!("{name} is named by nothing that was checked")),
    }
}
