//! Records an export: `bundle.exported`, its stamp, and the proof that it follows the bundle's checkpoint.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use evidence::bundle::production::Selection;
use evidence::bundle::{Sums, WITHOUT_QUORUM_FIELD};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, IncidentId};
use evidence::signed::Signed;
use ledger::ProofFile;
use proto::convert::hash_bytes;
use proto::status::Class;
use proto::v1::RecordExportResponse;

use super::stamps::stamps;
use crate::acts;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::rows;
use crate::rows::condition::{Condition, Denied};
use crate::services::export::Exporter;

/// Most exports that may wait for their entry: those of a busy team in a few days.
const REMEMBERED_MAX: usize = 1024;

/// A bundle that was streamed and waits for its entry.
#[derive(Debug, Clone)]
struct Streamed {
    incident: IncidentId,
    head: Digest,
    /// Size of its checkpoint.
    size: u64,
    /// The fields that its act must have.
    fields: Vec<(String, String)>,
}

/// The streamed bundles. A restart loses them; the responder then exports the bundle again.
#[derive(Debug, Default)]
pub struct Exports(Mutex<VecDeque<Streamed>>);

impl Exports {
    /// Remembers that a bundle of this incident with this head was streamed under the checkpoint of `size`. Each export is itself an
    /// entry of the incident, so no two exports have one head. `is_waived`: without the quorum that the policy asks for.
    pub fn remember(
        &self,
        incident: &IncidentId,
        head: Digest,
        size: u64,
        selection: Option<&Selection>,
        is_waived: bool,
    ) {
        let part = selection.into_iter().flat_map(Selection::fields);
        let quorum = is_waived.then(|| (WITHOUT_QUORUM_FIELD.0, WITHOUT_QUORUM_FIELD.1.to_owned()));
        // Sorted: the quorum's name comes behind those of a part.
        let fields = part.chain(quorum).map(|(name, value)| (name.to_owned(), value)).collect();
        let mut exports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if exports.len() >= REMEMBERED_MAX {
            exports.pop_front();
        }
        exports.push_back(Streamed { incident: incident.clone(), head, size, fields });
    }

    fn of(&self, incident: &IncidentId, head: &Digest) -> Option<Streamed> {
        let exports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exports.iter().rev().find(|one| one.incident == *incident && one.head == *head).cloned()
    }
}

/// Records an export that its responder signed.
///
/// # Errors
/// A refusal if the act does not match the sums or the chain.
pub async fn record(
    exporter: &Exporter,
    signed: Signed,
    detail: &[u8],
    sums: &[u8],
) -> Result<RecordExportResponse, Failure> {
    let collector = &*exporter.collector;
    let weighed = acts::weigh(collector, signed, detail, &[EntryType::BundleExported]).await?;
    let Chain::Incident(incident) = weighed.act.incident.clone() else {
        return Err(Failure::malformed("an export is of an incident"));
    };
    Sums::parse(sums).map_err(|error| Failure::malformed(chain(&error)))?;
    let reference = |name: &str| acts::required_ref(&weighed.act, name);
    if reference("sums")? != Digest::of(sums).to_string() {
        return Err(Failure::malformed("the act names other sums than these"));
    }
    let head: Digest = reference("head")?
        .parse()
        .map_err(|_other_form| Failure::malformed("the act's head is no digest"))?;
    let count: u64 = reference("count")?
        .parse()
        .map_err(|_other_form| Failure::malformed("the act's count is no number"))?;
    let Some(Streamed { size, fields, .. }) = exporter.exports.of(&incident, &head) else {
        return Err(Failure::new(
            Class::Precondition,
            "this collector does not remember exporting that bundle (it restarted meanwhile); export again",
        ));
    };
    // export-4, export-5
    if weighed.act.fields != fields {
        return Err(Failure::malformed(format!(
            "the act has the fields {:?}; of the bundle that went out they are {fields:?}",
            weighed.act.fields
        )));
    }
    let chain = Chain::from(incident.clone());
    let condition: Condition = Box::new(move |tx| {
        let last = match count.checked_sub(1) {
            Some(seq) => rows::entries::of_chain(tx, &chain, seq, 1)?.pop(),
            None => None,
        };
        match last {
            Some(entry) if Digest::from(entry.leaf) == head && entry.seq.checked_add(1) == Some(count) => {
                Ok(())
            }
            _ => Err(Denied::no(Class::Precondition, "the act names another head than the incident has")),
        }
    });
    let recorded = crate::acts::submit(collector, weighed, Some(condition)).await?;
    let proof = ProofFile::parse(&recorded.proven.proof).or_internal("read a proof of ours")?;
    let later =
        ledger::Checkpoint::from_text(proof.checkpoint().text()).or_internal("read a checkpoint of ours")?;
    let consistency = collector.recorder.consistency(size, later.size).await?;
    tracing::info!(incident = %incident, entry = recorded.index, "Bundle exported");
    Ok(RecordExportResponse {
        exported: Some(recorded.proven.into()),
        stamps: stamps(&exporter.tsas, sums).await.into_iter().map(Into::into).collect(),
        consistency: hash_bytes(&consistency),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_4_the_fields_of_an_export_are_those_of_the_bundle_that_went_out() {
        let (exports, incident) = (Exports::default(), "INC-2026-0007".parse().unwrap());
        let mut selection = Selection::new();
        assert!(selection.insert(Digest::ZERO, 7));
        let cases = [
            (None, false, vec![]),
            (None, true, vec!["without_quorum"]),
            (Some(&selection), false, vec!["items", "partial", "selection"]),
            (Some(&selection), true, vec!["items", "partial", "selection", "without_quorum"]),
        ];
        for (number, (selection, is_waived, names)) in cases.into_iter().enumerate() {
            let head = Digest::of(&[u8::try_from(number).unwrap()]);
            exports.remember(&incident, head, 9, selection, is_waived);
            let fields = exports.of(&incident, &head).unwrap().fields;
            assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
            assert!(fields.is_sorted());
        }
        assert!(exports.of(&incident, &Digest::ZERO).is_none());
    }
}
