//! Texts that the own copy lacks: disposed of, erased, withheld, or not requested since the start.
//! Guarantee: a missing text stops nothing. Only a text that no disposal destroyed counts as missing. Not here: fetching (`pull`).

use std::collections::{BTreeMap, BTreeSet};

use evidence::digest::Digest;
use evidence::time::Time;

use super::Rules;

/// What the mirror knows about texts, beside the courses of incidents.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Texts that the deployment's own chain names. That chain is never disposed of.
    pub(super) of_deployment: BTreeSet<Digest>,
    /// Missing texts, each with true if the source was asked for it.
    pub(super) missing: BTreeMap<Digest, bool>,
}

impl Rules {
    /// Texts that could not be fetched and that no disposal destroyed.
    #[must_use]
    pub fn details_missing(&self, now: Time) -> u64 {
        let missing = self.texts.missing.keys();
        let count = missing.filter(|text| !self.is_disposed(text, now)).count();
        count as u64
    }

    /// Missing texts for which the source has not been asked.
    #[must_use]
    pub fn texts_to_ask(&self, now: Time) -> Vec<Digest> {
        let unasked = self.texts.missing.iter().filter(|(_, was_asked)| !**was_asked);
        let unasked = unasked.map(|(text, _)| *text);
        unasked.filter(|text| !self.is_disposed(text, now)).collect()
    }

    /// Notes that the source was asked for a text. It either gave the text or does not have it.
    pub(crate) fn text_was_asked(&mut self, text: &Digest, came: bool) {
        if came {
            self.texts.missing.remove(text);
        } else if let Some(was_asked) = self.texts.missing.get_mut(text) {
            *was_asked = true;
        }
    }

    /// True if the text is destroyed or about to be: every chain that names it gave up its texts, or no chain
    /// keeps it.
    fn is_disposed(&self, text: &Digest, now: Time) -> bool {
        let (mut is_named, mut is_gone) = (false, !self.texts.of_deployment.contains(text));
        for course in self.state.courses().values() {
            if let Some(claim) = course.claim(text, now) {
                is_named = true;
                is_gone &= !claim.is_reason && course.destroyed_text(text);
            }
        }
        is_named && (is_gone || !self.text_stays(text, now))
    }
}
