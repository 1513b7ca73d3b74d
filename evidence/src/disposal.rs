//! Disposal of an incident's evidence: what its chain must say before anything may be destroyed (docs/spec/ledger.md, *Disposal*).
//! Guarantee: a [`Warrant`] exists only for a plan that two persons approved, one of them an approver, and only while nothing keeps the
//! evidence. Everybody who folds the same chain gets the same answer. Not here: signatures of acts, which each reader checks before it
//! folds; removing anything (stores).

mod approval;
mod copies;
mod course;
mod destruction;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::entry::act::Act;
use crate::entry::{EntryType, Envelope};
use crate::id::{Actor, DeploymentId, IncidentId, PersonId};
use crate::time::Time;

pub use approval::Approved;
pub use copies::{Claim, text_stays};
pub use course::Course;
pub use destruction::{Destruction, DestructionType, Gone, Party, PlanRecord, Waiting};

/// One entry of an incident's chain, as far as disposal needs it.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// Index in the log.
    pub index: u64,
    /// Collector's time.
    pub time: Time,
    pub type_: EntryType,
    pub event: Digest,
    /// Refs of the envelope.
    pub refs: &'a [(String, String)],
    /// The actor; `None` if the act is not an `exhibit-act-v1`.
    pub by: Option<&'a Actor>,
    /// The text that the act names.
    pub detail: Option<Digest>,
    /// True if the actor is a person who held the role `approver` then.
    pub is_approver: bool,
}

impl<'a> Fact<'a> {
    /// Makes a fact of an entry with its act, if that is an `exhibit-act-v1`.
    #[must_use]
    pub fn of(index: u64, envelope: &'a Envelope, act: Option<&'a Act>, is_approver: bool) -> Self {
        Self {
            index,
            time: envelope.time,
            type_: envelope.type_,
            event: envelope.event,
            refs: &envelope.refs,
            by: act.map(|act| &act.by),
            detail: act.and_then(|act| act.detail),
            is_approver,
        }
    }
}

/// Something that goes as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// Segments, seals and quarantined bytes of a collection: `<collection>/evidence`.
    Collection(Digest),
    /// The texts that a plan names: `<incident>/details`.
    Details(IncidentId),
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection(id) => write!(out, "{id}/evidence"),
            Self::Details(incident) => write!(out, "{incident}/details"),
        }
    }
}

impl FromStr for Object {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let object = match text.split_once('/') {
            Some((id, "evidence")) => Digest::from_hex(id).ok().map(Self::Collection),
            Some((incident, "details")) => incident.parse().ok().map(Self::Details),
            _ => None,
        };
        object.ok_or(Refusal::Malformed { what: "object" })
    }
}

/// The objects to destroy, from the entries `from..count` of an incident's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub deployment: DeploymentId,
    pub incident: IncidentId,
    /// First entry that it considers. An earlier plan destroyed the objects that earlier entries name.
    pub from: u64,
    /// Just past the last entry that it considers.
    pub count: u64,
    /// Collections that these entries began.
    pub collections: BTreeSet<Digest>,
    /// Texts that these entries' acts name.
    pub details: BTreeSet<Digest>,
}

impl Plan {
    /// The plan as text. Each approver's signature is about this text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "exhibit-disposition-v1\ndeployment {}\nincident {}\nentries {} {}\n",
            self.deployment, self.incident, self.from, self.count
        );
        for id in &self.collections {
            text.push_str(&format!("collection {id}\n"));
        }
        for id in &self.details {
            text.push_str(&format!("detail {id}\n"));
        }
        text
    }

    /// Its digest: what approvals name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// Parses the one form that [`Plan::text`] writes.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::Malformed { what: "plan" };
        let mut lines = text.lines();
        let mut value = |name: &str| {
            let line = lines.next().ok_or_else(wrong)?;
            let rest = line.strip_prefix(name).ok_or_else(wrong)?;
            Ok::<_, Refusal>(rest.trim_start_matches(' ').to_owned())
        };
        value("exhibit-disposition-v1")?;
        let deployment = value("deployment")?.parse().map_err(|_other_form| wrong())?;
        let incident = value("incident")?.parse().map_err(|_other_form| wrong())?;
        let entries = value("entries")?;
        let (from, count) = entries.split_once(' ').ok_or_else(wrong)?;
        let mut plan = Self {
            deployment,
            incident,
            from: crate::text::decimal(from).ok_or_else(wrong)?,
            count: crate::text::decimal(count).ok_or_else(wrong)?,
            collections: BTreeSet::new(),
            details: BTreeSet::new(),
        };
        for line in lines {
            let (set, id) = match line.split_once(' ') {
                Some(("collection", id)) => (&mut plan.collections, id),
                Some(("detail", id)) => (&mut plan.details, id),
                _ => return Err(wrong()),
            };
            set.insert(Digest::from_hex(id).map_err(|_not_hex| wrong())?);
        }
        if plan.text() == text { Ok(plan) } else { Err(wrong()) }
    }

    /// The objects to destroy, each as a whole. Texts come last, so that the reasons stay readable while evidence waits.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        let collections = self.collections.iter().copied().map(Object::Collection);
        let details = (!self.details.is_empty()).then(|| Object::Details(self.incident.clone()));
        collections.chain(details).collect()
    }

    /// True when it names this object.
    #[must_use]
    pub fn names(&self, object: &Object) -> bool {
        match object {
            Object::Collection(id) => self.collections.contains(id),
            Object::Details(incident) => *incident == self.incident && !self.details.is_empty(),
        }
    }
}

/// The right to destroy now what a plan names. Only [`Course::warrant`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    plan: Plan,
}

impl Warrant {
    /// The plan behind it.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// True if evidence of this collection may be destroyed.
    #[must_use]
    pub fn covers_collection(&self, id: &[u8; 32]) -> bool {
        self.plan.collections.contains(&Digest(*id))
    }

    /// True if this text may be destroyed.
    #[must_use]
    pub fn covers_detail(&self, digest: &[u8; 32]) -> bool {
        self.plan.details.contains(&Digest(*digest))
    }
}

/// Why something may not be destroyed, or an entry about it is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// By a legal hold.
    #[error("under legal hold; {count} stand, {first} for one")]
    Held {
        count: usize,
        /// Event id of one of them.
        first: Digest,
    },
    /// The incident goes on.
    #[error("the incident is open")]
    Open,
    /// Nobody has set a retention.
    #[error("no retention is set")]
    WithoutEnd,
    /// Its time has not come.
    #[error("it is kept until {until}")]
    Until { until: Time },
    /// The plan does not name exactly the objects that there are.
    #[error(
        "the plan is not what the incident's chain holds: entries came after it, or it names something else. Propose again"
    )]
    Stale,
    /// There is nothing to dispose of.
    #[error("the plan names nothing")]
    Empty,
    /// The same person again.
    #[error("{person} has approved this plan; the second approval is another person's")]
    SamePerson { person: PersonId },
    /// Neither of the two persons is an approver.
    #[error("neither of the two persons has the role approver")]
    NoApprover,
    /// It has its two approvals.
    #[error("the plan is approved by two persons already")]
    ApprovedBefore,
    /// It has not.
    #[error("the plan is not approved by two persons")]
    NotApproved,
    /// The plan does not name it.
    #[error("the approved plan does not name {object}")]
    NotNamed { object: Object },
    /// It was recorded before.
    #[error("{object} was recorded as gone from {place} before")]
    GoneBefore { object: Object, place: Place },
    /// Somebody speaks for another.
    #[error("recorded in the name of {by}, who does not speak for that")]
    Speaker { by: String },
    /// A ref has another form.
    #[error("{what} is not in its form")]
    Malformed { what: &'static str },
}

/// Where a copy was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A store of the collector, by its id.
    Store(String),
    Mirror(crate::id::MirrorId),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(id) => write!(out, "store:{id}"),
            Self::Mirror(id) => write!(out, "mirror:{id}"),
        }
    }
}

#[cfg(test)]
mod tests;
