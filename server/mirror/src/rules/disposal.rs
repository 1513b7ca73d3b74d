//! Disposal by the chain alone: two persons, the plan, what keeps evidence (`evidence::disposal`), and what this mirror may destroy.

use std::collections::{BTreeMap, BTreeSet};

use evidence::act::Act;
use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object, Place, Warrant};
use evidence::entry::{ActDocument, EntryType, Envelope};
use evidence::id::{Actor, IncidentId, MirrorId};
use evidence::roster::Role;
use evidence::time::Time;

use super::{Broken, Case, Rules, acts, rule};

/// The courses of all incidents. 40 bytes a text and a collection, beside what `Rules` holds.
pub(super) type Courses = BTreeMap<IncidentId, Course>;

/// An entry that was judged and is to be taken.
pub(super) struct Next {
    incident: IncidentId,
    index: u64,
    envelope: Envelope,
    by: Option<Actor>,
    detail: Option<Digest>,
    is_approver: bool,
}

impl Next {
    fn fact(&self) -> Fact<'_> {
        Fact {
            index: self.index,
            time: self.envelope.time,
            type_: self.envelope.type_,
            event: self.envelope.event,
            refs: &self.envelope.refs,
            by: self.by.as_ref(),
            detail: self.detail,
            is_approver: self.is_approver,
        }
    }
}

/// Something that this mirror is to destroy and to confirm.
#[derive(Debug, Clone)]
pub struct Doomed {
    /// The right to it.
    pub warrant: Warrant,
    /// Its digest.
    pub plan: Digest,
    /// What.
    pub object: Object,
    /// The ledger has this mirror's confirmation.
    pub is_confirmed: bool,
}

impl Rules {
    /// Judges an entry of an incident's chain; gives what the chain then takes.
    pub(super) fn course(&self, case: &Case<'_>) -> Result<Option<Next>, Broken> {
        let Some(incident) = case.envelope.incident.incident() else {
            return Ok(None);
        };
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
        let next = Next {
            incident: incident.clone(),
            index: case.index,
            envelope: envelope.clone(),
            by: act.as_ref().map(|act| act.by.clone()),
            detail: act.and_then(|act| act.detail),
            is_approver,
        };
        let judged = match self.courses.get(incident) {
            Some(course) => course.judge(&next.fact()),
            None => Course::new(self.pins.deployment.clone(), incident.clone()).judge(&next.fact()),
        };
        match judged {
            Ok(()) => Ok(Some(next)),
            Err(refusal) => rule(refusal.to_string()),
        }
    }

    /// Takes what was judged.
    pub(super) fn go_on(&mut self, next: &Next) {
        let deployment = &self.pins.deployment;
        self.courses
            .entry(next.incident.clone())
            .or_insert_with(|| Course::new(deployment.clone(), next.incident.clone()))
            .apply(&next.fact());
    }

    /// What `own` is to destroy at `now`: of plans approved after it was admitted, while nothing keeps the evidence.
    #[must_use]
    pub fn doomed(&self, own: &MirrorId, now: Time) -> Vec<Doomed> {
        let Some(admitted) = self.mirrors.get(own).filter(|keys| !keys.is_retired) else {
            return Vec::new();
        };
        let place = Place::Mirror(own.clone());
        let mut found = Vec::new();
        for course in self.courses.values() {
            for plan in course.approved() {
                let digest = plan.digest();
                let is_later = course.approved_at(&digest).is_some_and(|at| at > admitted.since);
                let Some(warrant) = course.warrant(&digest, now).ok().filter(|_| is_later) else {
                    continue;
                };
                found.extend(plan.objects().into_iter().map(|object| Doomed {
                    warrant: warrant.clone(),
                    plan: digest,
                    is_confirmed: course.is_gone(&digest, &object, &place),
                    object,
                }));
            }
        }
        found
    }

    /// Collections that are not to be had any more, or not to be had again.
    #[must_use]
    pub fn disposed(&self, now: Time) -> BTreeSet<Digest> {
        let mut found = BTreeSet::new();
        for course in self.courses.values() {
            for plan in course.approved() {
                let goes = course.free(now).is_ok();
                found.extend(
                    plan.collections
                        .iter()
                        .copied()
                        .filter(|id| goes || course.gone_from(&Object::Collection(*id)).next().is_some()),
                );
            }
        }
        found
    }

    /// True for a text that an entry of another chain names as well.
    #[must_use]
    pub fn is_shared(&self, detail: &Digest, incident: &IncidentId) -> bool {
        self.courses
            .iter()
            .any(|(other, course)| other != incident && course.names_text(detail))
    }
}
