//! A receipt is the proof that a collection is stored, checked against its manifest and its endpoint.
//! Guarantee: this home keeps a receipt only if entry, manifest, delegation and the endpoint's proven key fit together.
//! Not here: the evidence itself (the verification of a bundle re-hashes every byte).

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::EndpointId;
use evidence::manifest::Manifest;
use evidence::seal::delegation::Delegation;
use proto::{convert, v1};

use crate::checkpoints::RecordedEntry;
use crate::directory::Directory;
use crate::failure::{because, failed};
use crate::session::{Session, refused};

const FORGED: &str =
    "keep this home as it is and tell the operator and the admins: the collection does not hold together";

/// A collection as its signed documents and its ledger entry describe it.
#[derive(Debug)]
pub struct Receipt {
    /// The collector's row, for display.
    pub row: v1::CollectionRow,
    /// Counts by outcome; for display.
    pub outcomes: Vec<v1::OutcomeCount>,
    /// The sealed manifest, when the collection is complete.
    pub manifest: Option<Manifest>,
    /// The proven `collection.stored`, when there is one.
    pub stored: Option<RecordedEntry>,
}

impl Receipt {
    /// True if the collection has fewer independent copies than the policy demands.
    pub fn is_degraded(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.entry.envelope.reference("degraded") == Some("yes"))
    }
}

impl Session {
    /// Fetches a collection, verifies every signed thing about it, and keeps its receipt.
    /// Fails if it does not exist, or if a signed part is not valid.
    pub async fn receipt(&self, collection: &str, directory: &Directory) -> anyhow::Result<Receipt> {
        let mut client = proto::service::evidence_client(self.channel());
        let request = v1::ShowCollectionRequest { collection: collection.to_owned() };
        let answer = client.show_collection(request).await.map_err(refused)?.into_inner();
        let row = convert::required("row", answer.row)?;
        let id: Digest = convert::digest("collection", &row.collection)?;
        if !row.collection.starts_with(collection) {
            return Err(failed(format!("asked for collection {collection}, got {id}"), "tell the operator"));
        }
        let manifest = match (answer.delegation, answer.manifest) {
            (Some(delegation), manifest) => self.documents(&id, delegation, manifest, directory)?,
            (None, Some(_)) => {
                return Err(failed(format!("collection {id} has a manifest without delegation"), FORGED));
            }
            (None, None) => None,
        };
        let stored = match answer.receipt {
            None => None,
            Some(receipt) => {
                let recorded = self.prove_recorded("receipt", Some(receipt)).await?;
                let (manifest, digest) = manifest.as_ref().ok_or_else(|| {
                    failed(format!("collection {id} has a receipt without manifest"), FORGED)
                })?;
                let refs = [("collection", id.to_string()), ("manifest", digest.to_string())];
                recorded.expect(EntryType::CollectionStored, digest, &refs)?;
                if recorded.entry.envelope.incident.incident() != Some(&manifest.incident) {
                    return Err(failed(
                        format!("the receipt of {id} is in another incident's chain"),
                        FORGED,
                    ));
                }
                self.home.write(&format!("receipts/{id}.entry"), &recorded.bytes)?;
                self.home.write(&format!("receipts/{id}.tlog-proof"), &recorded.proof)?;
                Some(recorded)
            }
        };
        let manifest = manifest.map(|(manifest, _)| manifest);
        Ok(Receipt { row, outcomes: answer.outcomes, manifest, stored })
    }

    fn documents(
        &self,
        id: &Digest,
        delegation: v1::SignedDocument,
        manifest: Option<v1::SignedDocument>,
        directory: &Directory,
    ) -> anyhow::Result<Option<(Manifest, Digest)>> {
        let broken =
            |cause: &dyn std::error::Error| failed(format!("collection {id}: {}", because(cause)), FORGED);
        let signed = convert::signed("delegation", Some(delegation))?;
        // The endpoint that the delegation names determines whose key must have signed it.
        let claimed: Delegation = signed.read().map_err(|cause| broken(&cause))?;
        let enrolled = directory.enrolment(&claimed.endpoint, claimed.generation).ok_or_else(|| {
            let endpoint: &EndpointId = &claimed.endpoint;
            failed(
                format!(
                    "collection {id} is of {endpoint}#{}, which the ledger does not know",
                    claimed.generation
                ),
                FORGED,
            )
        })?;
        let delegation =
            Delegation::verify(&signed, &enrolled.evidence_key).map_err(|cause| broken(&cause))?;
        if delegation.collection != *id || delegation.deployment != self.config.deployment {
            return Err(failed(
                format!("the delegation shown for {id} is of {}", delegation.collection),
                FORGED,
            ));
        }
        let Some(manifest) = manifest else { return Ok(None) };
        let manifest = convert::signed("manifest", Some(manifest))?;
        let read = Manifest::verify(&manifest, &delegation, &signed.digest(), &enrolled.evidence_key);
        Ok(Some((read.map_err(|cause| broken(&cause))?, manifest.digest())))
    }
}
