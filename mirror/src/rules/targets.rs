//! The proof that a collection's endpoint is a target of its order, made from the list that the mirror holds.

use custody::act::Beside;
use evidence::entry::{ActObject, EntryType, Envelope};
use evidence::order::{Target, TargetProof};
use evidence::seal::delegation::Delegation;
use store::Key;

use super::Rules;
use crate::objects::{ObjectError, Objects};

impl Rules {
    /// What the rule book needs beside an entry and its act. Nothing if the entry breaks a rule anyway.
    pub(super) fn beside(
        &self,
        envelope: &Envelope,
        act: &ActObject,
        objects: &Objects<'_>,
    ) -> Result<Beside, ObjectError> {
        let mut beside = Beside::default();
        if envelope.type_ != EntryType::CollectionStarted {
            return Ok(beside);
        }
        let Ok(delegation) = act.read::<Delegation>() else {
            return Ok(beside);
        };
        let slot = (delegation.endpoint.clone(), delegation.generation);
        let (Some(endpoint), Some(order)) = (self.state.endpoint(&slot), self.state.order(&delegation.order))
        else {
            return Ok(beside);
        };
        let (endpoint, target_key) = (endpoint.evidence_key.fingerprint(), order.targets_root);
        let list = objects.peek(&Key::targets(target_key.as_bytes()))?;
        let target = Target { endpoint: slot.0, generation: slot.1, evidence_key: endpoint };
        beside.target = proof(&list, &target);
        Ok(beside)
    }
}

/// The place of a target in a list. The store's key check has verified the list itself.
fn proof(list: &[u8], target: &Target) -> Option<TargetProof> {
    let lines: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b'\n').collect();
    let leaves: Vec<Vec<u8>> = lines.chunks(4).map(<[&[u8]]>::concat).collect();
    let leaf = target.leaf();
    let index = leaves.iter().position(|one| *one == leaf)? as u64;
    let hashes: Vec<ledger::Hash> = leaves.iter().map(|one| ledger::leaf_hash(one)).collect();
    let count = hashes.len() as u64;
    let proof = ledger::inclusion_proof(&ledger::Leaves(&hashes), index, count).ok()?;
    Some(TargetProof { index, count, proof: proof.into_iter().map(Into::into).collect() })
}
