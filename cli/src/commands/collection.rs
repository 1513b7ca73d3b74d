//! `exhibit collection`: shows what was collected, after verifying manifest, delegation and receipt.
//! Not here: the evidence itself (`evidence`, `bundle`).

use clap::Subcommand;
use evidence::id::IncidentId;
use proto::parts::join;
use proto::v1;
use serde_json::json;

use crate::commands::order::check_prefix;
use crate::context::Context;
use crate::output::{bytes, shown, table};
use crate::session::{Session, refused};

/// `exhibit collection …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// List collections
    #[command(
        after_help = "Examples:\n  exhibit collection list\n  exhibit collection list --incident INC-2026-0001 --json"
    )]
    List {
        /// Show only those of this incident
        #[arg(long)]
        incident: Option<IncidentId>,
    },
    /// Verify and show a collection's manifest and receipt, and keep the receipt
    #[command(after_help = "Examples:\n  exhibit collection show 7b1e44d0")]
    Show {
        /// Id, or a unique prefix of at least 8 digits
        collection: String,
    },
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::List { incident } => list(&session, incident).await,
        Args::Show { collection } => show(&session, &collection).await,
    }
}

async fn list(session: &Session, incident: Option<IncidentId>) -> anyhow::Result<()> {
    let mut client = proto::service::evidence_client(session.channel());
    // Empty asks for the collections of all incidents.
    let incident = incident.map(|incident| incident.to_string()).unwrap_or_default();
    let request = v1::ListCollectionsRequest { incident };
    let rows = join(client.list_collections(request).await).await.map_err(refused)?.collections;
    let values: Vec<serde_json::Value> = rows.iter().map(row_value).collect();
    session.output.result(&values, || {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    shown(&row.collection),
                    shown(&row.incident),
                    shown(&row.endpoint),
                    shown(&row.state),
                    row.items.to_string(),
                    row.not_ok.to_string(),
                    bytes(row.stored_bytes),
                    copies(row),
                ]
            })
            .collect();
        table(&["collection", "incident", "endpoint", "state", "items", "not ok", "stored", "copies"], &lines)
    })
}

fn copies(row: &v1::CollectionRow) -> String {
    let mut text = row.copies.to_string();
    if row.degraded {
        text.push_str(", degraded");
    }
    if !row.independent {
        text.push_str(", not independent");
    }
    text
}

fn row_value(row: &v1::CollectionRow) -> serde_json::Value {
    json!({
        "collection": row.collection, "incident": row.incident, "order": row.order, "endpoint": row.endpoint,
        "attempt": row.attempt, "state": row.state, "items": row.items, "not_ok": row.not_ok,
        "content_bytes": row.content_bytes, "stored_bytes": row.stored_bytes, "segments": row.segments,
        "copies": row.copies, "degraded": row.degraded, "independent": row.independent, "begun": row.begun,
        "ended": row.ended,
    })
}

async fn show(session: &Session, prefix: &str) -> anyhow::Result<()> {
    check_prefix(prefix)?;
    let directory = session.directory().await?;
    let receipt = session.receipt(prefix, &directory).await?;
    let row = &receipt.row;
    let value = json!({
        "collection": row_value(row),
        "manifest": receipt.manifest,
        "outcomes": receipt.outcomes.iter().map(|one| json!([one.outcome, one.count])).collect::<Vec<_>>(),
        "receipt": receipt.stored.as_ref().map(|stored| json!({
            "index": stored.index, "seq": stored.entry.envelope.seq, "time": stored.entry.envelope.time,
            "file": session.home.path(&format!("receipts/{}.tlog-proof", row.collection)),
        })),
    });
    session.output.result(&value, || {
        let mut lines = vec![
            format!("collection {}  {}", shown(&row.collection), shown(&row.state)),
            format!(
                "  {} of {} for {}, attempt {} of order {}",
                shown(&row.endpoint),
                session.config.deployment,
                shown(&row.incident),
                row.attempt,
                shown(&row.order)
            ),
            format!(
                "  {} items, {} of content, {} stored in {} segments on {} copies",
                row.items,
                bytes(row.content_bytes),
                bytes(row.stored_bytes),
                row.segments,
                copies(row)
            ),
        ];
        match &receipt.manifest {
            Some(manifest) => {
                lines.push(format!(
                    "  collected {} to {} by the endpoint's clock",
                    manifest.begun, manifest.ended
                ));
                lines.push(format!("  container {}", manifest.container_sha256));
                lines.push(format!("  items     {}", manifest.items_root));
                for (outcome, count) in &manifest.outcomes {
                    lines.push(format!("  {count:>9} {}", shown(outcome.as_str())));
                }
                lines.extend(manifest.footprint.iter().map(|text| format!("  footprint: {}", shown(text))));
                lines
                    .extend(manifest.limitations.iter().map(|text| format!("  limitation: {}", shown(text))));
                lines.push("  manifest and delegation verified under the endpoint's proven key".to_owned());
            }
            None => lines.push("  no manifest: the collection did not end; its seals stand alone".to_owned()),
        }
        match &receipt.stored {
            Some(stored) => lines.push(format!(
                "  receipt verified: entry {} of {}, {} in the ledger, {}",
                stored.entry.envelope.seq,
                stored.entry.envelope.incident,
                stored.index,
                stored.entry.envelope.time
            )),
            None => lines.push("  no receipt: the ledger does not call it stored".to_owned()),
        }
        lines.join("\n")
    })
}
