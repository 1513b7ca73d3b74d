//! The connected peers and the deny list, under one lock, so that a revocation and a new connection cannot miss
//! each other.
//!
//! Guarantee: after [`Registry::revoke`] returns, no connection that it concerns is alive or will be accepted.
//! Not here: why a peer is revoked. The list is a projection of the ledger, which the server fills again at start.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evidence::id::{EndpointId, Generation};
use tokio_util::sync::CancellationToken;

use crate::certificate::{Leaf, Serial};
use crate::connection::PeerInfo;
use crate::name::Subject;

/// The access to take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    Serial(Serial),
    /// Every certificate of exactly this subject: a person who left the roster, a retired generation.
    Subject(Subject),
    /// Every generation of an endpoint before this one, which has enrolled.
    EndpointBefore(EndpointId, Generation),
}

/// Live connections and the deny list.
pub struct Registry {
    connections_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    serials: BTreeSet<Serial>,
    subjects: BTreeSet<Subject>,
    endpoints: BTreeMap<EndpointId, Generation>,
    live: BTreeMap<u64, Live>,
    next: u64,
}

struct Live {
    peer: Option<Arc<PeerInfo>>,
    closed: CancellationToken,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// On the deny list.
    #[error("the certificate is revoked")]
    Revoked,
    /// This collector has as many connections as it accepts.
    #[error("too many connections")]
    Full,
}

impl State {
    fn denies(&self, serial: &Serial, subject: &Subject) -> bool {
        let superseded = match subject {
            Subject::Endpoint { id, generation } => {
                self.endpoints.get(id).is_some_and(|live| generation < live)
            }
            Subject::Collector(_) | Subject::Mirror(_) | Subject::Person(_) => false,
        };
        superseded || self.serials.contains(serial) || self.subjects.contains(subject)
    }
}

impl Registry {
    /// An empty registry that holds at most `connections_max` connections.
    #[must_use]
    pub fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, state: Mutex::default() })
    }

    /// Takes access away from now on. Returns how many connections were cut.
    pub fn revoke(&self, revocation: Revocation) -> usize {
        let mut state = self.state();
        match revocation {
            Revocation::Serial(serial) => {
                state.serials.insert(serial);
            }
            Revocation::Subject(subject) => {
                state.subjects.insert(subject);
            }
            Revocation::EndpointBefore(id, generation) => {
                let lowest = state.endpoints.entry(id).or_insert(generation);
                *lowest = generation.max(*lowest);
            }
        }
        cut(&state, |peer| state.denies(&peer.serial, &peer.identity.subject))
    }

    /// Gives access back to a subject: a person who is in the roster again. Serials and generations stay revoked.
    pub fn restore(&self, subject: &Subject) {
        self.state().subjects.remove(subject);
    }

    /// True if this certificate is on the deny list.
    #[must_use]
    pub fn denies(&self, leaf: &Leaf) -> bool {
        self.state().denies(&leaf.serial, &leaf.identity.subject)
    }

    /// The connected peers, one element for each connection.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<PeerInfo>> {
        self.state().live.values().filter_map(|live| live.peer.clone()).collect()
    }

    /// The number of connections, including those without a certificate.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().live.len()
    }

    /// Cuts the connections of `subject`, which may come back. Returns how many there were.
    pub fn cut(&self, subject: &Subject) -> usize {
        cut(&self.state(), |peer| peer.identity.subject == *subject)
    }

    /// Cuts every connection: the end of a shutdown. Returns how many there were.
    pub fn cut_all(&self) -> usize {
        let state = self.state();
        state.live.values().for_each(|live| live.closed.cancel());
        state.live.len()
    }

    /// Registers a connection, or refuses it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        leaf: Option<Leaf>,
        address: SocketAddr,
    ) -> Result<Registered, Refused> {
        let closed = CancellationToken::new();
        let mut state = self.state();
        if state.live.len() >= self.connections_max {
            return Err(Refused::Full);
        }
        let peer = match leaf {
            Some(leaf) if state.denies(&leaf.serial, &leaf.identity.subject) => return Err(Refused::Revoked),
            Some(leaf) => Some(Arc::new(PeerInfo::new(leaf, address, closed.clone()))),
            None => None,
        };
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.live.insert(number, Live { peer: peer.clone(), closed: closed.clone() });
        Ok(Registered { registry: Arc::clone(self), number, peer, closed })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is one insertion or removal, so a panic leaves nothing half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(state: &State, concerns: impl Fn(&PeerInfo) -> bool) -> usize {
    let concerned = state.live.values().filter(|live| live.peer.as_deref().is_some_and(&concerns));
    concerned.map(|live| live.closed.cancel()).count()
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Registry").field("live", &self.count()).finish_non_exhaustive()
    }
}

/// A connection's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Arc<Registry>,
    number: u64,
    pub(crate) peer: Option<Arc<PeerInfo>>,
    pub(crate) closed: CancellationToken,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Handlers that outlive their connection learn of its end.
        self.closed.cancel();
        self.registry.state().live.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::TlsKey;
    use evidence::time::Time;

    fn leaf(name: &str, serial: u8) -> Leaf {
        Leaf {
            identity: name.parse().unwrap(),
            serial: Serial([serial; 16]),
            fingerprint: [serial; 32],
            key: TlsKey::generate().unwrap().public(),
            not_before: Time::EPOCH,
            not_after: Time::MAX,
        }
    }

    fn admit(registry: &Arc<Registry>, name: &str, serial: u8) -> Result<Registered, Refused> {
        registry.admit(Some(leaf(name, serial)), ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn a_revoked_serial_cuts_its_connection_and_no_other() {
        let registry = Registry::new(9);
        let first = admit(&registry, "exhibit://a/person/ada", 1).unwrap();
        let second = admit(&registry, "exhibit://a/person/ada", 2).unwrap();
        assert_eq!(registry.revoke(Revocation::Serial(Serial([1; 16]))), 1);
        assert!(first.closed.is_cancelled() && !second.closed.is_cancelled());
        assert_eq!(admit(&registry, "exhibit://a/person/ada", 1).unwrap_err(), Refused::Revoked);
        admit(&registry, "exhibit://a/person/ada", 3).unwrap();
    }

    #[test]
    fn a_new_generation_ends_the_older_ones() {
        let registry = Registry::new(9);
        let old = admit(&registry, "exhibit://a/endpoint/web/1", 1).unwrap();
        let new = admit(&registry, "exhibit://a/endpoint/web/2", 2).unwrap();
        let other = admit(&registry, "exhibit://a/endpoint/db/1", 3).unwrap();
        let generation = |number| Generation::new(number).unwrap();
        let before = |number| Revocation::EndpointBefore("web".parse().unwrap(), generation(number));
        assert_eq!(registry.revoke(before(2)), 1);
        assert!(old.closed.is_cancelled() && !new.closed.is_cancelled() && !other.closed.is_cancelled());
        assert_eq!(registry.revoke(before(1)), 1, "counts the old one again, never lowers the generation");
        assert!(admit(&registry, "exhibit://a/endpoint/web/1", 4).is_err());
        admit(&registry, "exhibit://a/endpoint/web/3", 5).unwrap();
    }

    #[test]
    fn a_person_may_be_restored_and_a_dropped_connection_leaves() {
        let registry = Registry::new(2);
        let ada: Subject = leaf("exhibit://a/person/ada", 1).identity.subject;
        let first = admit(&registry, "exhibit://a/person/ada", 1).unwrap();
        assert_eq!(registry.cut(&ada), 1);
        drop(first);
        assert_eq!(registry.count(), 0);
        registry.revoke(Revocation::Subject(ada.clone()));
        assert!(admit(&registry, "exhibit://a/person/ada", 2).is_err());
        registry.restore(&ada);
        let _one = admit(&registry, "exhibit://a/person/ada", 2).unwrap();
        let _two = registry.admit(None, ([127, 0, 0, 1], 1).into()).unwrap();
        assert_eq!(admit(&registry, "exhibit://a/person/ada", 3).unwrap_err(), Refused::Full);
        assert_eq!((registry.live().len(), registry.count(), registry.cut_all()), (1, 2, 2));
    }
}
