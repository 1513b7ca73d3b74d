//! `exhibit order`: shows an order with its targets and progress; approves, rejects and cancels it.
//! Guarantee: an order is shown from its signed bytes, after its signature verified, so that an approver sees exactly what was signed.
//! Not here: issuing (`collect`).

use clap::Subcommand;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::pairs;
use evidence::entry::state::{AttemptState, OrderState};
use evidence::id::{Chain, IncidentId};
use evidence::order::{Approval, ApprovalType, Decision, Order};
use evidence::roster::{AdmittedRoster, Role};
use evidence::signed::Signed;
use proto::parts::join;
use proto::v1;
use serde_json::json;

use crate::acts::Draft;
use crate::clock;
use crate::context::Context;
use crate::failure::{because, failed, usage};
use crate::output::{bytes, shown, table};
use crate::session::{Session, refusal_with_next, refused};

/// `exhibit order …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// List orders
    #[command(after_help = "Examples:\n  exhibit order list\n  exhibit order list --incident INC-2026-0001")]
    List {
        /// Show only those of this incident
        #[arg(long)]
        incident: Option<IncidentId>,
    },
    /// Show an order, read from its signed bytes, and its attempts
    #[command(after_help = "Examples:\n  exhibit order show 5f3a9c01")]
    Show {
        /// Id, or a unique prefix of at least 8 digits
        order: String,
    },
    /// Approve another person's order
    #[command(after_help = "Examples:\n  exhibit order show 5f3a9c01\n  exhibit order approve 5f3a9c01")]
    Approve {
        /// Id, or a unique prefix of at least 8 digits
        order: String,
    },
    /// Reject another person's order
    #[command(after_help = "Examples:\n  exhibit order reject 5f3a9c01")]
    Reject {
        /// Id, or a unique prefix of at least 8 digits
        order: String,
    },
    /// Cancel an order; running attempts stop after their last segment
    #[command(after_help = "Examples:\n  exhibit order cancel 5f3a9c01 --reason \"Wrong host\"")]
    Cancel {
        /// Id, or a unique prefix of at least 8 digits
        order: String,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::List { incident } => list(&session, incident).await,
        Args::Show { order } => show(&session, &order).await,
        Args::Approve { order } => decide(&session, &order, Decision::Approve).await,
        Args::Reject { order } => decide(&session, &order, Decision::Reject).await,
        Args::Cancel { order, reason } => cancel(&session, &order, reason).await,
    }
}

/// An order whose bytes have the id that was asked for, and whose signature verifies.
struct Shown {
    answer: v1::ShowOrderResponse,
    order: Order,
    signed: Signed,
    roster: AdmittedRoster,
}

async fn fetch(session: &Session, prefix: &str) -> anyhow::Result<Shown> {
    check_prefix(prefix)?;
    let roster = session.roster().await?;
    let mut client = proto::service::order_client(session.channel());
    let request = v1::ShowOrderRequest { order: prefix.to_owned() };
    let answer = client.show_order(request).await;
    let mut answer = answer.map_err(refusal_with_next("list the orders: exhibit order list"))?.into_inner();
    let signed = proto::convert::signed("order", answer.order.take())?;
    let next = "tell the operator and the admins";
    let (order, signers) = signed.open::<Order>().map_err(|cause| failed(because(&cause), next))?;
    if !signed.digest().to_string().starts_with(prefix) || order.deployment != session.config.deployment {
        return Err(failed(format!("asked for order {prefix}, got {}", signed.digest()), next));
    }
    // The issuer may have left since then. The order was judged under the roster that it names.
    let newest = roster.roster();
    if newest.version == order.roster_version
        && !signers.iter().all(|key| newest.speaks_for(key, &order.issuer, &[Role::Responder]))
    {
        return Err(failed(format!("order {} is not signed by {}", signed.digest(), order.issuer), next));
    }
    Ok(Shown { answer, order, signed, roster })
}

/// Refuses a text that is neither an id nor a prefix of one.
pub fn check_prefix(prefix: &str) -> anyhow::Result<()> {
    let digits = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits && (8..=64).contains(&prefix.len()) {
        Ok(())
    } else {
        Err(usage(format!("{prefix:?} is no id"), "give 8 to 64 lower-case hexadecimal digits, from a list"))
    }
}

async fn list(session: &Session, incident: Option<IncidentId>) -> anyhow::Result<()> {
    let mut client = proto::service::order_client(session.channel());
    // Empty asks for the orders of all incidents.
    let incident = incident.map(|incident| incident.to_string()).unwrap_or_default();
    let answer = client.list_orders(v1::ListOrdersRequest { incident }).await;
    let orders = join(answer).await.map_err(refused)?.orders;
    let values: Vec<serde_json::Value> = orders.iter().map(row_value).collect();
    session.output.result(&values, || {
        let rows: Vec<Vec<String>> = orders
            .iter()
            .map(|row| {
                vec![
                    shown(&row.order),
                    shown(&row.incident),
                    shown(&row.state),
                    format!("{}/{}", row.stored, row.targets),
                    shown(&row.profile),
                    shown(&row.issuer),
                    shown(&row.issued),
                ]
            })
            .collect();
        table(&["order", "incident", "state", "stored", "profile", "issuer", "issued"], &rows)
    })
}

fn row_value(row: &v1::OrderRow) -> serde_json::Value {
    json!({
        "order": row.order, "incident": row.incident, "issuer": row.issuer, "issued": row.issued, "expires": row.expires,
        "profile": row.profile, "sensitivity": row.sensitivity, "state": row.state, "targets": row.targets,
        "stored": row.stored,
    })
}

async fn show(session: &Session, prefix: &str) -> anyhow::Result<()> {
    let Shown { answer, order, signed, .. } = fetch(session, prefix).await?;
    let row = proto::convert::required("row", answer.row)?;
    let attempts = &answer.attempts;
    let steps: Vec<String> =
        order.plan.steps().iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let value = json!({
        "order": signed.digest(), "state": row.state, "document": order,
        "approvals": answer.approvals.len(),
        "attempts": attempts.iter().map(|attempt| json!({
            "endpoint": attempt.endpoint, "attempt": attempt.attempt, "collection": attempt.collection,
            "state": target_state(attempt, &row.state),
            "detail": attempt.detail, "items": attempt.items, "plain_bytes": attempt.plain_bytes,
            "stored_bytes": attempt.stored_bytes, "segments": attempt.segments, "updated": attempt.updated,
        })).collect::<Vec<_>>(),
    });
    session.output.result(&value, || {
        let sensitivity = order.sensitivity.as_str();
        let mut lines = vec![
            format!("order {}  {}", signed.digest(), shown(&row.state)),
            format!(
                "  for {} by {}, issued {}, expires {}",
                order.incident, order.issuer, order.issued, order.expires
            ),
            format!("  purpose: {}", shown(&order.purpose)),
            format!(
                "  profile {} {}, {sensitivity}, {} endpoints, {} attempts",
                shown(&order.profile.name),
                shown(&order.profile.version),
                order.targets_count,
                order.attempts
            ),
            format!(
                "  at most {} stored, {} read, {} an item, {} items, {} s, {} % of a processor",
                bytes(order.limits.stored_bytes),
                bytes(order.limits.plain_bytes),
                bytes(order.limits.item_bytes),
                order.limits.items,
                order.limits.wall_s,
                order.limits.cpu_pct
            ),
            format!("  approvals: {}", answer.approvals.len()),
            "  plan:".to_owned(),
        ];
        lines.extend(steps.iter().map(|step| format!("    {}", shown(step))));
        let rows: Vec<Vec<String>> = attempts
            .iter()
            .map(|attempt| {
                vec![
                    shown(&attempt.endpoint),
                    attempt.attempt.to_string(),
                    shown(target_state(attempt, &row.state)),
                    attempt.items.to_string(),
                    bytes(attempt.stored_bytes),
                    shown(&attempt.collection),
                    shown(&attempt.detail),
                ]
            })
            .collect();
        lines
            .push(table(&["endpoint", "attempt", "state", "items", "stored", "collection", "detail"], &rows));
        lines.join("\n")
    })
}

/// The state of a target. A state that this version does not know is shown as the collector words it. Once no endpoint may
/// start the order, the order's end is also the state of each target that did not begin.
fn target_state<'a>(attempt: &'a v1::AttemptRow, order: &'a str) -> &'a str {
    let is_over =
        matches!(order.parse(), Ok(OrderState::Rejected | OrderState::Cancelled | OrderState::Expired));
    if is_over && attempt.state.parse() == Ok(AttemptState::Waiting) { order } else { &attempt.state }
}

async fn decide(session: &Session, prefix: &str, decision: Decision) -> anyhow::Result<()> {
    let Shown { order, signed, roster, .. } = fetch(session, prefix).await?;
    if order.issuer == session.config.person {
        return Err(usage("an order is approved by another person than its issuer", "ask another approver"));
    }
    let id = signed.digest();
    let approval = Approval {
        type_: ApprovalType,
        deployment: session.config.deployment.clone(),
        order: id,
        approver: session.config.person.clone(),
        at: clock::now()?,
        decision,
    };
    let signed = session.sign(&approval, &roster, &[Role::Approver])?;
    let event = signed.digest();
    let mut client = proto::service::order_client(session.channel());
    let request = v1::ApproveOrderRequest { approval: Some(signed.into()) };
    let answer = client.approve_order(request).await;
    let answer = answer.map_err(late_decision(prefix))?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    let (type_, word) = match decision {
        // No state of the order: an approved one is issued or runs.
        Decision::Approve => (EntryType::OrderApproved, "approved"),
        Decision::Reject => (EntryType::OrderRejected, OrderState::Rejected.as_str()),
    };
    recorded.expect(type_, &event, &[("order", id.to_string())])?;
    done(session, &id, word, recorded.index)
}

/// Turns the refusal of a late decision into an error with a next step.
fn late_decision(order: &str) -> impl FnOnce(tonic::Status) -> anyhow::Error {
    refusal_with_next(format!("see what became of it: exhibit order show {order}"))
}

async fn cancel(session: &Session, prefix: &str, reason: Option<String>) -> anyhow::Result<()> {
    let Shown { order, signed, roster, .. } = fetch(session, prefix).await?;
    let id = signed.digest();
    let draft = Draft {
        act: EntryType::OrderCancelled,
        chain: Chain::Incident(order.incident),
        refs: pairs::sorted([("order", id.to_string())]),
        fields: Vec::new(),
        text: reason,
    };
    let (request, act) = session.act(draft, &roster, &[Role::Responder])?;
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.record_act(request).await;
    let answer = answer.map_err(late_decision(prefix))?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    recorded.expect(EntryType::OrderCancelled, &act.digest(), &[("order", id.to_string())])?;
    done(session, &id, OrderState::Cancelled.as_str(), recorded.index)
}

fn done(session: &Session, order: &Digest, word: &str, index: u64) -> anyhow::Result<()> {
    let value = json!({"order": order, "act": word, "index": index});
    session.output.result(&value, || format!("order {order} {word}, proven at {index} in the ledger"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_of_an_order_that_is_over_does_not_wait() {
        let attempt = |state: &str| v1::AttemptRow { state: state.to_owned(), ..Default::default() };
        for (target, order, shown) in [
            ("waiting", "rejected", "rejected"),
            ("waiting", "cancelled", "cancelled"),
            ("waiting", "expired", "expired"),
            ("waiting", "awaiting-approval", "waiting"),
            ("waiting", "issued", "waiting"),
            ("interrupted", "cancelled", "interrupted"),
            ("stored", "cancelled", "stored"),
        ] {
            assert_eq!(target_state(&attempt(target), order), shown, "{target} of {order}");
        }
    }
}
