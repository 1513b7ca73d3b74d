//! `order-*`: orders under the roster in force, and approved where its rules ask for that.

use std::fmt;
use std::time::Duration;

use evidence::admission::Reason;
use evidence::digest::Digest;
use evidence::id::{Chain, IncidentId, PersonId};
use evidence::order::{Approval, Decision, Limits, Order, Step};
use evidence::time::Time;

use crate::act::Opened;
use crate::entry::value;
use crate::rule::{Broken, RuleId, must, must_have};
use crate::{Case, Effect, State};

/// How far ahead of its entry an order may be dated.
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// An order that was issued, as far as later entries need it.
#[derive(Debug, Clone)]
pub struct Issued {
    pub incident: IncidentId,
    pub issuer: PersonId,
    pub expires: Time,
    pub attempts: u32,
    pub limits: Limits,
    pub targets_root: Digest,
    pub targets_count: u64,
    /// Stands for the collectors of the plan's steps, in order.
    pub(crate) collectors: Digest,
    /// False while the order waits for a second person.
    pub is_in_force: bool,
    /// `None` while attempts may begin under it.
    pub ended: Option<OrderEnd>,
}

/// How an order ended before its time. No attempt may begin under it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEnd {
    Cancelled,
    Rejected,
}

impl fmt::Display for OrderEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        })
    }
}

/// Two plans have one digest if their collectors are the same, in the same order.
pub(crate) fn collectors<'a>(names: impl Iterator<Item = &'a str>) -> Digest {
    let names: Vec<&str> = names.collect();
    Digest::of(names.join("\n").as_bytes())
}

impl State {
    /// An order that was issued.
    #[must_use]
    pub fn order(&self, id: &Digest) -> Option<&Issued> {
        self.orders.get(id)
    }

    pub(crate) fn issued(&self, case: &Case<'_>, opened: &Opened<Order>) -> Result<Effect, Broken> {
        let order = &opened.document;
        let published = self.speaks(RuleId::Order2, case, &order.issuer, opened.signer())?;
        let roster = &published.roster;
        must(
            RuleId::Order3,
            published.digest == order.roster_sha256 && roster.version == order.roster_version,
            "it names another roster than the one in force",
        )?;
        must(
            RuleId::Order7,
            order.lifetime() <= roster.order_lifetime_max(),
            "its order lives longer than the roster allows",
        )?;
        let time = case.envelope.time;
        must(
            RuleId::Order9,
            time < order.expires && time < roster.not_after,
            "its order or the roster had expired",
        )?;
        must(
            RuleId::Order11,
            order.issued.since(time) <= AHEAD_MAX,
            format_args!("its order is dated {}, more than 600 s later", order.issued),
        )?;
        let issued = Issued {
            incident: order.incident.clone(),
            issuer: order.issuer.clone(),
            expires: order.expires,
            attempts: order.attempts,
            limits: order.limits,
            targets_root: order.targets_root,
            targets_count: order.targets_count,
            collectors: collectors(order.plan.steps().iter().map(Step::collector)),
            is_in_force: !roster.needs_approval(order.sensitivity),
            ended: None,
        };
        Ok(Effect::Order(case.envelope.event, Box::new(issued)))
    }

    /// `order.approved`, `order.rejected`
    pub(crate) fn decided(&self, case: &Case<'_>, opened: &Opened<Approval>) -> Result<Effect, Broken> {
        let approval = &opened.document;
        if self.left_out.contains(&approval.order) {
            self.speaks(RuleId::Order15, case, &approval.approver, opened.signer())?;
            return Ok(Effect::Nothing);
        }
        let order = self.issued_here(RuleId::Order16, case, &approval.order)?;
        self.speaks(RuleId::Order15, case, &approval.approver, opened.signer())?;
        let is_another = approval.approver != order.issuer;
        match approval.decision {
            Decision::Approve => must(RuleId::Order18, is_another, "the issuer approved the own order")?,
            Decision::Reject => must(RuleId::Order19, is_another, "the issuer rejected the own order")?,
        }
        must(
            RuleId::Order20,
            !order.is_in_force && order.ended.is_none(),
            "its order does not wait for a decision",
        )?;
        Ok(match approval.decision {
            Decision::Approve => Effect::Approved(approval.order),
            Decision::Reject => Effect::OrderEnded(approval.order, OrderEnd::Rejected),
        })
    }

    pub(crate) fn cancelled(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        let id = value(case.envelope, "order")?;
        if self.left_out.contains(&id) {
            return Ok(Effect::Nothing);
        }
        let order = self.issued_here(RuleId::Order23, case, &id)?;
        let end = order.ended.map(|end| end.to_string()).unwrap_or_default();
        must(RuleId::Order24, order.ended.is_none(), format_args!("its order was {end} before"))?;
        Ok(Effect::OrderEnded(id, OrderEnd::Cancelled))
    }

    /// `order.refused`
    pub(crate) fn refused(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        self.issued_here(RuleId::Order25, case, &value(case.envelope, "order")?)?;
        let reason = case.envelope.reference("reason").unwrap_or_default();
        must(
            RuleId::Order25,
            Reason::is_recorded(reason),
            format_args!("no endpoint refuses an order for the reason {reason}"),
        )?;
        Ok(Effect::Nothing)
    }

    /// The order that an entry is about: issued before, in the same incident.
    fn issued_here(&self, rule: RuleId, case: &Case<'_>, id: &Digest) -> Result<&Issued, Broken> {
        let order = self.orders.get(id);
        let order = must_have(rule, order, "it is about an order that was never issued")?;
        must(
            rule,
            Chain::Incident(order.incident.clone()) == case.envelope.incident,
            "it stands in another incident than its order",
        )?;
        Ok(order)
    }
}
