//! A mirror's statement about a collection: the act `evidence.replicated` (docs/spec/mirror.md, *Evidence*).

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::id::{Actor, MirrorId};
use evidence::signed::Signed;
use evidence::time::Time;

use crate::keys::Keys;
use crate::note::LogNote;
use crate::rules::CollectionToCopy;

/// The content of `evidence.replicated`.
pub struct Statement<'a> {
    pub mirror: &'a MirrorId,
    pub collection: &'a CollectionToCopy,
    pub manifest: &'a Digest,
    /// The checkpoint that the mirror held when it verified the collection.
    pub held: &'a LogNote,
    pub segments: u64,
    /// Their stored bytes.
    pub bytes: u64,
    pub at: Time,
}

impl Statement<'_> {
    /// The act, signed by the act key.
    ///
    /// # Errors
    /// If it is not a valid act.
    pub fn sign(&self, keys: &Keys) -> Result<Signed, evidence::signed::SignedError> {
        let act = Act {
            type_: ActType,
            deployment: self.collection.delegation.deployment.clone(),
            act: EntryType::EvidenceReplicated,
            incident: self.collection.incident.clone(),
            at: self.at,
            by: Actor::Mirror(self.mirror.clone()),
            refs: evidence::entry::pairs::sorted([
                ("collection", self.collection.id.to_string()),
                ("manifest", self.manifest.to_string()),
                ("mirror", self.mirror.to_string()),
                ("root", self.held.checkpoint.root.to_string()),
                ("size", self.held.checkpoint.size.to_string()),
            ]),
            fields: evidence::entry::pairs::sorted([
                ("bytes", self.bytes.to_string()),
                ("segments", self.segments.to_string()),
            ]),
            detail: None,
            nonce: ActNonce::ByContent,
        };
        Signed::sign(&act, &[&keys.act])
    }
}
