//! An incident's chain, folded entry by entry: what keeps its evidence, and which plans were made, approved and carried out.

use std::collections::{BTreeMap, BTreeSet};

use super::approval::{Approval, Approved};
use super::{Fact, Object, Place, Plan, Refusal, Warrant};
use crate::digest::Digest;
use crate::entry::EntryType;
use crate::entry::pairs;
use crate::id::{Actor, DeploymentId, IncidentId, MirrorId};
use crate::text::decimal;
use crate::time::Time;

/// A plan that somebody approved.
#[derive(Debug, Clone)]
pub(super) struct Proposed {
    pub(super) plan: Plan,
    pub(super) approvals: Vec<Approval>,
    /// Sequence number and log index of the second approval.
    pub(super) approved: Option<(u64, u64)>,
}

/// An object that a place has destroyed.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) plan: Digest,
    pub(super) object: Object,
    pub(super) place: Place,
    pub(super) count: u64,
    pub(super) time: Time,
    pub(super) index: u64,
}

/// The chain of one incident, as far as it was folded.
#[derive(Debug, Clone)]
pub struct Course {
    deployment: DeploymentId,
    incident: IncidentId,
    /// Number of entries folded: the sequence number of the next one.
    next: u64,
    is_closed: bool,
    holds: BTreeSet<Digest>,
    until: Option<Time>,
    /// Just past the last entry that changes what a plan must name.
    changed: u64,
    collections: Vec<(u64, Digest)>,
    /// Copies that the collector had of a collection when it was stored.
    pub(super) copies: BTreeMap<Digest, u64>,
    /// Texts, and who names them.
    details: BTreeSet<(Digest, u64)>,
    /// The reasons of approvals. They outlive what they destroy, because a certificate needs them.
    pub(super) reasons: BTreeSet<Digest>,
    pub(super) plans: BTreeMap<Digest, Proposed>,
    pub(super) stated: BTreeSet<(Digest, MirrorId)>,
    pub(super) gone: Vec<Left>,
}

impl Course {
    /// The state before the first entry of an incident.
    #[must_use]
    pub const fn new(deployment: DeploymentId, incident: IncidentId) -> Self {
        Self {
            deployment,
            incident,
            next: 0,
            is_closed: false,
            holds: BTreeSet::new(),
            until: None,
            changed: 0,
            collections: Vec::new(),
            copies: BTreeMap::new(),
            details: BTreeSet::new(),
            reasons: BTreeSet::new(),
            plans: BTreeMap::new(),
            stated: BTreeSet::new(),
            gone: Vec::new(),
        }
    }

    /// Entries folded so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.next
    }

    /// True before the first entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// True if this hold stands.
    #[must_use]
    pub fn has_hold(&self, hold: &Digest) -> bool {
        self.holds.contains(hold)
    }

    /// True while the incident goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.is_closed
    }

    #[must_use]
    pub const fn incident(&self) -> &IncidentId {
        &self.incident
    }

    #[must_use]
    pub const fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    /// Refuses if something keeps the evidence at `now`. Names a hold before anything else.
    pub fn refuse_if_kept(&self, now: Time) -> Result<(), Refusal> {
        if let Some(first) = self.holds.first() {
            return Err(Refusal::Held { count: self.holds.len(), first: *first });
        }
        if !self.is_closed {
            return Err(Refusal::Open);
        }
        match self.until {
            None => Err(Refusal::WithoutEnd),
            Some(until) if now < until => Err(Refusal::Until { until }),
            Some(_) => Ok(()),
        }
    }

    /// The last entry that names a text, not counting reasons of approvals.
    pub(super) fn named(&self, text: &Digest) -> Option<u64> {
        let mut named = self.details.range((*text, 0)..=(*text, u64::MAX));
        named.next_back().map(|(_, seq)| *seq)
    }

    /// The plan that destroys every object that the first `count` entries name and no earlier plan does.
    #[must_use]
    pub fn plan(&self, count: u64) -> Plan {
        let from = self.planned(count);
        let within = |seq: &u64| (from..count).contains(seq);
        let collections = self.collections.iter().filter(|(seq, _)| within(seq));
        let details = self.details.iter().filter(|(_, seq)| within(seq));
        Plan {
            deployment: self.deployment.clone(),
            incident: self.incident.clone(),
            from,
            count,
            collections: collections.map(|(_, id)| *id).collect(),
            details: details.map(|(text, _)| *text).collect(),
        }
    }

    /// Just past the last entry that any plan approved before `count` considered.
    pub(super) fn planned(&self, count: u64) -> u64 {
        let approved = self.plans.values().filter_map(|proposed| {
            let (seq, _) = proposed.approved?;
            (seq < count).then_some(proposed.plan.count)
        });
        approved.max().unwrap_or(0)
    }

    /// The plans that two persons approved.
    pub fn approved(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values().filter(|proposed| proposed.approved.is_some()).map(|proposed| &proposed.plan)
    }

    /// Every plan that somebody approved, with its approvers, in the order of the first approvals.
    #[must_use]
    pub fn proposed(&self) -> Vec<(&Plan, Vec<Approved>)> {
        let mut found: Vec<_> = self.plans.values().collect();
        found.sort_by_key(|proposed| proposed.approvals.first().map(|first| first.index));
        found
            .into_iter()
            .map(|proposed| (&proposed.plan, proposed.approvals.iter().map(Approved::from).collect()))
            .collect()
    }

    /// Log index of the second approval of a plan.
    #[must_use]
    pub fn approved_at(&self, plan: &Digest) -> Option<u64> {
        Some(self.plans.get(plan)?.approved?.1)
    }

    /// The approved plan that names an object.
    #[must_use]
    pub fn plan_of(&self, object: &Object) -> Option<&Plan> {
        self.approved().find(|plan| plan.names(object))
    }

    /// From where an object is gone.
    pub fn gone_from(&self, object: &Object) -> impl Iterator<Item = &Place> {
        self.gone.iter().filter(move |left| left.object == *object).map(|left| &left.place)
    }

    /// True if a place has destroyed an object of a plan. A collection is destroyed once; each plan has texts of its own.
    #[must_use]
    pub fn is_gone(&self, plan: &Digest, object: &Object, place: &Place) -> bool {
        self.gone.iter().any(|left| {
            let is_it = left.object == *object && left.place == *place;
            is_it && (matches!(object, Object::Collection(_)) || left.plan == *plan)
        })
    }

    /// The right to destroy what a plan names.
    ///
    /// # Errors
    /// If two persons have not approved it, or something keeps the evidence at `now`.
    pub fn warrant(&self, plan: &Digest, now: Time) -> Result<Warrant, Refusal> {
        let found = self.plans.get(plan).filter(|found| found.approved.is_some());
        let found = found.ok_or(Refusal::NotApproved)?;
        self.refuse_if_kept(now)?;
        Ok(Warrant { plan: found.plan.clone() })
    }

    /// Judges the next entry. Changes nothing.
    ///
    /// # Errors
    /// Says why the entry is not valid. Judges only entries about disposal.
    pub fn judge(&self, fact: &Fact<'_>) -> Result<(), Refusal> {
        match fact.type_ {
            EntryType::DispositionApproved => self.judge_approval(fact),
            EntryType::DispositionExecuted => match fact.by {
                Some(Actor::Collector(_)) => {
                    self.refuse_if_kept(fact.time)?;
                    self.judge_gone(fact)
                }
                _ => Err(speaker(fact)),
            },
            EntryType::DispositionConfirmed => match fact.by {
                Some(Actor::Mirror(mirror)) if value(fact, "mirror") == Some(mirror.as_str()) => {
                    self.judge_gone(fact)
                }
                _ => Err(speaker(fact)),
            },
            _ => Ok(()),
        }
    }

    fn judge_approval(&self, fact: &Fact<'_>) -> Result<(), Refusal> {
        let Some(Actor::Person(person)) = fact.by else {
            return Err(speaker(fact));
        };
        self.refuse_if_kept(fact.time)?;
        let (digest, count) = (digest(fact, "plan")?, number(fact, "count")?);
        let before = self.plans.get(&digest);
        if before.is_some_and(|found| found.approved.is_some()) {
            return Err(Refusal::ApprovedBefore);
        }
        if count < self.changed || count > self.next {
            return Err(Refusal::Stale);
        }
        let plan = self.plan(count);
        if plan.digest() != digest {
            return Err(Refusal::Stale);
        }
        if plan.objects().is_empty() {
            return Err(Refusal::Empty);
        }
        match before.map_or(&[][..], |found| found.approvals.as_slice()) {
            [] => Ok(()),
            [first] if first.person == *person => Err(Refusal::SamePerson { person: person.clone() }),
            [first] if first.is_approver || fact.is_approver => Ok(()),
            [_] => Err(Refusal::NoApprover),
            _ => Err(Refusal::ApprovedBefore),
        }
    }

    fn judge_gone(&self, fact: &Fact<'_>) -> Result<(), Refusal> {
        let (plan, object, place) = (digest(fact, "plan")?, object(fact)?, place(fact)?);
        let found = self.plans.get(&plan).filter(|found| found.approved.is_some());
        let found = found.ok_or(Refusal::NotApproved)?;
        if !found.plan.names(&object) {
            return Err(Refusal::NotNamed { object });
        }
        number(fact, "count")?;
        if self.is_gone(&plan, &object, &place) {
            return Err(Refusal::GoneBefore { object, place });
        }
        Ok(())
    }

    /// Counts an entry that broke a rule, and takes nothing else of it.
    pub const fn pass(&mut self) {
        self.next += 1;
    }

    /// Takes the next entry. It must have been judged before.
    pub fn apply(&mut self, fact: &Fact<'_>) {
        use EntryType as T;
        let seq = self.next;
        self.next += 1;
        match fact.detail {
            Some(reason) if fact.type_ == T::DispositionApproved => {
                self.reasons.insert(reason);
            }
            Some(text) => {
                self.details.insert((text, seq));
            }
            None => {}
        }
        let name = fact.type_.as_str();
        if ["collection.", "incident.", "intake.", "order."].iter().any(|room| name.starts_with(room)) {
            self.changed = self.next;
        }
        match fact.type_ {
            T::IncidentClosed => self.is_closed = true,
            T::IncidentOpened | T::IncidentReopened => self.is_closed = false,
            T::HoldPlaced => {
                self.holds.insert(fact.event);
            }
            T::HoldReleased => {
                if let Ok(hold) = digest(fact, "hold") {
                    self.holds.remove(&hold);
                }
            }
            T::RetentionChanged => self.until = value(fact, "until").and_then(|until| until.parse().ok()),
            T::CollectionStarted => {
                self.collections.extend(digest(fact, "collection").ok().map(|id| (seq, id)));
            }
            T::CollectionStored => {
                self.copies.extend(digest(fact, "collection").ok().zip(number(fact, "copies").ok()));
            }
            T::EvidenceReplicated => {
                let mirror = value(fact, "mirror").and_then(|mirror| mirror.parse().ok());
                self.stated.extend(digest(fact, "collection").ok().zip(mirror));
            }
            T::DispositionApproved => self.approve(fact, seq),
            T::DispositionExecuted | T::DispositionConfirmed => {
                if let (Ok(plan), Ok(object), Ok(place), Ok(count)) =
                    (digest(fact, "plan"), object(fact), place(fact), number(fact, "count"))
                {
                    let (time, index) = (fact.time, fact.index);
                    self.gone.push(Left { plan, object, place, count, time, index });
                }
            }
            _ => {}
        }
    }

    fn approve(&mut self, fact: &Fact<'_>, seq: u64) {
        let (Some(Actor::Person(person)), Ok(digest), Ok(count)) =
            (fact.by, digest(fact, "plan"), number(fact, "count"))
        else {
            return;
        };
        let plan = self.plan(count);
        let proposed = self.plans.entry(digest).or_insert_with(|| Proposed {
            plan,
            approvals: Vec::new(),
            approved: None,
        });
        proposed.approvals.push(Approval {
            person: person.clone(),
            is_approver: fact.is_approver,
            time: fact.time,
            index: fact.index,
        });
        if proposed.approvals.len() == 2 {
            proposed.approved = Some((seq, fact.index));
            // This plan's objects are destroyed from now on. Another plan made before this entry would name them twice.
            self.changed = self.next;
        }
    }
}

fn value<'a>(fact: &Fact<'a>, name: &str) -> Option<&'a str> {
    pairs::find(fact.refs, name)
}

fn digest(fact: &Fact<'_>, what: &'static str) -> Result<Digest, Refusal> {
    let found = value(fact, what).and_then(|text| Digest::from_hex(text).ok());
    found.ok_or(Refusal::Malformed { what })
}

fn number(fact: &Fact<'_>, what: &'static str) -> Result<u64, Refusal> {
    let found = value(fact, what).and_then(decimal);
    found.ok_or(Refusal::Malformed { what })
}

fn object(fact: &Fact<'_>) -> Result<Object, Refusal> {
    value(fact, "object").ok_or(Refusal::Malformed { what: "object" })?.parse()
}

fn place(fact: &Fact<'_>) -> Result<Place, Refusal> {
    let store = value(fact, "store").map(|store| Place::Store(store.to_owned()));
    let mirror = || value(fact, "mirror").and_then(|mirror| mirror.parse().ok().map(Place::Mirror));
    store.or_else(mirror).ok_or(Refusal::Malformed { what: "store" })
}

fn speaker(fact: &Fact<'_>) -> Refusal {
    Refusal::Speaker { by: fact.by.map_or_else(|| "nobody".to_owned(), ToString::to_string) }
}
