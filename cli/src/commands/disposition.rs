//! `exhibit disposition`: two persons destroy an incident's evidence, and certify it.
//! Guarantee: a person signs the digest of the plan that this command printed, computed here from the plan's text.
//! Not here: the destruction (server, mirror).

use std::path::PathBuf;

use clap::Subcommand;
use evidence::disposal::Plan;
use evidence::entry::EntryType;
use evidence::entry::pairs;
use evidence::entry::state::DisposalState;
use evidence::id::{Chain, IncidentId};
use evidence::roster::Role;
use proto::parts::join;
use proto::v1;
use serde_json::json;

use crate::acts::Draft;
use crate::commands::bundle;
use crate::context::Context;
use crate::failure::{could_not, failed, usage};
use crate::output::{bytes, shown, table};
use crate::session::{Session, refusal_with_next};

/// `exhibit disposition …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Show which evidence of a closed incident would be destroyed, and approve its destruction as the first of two persons
    #[command(
        after_help = "Examples:\n  exhibit disposition propose INC-2026-0001 --reason \"Retention ended\"\n  exhibit disposition propose INC-2026-0001 --dry-run --reason look\n\n\
            Nothing is destroyed until another person approves the same plan. One of the two must be an approver."
    )]
    Propose {
        /// The incident
        incident: IncidentId,
        /// Your reason; stored as a detail that outlives the evidence
        #[arg(long)]
        reason: String,
        /// Show the plan without approving it
        #[arg(long)]
        dry_run: bool,
    },
    /// Approve a plan as the second person; all stores and mirrors then destroy its evidence
    #[command(
        after_help = "Examples:\n  exhibit disposition approve INC-2026-0001 4e1217ada675 --reason \"Checked with counsel\"\n\n\
            To stop a destruction that is not finished yet: exhibit incident hold place INC-2026-0001 --reason \"…\""
    )]
    Approve {
        /// The incident
        incident: IncidentId,
        /// First digits of the plan's digest, as `propose` and `show` print it
        plan: String,
        /// Your reason; stored as a detail that outlives the evidence
        #[arg(long)]
        reason: String,
    },
    /// Show plans and approvals, and which objects each store and mirror has destroyed
    #[command(
        after_help = "Examples:\n  exhibit disposition show INC-2026-0001\n  exhibit --json disposition show INC-2026-0001"
    )]
    Show {
        /// The incident
        incident: IncidentId,
    },
    /// Write the certificate of destruction: a bundle of the incident's custody that anyone can verify
    #[command(
        after_help = "Examples:\n  exhibit disposition certificate INC-2026-0001 --out INC-2026-0001.destroyed\n\n\
            The folder holds destruction.txt for people and destruction.json for programs. exhibit-verify checks both."
    )]
    Certificate {
        /// The incident
        incident: IncidentId,
        /// Folder to create
        #[arg(short, long, value_name = "DIR")]
        out: PathBuf,
        /// For whom or what; stored as an erasable detail of the ledger entry
        #[arg(long, default_value = "certificate of destruction")]
        purpose: String,
        /// Write the certificate even if the required cosigners are unavailable. The certificate says so
        #[arg(long)]
        without_quorum: bool,
    },
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    match args {
        Args::Propose { incident, reason, dry_run } => {
            propose(&context.session().await?, &incident, reason, dry_run).await
        }
        Args::Approve { incident, plan, reason } => {
            approve(&context.session().await?, &incident, &plan, reason).await
        }
        Args::Show { incident } => show(&context.session().await?, &incident).await,
        Args::Certificate { incident, out, purpose, without_quorum } => {
            let session = context.session().await?;
            let answer = fetch(&session, &incident).await?;
            let is_gone = answer
                .places
                .iter()
                .any(|place| place.kind == "store" && place.state.parse() == Ok(DisposalState::Gone));
            if !is_gone {
                return Err(usage(
                    format!("nothing of {incident} is destroyed"),
                    format!("see how far it is: exhibit disposition show {incident}"),
                ));
            }
            bundle::export_whole(incident, out, purpose, without_quorum, context).await
        }
    }
}

async fn propose(
    session: &Session,
    incident: &IncidentId,
    reason: String,
    dry_run: bool,
) -> anyhow::Result<()> {
    let reason = require_reason(reason)?;
    let mut client = proto::service::incident_client(session.channel());
    let request = v1::PlanDispositionRequest { incident: incident.to_string() };
    let answer = join(client.plan_disposition(request).await).await.map_err(refusal_with_list())?;
    let plan = read(&answer.plan, session, incident)?;
    // The list must show what is signed: each collection of the plan, and no other.
    let mut told: Vec<&str> = answer.collections.iter().map(|row| row.collection.as_str()).collect();
    told.sort_unstable();
    if !told.iter().copied().eq(plan.collections.iter().map(ToString::to_string).collect::<Vec<_>>()) {
        return Err(failed("the collector shows other collections than its plan names", "tell the operator"));
    }
    if dry_run {
        return session.output.result(&plan_json(&plan, &answer, None), || {
            format!("{}\nnothing is recorded", plan_text(&plan, &answer))
        });
    }
    if !answer.kept.is_empty() {
        return Err(could_not(
            format!("evidence of {incident} is kept: {}", shown(&answer.kept)),
            format!("see what keeps it: exhibit incident show {incident}"),
        ));
    }
    let index = sign(session, incident, &plan, reason).await?;
    session.output.result(&plan_json(&plan, &answer, Some(index)), || {
        let short: String = plan.digest().to_string().chars().take(12).collect();
        format!(
            "{}\nproposed and approved once, proven at {index} in the ledger; nothing goes yet\nthe second person: exhibit disposition approve {incident} {short} --reason TEXT",
            plan_text(&plan, &answer)
        )
    })
}

async fn approve(
    session: &Session,
    incident: &IncidentId,
    wanted: &str,
    reason: String,
) -> anyhow::Result<()> {
    let reason = require_reason(reason)?;
    if wanted.len() < 8 || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(usage(format!("{} is no plan", shown(wanted)), "give at least 8 digits of its digest"));
    }
    let answer = fetch(session, incident).await?;
    let mut plans = Vec::new();
    for row in &answer.plans {
        let plan = read(&row.text, session, incident)?;
        if plan.digest().to_string().starts_with(&wanted.to_ascii_lowercase()) {
            plans.push(plan);
        }
    }
    let [plan] = plans.as_slice() else {
        return Err(usage(
            format!("{} plans of {incident} begin so", plans.len()),
            format!("see them: exhibit disposition show {incident}"),
        ));
    };
    let index = sign(session, incident, plan, reason).await?;
    let value = json!({"incident": incident, "plan": plan.digest(), "index": index});
    session.output.result(&value, || {
        format!(
            "{}approved, proven at {index} in the ledger\nwith the second approval it is destroyed; see how far: exhibit disposition show {incident}\nto stop what has not gone yet: exhibit incident hold place {incident} --reason TEXT",
            summary(plan)
        )
    })
}

/// Signs and records an approval. Returns the index of its entry.
async fn sign(session: &Session, incident: &IncidentId, plan: &Plan, reason: String) -> anyhow::Result<u64> {
    let roster = session.roster().await?;
    let refs = [("count", plan.count.to_string()), ("plan", plan.digest().to_string())];
    let draft = Draft {
        act: EntryType::DispositionApproved,
        chain: Chain::Incident(incident.clone()),
        refs: pairs::sorted(refs.clone()),
        fields: Vec::new(),
        text: Some(reason),
    };
    let (request, signed) = session.act(draft, &roster, &[Role::Responder, Role::Approver])?;
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.record_act(request).await.map_err(refusal_with_list())?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    recorded.expect(EntryType::DispositionApproved, &signed.digest(), &refs)?;
    Ok(recorded.index)
}

async fn fetch(session: &Session, incident: &IncidentId) -> anyhow::Result<v1::ShowDispositionResponse> {
    let mut client = proto::service::incident_client(session.channel());
    let request = v1::ShowDispositionRequest { incident: incident.to_string() };
    join(client.show_disposition(request).await).await.map_err(refusal_with_list())
}

async fn show(session: &Session, incident: &IncidentId) -> anyhow::Result<()> {
    let answer = fetch(session, incident).await?;
    let places_of = |plan: &v1::DispositionPlan| {
        let digest = plan.plan.clone();
        answer.places.iter().filter(move |row| row.plan == digest)
    };
    let place = |row: &v1::DispositionPlace| {
        json!({"object": row.object, "kind": row.kind, "id": row.id, "state": row.state,
            "why": (!row.why.is_empty()).then_some(&row.why)})
    };
    let approval = |row: &v1::DispositionApproval| json!({"person": row.person, "approver": row.approver, "time": row.time, "index": row.index});
    let value = json!({
        "incident": incident,
        "kept": (!answer.kept.is_empty()).then_some(&answer.kept),
        "plans": answer.plans.iter().map(|plan| json!({
            "plan": plan.plan,
            "text": String::from_utf8_lossy(&plan.text),
            "approvals": plan.approvals.iter().map(approval).collect::<Vec<_>>(),
            "places": places_of(plan).map(place).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    session.output.result(&value, || {
        let mut lines = Vec::new();
        lines.push(match answer.kept.as_str() {
            "" => format!("{incident}: nothing keeps its evidence"),
            kept => format!("{incident}: kept: {}", shown(kept)),
        });
        if answer.plans.is_empty() {
            lines.push("no disposal is proposed".to_owned());
        }
        for plan in &answer.plans {
            let short: String = plan.plan.chars().take(12).collect();
            let state = if plan.approvals.len() < 2 { ": waits for a second person" } else { "" };
            lines.push(format!("plan {}{state}", shown(&short)));
            for one in &plan.approvals {
                let role = if one.approver { "approver" } else { "responder" };
                lines.push(format!("  approved by {} ({role}) {}", shown(&one.person), shown(&one.time)));
            }
            let rows: Vec<Vec<String>> = places_of(plan)
                .map(|row| {
                    vec![
                        shortened(&row.object),
                        format!("{} {}", shown(&row.kind), shown(&row.id)),
                        shown(&row.state),
                        shown(&row.why),
                    ]
                })
                .collect();
            if !rows.is_empty() {
                lines.push(table(&["object", "place", "state", "why"], &rows));
            }
        }
        lines.join("\n")
    })
}

/// Parses the plan that the collector sent. It must be of this deployment and incident, and in canonical form.
fn read(text: &[u8], session: &Session, incident: &IncidentId) -> anyhow::Result<Plan> {
    let odd = |why: &str| failed(format!("the collector's plan {why}"), "tell the operator");
    let text = std::str::from_utf8(text).map_err(|_not_text| odd("is no text"))?;
    let plan = Plan::parse(text).map_err(|_other_form| odd("is not in its form"))?;
    if plan.incident != *incident || plan.deployment != session.config.deployment {
        return Err(odd("is of another incident"));
    }
    Ok(plan)
}

fn plan_json(plan: &Plan, answer: &v1::PlanDispositionResponse, index: Option<u64>) -> serde_json::Value {
    json!({
        "incident": plan.incident, "plan": plan.digest(), "from": plan.from, "count": plan.count,
        "collections": answer.collections.iter().map(|row| json!({
            "collection": row.collection, "endpoint": row.endpoint, "state": row.state, "segments": row.segments,
            "stored_bytes": row.stored_bytes,
        })).collect::<Vec<_>>(),
        "details": plan.details.len(),
        "kept": (!answer.kept.is_empty()).then_some(&answer.kept),
        "index": index,
    })
}

fn summary(plan: &Plan) -> String {
    format!(
        "plan {} of {}: {} collections, {} texts\n",
        plan.digest(),
        plan.incident,
        plan.collections.len(),
        plan.details.len()
    )
}

fn plan_text(plan: &Plan, answer: &v1::PlanDispositionResponse) -> String {
    let rows: Vec<Vec<String>> = answer
        .collections
        .iter()
        .map(|row| {
            vec![
                shown(&row.collection),
                shown(&row.endpoint),
                shown(&row.state),
                // Display only: a segment and its seal are two objects.
                row.segments.saturating_mul(2).to_string(),
                bytes(row.stored_bytes),
            ]
        })
        .collect();
    format!(
        "{}{}\nand the texts: title, notes, reasons, purposes. What stays: orders, manifests, approvals, every entry of the ledger",
        summary(plan),
        table(&["collection", "endpoint", "state", "objects", "stored"], &rows)
    )
}

/// Shortens the collection's id in the key of an object to 12 digits.
fn shortened(object: &str) -> String {
    match object.split_once('/') {
        Some((id, what)) if id.len() == 64 => {
            let short: String = id.chars().take(12).collect();
            format!("{}/{}", shown(&short), shown(what))
        }
        _ => shown(object),
    }
}

fn require_reason(reason: String) -> anyhow::Result<String> {
    if reason.trim().is_empty() {
        return Err(usage("a reason is needed", "say why: --reason TEXT"));
    }
    Ok(reason)
}

fn refusal_with_list() -> impl FnOnce(tonic::Status) -> anyhow::Error {
    refusal_with_next("see what keeps it and how far it is: exhibit incident show, exhibit disposition show")
}
