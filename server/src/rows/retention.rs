//! What keeps the evidence of an incident: legal holds, retention, and an incident that is still open.
//!
//! Guarantee: all code that may remove or lock something uses this one judgement. It is made inside the
//! caller's transaction, so that a recorded hold counts at once. Not here: removing anything.

use evidence::digest::Digest;
use evidence::disposal::Refusal;
use evidence::entry::act::Act;
use evidence::entry::state::IncidentState;
use evidence::id::IncidentId;
use evidence::time::Time;
use proto::status::Class;
use rusqlite::Connection;

use crate::rows::condition::Denied;
use crate::rows::holds::{self, HoldRow};
use crate::rows::{self, DbError};

/// The facts that prevent the disposal of an incident's evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The incident is open.
    pub(crate) is_open: bool,
    /// Holds in force, oldest first.
    pub(crate) holds: Vec<HoldRow>,
    /// The time until which the evidence must be kept. `None` means without end.
    pub(crate) until: Option<Time>,
}

impl Standing {
    /// The state in the database; `None` if there is no such incident.
    ///
    /// # Errors
    /// An error of the database, or a malformed time in it.
    pub(crate) fn of(reader: &Connection, incident: &IncidentId) -> Result<Option<Self>, DbError> {
        let Some(row) = rows::incidents::at(reader, incident)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            is_open: row.state == IncidentState::Open,
            holds: holds::standing(reader, incident)?,
            until: holds::retention(reader, incident)?,
        }))
    }

    /// Checks whether evidence may be destroyed now.
    ///
    /// # Errors
    /// The first reason why the evidence is kept. A hold comes before all others.
    pub(crate) fn may_dispose(&self, now: Time) -> Result<(), Refusal> {
        if let Some(first) = self.holds.first() {
            return Err(Refusal::Held { count: self.holds.len(), first: first.hold });
        }
        if self.is_open {
            return Err(Refusal::Open);
        }
        match self.until {
            None => Err(Refusal::WithoutEnd),
            Some(until) if now < until => Err(Refusal::Until { until }),
            Some(_) => Ok(()),
        }
    }

    /// Checks whether a store may lock an object of this incident until `locked`, if nobody could undo
    /// the lock.
    ///
    /// # Errors
    /// [`LockOutlasts`] if the lock would still be in force after the retention has ended.
    pub(crate) fn may_lock(&self, locked: Time) -> Result<(), LockOutlasts> {
        match self.until {
            Some(until) if locked > until => Err(LockOutlasts { locked, until }),
            _ => Ok(()),
        }
    }
}

/// Whether nothing keeps the evidence of an incident.
pub(crate) fn may_be_destroyed(
    reader: &Connection,
    incident: &IncidentId,
    now: Time,
) -> Result<bool, DbError> {
    Ok(Standing::of(reader, incident)?.is_some_and(|standing| standing.may_dispose(now).is_ok()))
}

/// A lock that would still be in force when the evidence must be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lock until {locked} outlasts the incident's retention, which ends {until}")]
pub(crate) struct LockOutlasts {
    /// The time until which it would be in force.
    pub(crate) locked: Time,
    /// The time until which the incident keeps its evidence.
    pub(crate) until: Time,
}

/// The guard of `hold.placed`, `hold.released` and `retention.changed`, for the transaction that records the act.
///
/// # Errors
/// A refusal if there is no such incident, or no such hold in force.
pub(crate) fn guard(tx: &Connection, incident: &IncidentId, change: &Change) -> Result<(), Denied> {
    let Some(standing) = Standing::of(tx, incident)? else {
        return Err(Denied::no(Class::Missing, format!("there is no incident {incident}")));
    };
    match change {
        Change::Other => Ok(()),
        Change::Release(hold) if standing.holds.iter().any(|row| row.hold == *hold) => Ok(()),
        Change::Release(hold) => {
            Err(Denied::no(Class::Precondition, format!("no hold {hold} stands on {incident}")))
        }
    }
}

/// What an act changes, as far as its guard needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A hold ends.
    Release(Digest),
    /// A hold begins or the retention changes. Both are always possible.
    Other,
}

impl Change {
    /// Reads the change from an act whose refs are those of its type.
    #[must_use]
    pub(crate) fn of(act: &Act) -> Self {
        let hold = act.reference("hold").and_then(|hold| hold.parse().ok());
        hold.map_or(Self::Other, Self::Release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn hold(number: u8) -> HoldRow {
        HoldRow {
            hold: Digest([number; 32]),
            placed: time("2026-01-01T00:00:00.000Z"),
            by: "person:ada".parse().unwrap(),
            reason: None,
        }
    }

    #[test]
    fn evidence_goes_only_from_a_closed_incident_without_hold_whose_time_has_come() {
        let (before, until, after) = (
            time("2029-12-31T23:59:59.999Z"),
            time("2030-01-01T00:00:00.000Z"),
            time("2031-01-01T00:00:00.000Z"),
        );
        let free = Standing { is_open: false, holds: Vec::new(), until: Some(until) };
        assert_eq!(free.may_dispose(after), Ok(()));
        assert_eq!(free.may_dispose(until), Ok(()));
        assert_eq!(free.may_dispose(before), Err(Refusal::Until { until }));
        let open = Standing { is_open: true, ..free.clone() };
        assert_eq!(open.may_dispose(after), Err(Refusal::Open));
        let endless = Standing { until: None, ..free.clone() };
        assert_eq!(endless.may_dispose(after), Err(Refusal::WithoutEnd));
        for standing in [free, open, endless] {
            let held = Standing { holds: vec![hold(1), hold(2)], ..standing };
            let first = Digest([1; 32]);
            assert_eq!(held.may_dispose(after), Err(Refusal::Held { count: 2, first }));
        }
    }

    #[test]
    fn a_lock_may_not_outlast_the_retention() {
        let until = time("2030-01-01T00:00:00.000Z");
        let standing = Standing { is_open: true, holds: Vec::new(), until: Some(until) };
        standing.may_lock(until).unwrap();
        let locked = time("2030-01-01T00:00:00.001Z");
        assert_eq!(standing.may_lock(locked), Err(LockOutlasts { locked, until }));
        // The evidence is kept without end, so no lock is longer.
        Standing { until: None, ..standing }.may_lock(locked).unwrap();
    }
}
