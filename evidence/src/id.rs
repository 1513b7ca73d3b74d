//! Names of things: deployments, endpoints, persons, collectors, mirrors, incidents, actors.
//! Guarantee: a name that parses is safe in a path, a URI, a certificate and an allowed_signers line.
//! Not here: which names exist (roster, server).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::{decimal, serde_as_text};

/// Longest name: 63 bytes, the longest DNS label, so that a name fits a certificate's host part.
pub const NAME_BYTES_MAX: usize = 63;

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let bytes = text.as_bytes();
    bytes.len() <= NAME_BYTES_MAX
        && bytes.iter().copied().all(inner)
        && edge(bytes.first())
        && edge(bytes.last())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_name(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Name) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", self.0)
            }
        }

        serde_as_text!($name);
    };
}

name! {
    /// One installation with its own authority and ledger.
    DeploymentId
}
name! {
    /// One machine that runs the agent; with a [`Generation`] it names one enrolment.
    EndpointId
}
name! {
    /// A person of the roster.
    PersonId
}
name! {
    /// A collector: the server that endpoints and responders talk to.
    CollectorId
}
name! {
    /// A backup server that mirrors evidence and co-signs the ledger.
    MirrorId
}

/// Which enrolment of an endpoint: 1 for the first, one more for each re-enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(NonZeroU32);

impl Generation {
    /// The first enrolment.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, at least 1.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The generation after this one; `None` past the last.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for Generation {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = decimal(text).and_then(|number| u32::try_from(number).ok());
        number.and_then(Self::new).ok_or(IdError::Generation)
    }
}

/// An incident: `INC-YYYY-NNNN`, the number with four to nine digits and no needless leading zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId {
    year: u16,
    number: u32,
}

impl IncidentId {
    /// `None` unless the year is 1970 to 9999 and the number at most 999,999,999.
    pub fn new(year: u16, number: u32) -> Option<Self> {
        ((1970..=9999).contains(&year) && number <= 999_999_999).then_some(Self { year, number })
    }

    /// The year in which it was opened.
    pub fn year(&self) -> u16 {
        self.year
    }

    /// The number within its year.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "INC-{:04}-{:04}", self.year, self.number)
    }
}

impl fmt::Debug for IncidentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for IncidentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (year, number) =
            text.strip_prefix("INC-").and_then(|rest| rest.split_once('-')).ok_or(IdError::Incident)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if year.len() != 4 || !digits(year) || !(4..=9).contains(&number.len()) || !digits(number) {
            return Err(IdError::Incident);
        }
        let (Ok(year), Ok(value)) = (year.parse(), number.parse()) else {
            return Err(IdError::Incident);
        };
        if number.len() > 4 && number.starts_with('0') {
            return Err(IdError::Incident);
        }
        Self::new(year, value).ok_or(IdError::Incident)
    }
}
serde_as_text!(IncidentId);

/// The chain an entry belongs to: an incident's, or the deployment's own (written as the empty string).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Entries about the deployment itself: rosters, endpoints, logins.
    Deployment,
    /// Entries about one incident.
    Incident(IncidentId),
}

impl Chain {
    /// The incident, if it is one's.
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Deployment => None,
            Self::Incident(incident) => Some(incident),
        }
    }
}

impl From<IncidentId> for Chain {
    fn from(incident: IncidentId) -> Self {
        Self::Incident(incident)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incident().map_or(Ok(()), |incident| incident.fmt(out))
    }
}

impl FromStr for Chain {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() { Ok(Self::Deployment) } else { text.parse().map(Self::Incident) }
    }
}
serde_as_text!(Chain);

/// The author of an act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The holders of the authority keys: `authority`.
    Authority,
    /// `collector:<id>`.
    Collector(CollectorId),
    /// `endpoint:<id>#<generation>`.
    Endpoint(EndpointId, Generation),
    /// `mirror:<id>`.
    Mirror(MirrorId),
    /// `person:<id>`.
    Person(PersonId),
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => out.write_str("authority"),
            Self::Collector(id) => write!(out, "collector:{id}"),
            Self::Endpoint(id, generation) => write!(out, "endpoint:{id}#{generation}"),
            Self::Mirror(id) => write!(out, "mirror:{id}"),
            Self::Person(id) => write!(out, "person:{id}"),
        }
    }
}

impl FromStr for Actor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == "authority" {
            return Ok(Self::Authority);
        }
        let (kind, id) = text.split_once(':').ok_or(IdError::Actor)?;
        match kind {
            "collector" => id.parse().map(Self::Collector),
            "endpoint" => {
                let (id, generation) = id.split_once('#').ok_or(IdError::Actor)?;
                Ok(Self::Endpoint(id.parse()?, generation.parse()?))
            }
            "mirror" => id.parse().map(Self::Mirror),
            "person" => id.parse().map(Self::Person),
            _ => Err(IdError::Actor),
        }
    }
}
serde_as_text!(Actor);

/// A text that names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is not an actor.
    #[error("not an actor such as person:ada or endpoint:web-03#1")]
    Actor,
    /// The text is not a generation.
    #[error("not a generation: a whole number from 1")]
    Generation,
    /// The text is not an incident id.
    #[error("not an incident id such as INC-2026-0007")]
    Incident,
    /// The text is not a name.
    #[error("not a name: 1 to 63 of a-z 0-9 . - that begin and end with a letter or digit")]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_grammar() {
        for good in ["a", "0", "web-03", "db.example.org", &"a".repeat(63), "a--b", "a..b"] {
            assert_eq!(good.parse::<EndpointId>().unwrap().as_str(), good);
        }
        for wrong in
            ["", "-a", "a-", ".a", "a.", "A", "a_b", "a b", "a/b", "ä", "a\n", "a\0", &"a".repeat(64)]
        {
            assert_eq!(wrong.parse::<EndpointId>(), Err(IdError::Name), "{wrong:?}");
        }
    }

    #[test]
    fn incidents_have_one_spelling() {
        for good in
            ["INC-2026-0007", "INC-2026-0000", "INC-1970-9999", "INC-9999-10000", "INC-2026-999999999"]
        {
            assert_eq!(good.parse::<IncidentId>().unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "INC-2026-7",
            "inc-2026-0007",
            "INC-26-0007",
            "INC-2026-00007",
            "INC-2026-0007 ",
            "INC-2026-+007",
            "INC-1969-0001",
            "INC-2026-1234567890",
            "INC-2026-000a",
        ] {
            assert_eq!(wrong.parse::<IncidentId>(), Err(IdError::Incident), "{wrong:?}");
        }
        assert_eq!("".parse(), Ok(Chain::Deployment));
        assert_eq!(Chain::Deployment.to_string(), "");
    }

    #[test]
    fn actors_round_trip_and_nothing_else_is_one() {
        for good in ["authority", "person:ada", "endpoint:web-03#12", "collector:c1", "mirror:m.1"] {
            assert_eq!(good.parse::<Actor>().unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "person",
            "person:",
            "person:Ada",
            "endpoint:web-03",
            "endpoint:web-03#0",
            "endpoint:web-03#01",
            "endpoint:web-03#4294967296",
            "authority:x",
            "robot:a",
        ] {
            assert!(wrong.parse::<Actor>().is_err(), "{wrong:?}");
        }
    }
}
