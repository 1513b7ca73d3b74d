//! `hold-*`, `disposal-*`: what keeps an incident's evidence, and which plans destroy it. `evidence::disposal` judges; the numbers
//! are here.

use std::collections::BTreeMap;

use evidence::disposal::{Course, Fact, Refusal};
use evidence::entry::act::Act as ActV1;
use evidence::entry::{EntryType, Envelope};
use evidence::id::IncidentId;
use evidence::roster::Role;

use crate::act::Act;
use crate::entry::value;
use crate::rule::{Broken, RuleId, must, must_hold};
use crate::{Case, State};

/// The courses of all incidents: 40 bytes for each text and collection.
pub type Courses = BTreeMap<IncidentId, Course>;

/// An entry of an incident that was judged and is about to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    index: u64,
    envelope: Envelope,
    act: Option<ActV1>,
    is_approver: bool,
}

impl Next {
    fn fact(&self) -> Fact<'_> {
        Fact::of(self.index, &self.envelope, self.act.as_ref(), self.is_approver)
    }
}

impl State {
    /// The courses of all incidents.
    #[must_use]
    pub const fn courses(&self) -> &Courses {
        &self.courses
    }

    /// Judges an entry of an incident. `None` for an entry of the deployment's chain.
    pub(crate) fn course(&self, case: &Case<'_>, act: &Act) -> Result<Option<Next>, Broken> {
        let Some(incident) = case.envelope.incident.incident() else {
            return Ok(None);
        };
        let is_approver = match act {
            Act::Person(_, person, key) if case.envelope.type_ == EntryType::DispositionApproved => {
                let roster = self.roster.as_ref().map(|published| &published.roster);
                roster.is_some_and(|roster| roster.speaks_for(key, person, &[Role::Approver]))
            }
            _ => false,
        };
        let (index, envelope) = (case.at.index, case.envelope.clone());
        let next = Next { index, envelope, act: act.plain().cloned(), is_approver };
        let fact = next.fact();
        let new;
        let course = match self.courses.get(incident) {
            Some(course) => course,
            None => {
                new = Course::new(self.pins.deployment.clone(), incident.clone());
                &new
            }
        };
        if case.envelope.type_ == EntryType::HoldReleased {
            let hold = value(case.envelope, "hold")?;
            must(RuleId::Hold2, course.has_hold(&hold), "no such hold stands in the incident")?;
        }
        if case.envelope.type_ == EntryType::DispositionApproved {
            let here = self.collections.values().filter(|one| one.incident == case.envelope.incident);
            let mut running = here.filter(|one| one.stored.is_none() && !one.has_ended);
            must(RuleId::Disposal8, running.next().is_none(), "a collection of the incident is running")?;
        }
        let judged = course.judge(&fact);
        let rule = judged.as_ref().err().map_or(RuleId::Disposal1, |refusal| rule_of(refusal, course, &fact));
        must_hold(rule, judged)?;
        Ok(Some(next))
    }

    pub(crate) fn go_on(&mut self, next: &Next) {
        if let Some(course) = self.course_of(&next.envelope) {
            course.apply(&next.fact());
        }
    }

    /// Counts an entry that broke a rule. Plans name the number of entries before them.
    pub(crate) fn pass_course(&mut self, envelope: &Envelope) {
        if let Some(course) = self.course_of(envelope) {
            course.pass();
        }
    }

    /// The course of an entry's incident. `None` for an entry of the deployment's chain.
    fn course_of(&mut self, envelope: &Envelope) -> Option<&mut Course> {
        let incident = envelope.incident.incident()?;
        let deployment = &self.pins.deployment;
        let new = || Course::new(deployment.clone(), incident.clone());
        Some(self.courses.entry(incident.clone()).or_insert_with(new))
    }
}

fn rule_of(refusal: &Refusal, course: &Course, fact: &Fact<'_>) -> RuleId {
    match refusal {
        Refusal::Held { .. } | Refusal::Open | Refusal::WithoutEnd | Refusal::Until { .. } => {
            if fact.type_ == EntryType::DispositionExecuted { RuleId::Disposal9 } else { RuleId::Disposal1 }
        }
        Refusal::ApprovedBefore => RuleId::Disposal2,
        Refusal::Stale => stale(course, fact),
        Refusal::Empty => RuleId::Disposal5,
        Refusal::SamePerson { .. } => RuleId::Disposal6,
        Refusal::NoApprover => RuleId::Disposal7,
        Refusal::NotApproved | Refusal::NotNamed { .. } => RuleId::Disposal10,
        Refusal::GoneBefore { .. } => RuleId::Disposal11,
        Refusal::Speaker { .. } => RuleId::Mirror6,
        // A ref in another form.
        _ => RuleId::Entry4,
    }
}

/// The plan differs, or it is the plan of these entries but entries came after it.
fn stale(course: &Course, fact: &Fact<'_>) -> RuleId {
    let named = |name| evidence::entry::pairs::find(fact.refs, name);
    let count = named("count").and_then(|count| count.parse().ok());
    let is_same = count.is_some_and(|count| {
        count <= course.len() && Some(course.plan(count).digest().to_string().as_str()) == named("plan")
    });
    if is_same { RuleId::Disposal3 } else { RuleId::Disposal4 }
}
