//! `note-*`: the signature lines of the notes in a bundle.
//! Guarantee: who has no key cannot plant text in a note. A line of a key that the pins do not know is what a cosigner could have written
//! whom nobody pinned, and the report counts it.
//! Not here: lines of pinned keys, which `Policy::verify_note` verifies.

use std::collections::BTreeSet;

use custody::rule::{Broken, RuleId, must};
use ledger::cosignature::{COSIGNERS_MAX, has_form};
use ledger::{Note, Policy};

/// Judges the lines of a note. Returns how many of them are of keys that the pins do not know.
pub(crate) fn check(note: &Note, policy: &Policy) -> Result<usize, Broken> {
    each_key_once(note)?;
    let lines = note.signatures().iter();
    let unpinned: Vec<_> = lines.filter(|line| !policy.knows(line)).collect();
    must(
        RuleId::Note2,
        unpinned.len() <= COSIGNERS_MAX,
        format_args!("{} lines of keys that nobody pinned, more than {COSIGNERS_MAX}", unpinned.len()),
    )?;
    for line in &unpinned {
        must(
            RuleId::Note1,
            has_form(line.bytes()),
            format_args!(
                "a line of {}, which nobody pinned, does not have the form of a cosignature",
                line.name()
            ),
        )?;
    }
    Ok(unpinned.len())
}

/// `note-3`. It is all that is left to ask of a note whose lines are also in a note that [`check`] judged.
pub(crate) fn each_key_once(note: &Note) -> Result<(), Broken> {
    let mut keys = BTreeSet::new();
    for line in note.signatures() {
        let is_first = keys.insert((line.name(), line.id()));
        must(RuleId::Note3, is_first, format_args!("the key of {} has two lines", line.name()))?;
    }
    Ok(())
}
