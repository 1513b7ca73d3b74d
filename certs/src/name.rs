//! The one identity form: `exhibit://<deployment>/<kind>/<id>[/<generation>]`, a certificate's URI alternative name.
//!
//! Guarantee: one identity has one text. A text that differs by a byte is another identity or none. Not here: whether it exists.

use std::fmt;
use std::str::FromStr;

use evidence::id::{Actor, CollectorId, DeploymentId, EndpointId, Generation, IdError, MirrorId, PersonId};

/// A subject and its deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The deployment whose authority vouches.
    pub deployment: DeploymentId,
    /// The subject within the deployment.
    pub subject: Subject,
}

/// An identity within a deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A machine that runs the agent.
    Endpoint {
        id: EndpointId,
        /// Which enrolment of the slot.
        generation: Generation,
    },
    /// A server that endpoints and people talk to.
    Collector(CollectorId),
    /// A backup server.
    Mirror(MirrorId),
    /// A person of the roster.
    Person(PersonId),
}

/// The kind of a [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// See [`Subject::Endpoint`].
    Endpoint,
    /// See [`Subject::Collector`].
    Collector,
    /// See [`Subject::Mirror`].
    Mirror,
    /// See [`Subject::Person`].
    Person,
}

/// A text that is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text has another scheme, kind or number of parts.
    #[error("not an identity such as exhibit://acme/endpoint/web-03/1")]
    Form,
    /// A part is not the id it should be.
    #[error("an identity with a wrong part")]
    Part(#[from] IdError),
}

impl Identity {
    /// `subject` of `deployment`.
    #[must_use]
    pub const fn new(deployment: DeploymentId, subject: Subject) -> Self {
        Self { deployment, subject }
    }
}

impl Subject {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Endpoint { .. } => Kind::Endpoint,
            Self::Collector(_) => Kind::Collector,
            Self::Mirror(_) => Kind::Mirror,
            Self::Person(_) => Kind::Person,
        }
    }

    /// Its id, without an endpoint's generation.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Endpoint { id, .. } => id.as_str(),
            Self::Collector(id) => id.as_str(),
            Self::Mirror(id) => id.as_str(),
            Self::Person(id) => id.as_str(),
        }
    }

    /// The same as documents write it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Endpoint { id, generation } => Actor::Endpoint(id.clone(), *generation),
            Self::Collector(id) => Actor::Collector(id.clone()),
            Self::Mirror(id) => Actor::Mirror(id.clone()),
            Self::Person(id) => Actor::Person(id.clone()),
        }
    }
}

impl Kind {
    /// Its word in the identity.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Collector => "collector",
            Self::Mirror => "mirror",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "exhibit://{}/{}/{}", self.deployment, self.subject.kind(), self.subject.id())?;
        match &self.subject {
            Subject::Endpoint { generation, .. } => write!(out, "/{generation}"),
            Subject::Collector(_) | Subject::Mirror(_) | Subject::Person(_) => Ok(()),
        }
    }
}

impl FromStr for Identity {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest = text.strip_prefix("exhibit://").ok_or(NameError::Form)?;
        let parts: Vec<&str> = rest.split('/').take(5).collect();
        let (deployment, subject) = match parts.as_slice() {
            [deployment, "endpoint", id, generation] => {
                (deployment, Subject::Endpoint { id: id.parse()?, generation: generation.parse()? })
            }
            [deployment, "collector", id] => (deployment, Subject::Collector(id.parse()?)),
            [deployment, "mirror", id] => (deployment, Subject::Mirror(id.parse()?)),
            [deployment, "person", id] => (deployment, Subject::Person(id.parse()?)),
            _ => return Err(NameError::Form),
        };
        Ok(Self { deployment: deployment.parse()?, subject })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_text() {
        for (text, actor) in [
            ("exhibit://acme/endpoint/web-03/1", "endpoint:web-03#1"),
            ("exhibit://acme/endpoint/web-03/4294967295", "endpoint:web-03#4294967295"),
            ("exhibit://a.b-c/collector/c1", "collector:c1"),
            ("exhibit://acme/mirror/vault.example", "mirror:vault.example"),
            ("exhibit://acme/person/ada", "person:ada"),
        ] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!(identity.to_string(), text);
            assert_eq!(identity.subject.actor().to_string(), actor);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "exhibit://",
            "exhibit://acme",
            "exhibit://acme/person",
            "exhibit://acme/person/",
            "exhibit://acme/person/ada/",
            "exhibit://acme/person/ada/1",
            "exhibit://acme/person/Ada",
            "exhibit://acme/person/ada ",
            "exhibit://acme/person/ad%61",
            "exhibit://acme/person/ada?x",
            "exhibit://acme/person/ada#1",
            "exhibit:///person/ada",
            "exhibit://acme:1/person/ada",
            "exhibit://u@acme/person/ada",
            "Exhibit://acme/person/ada",
            "https://acme/person/ada",
            "exhibit://acme/Person/ada",
            "exhibit://acme/robot/ada",
            "exhibit://acme/endpoint/web-03",
            "exhibit://acme/endpoint/web-03/",
            "exhibit://acme/endpoint/web-03/0",
            "exhibit://acme/endpoint/web-03/01",
            "exhibit://acme/endpoint/web-03/+1",
            "exhibit://acme/endpoint/web-03/1/1",
            "exhibit://acme/endpoint/web-03/1/1/1/1",
            "exhibit://acme/endpoint/web-03/4294967296",
            "exhibit://acme/endpoint/../1",
            "exhibit://acme//web-03/1",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text:?}");
        }
    }
}
