//! The evidence's thread: collections are copied, verified and stated.
//! Guarantee: a statement is kept before it is sent, and sent again until the ledger has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evidence::digest::Digest;
use evidence::signed::Signed;

use super::destroying::{Tries, disposals};
use super::{LOOK, RETRY, Shared};
use crate::chain;
use crate::copy::{CopyError, Parts, copy};
use crate::cosign::Role;
use crate::objects::ObjectError;
use crate::remote::said;
use crate::rules::{Job, Wanted};
use crate::source::SourceError;
use crate::state::replace;
use crate::statement::Statement;

/// Copies collections and states them.
pub(super) fn evidence_thread(shared: &Shared) {
    // Statements that were sent and not seen in the ledger yet, and when.
    let mut sent: BTreeMap<Digest, std::time::Instant> = BTreeMap::new();
    let mut tries = Tries::default();
    while shared.goes_on() {
        disposals(shared, &mut tries);
        let jobs = Arc::clone(&shared.jobs().waiting);
        sent.retain(|id, at| at.elapsed() < RETRY && jobs.iter().any(|job| job.id == *id));
        let mut failed = false;
        for job in jobs.iter() {
            if sent.contains_key(&job.id) {
                continue;
            }
            if !shared.goes_on() || shared.cosigner.fraud().is_some() {
                break;
            }
            let id = job.id.to_string();
            match one(shared, job) {
                Ok(()) => {
                    shared.board.collection(&id, None);
                    sent.insert(job.id, std::time::Instant::now());
                }
                Err(CopyFailure::Later(why)) => {
                    tracing::warn!(collection = %id, cause = %why, "A collection waits");
                    failed = true;
                }
                Err(CopyFailure::Alarm(why)) => {
                    tracing::error!(collection = %id, cause = %why, "A collection is not replicated");
                    shared.board.collection(&id, Some(why));
                    failed = true;
                }
                Err(CopyFailure::Stopped) => break,
            }
        }
        shared.board.write(&shared.layout.run());
        // New jobs come with a round; a moment is short beside the copying of any collection.
        shared.pause(if failed { RETRY.min(LOOK) } else { Duration::from_millis(500) });
    }
}

enum CopyFailure {
    Alarm(String),
    Later(String),
    Stopped,
}

/// Copies one collection if it was not, and sends its statement.
fn one(shared: &Shared, job: &Job) -> Result<(), CopyFailure> {
    let folder = shared.layout.replicated();
    let io = |error: std::io::Error| CopyFailure::Alarm(format!("the mirror's directory: {error}"));
    let (name, mark) = match &job.wanted {
        Wanted::Stored { .. } => (format!("{}.signed", job.id), None),
        Wanted::Interrupted { seal, .. } => (format!("{}.interrupted", job.id), Some(format!("{seal}\n"))),
    };
    let kept = fs_err::read(folder.join(&name)).ok();
    match (&mark, &kept) {
        (Some(mark), Some(kept)) if mark.as_bytes() == kept.as_slice() => return Ok(()),
        (None, Some(kept)) => {
            let act = Signed::parse(kept)
                .map_err(|error| CopyFailure::Alarm(format!("{name}: {}", chain(&error))))?;
            return send(shared, &act);
        }
        _ => {}
    }
    let go_on = || shared.goes_on();
    let copied = copy(
        job,
        &Parts {
            own: &shared.own,
            source: Some(shared.source.as_ref()),
            repaired: &shared.repaired,
            judges: shared.judges.as_ref(),
            go_on: &go_on,
        },
    );
    let copied = copied.map_err(|error| match error {
        CopyError::Stopped => CopyFailure::Stopped,
        CopyError::Object(ObjectError::Source(SourceError::Away { .. })) => CopyFailure::Later(chain(&error)),
        _ => CopyFailure::Alarm(chain(&error)),
    })?;
    shared.board.update(|status| status.bytes_copied = status.bytes_copied.saturating_add(copied.bytes));
    tracing::info!(collection = %job.id, segments = copied.segments, bytes = copied.bytes, "Collection copied and verified");
    if let Some(mark) = mark {
        return replace(&folder, &name, mark.as_bytes()).map_err(io);
    }
    let Wanted::Stored { manifest, .. } = &job.wanted else {
        return Ok(());
    };
    let Some(held) = shared.cosigner.last(Role::Mirror) else {
        return Err(CopyFailure::Later("nothing is held yet".to_owned()));
    };
    let statement = Statement {
        mirror: &shared.mirror,
        job,
        manifest,
        held: &held.log,
        segments: copied.segments,
        bytes: copied.bytes,
        at: crate::now(),
    };
    let act = statement.sign(shared.cosigner.keys()).map_err(|error| CopyFailure::Alarm(chain(&error)))?;
    // Kept before it is sent: the same bytes are sent again until the ledger has them.
    replace(&folder, &name, &act.encode()).map_err(io)?;
    send(shared, &act)
}

fn send(shared: &Shared, act: &Signed) -> Result<(), CopyFailure> {
    if let Err(status) = shared.remote.replicated(act) {
        return Err(match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::ResourceExhausted
            | tonic::Code::Internal => CopyFailure::Later(said(&status)),
            // Recorded before under other bytes, or about to be seen in the ledger.
            tonic::Code::AlreadyExists => return Ok(()),
            _ => CopyFailure::Alarm(format!("the collector refuses the statement: {}", said(&status))),
        });
    }
    Ok(())
}
