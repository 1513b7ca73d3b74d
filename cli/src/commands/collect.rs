//! `exhibit collect`: compiles a profile to a plan, addresses the order to proven keys, signs it, issues it and follows it.
//! Guarantee: each target is an endpoint whose enrolment the ledger proves. The order counts as issued only with its proof. The command
//! succeeds only with a receipt that verifies; the collector's word is not enough. Not here: approving (`order`).

use std::time::Duration;

use evidence::entry::EntryType;
use evidence::entry::state::AttemptState;
use evidence::id::{EndpointId, IncidentId};
use evidence::order::{Order, OrderType, Target, TargetSet};
use evidence::roster::{AdmittedRoster, Role};
use proto::status::Action;
use proto::v1;
use serde_json::json;

use crate::acts;
use crate::clock;
use crate::context::Context;
use crate::directory::Directory;
use crate::failure::{could_not, failed, usage};
use crate::output::{shown, table};
use crate::profile::{Profile, Setting};
use crate::progress::Progress;
use crate::session::{Session, refused};
use crate::settings::Span;

const EXAMPLES: &str = "\
Examples:
  exhibit collect --incident INC-2026-0001 --on web-03 --profile linux-triage --purpose \"Odd logins\"
  exhibit collect --incident INC-2026-0001 --on web-03,web-04 --profile mine.toml --set limits.wall=10m
  exhibit collect --incident INC-2026-0001 --on-all --profile linux-triage --no-wait

Exit code 1: at least one endpoint finished without storing its collection.
A collection that is `stored-degraded` has fewer independent copies than the policy requires. The command then prints a warning and exits with 0;
the collector makes the missing copies when the store is back.";

/// `exhibit collect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The incident that this collection belongs to
    #[arg(long)]
    incident: IncidentId,
    /// Names of endpoints, separated by commas
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', required_unless_present = "on_all")]
    on: Vec<EndpointId>,
    /// Every enrolled endpoint
    #[arg(long, conflicts_with = "on")]
    on_all: bool,
    /// Name of a profile, or path of a profile file
    #[arg(long, value_name = "NAME|FILE")]
    profile: String,
    /// Why you collect; part of the signed order
    #[arg(long, default_value = "")]
    purpose: String,
    /// Change one value of the profile, such as limits.wall=10m or processes.environ=true
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// How long endpoints may start this order [default: 24h, or less if the roster says so]
    #[arg(long, value_name = "DURATION")]
    expires: Option<Span>,
    /// How often an endpoint may try
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10))]
    attempts: u32,
    /// Follow the order until every endpoint has finished; this is the default
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
    /// Return as soon as the ledger holds the order
    #[arg(long)]
    no_wait: bool,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    let profile = Profile::find(&args.profile, Some(&session.home), &args.settings)?;
    let roster = session.roster().await?;
    let directory = session.directory().await?;
    let targets = targets(&args, &directory)?;
    let order = order(&args, &session, &profile, &roster, &targets)?;
    let signed = session.sign(&order, &roster, &[Role::Responder])?;
    let id = signed.digest();

    let mut client = proto::service::order_client(session.channel());
    let leaves = targets.targets().iter().map(|target| v1::TargetLeaf {
        endpoint: target.endpoint.to_string(),
        generation: target.generation.number().into(),
        evidence_key: target.evidence_key.to_string(),
    });
    let request = v1::IssueOrderRequest { order: Some(signed.into()), targets: leaves.collect() };
    let answer = client.issue_order(request).await.map_err(refused)?.into_inner();
    let recorded = session.prove_recorded("issued", answer.issued).await?;
    recorded.expect(EntryType::OrderIssued, &id, &[("order", id.to_string())])?;
    session.output.print_note(&format!(
        "order {id} to {} endpoints, proven at {} in the ledger, expires {}",
        targets.count(),
        recorded.index,
        order.expires
    ));
    if answer.awaits_approval {
        session.output.print_note(&format!("a second person must approve it: exhibit order approve {id}"));
    }
    if args.no_wait {
        let value = json!({"order": id, "index": recorded.index, "awaits_approval": answer.awaits_approval});
        return session.output.result(&value, || id.to_string());
    }
    let mut progress = Progress::new(session.output, order.limits);
    let last = watch(&session, &id.to_string(), &mut progress).await;
    progress.finish();
    conclude(&session, &id.to_string(), &targets, last?).await
}

fn targets(args: &Args, directory: &Directory) -> anyhow::Result<TargetSet> {
    let targets: Vec<Target> = if args.on_all {
        directory.all_current().into_iter().map(|enrolled| enrolled.target()).collect()
    } else {
        let find = |endpoint: &EndpointId| {
            let enrolled = directory.current(endpoint).ok_or_else(|| {
                could_not(
                    format!("{endpoint} is not enrolled, or retired, by the ledger"),
                    "see the endpoints: exhibit endpoint list",
                )
            })?;
            Ok(enrolled.target())
        };
        args.on.iter().map(find).collect::<anyhow::Result<_>>()?
    };
    TargetSet::new(targets).map_err(|cause| {
        usage(cause.to_string(), "name each endpoint once; exhibit endpoint list shows them")
    })
}

fn order(
    args: &Args,
    session: &Session,
    profile: &Profile,
    roster: &AdmittedRoster,
    targets: &TargetSet,
) -> anyhow::Result<Order> {
    const DAY: Duration = Duration::from_secs(86_400);

    let longest = roster.roster().order_lifetime_max();
    let lifetime = args.expires.map_or(DAY.min(longest), |span| span.0);
    if lifetime > longest {
        return Err(usage(
            format!("the roster lets an order live {} at most", Span(longest)),
            format!("--expires {}", Span(longest)),
        ));
    }
    let issued = clock::now()?;
    Ok(Order {
        type_: OrderType,
        deployment: session.config.deployment.clone(),
        incident: args.incident.clone(),
        nonce: acts::nonce()?,
        issuer: session.config.person.clone(),
        issued,
        expires: issued.checked_add(lifetime).ok_or_else(|| usage("the year 9999 is the last", ""))?,
        attempts: args.attempts,
        roster_version: roster.roster().version,
        roster_sha256: roster.digest(),
        targets_count: targets.count(),
        targets_root: targets.root(),
        profile: profile.reference.clone(),
        purpose: args.purpose.clone(),
        sensitivity: profile.sensitivity(),
        limits: profile.limits,
        plan: profile.plan.clone(),
    })
}

/// Follows an order to its end, and reconnects when the connection is cut.
/// Fails if the collector refuses, or does not come back.
pub async fn watch(
    session: &Session,
    order: &str,
    progress: &mut Progress,
) -> anyhow::Result<v1::OrderProgress> {
    /// Failed connections in a row before the command gives up. They are 2 s apart, so a collector has a minute to restart.
    const CUTS_MAX: u32 = 30;

    let mut client = proto::service::order_client(session.channel());
    let mut cuts = 0;
    loop {
        let request = v1::ShowOrderRequest { order: order.to_owned() };
        let ended = match client.watch_order(request).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(seen)) => {
                            cuts = 0;
                            progress.update(&seen);
                            if seen.finished {
                                return Ok(seen);
                            }
                        }
                        Ok(None) => break tonic::Status::unavailable("the collector ended the stream"),
                        Err(status) => break status,
                    }
                }
            }
        };
        if Action::of(&ended) != Action::Retry || cuts >= CUTS_MAX {
            session.output.print_note(&format!("the order goes on without you: exhibit order show {order}"));
            return Err(refused(ended));
        }
        cuts += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Fetches and verifies the receipts, prints the end of every endpoint, and decides the exit code.
async fn conclude(
    session: &Session,
    order: &str,
    targets: &TargetSet,
    last: v1::OrderProgress,
) -> anyhow::Result<()> {
    // Read the directory again: a receipt is checked against the ledger as it is now.
    let directory = session.directory().await?;
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    let (mut not_stored, mut degraded) = (0_usize, Vec::new());
    for target in targets.targets() {
        // A newer collector may send an unknown state. It is shown as worded and counts as not stored.
        let is_stored = |attempt: &v1::AttemptRow| attempt.state.parse().is_ok_and(AttemptState::is_stored);
        let newest = last
            .attempts
            .iter()
            .filter(|attempt| attempt.endpoint == target.endpoint.as_str())
            .max_by_key(|attempt| (is_stored(attempt), attempt.attempt));
        let mut state = newest.map_or(AttemptState::Waiting.as_str(), |attempt| &attempt.state).to_owned();
        // A target that has not begun has no collection yet.
        let mut collection = newest.map(|attempt| attempt.collection.clone()).unwrap_or_default();
        let detail = newest.map(|attempt| attempt.detail.clone()).unwrap_or_default();
        let mut items = 0;
        if newest.is_some_and(is_stored) {
            let receipt = session.receipt(&collection, &directory).await?;
            let manifest = receipt.manifest.as_ref().filter(|_| receipt.stored.is_some());
            let manifest = manifest.ok_or_else(|| {
                failed(
                    format!("the collector calls {collection} stored and shows no receipt"),
                    "tell the operator",
                )
            })?;
            let fits = matches!(&manifest.origin, evidence::manifest::Origin::Endpoint(origin)
                if origin.order.to_string() == order && origin.id == target.endpoint && origin.generation == target.generation);
            if !fits {
                return Err(failed(
                    format!("collection {collection} is not {}'s under this order", target.endpoint),
                    "tell the operator",
                ));
            }
            let is_degraded = receipt.is_degraded();
            state = if is_degraded { AttemptState::StoredDegraded } else { AttemptState::Stored }.to_string();
            collection = manifest.collection.to_string();
            items = manifest.items;
            if is_degraded {
                degraded.push(target.endpoint.to_string());
            }
        } else {
            not_stored += 1;
        }
        values.push(json!({
            "endpoint": target.endpoint, "state": state, "collection": collection, "items": items, "detail": detail,
        }));
        rows.push(vec![
            target.endpoint.to_string(),
            shown(&state),
            items.to_string(),
            shown(&collection),
            shown(&detail),
        ]);
    }
    let state = proto::convert::required("row", last.row)?.state;
    let value = json!({"order": order, "state": state, "endpoints": values});
    session
        .output
        .result(&value, || table(&["endpoint", "state", "items", "collection", "detail"], &rows))?;
    if !degraded.is_empty() {
        eprintln!(
            "warning: stored-degraded on {}: fewer independent copies than the policy asks, until the collector repairs it",
            degraded.join(", ")
        );
    }
    if not_stored > 0 {
        return Err(failed(
            format!("{not_stored} of {} endpoints ended other than stored", targets.count()),
            format!("exhibit order show {order} says why; a new order tries again"),
        ));
    }
    Ok(())
}
