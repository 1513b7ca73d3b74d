//! Collections that the mirror copies, by what the ledger says of them.

use custody::collection::Collection;
use evidence::digest::Digest;
use evidence::id::{Chain, MirrorId};
use evidence::keys::PublicKey;
use evidence::seal::delegation::Delegation;

use super::Rules;

/// How much of a collection exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// It is complete, as this manifest says. The entry has this index.
    Stored {
        /// Digest of the manifest document.
        manifest: Digest,
        index: u64,
    },
    /// It ends with this seal.
    Interrupted { seal: Digest, segments: u64 },
}

/// A collection that must be copied and verified.
#[derive(Debug, Clone)]
pub struct CollectionToCopy {
    pub id: Digest,
    pub incident: Chain,
    /// The endpoint that collected it.
    pub delegation: Delegation,
    /// Digest of the delegation document.
    pub delegation_sha256: Digest,
    /// Key of the endpoint.
    pub evidence_key: PublicKey,
    pub extent: Extent,
}

impl Rules {
    /// Collections to be copied, oldest id first: stored ones about which `own` has made no statement yet,
    /// and interrupted ones.
    #[must_use]
    pub(crate) fn collections_to_copy(&self, own: &MirrorId) -> Vec<CollectionToCopy> {
        let mut wanted = Vec::new();
        for (id, collection) in self.state.collections() {
            let extent = match (collection.stored, collection.interrupted) {
                (Some(_), _) if collection.held_by.contains(own) => continue,
                (Some((index, manifest)), _) => Extent::Stored { manifest, index },
                (None, Some((seal, segments))) if segments > 0 => Extent::Interrupted { seal, segments },
                _ => continue,
            };
            wanted.push(self.to_copy(*id, collection, extent));
        }
        wanted
    }

    /// Every collection that has evidence, complete or not: for scrubs.
    #[must_use]
    pub(crate) fn all_collections_to_copy(&self) -> Vec<CollectionToCopy> {
        let extent = |collection: &Collection| match (collection.stored, collection.interrupted) {
            (Some((index, manifest)), _) => Some(Extent::Stored { manifest, index }),
            (None, Some((seal, segments))) if segments > 0 => Some(Extent::Interrupted { seal, segments }),
            _ => None,
        };
        self.state
            .collections()
            .iter()
            .filter_map(|(id, collection)| Some(self.to_copy(*id, collection, extent(collection)?)))
            .collect()
    }

    fn to_copy(&self, id: Digest, collection: &Collection, extent: Extent) -> CollectionToCopy {
        CollectionToCopy {
            id,
            incident: collection.incident.clone(),
            delegation: collection.delegation.clone(),
            delegation_sha256: collection.delegation_sha256,
            evidence_key: collection.evidence_key.clone(),
            extent,
        }
    }
}
