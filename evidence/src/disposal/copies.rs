//! What a chain says about the copies of the objects to destroy: which places must still report, where a copy may be missing, which
//! texts stay. Guarantee: collector, mirror and verifier get the same answer, because all of them ask this module.
//! Not here: the copies that a store or mirror really has.

use std::collections::BTreeSet;

use super::{Course, Object, Place, Plan};
use crate::digest::Digest;
use crate::id::MirrorId;
use crate::length::to_u64;
use crate::time::Time;

/// What the chain of one incident says about a text that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Just past the last entry that names it, not counting reasons of approvals.
    pub named: u64,
    /// Just past the last entry that an approved plan considered.
    pub planned: u64,
    /// True if an approval of a plan gives it as its reason.
    pub is_reason: bool,
    /// Nothing keeps this incident's evidence now.
    pub is_free: bool,
}

impl Claim {
    /// True if this chain keeps the text: a certificate needs it, or no approved plan of the chain names it (again), or
    /// something keeps the evidence.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        self.is_reason || self.named > self.planned || !self.is_free
    }
}

/// True if a text that an approved plan names stays. `of_deployment`: the deployment's own chain, which is never disposed of, names it.
/// `claims`: one for each incident whose chain names it.
#[must_use]
pub fn text_stays(of_deployment: bool, claims: impl IntoIterator<Item = Claim>) -> bool {
    of_deployment || claims.into_iter().any(|claim| claim.keeps())
}

impl Course {
    /// What this chain says about a text; `None` if it does not name it.
    #[must_use]
    pub fn claim(&self, text: &Digest, now: Time) -> Option<Claim> {
        let (named, is_reason) = (self.named(text), self.reasons.contains(text));
        if named.is_none() && !is_reason {
            return None;
        }
        Some(Claim {
            named: named.map_or(0, |seq| seq + 1),
            planned: self.planned(u64::MAX),
            is_reason,
            is_free: self.refuse_if_kept(now).is_ok(),
        })
    }

    /// Log index of the entry with which as many of the collector's stores had given an object up as it had copies;
    /// `None` before that.
    #[must_use]
    pub(crate) fn left_stores(&self, plan: &Digest, object: &Object) -> Option<u64> {
        let copies = match object {
            Object::Collection(id) => self.copies.get(id),
            Object::Details(_) => self.copies.values().max(),
        };
        let copies = copies.copied().unwrap_or(1).max(1);
        let mut stores = BTreeSet::new();
        let gone = self.gone.iter().filter(|left| {
            let is_of_plan = matches!(object, Object::Collection(_)) || left.plan == *plan;
            left.object == *object && is_of_plan
        });
        for left in gone {
            if let Place::Store(store) = &left.place {
                stores.insert(store);
            }
            if to_u64(stores.len()) >= copies {
                return Some(left.index);
            }
        }
        None
    }

    /// Mirrors that count as holders of an object: those that stated that they hold the collection. For texts, and for a collection
    /// that was never stored and so never stated, those that stated anything about the incident.
    #[must_use]
    pub fn holders(&self, object: &Object) -> BTreeSet<&MirrorId> {
        let stated = self.stated.iter().filter(|(id, _)| match object {
            Object::Collection(wanted) if self.copies.contains_key(wanted) => wanted == id,
            Object::Collection(_) | Object::Details(_) => true,
        });
        stated.map(|(_, mirror)| mirror).collect()
    }

    /// Objects of a plan, with the mirrors that hold them and have not confirmed their destruction.
    #[must_use]
    pub fn unconfirmed(&self, plan: &Digest, objects: &[Object]) -> Vec<(Object, MirrorId)> {
        let mut found = Vec::new();
        for object in objects {
            for mirror in self.holders(object) {
                if !self.is_gone(plan, object, &Place::Mirror(mirror.clone())) {
                    found.push((object.clone(), mirror.clone()));
                }
            }
        }
        found
    }

    /// True if a mirror that was admitted at log index `since` must confirm that it destroyed an object of an approved plan: it
    /// holds the object, or could still have got it from a store.
    #[must_use]
    pub fn must_confirm(&self, plan: &Digest, object: &Object, mirror: &MirrorId, since: u64) -> bool {
        let could_get = self.left_stores(plan, object).is_none_or(|last| since < last);
        could_get || self.holders(object).contains(mirror)
    }

    /// True if a mirror's copy of a collection is or was to be destroyed: an approved plan names it, and nothing keeps it now or this
    /// mirror has confirmed. A later hold keeps every copy that is left.
    #[must_use]
    pub fn leaves(&self, collection: &Digest, mirror: &MirrorId, now: Time) -> bool {
        let object = Object::Collection(*collection);
        let place = Place::Mirror(mirror.clone());
        self.plan_of(&object).is_some_and(|plan| {
            self.refuse_if_kept(now).is_ok() || self.is_gone(&plan.digest(), &object, &place)
        })
    }

    /// True if a mirror may be without a copy of a collection: its copy is or was to be destroyed, or the stores had given the collection
    /// up before the mirror had any. `here` is the mirror; if it is `None`, nobody knows which mirror it was, and a copy that any mirror
    /// may hold must be there.
    #[must_use]
    pub fn may_lack(&self, collection: &Digest, here: Option<&MirrorId>, now: Time) -> bool {
        let object = Object::Collection(*collection);
        let Some(plan) = self.plan_of(&object).map(Plan::digest) else {
            return false;
        };
        let has_left = self.left_stores(&plan, &object).is_some();
        match here {
            Some(here) => {
                self.leaves(collection, here, now) || has_left && !self.holders(&object).contains(here)
            }
            None => {
                self.refuse_if_kept(now).is_ok() || has_left && self.unconfirmed(&plan, &[object]).is_empty()
            }
        }
    }

    /// True if texts were destroyed under a plan that names this one.
    #[must_use]
    pub fn destroyed_text(&self, text: &Digest) -> bool {
        self.gone.iter().any(|left| {
            let plan = self.plans.get(&left.plan).map(|proposed| &proposed.plan);
            matches!(left.object, Object::Details(_)) && plan.is_some_and(|plan| plan.details.contains(text))
        })
    }
}
