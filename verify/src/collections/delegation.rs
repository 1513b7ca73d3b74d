//! The check `delegation`: an enrolled endpoint signed it, and that endpoint was a target of an order in force.

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::disposal::Course;
use evidence::keys::PublicKey;
use evidence::order::{Order, Target};
use evidence::seal::delegation::Delegation;

use super::expected::Expected;
use crate::acts::act_of;
use crate::endpoints::{self, Endpoints};
use crate::entries::Entries;
use crate::files::Files;
use crate::orders::{self, Fate, Orders};

/// The results of earlier checks that the checks of a collection use.
pub(crate) struct Context<'a> {
    pub files: &'a Files<'a>,
    pub entries: &'a Entries,
    pub endpoints: &'a Endpoints,
    /// The disposal of the incident's evidence.
    pub course: &'a Course,
    pub orders: &'a Orders,
    /// True for a partial production.
    pub partial: bool,
}

/// A verified delegation, with the order and the evidence key that it depends on.
pub(super) struct Delegated {
    pub(super) delegation: Delegation,
    pub(super) digest: Digest,
    pub(super) evidence_key: PublicKey,
    pub(super) order: Order,
}

/// Verifies the delegation of a collection.
pub(super) fn delegation(context: &Context<'_>, expected: &Expected) -> Result<Delegated, String> {
    let started = &expected.started;
    let signed_delegation = act_of(context.files, started)?.signed().map_err(|cause| chain(&cause))?;
    let unverified: Delegation = signed_delegation.read().map_err(|cause| chain(&cause))?;
    let enrolment = context.endpoints.get(&unverified.endpoint, unverified.generation).ok_or_else(|| {
        format!("{}#{} is not among the verified enrolments", unverified.endpoint, unverified.generation)
    })?;
    let delegation =
        Delegation::verify(&signed_delegation, &enrolment.evidence_key).map_err(|cause| chain(&cause))?;
    let refs = [
        ("collection", delegation.collection.to_string()),
        ("order", delegation.order.to_string()),
        ("endpoint", delegation.endpoint.to_string()),
        ("attempt", delegation.attempt.to_string()),
    ];
    if let Some((name, _)) = refs.iter().find(|(name, value)| started.reference(name) != Some(value.as_str()))
    {
        return Err(format!("collection.started names another {name}"));
    }
    if endpoints::retired_at(context.entries, &delegation.endpoint, delegation.generation)
        .is_some_and(|index| index < started.index)
    {
        return Err("the endpoint had been retired before".to_owned());
    }
    let verified = context.orders.get(&delegation.order).ok_or("its order is not among the verified ones")?;
    let order = &verified.order;
    match verified.fate {
        Fate::InForce(since) if since < started.index => {}
        Fate::InForce(_) => return Err("it was started before its order was logged and approved".to_owned()),
        Fate::NotApproved(_) => return Err("its order was never approved".to_owned()),
    }
    if delegation.deployment != order.deployment || delegation.attempt > order.attempts {
        return Err(format!("attempt {} of an order that allows {}", delegation.attempt, order.attempts));
    }
    let target = Target {
        endpoint: delegation.endpoint.clone(),
        generation: delegation.generation,
        evidence_key: enrolment.evidence_key.fingerprint(),
    };
    orders::check_target(context.files, &delegation.order, order, &target)?;
    Ok(Delegated {
        digest: signed_delegation.digest(),
        evidence_key: enrolment.evidence_key.clone(),
        order: order.clone(),
        delegation,
    })
}
