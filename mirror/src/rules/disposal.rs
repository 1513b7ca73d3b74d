//! Disposal, judged from the chain alone: two persons, the plan, and what retains the evidence
//! (`evidence::disposal`). Also lists what this mirror may destroy.

use std::collections::{BTreeMap, BTreeSet};

use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object, Place, Warrant, text_stays};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, EntryType, Envelope};
use evidence::id::{Actor, IncidentId, MirrorId};
use evidence::roster::Role;
use evidence::time::Time;

use super::{Broken, BrokenRule, Case, Rules, acts};

/// The courses of all incidents. This takes 40 bytes for each text and collection, beside what `Rules` holds.
pub(super) type Courses = BTreeMap<IncidentId, Course>;

/// An entry that was judged and is about to be taken.
pub(super) struct Next {
    index: u64,
    envelope: Envelope,
    act: Option<Act>,
    is_approver: bool,
}

impl Next {
    fn fact(&self) -> Fact<'_> {
        Fact::of(self.index, &self.envelope, self.act.as_ref(), self.is_approver)
    }
}

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
    /// Judges an entry. Returns what its chain takes from it.
    pub(super) fn course(&self, case: &Case<'_>) -> Result<Next, Broken> {
        let envelope = case.envelope;
        let act: Option<Act> = match envelope.type_.rule().document {
            ActDocument::Act => Some(acts::read_act(case.act)?),
            _ => None,
        };
        let mut is_approver = false;
        if let (EntryType::DispositionApproved, Some(Actor::Person(person))) =
            (envelope.type_, act.as_ref().map(|act| &act.by))
        {
            let key = acts::signer(&case.signed()?, "exhibit-act-v1")?;
            is_approver = self.in_force()?.speaks_for(&key, person, &[Role::Approver]);
        }
        let next = Next { index: case.index, envelope: envelope.clone(), act, is_approver };
        let judged = match envelope.incident.incident() {
            None => Ok(()),
            Some(incident) => match self.courses.get(incident) {
                Some(course) => course.judge(&next.fact()),
                None => Course::new(self.pins.deployment.clone(), incident.clone()).judge(&next.fact()),
            },
        };
        judged.map_err(BrokenRule::Disposal)?;
        Ok(next)
    }

    /// Applies a judged entry.
    pub(super) fn go_on(&mut self, next: &Next) {
        let fact = next.fact();
        let Some(incident) = next.envelope.incident.incident() else {
            self.texts.of_deployment.extend(fact.detail);
            return;
        };
        let deployment = &self.pins.deployment;
        self.courses
            .entry(incident.clone())
            .or_insert_with(|| Course::new(deployment.clone(), incident.clone()))
            .apply(&fact);
    }

    /// What `own` must destroy at `now`: objects of every approved plan, as long as nothing retains the
    /// evidence.
    #[must_use]
    pub fn due_disposals(&self, own: &MirrorId, now: Time) -> Vec<DueDisposal> {
        let Some(admitted) = self.mirrors.get(own).filter(|keys| !keys.is_retired) else {
            return Vec::new();
        };
        let place = Place::Mirror(own.clone());
        let mut found = Vec::new();
        for course in self.courses.values() {
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
        for course in self.courses.values() {
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
        for course in self.courses.values() {
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
        self.courses.get(incident).is_some_and(|course| course.may_lack(collection, Some(own), now))
    }

    /// True for a text of an approved plan that must stay because another chain names it.
    #[must_use]
    pub fn text_stays(&self, text: &Digest, now: Time) -> bool {
        let claims = self.courses.values().filter_map(|course| course.claim(text, now));
        text_stays(self.texts.of_deployment.contains(text), claims)
    }
}
