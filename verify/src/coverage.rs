//! Coverage: what the ledger names is in the bundle, and what is in the bundle is named by something that was checked.
//! Guarantee: a file that no check judged is named and fails.
//! Not here: README.txt, verify.sh and certification.txt, which are words of the exporter and covered by the exporter's signature alone.

use std::collections::BTreeSet;

use evidence::bundle::{Overview, UNCOVERED};
use evidence::digest::Digest;
use evidence::disposal::Course;
use evidence::time::Time;

use crate::collections::Expected;
use crate::disposal;
use crate::entries::Proven;
use crate::files::Files;

/// Files that say what their writer wants.
const WORDS: [&str; 4] = ["README.txt", "certification.txt", "destruction.txt", "verify.sh"];

/// The collections that the chain names are here, and no others.
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
        let (collection, file) = folder.unwrap_or_default();
        if !known.contains(collection) {
            return Err(format!("{name} is evidence that the ledger does not name"));
        }
        // Either form is complete in itself: both together would make a part look like the whole, or the whole like a part.
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
            let copies = one.stored.as_ref().and_then(|stored| stored.reference("copies"));
            let copies = copies.and_then(|copies| copies.parse::<u64>().ok()).unwrap_or(0);
            if let (true, Err(kept)) = (stores < copies, course.free(last)) {
                return Err(format!(
                    "collection {} is disposed of in {stores} of {copies} copies and the rest is kept ({kept}), but not in the bundle",
                    one.collection
                ));
            }
            // Judged by `disposition`: two persons, nothing that kept it, and a store that says it is gone.
            disposed = disposed.saturating_add(1);
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

/// The collections of a partial production; those of which nothing was chosen are counted.
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

/// Whether segments of it arrived, as the ledger tells.
fn has_evidence(one: &Expected) -> bool {
    let arrived = |proven: &Proven| proven.reference("segments") != Some("0");
    one.stored.is_some() || one.interrupted.iter().any(arrived) || !one.progress.is_empty()
}

/// Every file was asked for by a check, or is one that says what its writer wants.
pub(crate) fn nothing_else(files: &Files<'_>) -> Result<(), String> {
    let unjudged = files.unjudged();
    let strange =
        unjudged.iter().find(|name| !WORDS.contains(&name.as_str()) && !UNCOVERED.contains(&name.as_str()));
    match strange {
        None => Ok(()),
        Some(name) => Err(format!("{name} is named by nothing that was checked")),
    }
}
