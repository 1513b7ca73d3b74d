//! The check `custody.replicated`: each stored collection has a mirror's statement if the pinned quorum names a mirror.
//! Guarantee: a statement counts only if it holds ([`crate::fold`]).

use std::collections::BTreeMap;

use custody::collection::Collection;
use evidence::bundle::Overview;
use evidence::digest::Digest;

use crate::cosigners::CHECKS_ENTRIES;
use crate::report::Report;
use crate::trust::Trust;

/// The check `custody.replicated`. Collections that were disposed of need no statement.
pub(crate) fn replicated(
    collections: &BTreeMap<Digest, Collection>,
    is_gone: impl Fn(&Digest) -> bool,
    trust: &Trust,
    overview: &Overview,
    report: &mut Report,
) {
    let name = "custody.replicated";
    let policy = &trust.policy;
    let mut witnesses = policy.witnesses().iter();
    if !policy.needs_cosigners() || !witnesses.any(|witness| witness.key.name().ends_with(CHECKS_ENTRIES)) {
        return report.not_asked(name, "", "the pinned policy asks for no mirror");
    }
    let stored: Vec<(&Digest, &Collection)> =
        collections.iter().filter(|(id, one)| one.stored.is_some() && !is_gone(id)).collect();
    let mut lonely = stored.iter().filter(|(_, one)| one.held_by.is_empty());
    match lonely.next() {
        None => {
            let says = format!("mirrors hold all {} stored collections", stored.len());
            report.ok(name, "", says);
        }
        Some((first, _)) => {
            let says = format!(
                "no mirror has said that it holds {first} (collections without one: {})",
                lonely.count() + 1
            );
            if overview.without_quorum && trust.accept_without_quorum {
                report.not_asked(name, "", format!("{says}; exported WITHOUT QUORUM, and you accept that"));
            } else {
                report.not_checked(name, "", format!("{says}: ask for a new export when a mirror has it"));
            }
        }
    }
}
