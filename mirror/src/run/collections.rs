//! The evidence thread: it copies collections, has them verified, and sends statements.
//! Guarantee: a statement is durable before it is sent. The thread sends it again until the ledger has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::signed::Signed;

use super::destroying::{Tries, disposals};
use super::{Context, LOOK, RETRY};
use crate::cosign::Role;
use crate::objects::ObjectError;
use crate::remote::describe_status;
use crate::replicate::copy::{CopyError, Parts, copy};
use crate::replicate::statement::Statement;
use crate::rules::{CollectionToCopy, Extent};
use crate::source::SourceError;

/// Copies collections and makes statements about them.
pub(super) fn evidence_thread(context: &Context) {
    // Statements that were sent but not yet seen in the ledger, with the time of sending.
    let mut sent: BTreeMap<Digest, std::time::Instant> = BTreeMap::new();
    let mut tries = Tries::default();
    while context.goes_on() {
        disposals(context, &mut tries);
        let waiting = Arc::clone(&context.worklist().waiting);
        sent.retain(|id, at| at.elapsed() < RETRY && waiting.iter().any(|one| one.id == *id));
        let mut failed = false;
        for collection in waiting.iter() {
            if sent.contains_key(&collection.id) {
                continue;
            }
            if !context.goes_on() || context.cosigner.fraud().is_some() {
                break;
            }
            let id = collection.id.to_string();
            match one(context, collection) {
                Ok(()) => {
                    context.board.collection(&id, None);
                    sent.insert(collection.id, std::time::Instant::now());
                }
                Err(CopyFailure::Later(why)) => {
                    tracing::warn!(collection = %id, cause = %why, "A collection waits");
                    failed = true;
                }
                Err(CopyFailure::Alarm(why)) => {
                    tracing::error!(collection = %id, cause = %why, "A collection is not replicated");
                    context.board.collection(&id, Some(why));
                    failed = true;
                }
                Err(CopyFailure::Stopped) => break,
            }
        }
        context.board.write(&context.layout.run());
        // New collections come with a round. This pause is short compared with the copying of any collection.
        context.pause(if failed { RETRY.min(LOOK) } else { Duration::from_millis(500) });
    }
}

enum CopyFailure {
    Alarm(String),
    Later(String),
    Stopped,
}

/// Copies one collection unless it is already copied, and sends its statement.
fn one(context: &Context, collection: &CollectionToCopy) -> Result<(), CopyFailure> {
    let folder = context.layout.replicated();
    let io = |error: std::io::Error| CopyFailure::Alarm(format!("the mirror's directory: {error}"));
    let (name, mark) = match &collection.extent {
        Extent::Stored { .. } => (format!("{}.signed", collection.id), None),
        Extent::Interrupted { seal, .. } => {
            (format!("{}.interrupted", collection.id), Some(format!("{seal}\n")))
        }
    };
    let kept = fs_err::read(folder.join(&name)).ok();
    match (&mark, &kept) {
        (Some(mark), Some(kept)) if mark.as_bytes() == kept.as_slice() => return Ok(()),
        (None, Some(kept)) => {
            let act = Signed::parse(kept)
                .map_err(|error| CopyFailure::Alarm(format!("{name}: {}", chain(&error))))?;
            return send(context, &act);
        }
        _ => {}
    }
    let go_on = || context.goes_on();
    let copied = copy(
        collection,
        &Parts {
            own: &context.own,
            source: Some(context.source.as_ref()),
            repaired: &context.repaired,
            judges: context.judges.as_ref(),
            go_on: &go_on,
        },
    );
    let copied = copied.map_err(|error| match error {
        CopyError::Stopped => CopyFailure::Stopped,
        CopyError::Object(ObjectError::Source(SourceError::Away { .. })) => CopyFailure::Later(chain(&error)),
        _ => CopyFailure::Alarm(chain(&error)),
    })?;
    context.board.update(|status| status.bytes_copied += copied.bytes);
    tracing::info!(collection = %collection.id, segments = copied.segments, bytes = copied.bytes, "Collection copied and verified");
    if let Some(mark) = mark {
        return durable::replace(&folder.join(&name), mark.as_bytes(), 0o644).map_err(io);
    }
    let Extent::Stored { manifest, .. } = &collection.extent else {
        return Ok(());
    };
    let Some(held) = context.cosigner.last(Role::Mirror) else {
        return Err(CopyFailure::Later("nothing is held yet".to_owned()));
    };
    let statement = Statement {
        mirror: &context.mirror,
        collection,
        manifest,
        held: &held.log,
        segments: copied.segments,
        bytes: copied.bytes,
        at: crate::now(),
    };
    let act = statement.sign(context.cosigner.keys()).map_err(|error| CopyFailure::Alarm(chain(&error)))?;
    // Keep it before sending: the same bytes are sent again until the ledger has them.
    durable::replace(&folder.join(&name), &act.encode(), 0o644).map_err(io)?;
    send(context, &act)
}

fn send(context: &Context, act: &Signed) -> Result<(), CopyFailure> {
    if let Err(status) = context.remote.replicated(act) {
        return Err(match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::ResourceExhausted
            | tonic::Code::Internal => CopyFailure::Later(describe_status(&status)),
            // The statement was recorded earlier with other bytes, or will appear in the ledger soon.
            tonic::Code::AlreadyExists => return Ok(()),
            _ => CopyFailure::Alarm(format!(
                "the collector refuses the statement: {}",
                describe_status(&status)
            )),
        });
    }
    Ok(())
}
