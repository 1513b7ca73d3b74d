//! What this mirror may destroy, and what must stay (`evidence::disposal`).

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::disposal::{Object, Place, Warrant, text_stays};
use evidence::id::{IncidentId, MirrorId};
use evidence::time::Time;

use super::Rules;

/// Something that this mirror must destroy and confirm.
#[derive(Debug, Clone)]
pub struct DueDisposal {
    /// The right to destroy it.
    pub warrant: Warrant,
    pub plan: Digest,
    pub object: Object,
    /// This mirror may have had a copy, and the ledger lacks its confirmation.
    pub is_owed: bool,
    /// The ledger has this mirror's confirmation.
    pub is_confirmed: bool,
}

impl Rules {
    /// What `own` must destroy at `now`: objects of every approved plan, as long as nothing retains the
    /// evidence.
    #[must_use]
    pub fn due_disposals(&self, own: &MirrorId, now: Time) -> Vec<DueDisposal> {
        let Some(admitted) = self.state.mirror(own).filter(|keys| !keys.is_retired) else {
            return Vec::new();
        };
        let place = Place::Mirror(own.clone());
        let mut found = Vec::new();
        for course in self.state.courses().values() {
            for plan in course.approved() {
                let digest = plan.digest();
                let Ok(warrant) = course.warrant(&digest, now) else {
                    continue;
                };
                found.extend(plan.objects().into_iter().map(|object| {
                    let is_confirmed = course.is_gone(&digest, &object, &place);
                    DueDisposal {
                        warrant: warrant.clone(),
                        plan: digest,
                        is_owed: !is_confirmed && course.must_confirm(&digest, &object, own, admitted.since),
                        is_confirmed,
                        object,
                    }
                }));
            }
        }
        found
    }

    /// Objects of approved plans for which the ledger lacks this mirror's confirmation, even if something
    /// retains the evidence now: the mirror may have destroyed them before a hold came.
    #[must_use]
    pub fn unconfirmed(&self, own: &MirrorId) -> Vec<(Digest, Object)> {
        let place = Place::Mirror(own.clone());
        let mut found = Vec::new();
        for course in self.state.courses().values() {
            for plan in course.approved() {
                let digest = plan.digest();
                let objects = plan.objects().into_iter();
                let left = objects.filter(|object| !course.is_gone(&digest, object, &place));
                found.extend(left.map(|object| (digest, object)));
            }
        }
        found
    }

    /// Collections whose copy `own` destroys or has destroyed.
    #[must_use]
    pub fn disposed(&self, own: &MirrorId, now: Time) -> BTreeSet<Digest> {
        let mut found = BTreeSet::new();
        for course in self.state.courses().values() {
            for plan in course.approved() {
                let ids = plan.collections.iter().copied();
                found.extend(ids.filter(|id| course.leaves(id, own, now)));
            }
        }
        found
    }

    /// True if `own` need not hold a collection: a plan destroys it, or no copy is left.
    #[must_use]
    pub fn may_lack(&self, collection: &Digest, incident: &IncidentId, own: &MirrorId, now: Time) -> bool {
        self.state.courses().get(incident).is_some_and(|course| course.may_lack(collection, Some(own), now))
    }

    /// True for a text of an approved plan that must stay because another chain names it.
    #[must_use]
    pub fn text_stays(&self, text: &Digest, now: Time) -> bool {
        let claims = self.state.courses().values().filter_map(|course| course.claim(text, now));
        text_stays(self.texts.of_deployment.contains(text), claims)
    }
}
