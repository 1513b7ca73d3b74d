//! The ledger thread: makes a round for each note and publishes the result on the board.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use evidence::causes::chain;

use super::{Context, LOOK, destroying};
use crate::cosign::{CosignError, Role};
use crate::note::LogNote;
use crate::objects::ObjectError;
use crate::pull::{Follower, Parts, PullError, Round};
use crate::rules::Extent;
use crate::source::SourceError;

/// Makes rounds.
pub(super) fn ledger_thread(context: &Context, notes: &Receiver<()>) {
    let repaired = &context.repaired;
    let progress = |done, _wanted| {
        context.board.update(|status| status.done = done);
        context.goes_on()
    };
    let parts = Parts {
        cosigner: &context.cosigner,
        own: &context.own,
        source: Some(context.source.as_ref()),
        repaired,
        progress: &progress,
    };
    let mut follower = loop {
        match Follower::open(&parts) {
            Ok(follower) => break follower,
            Err(error) => {
                report_error(context, &error);
                context.pause(LOOK);
                if !context.goes_on() {
                    return;
                }
            }
        }
    };
    publish(context, &follower);
    let mut last = std::time::Instant::now();
    while context.goes_on() {
        match notes.recv_timeout(Duration::from_millis(500)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if last.elapsed() < LOOK => {
                if context.wants_all.load(Ordering::SeqCst) {
                    publish(context, &follower);
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        last = std::time::Instant::now();
        let Some(note) = context.newest().clone() else {
            continue;
        };
        offered(context, &note);
        match follower.round(&parts, &note) {
            Ok(Round::RolledBack { offered, held }) => {
                let text = format!(
                    "the collector's log went back from {held} to {offered} entries: it was restored from an old copy. Nothing it signs from there on can be cosigned"
                );
                tracing::error!("{text}");
                context.board.update(|status| status.alarm = text);
            }
            Ok(Round::Current) => context.board.update(|status| status.alarm.clear()),
            Ok(Round::Grew(size)) => {
                tracing::info!(size, "Ledger checked, held and cosigned");
                context.board.update(|status| status.alarm.clear());
            }
            Err(error) => report_error(context, &error),
        }
        publish(context, &follower);
    }
}

fn offered(context: &Context, note: &[u8]) {
    let pins = context.cosigner.pins();
    if let Ok(note) = LogNote::read(note, &pins.origin(), &pins.log_keys.keys()) {
        context.board.update(|status| status.offered = note.checkpoint.size);
    }
}

/// Publishes the result of the newest round, and hands out its collections.
fn publish(context: &Context, follower: &Follower) {
    let size = |role| context.cosigner.last(role).map_or(0, |last| last.log.checkpoint.size);
    let (held, witnessed) = (size(Role::Mirror), size(Role::Witness));
    let rules = follower.rules();
    // A statement names the held tree, so collections beyond that tree wait for the next round.
    let now = crate::now();
    let mut waiting = rules.collections_to_copy(&context.mirror);
    waiting.retain(|collection| {
        let incident = collection.incident.incident();
        !incident.is_some_and(|incident| rules.may_lack(&collection.id, incident, &context.mirror, now))
    });
    waiting.retain(|collection| match collection.extent {
        Extent::Stored { index, .. } => index < held,
        Extent::Interrupted { .. } => true,
    });
    let all =
        context.wants_all.swap(false, Ordering::SeqCst).then(|| Arc::new(rules.all_collections_to_copy()));
    let stated = rules
        .collections()
        .values()
        .filter(|collection| collection.held_by.contains(&context.mirror))
        .count();
    context.board.update(|status| {
        (status.held, status.witnessed) = (held, witnessed);
        status.fraud = context.cosigner.fraud();
        status.details_missing = rules.details_missing(now);
        status.collections_held = stated as u64;
        status.collections_waiting = waiting.len() as u64;
        status.repaired = context.repaired.load(Ordering::Relaxed);
    });
    let destructions = destroying::destructions(context, follower);
    let unconfirmed = rules.unconfirmed(&context.mirror).into_iter().collect();
    let disposed = rules.disposed(&context.mirror, now);
    let mut worklist = context.worklist();
    worklist.waiting = Arc::new(waiting);
    worklist.destructions = Arc::new(destructions);
    worklist.unconfirmed = Arc::new(unconfirmed);
    worklist.disposed = Arc::new(disposed);
    if all.is_some() {
        worklist.all = all;
    }
    drop(worklist);
    context.held.send_replace(held);
    context.board.write(&context.layout.run());
}

/// Sorts an error of a round: either an alarm or a reason to wait.
fn report_error(context: &Context, error: &PullError) {
    let text = chain(error);
    match error {
        PullError::Stopped => {}
        PullError::Object(ObjectError::Source(SourceError::Away { .. })) => {
            tracing::warn!(cause = %text, "A round waits for the collector");
            context.board.update(|status| status.waiting = text);
        }
        PullError::Cosign(CosignError::Stopped { .. }) | PullError::Fraud { .. } => {
            context.board.update(|status| status.fraud = context.cosigner.fraud());
        }
        _ => {
            tracing::error!(cause = %text, "The ledger is not held beyond this point");
            context.board.update(|status| status.alarm = text);
        }
    }
    context.board.write(&context.layout.run());
}
