//! Records an export: `bundle.exported`, its stamp, and the proof that it follows the bundle's checkpoint.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

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

/// The checkpoint of each streamed bundle. A restart loses this; the responder then exports the bundle again.
#[derive(Debug, Default)]
pub struct Exports(Mutex<VecDeque<(IncidentId, Digest, u64, bool)>>);

impl Exports {
    /// Remembers that a bundle of this incident with this head was streamed under the checkpoint of `size`. Each export is itself an
    /// entry of the incident, so no two exports have one head. `is_waived`: without the quorum that the policy asks for.
    pub fn remember(&self, incident: &IncidentId, head: Digest, size: u64, is_waived: bool) {
        let mut exports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if exports.len() >= REMEMBERED_MAX {
            exports.pop_front();
        }
        exports.push_back((incident.clone(), head, size, is_waived));
    }

    fn of(&self, incident: &IncidentId, head: &Digest) -> Option<(u64, bool)> {
        let exports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exports
            .iter()
            .rev()
            .find(|(of, at, ..)| of == incident && at == head)
            .map(|(_, _, size, is_waived)| (*size, *is_waived))
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
    let Some((size, is_waived)) = exporter.exports.of(&incident, &head) else {
        return Err(Failure::new(
            Class::Precondition,
            "this collector does not remember exporting that bundle (it restarted meanwhile); export again",
        ));
    };
    let (name, value) = WITHOUT_QUORUM_FIELD;
    let says = weighed.act.field(name);
    if says != is_waived.then_some(value) {
        return Err(Failure::malformed(format!(
            "the act's field {name} is {says:?}; the bundle went out {} the quorum",
            if is_waived { "without" } else { "with" }
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
