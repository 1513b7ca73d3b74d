//! `exhibit ledger`: shows the ledger and checks it from outside.
//! Guarantee: each checkpoint and proof shown here verified under the pinned log key and continues the last checkpoint seen.
//! Not here: cosigning (mirrors); what the lines of cosigners mean (`cosigners`).

use std::path::PathBuf;

use clap::Subcommand;
use evidence::digest::Digest;
use evidence::entry::Entry;
use evidence::id::IncidentId;
use ledger::Note;
use proto::v1;
use serde_json::json;

use crate::context::Context;
use crate::cosigners::Cosigners;
use crate::failure::{because, could_not, failed, usage};
use crate::home::write_durably;
use crate::output::{Format, shown, write_line};
use crate::progress::byte_bar;
use crate::session::{Session, refused};

/// `exhibit ledger …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Print entries of the ledger, unproven; use `prove` to prove one
    #[command(
        after_help = "Examples:\n  exhibit ledger tail\n  exhibit ledger tail --follow --json\n  exhibit ledger tail --incident INC-2026-0001 --from 0"
    )]
    Tail {
        /// Keep printing new entries
        #[arg(long)]
        follow: bool,
        /// Print only entries of this incident
        #[arg(long)]
        incident: Option<IncidentId>,
        /// Index of the first entry [default: 20 before the end]
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
    },
    /// Prove that the ledger contains an entry
    #[command(
        after_help = "Examples:\n  exhibit ledger prove --index 41\n  exhibit ledger prove --event 9c1f… --out stored     # writes stored.entry and stored.tlog-proof\n  exhibit ledger prove --index 41 --cosigned --out entry-41     # a receipt that cosigners vouch for"
    )]
    Prove {
        /// Index of the entry in the ledger
        #[arg(long, required_unless_present = "event")]
        index: Option<u64>,
        /// Event id of the entry: the digest of the act
        #[arg(long, conflicts_with = "index")]
        event: Option<Digest>,
        /// Write NAME.entry and NAME.tlog-proof
        #[arg(long, value_name = "NAME")]
        out: Option<PathBuf>,
        /// Prove it under a cosigned checkpoint; waits for the cosigners
        #[arg(long)]
        cosigned: bool,
    },
    /// Make the collector recompute every tile and entry from its stores
    #[command(
        after_help = "Examples:\n  exhibit ledger fsck\n  exhibit ledger fsck --evidence     # also re-hashes every stored object"
    )]
    Fsck {
        /// Also re-hash every evidence object
        #[arg(long)]
        evidence: bool,
    },
    /// Fetch the newest checkpoint, verify that it continues the last one seen here, and show who cosigned it
    #[command(
        after_help = "Examples:\n  exhibit ledger checkpoint\n  exhibit ledger checkpoint --out checkpoint     # give it to somebody outside: they can then prove a rewritten ledger"
    )]
    Checkpoint {
        /// Write the signed checkpoint to this file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::Tail { follow, incident, from } => tail(&session, follow, incident, from).await,
        Args::Prove { index, event, out, cosigned } => prove(&session, index, event, out, cosigned).await,
        Args::Fsck { evidence } => fsck(&session, evidence).await,
        Args::Checkpoint { out } => checkpoint(&session, out).await,
    }
}

async fn head(session: &Session) -> anyhow::Result<(v1::CheckpointResponse, ledger::Checkpoint)> {
    let mut client = proto::service::ledger_client(session.channel());
    let answer = client.checkpoint(v1::CheckpointRequest {}).await.map_err(refused)?.into_inner();
    let note =
        Note::parse(&answer.checkpoint).map_err(|cause| failed(because(&cause), "tell the operator"))?;
    let checkpoint = session.accept_checkpoint(&note).await?;
    Ok((answer, checkpoint))
}

async fn tail(
    session: &Session,
    follow: bool,
    incident: Option<IncidentId>,
    from: Option<u64>,
) -> anyhow::Result<()> {
    const BEFORE_THE_END: u64 = 20;

    let from = match from {
        Some(from) => from,
        // A ledger with fewer entries is shown from its beginning.
        None => head(session).await?.1.size.saturating_sub(BEFORE_THE_END),
    };
    let incident = incident.map_or_else(|| "*".to_owned(), |incident| incident.to_string());
    let mut client = proto::service::ledger_client(session.channel());
    let request = v1::EntriesRequest { from, count: 0, incident, follow };
    let mut rows = client.entries(request).await.map_err(refused)?.into_inner();
    while let Some(row) = rows.message().await.map_err(refused)? {
        let entry = Entry::parse(&row.entry).map_err(|cause| {
            failed(
                format!("entry {}: {}", row.index, because(&cause)),
                "tell the operator: exhibit ledger fsck",
            )
        })?;
        let envelope = &entry.envelope;
        let text = match session.output.format {
            Format::Json => json!({"index": row.index, "envelope": envelope}).to_string(),
            Format::Text => {
                let refs: Vec<String> =
                    envelope.refs.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                let chain = envelope.incident.incident().map_or_else(|| "-".to_owned(), ToString::to_string);
                format!(
                    "{:>8}  {}  {chain}/{}  {}  {}",
                    row.index,
                    envelope.time,
                    envelope.seq,
                    envelope.type_,
                    refs.join(" ")
                )
            }
        };
        write_line(&text)?;
    }
    Ok(())
}

async fn prove(
    session: &Session,
    index: Option<u64>,
    event: Option<Digest>,
    out: Option<PathBuf>,
    cosigned: bool,
) -> anyhow::Result<()> {
    let what = match (index, event) {
        (Some(index), _) => v1::prove_request::What::Index(index),
        (None, Some(event)) => v1::prove_request::What::Event(event.to_string()),
        (None, None) => return Err(usage("which entry?", "give --index or --event")),
    };
    let mut client = proto::service::ledger_client(session.channel());
    let proven =
        client.prove(v1::ProveRequest { what: Some(what), cosigned }).await.map_err(refused)?.into_inner();
    let recorded = session.prove_recorded("entry", Some(proven)).await?;
    let envelope = &recorded.entry.envelope;
    let asked = index.is_none_or(|index| index == recorded.index)
        && event.is_none_or(|event| event == envelope.event);
    if !asked {
        return Err(failed(
            format!("the collector proved entry {} instead", recorded.index),
            "tell the operator",
        ));
    }
    if let Some(out) = &out {
        for (extension, bytes) in [("entry", &recorded.bytes), ("tlog-proof", &recorded.proof)] {
            let mut name = out.as_os_str().to_owned();
            name.push(".");
            name.push(extension);
            write_durably(&PathBuf::from(name), bytes)?;
        }
    }
    let value =
        json!({"index": recorded.index, "leaf": recorded.leaf, "size": recorded.size, "envelope": envelope});
    session.output.result(&value, || {
        format!(
            "entry {} of {} is proven: {} {} of {}\n  event {}\n  leaf  {}",
            recorded.index,
            recorded.size,
            envelope.time,
            envelope.type_,
            envelope.incident.incident().map_or_else(|| envelope.deployment.to_string(), ToString::to_string),
            envelope.event,
            recorded.leaf
        )
    })
}

async fn fsck(session: &Session, evidence: bool) -> anyhow::Result<()> {
    let mut client = proto::service::ledger_client(session.channel());
    let mut stream = client.fsck(v1::FsckRequest { evidence }).await.map_err(refused)?.into_inner();
    let bar = byte_bar(session.output, None);
    let (mut problems, mut last) = (Vec::new(), v1::FsckProgress::default());
    while let Some(progress) = stream.message().await.map_err(refused)? {
        bar.set_message(format!("{} of {}", progress.done, progress.total));
        problems.extend(progress.problems.iter().map(|problem| shown(problem)));
        last = progress;
    }
    bar.finish_and_clear();
    if !last.finished {
        return Err(could_not("the check was cut before its end", "try again"));
    }
    let value = json!({"checked": last.done, "problems": problems});
    session.output.result(&value, || {
        let mut lines = problems.clone();
        lines.push(format!("{} checked, {} problems", last.done, problems.len()));
        lines.join("\n")
    })?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(failed(
            format!("{} problems", problems.len()),
            "keep the stores as they are and let the operator look",
        ))
    }
}

async fn checkpoint(session: &Session, out: Option<PathBuf>) -> anyhow::Result<()> {
    let now = crate::clock::now()?.unix_ms() / 1000;
    let before = session.newest_checkpoint()?.map(|(_, checkpoint)| checkpoint.size);
    let (answer, checkpoint) = head(session).await?;
    if let Some(out) = &out {
        write_durably(out, &answer.checkpoint)?;
    }
    let cosigners = Cosigners::verify(session, &answer).await?;
    let value = json!({
        "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.to_base64(), "seen_before": before,
        "stamped_size": answer.stamped_size, "cosigned": cosigners.to_json(),
    });
    session.output.result(&value, || {
        let continues = match before {
            Some(before) => format!("continues the one of size {before} seen here before"),
            None => "the first seen here".to_owned(),
        };
        let stamp = match answer.stamped_size {
            0 => "no time stamp".to_owned(),
            size => format!("time-stamped at size {size}"),
        };
        format!(
            "{}  size {}  root {}\n  {continues}; {stamp}\n{}",
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root.to_base64(),
            cosigners.text(checkpoint.size, now)
        )
    })
}
