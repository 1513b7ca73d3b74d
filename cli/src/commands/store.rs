//! `exhibit store`: shows the stores that hold evidence and ledger, and starts the work that keeps them complete.
//! Guarantee: a command here only looks, or starts work that the collector also does without being asked.
//! Not here: adding and retiring stores (`exhibit-server store`, on the collector's machine).

use clap::Subcommand;
use proto::v1;
use serde_json::json;

use crate::context::Context;
use crate::failure::{could_not, failed};
use crate::output::{bytes, shown, table};
use crate::progress::byte_bar;
use crate::session::{Session, refused};

/// `exhibit store …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Show each store: its failure domain, its state, how many objects it lacks, when it was last re-read
    #[command(after_help = "Examples:\n  exhibit store list\n  exhibit store list --json")]
    List,
    /// Re-read and re-hash every object now, as fast as the collector's settings allow
    #[command(
        after_help = "Examples:\n  exhibit store scrub\n  exhibit store scrub store-2\n\nThe collector continues when you interrupt this command. Exit code 1: an object is damaged, missing or unreadable."
    )]
    Scrub {
        /// Ids of stores [default: all]
        stores: Vec<String>,
    },
    /// Restore missing and damaged copies now, without waiting for the next attempt
    #[command(after_help = "Example:\n  exhibit store repair")]
    Repair,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::List => list(&session).await,
        Args::Scrub { stores } => scrub(&session, stores).await,
        Args::Repair => repair(&session).await,
    }
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut client = proto::service::store_client(session.channel());
    let answer = client.list_stores(v1::ListStoresRequest {}).await.map_err(refused)?.into_inner();
    let value = json!({
        "copies": answer.copies, "degraded": answer.degraded, "independent": answer.independent,
        "slow_scrub": answer.slow_scrub, "stores": answer.stores.iter().map(as_json).collect::<Vec<_>>(),
    });
    session.output.result(&value, || {
        let mut lines = vec![rows(&answer.stores)];
        let independent = if answer.independent {
            "independent"
        } else {
            "NOT INDEPENDENT: one failure can take all copies"
        };
        lines.push(format!(
            "{} copies asked; with fewer: {}; {independent}",
            answer.copies,
            shown(&answer.degraded)
        ));
        if !answer.slow_scrub.is_empty() {
            lines.push(format!("scrub: {}", shown(&answer.slow_scrub)));
        }
        lines.join("\n")
    })
}

async fn scrub(session: &Session, stores: Vec<String>) -> anyhow::Result<()> {
    let mut client = proto::service::store_client(session.channel());
    let mut stream = client.scrub(v1::ScrubRequest { stores }).await.map_err(refused)?.into_inner();
    let bar = byte_bar(session.output, None);
    let mut last = v1::ScrubProgress::default();
    while let Some(progress) = stream.message().await.map_err(refused)? {
        let line: Vec<_> = progress
            .stores
            .iter()
            .map(|row| {
                // Display only: a store that no scrub has read shows zeros.
                let scrub = row.scrub.clone().unwrap_or_default();
                format!("{} {}/{} ({})", shown(&row.store), scrub.objects, scrub.total, bytes(scrub.bytes))
            })
            .collect();
        bar.set_message(line.join("  "));
        last = progress;
    }
    bar.finish_and_clear();
    if !last.finished {
        return Err(could_not(
            "the connection was cut before the pass ended",
            "look again with: exhibit store list",
        ));
    }
    let value = json!({"stores": last.stores.iter().map(as_json).collect::<Vec<_>>()});
    session.output.result(&value, || rows(&last.stores))?;
    let wrong: u64 = last
        .stores
        .iter()
        .filter_map(|row| row.scrub.as_ref())
        .flat_map(|scrub| [scrub.damaged, scrub.missing, scrub.unreadable])
        // Shown, and compared with 0.
        .fold(0, u64::saturating_add);
    let ledger: u64 = last
        .stores
        .iter()
        .filter_map(|row| row.scrub.as_ref())
        .map(|scrub| scrub.ledger_problems)
        // Shown, and compared with 0.
        .fold(0, u64::saturating_add);
    if ledger > 0 {
        return Err(failed(
            format!(
                "{wrong} objects and {ledger} parts of the ledger's copies are damaged, missing or unreadable"
            ),
            "the collector repairs objects without help, but not a copy of the ledger: exhibit ledger fsck says which files to move away",
        ));
    }
    if wrong == 0 {
        Ok(())
    } else {
        Err(failed(
            format!("{wrong} objects are damaged, missing or unreadable"),
            "they are queued for repair: exhibit store repair; the collector's log lists objects that no store holds intact",
        ))
    }
}

async fn repair(session: &Session) -> anyhow::Result<()> {
    let mut client = proto::service::store_client(session.channel());
    let mut stream = client.repair(v1::RepairRequest {}).await.map_err(refused)?.into_inner();
    let bar = byte_bar(session.output, None);
    let mut last = v1::RepairProgress::default();
    while let Some(progress) = stream.message().await.map_err(refused)? {
        bar.set_message(format!("{} repaired, {} wait", progress.repaired, progress.waiting));
        last = progress;
    }
    bar.finish_and_clear();
    if !last.finished {
        return Err(could_not(
            "the connection was cut before the queue was empty",
            "look again with: exhibit store list",
        ));
    }
    let value = json!({"repaired": last.repaired, "waiting": last.waiting, "problems": last.problems});
    session.output.result(&value, || {
        let mut lines: Vec<_> = last.problems.iter().map(|problem| shown(problem)).collect();
        lines.push(format!("{} repaired, {} wait", last.repaired, last.waiting));
        lines.join("\n")
    })?;
    if last.waiting == 0 {
        Ok(())
    } else {
        Err(failed(
            format!("{} copies could not be made", last.waiting),
            "bring the store back or free space; the collector then tries again",
        ))
    }
}

fn as_json(row: &v1::StoreRow) -> serde_json::Value {
    let scrub = row.scrub.as_ref().map(|scrub| {
        json!({
            "begun": scrub.begun, "ended": scrub.ended, "whole": scrub.whole, "objects": scrub.objects, "total": scrub.total,
            "bytes": scrub.bytes, "damaged": scrub.damaged, "missing": scrub.missing, "unreadable": scrub.unreadable,
            "ledger_problems": scrub.ledger_problems,
        })
    });
    json!({
        "store": row.store, "domain": row.domain, "state": row.state, "why": row.why, "created": row.created,
        "wanting": row.wanting, "repair_error": row.repair_error, "scrub": scrub,
    })
}

fn rows(stores: &[v1::StoreRow]) -> String {
    let cells = stores.iter().map(|row| {
        // Display only: a store that no scrub has read shows "never".
        let scrub = row.scrub.clone().unwrap_or_default();
        let pass = match (scrub.begun.as_str(), scrub.ended.as_str()) {
            ("", _) => "never".to_owned(),
            (_, "") => format!("{} of {} objects", scrub.objects, scrub.total),
            (_, ended) => shown(ended),
        };
        vec![
            shown(&row.store),
            if row.why.is_empty() {
                shown(&row.state)
            } else {
                format!("{}: {}", shown(&row.state), shown(&row.why))
            },
            shown(&row.domain),
            row.wanting.to_string(),
            pass,
            bytes(scrub.bytes),
            scrub.damaged.to_string(),
            scrub.missing.to_string(),
            scrub.unreadable.to_string(),
            scrub.ledger_problems.to_string(),
        ]
    });
    table(
        &[
            "store",
            "state",
            "domain",
            "wanting",
            "re-read",
            "bytes",
            "damaged",
            "missing",
            "unreadable",
            "ledger",
        ],
        &cells.collect::<Vec<_>>(),
    )
}
