//! Steps 3 to 9 of admission (docs/spec/order.md, *Admission on the endpoint*), one function each.

use std::collections::BTreeMap;

use super::package::{Logged, Parsed};
use super::{CLOCK_AHEAD_MAX, Memory, Pins, Reason, Refusal};
use crate::digest::Digest;
use crate::document::Document;
use crate::entry::EntryType;
use crate::id::PersonId;
use crate::keys::PublicKey;
use crate::order::{Decision, Order};
use crate::roster::{AdmittedRoster, Role, Roster};
use crate::signed::Signed;
use crate::time::Time;

/// The results of steps 4 to 9.
pub(super) struct Proof {
    pub(super) issuer_key: PublicKey,
    pub(super) approvers: BTreeMap<PersonId, PublicKey>,
    pub(super) checkpoint: ledger::Checkpoint,
    pub(super) cosigners: Vec<(String, u64)>,
}

/// Step 3: finds the newest roster that the authority signed. It may not be older than any roster seen before.
pub(super) fn roster(
    parsed: &Parsed<'_>,
    pins: &Pins<'_>,
    memory: &Memory<'_>,
    now: Time,
) -> Result<AdmittedRoster, Refusal> {
    let because = |error| Refusal::because(Reason::Roster, &error);
    let mut floor = memory.roster_floor;
    let mut newest = memory.roster.cloned();
    for (_, signed) in &parsed.rosters {
        let roster =
            Roster::verify(signed, pins.deployment, pins.authority, Some(&floor)).map_err(because)?;
        floor = roster.floor();
        newest = Some(roster);
    }
    let roster =
        newest.ok_or_else(|| Refusal::new(Reason::Roster, "no roster in the package and none kept"))?;
    if roster.roster().version < floor.version {
        return Err(Refusal::new(Reason::Roster, "the roster kept is older than the version pinned"));
    }
    roster.in_force(now.max(memory.clock_floor)).map_err(because)?;
    Ok(roster)
}

/// The rest of step 3, which needs the roster in force, and steps 4 to 9.
pub(super) fn order(
    parsed: &Parsed<'_>,
    roster: &AdmittedRoster,
    pins: &Pins<'_>,
    memory: &Memory<'_>,
    judged_at: Time,
) -> Result<Proof, Refusal> {
    let (named, found) = (parsed.order.roster_version, roster.roster().version);
    if named > found || (named == found && parsed.order.roster_sha256 != roster.digest()) {
        return Err(Refusal::new(Reason::Roster, "the order was made under a roster that was not delivered"));
    }
    let issuer_key = issuer(parsed, roster.roster())?;
    time(&parsed.order, roster.roster(), judged_at)?;
    let named = parsed.target.count == parsed.order.targets_count;
    let leaf = parsed.target.verify(pins.target, &parsed.order.targets_root);
    leaf.map_err(|error| Refusal::because(Reason::Target, &error))?;
    if !named {
        return Err(Refusal::new(Reason::Target, "the proof is for another number of targets"));
    }
    let approvers = approvers(parsed, roster.roster())?;
    let computed = parsed.order.plan.sensitivity();
    if parsed.order.sensitivity != computed {
        return Err(Refusal::new(
            Reason::Sensitivity,
            format!("the plan is {computed:?}, the order says otherwise"),
        ));
    }
    let verified = logged(parsed, pins, memory)?;
    Ok(Proof { issuer_key, approvers, checkpoint: verified.checkpoint, cosigners: verified.cosigners })
}

/// Step 4.
fn issuer(parsed: &Parsed<'_>, roster: &Roster) -> Result<PublicKey, Refusal> {
    let key =
        signer::<Order>(&parsed.order_signed).map_err(|detail| Refusal::new(Reason::Signature, detail))?;
    if roster.speaks_for(&key, &parsed.order.issuer, &[Role::Responder]) {
        return Ok(key);
    }
    let issuer = &parsed.order.issuer;
    let detail =
        format!("{} is no key of {issuer} as responder in roster {}", key.fingerprint(), roster.version);
    Err(Refusal::new(Reason::Signature, detail))
}

/// Step 5.
fn time(order: &Order, roster: &Roster, judged_at: Time) -> Result<(), Refusal> {
    let expired = |detail: String| Err(Refusal::new(Reason::Expired, detail));
    if judged_at >= order.expires {
        return expired(format!("expired at {}, it is {judged_at}", order.expires));
    }
    if order.issued.since(judged_at) > CLOCK_AHEAD_MAX {
        return expired(format!(
            "issued at {}, but it is {judged_at}; check this machine's clock",
            order.issued
        ));
    }
    if order.lifetime() > roster.order_lifetime_max() {
        return expired(format!(
            "valid for longer than the {} hours of the roster",
            roster.rules.order_hours_max
        ));
    }
    Ok(())
}

/// Step 7: distinct persons, none of them the issuer. An invalid approval is refused even if none is
/// needed, because it shows that something is wrong with whoever delivers it.
fn approvers(parsed: &Parsed<'_>, roster: &Roster) -> Result<BTreeMap<PersonId, PublicKey>, Refusal> {
    let refuse = |detail: String| Refusal::new(Reason::Approvals, detail);
    let mut persons = BTreeMap::new();
    for (approval, signed) in &parsed.approvals {
        let key = signer::<crate::order::Approval>(signed).map_err(refuse)?;
        let approver = &approval.approver;
        if !roster.speaks_for(&key, approver, &[Role::Approver]) {
            return Err(refuse(format!("{} is no key of {approver} as approver", key.fingerprint())));
        }
        if approval.order != parsed.order_signed.digest() || approval.decision != Decision::Approve {
            return Err(refuse(format!("{approver} did not approve this order")));
        }
        if *approver == parsed.order.issuer {
            return Err(refuse(format!("{approver} issued the order and cannot approve it")));
        }
        persons.insert(approver.clone(), key);
    }
    // Apply the rule to the plan's real sensitivity. Otherwise a false label would pass here and fail only as a wrong label.
    if roster.needs_approval(parsed.order.plan.sensitivity()) && persons.is_empty() {
        return Err(refuse("the roster asks for a second person".to_owned()));
    }
    Ok(persons)
}

/// Step 9.
fn logged(parsed: &Parsed<'_>, pins: &Pins<'_>, memory: &Memory<'_>) -> Result<ledger::Verified, Refusal> {
    let refuse = |detail: &str| Refusal::new(Reason::Ledger, detail);
    let order = parsed.order_signed.digest();
    let (roster, order_text) = (parsed.order.roster_sha256.to_string(), order.to_string());
    entry(parsed, &parsed.issued, EntryType::OrderIssued, order)?;
    if parsed.issued.entry.envelope.reference("roster") != Some(roster.as_str()) {
        return Err(refuse("order.issued names another roster"));
    }
    for ((_, signed), logged) in parsed.approvals.iter().zip(&parsed.approved) {
        entry(parsed, logged, EntryType::OrderApproved, signed.digest())?;
    }
    let all = || std::iter::once(&parsed.issued).chain(&parsed.approved);
    if all().any(|one| one.entry.envelope.reference("order") != Some(order_text.as_str())) {
        return Err(refuse("an entry names another order"));
    }
    let note = parsed.issued.proof.checkpoint().text();
    if all().any(|one| one.proof.checkpoint().text() != note) {
        return Err(refuse("the proofs lead to different checkpoints"));
    }
    let verify = |one: &Logged| {
        one.proof.verify(&one.leaf, pins.log).map_err(|error| Refusal::because(Reason::Ledger, &error))
    };
    // All proofs have the same note, so the answer about the first holds for each.
    let verified: Vec<_> = all().map(verify).collect::<Result<_, _>>()?;
    let verified = verified.into_iter().next().ok_or_else(|| refuse("no proof"))?;
    let origin = format!("exhibit/{}", pins.deployment);
    if verified.checkpoint.origin != origin {
        return Err(refuse("the checkpoint is of another log"));
    }
    if let Some(last) = memory.checkpoint {
        let new = &verified.checkpoint;
        ledger::verify_consistency(last.size, &last.root, new.size, &new.root, parsed.consistency)
            .map_err(|error| Refusal::because(Reason::Ledger, &error))?;
    }
    Ok(verified)
}

/// Checks that the entry is of that type, in the order's incident, and records that document.
fn entry(parsed: &Parsed<'_>, logged: &Logged, kind: EntryType, event: Digest) -> Result<(), Refusal> {
    let envelope = &logged.entry.envelope;
    let incident = envelope.incident.incident() == Some(&parsed.order.incident);
    if envelope.type_ == kind && envelope.event == event && incident {
        Ok(())
    } else {
        Err(Refusal::new(Reason::Ledger, format!("the entry does not record {kind} of this order")))
    }
}

/// The key of a document's one signature.
fn signer<T: Document>(signed: &Signed) -> Result<PublicKey, String> {
    let keys =
        signed.verify_all(T::TYPE).map_err(|error| Refusal::because(Reason::Signature, &error).detail)?;
    keys.into_iter().next().ok_or_else(|| "no signature".to_owned())
}
