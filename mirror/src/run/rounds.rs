//! The ledger's thread: a round for each note, and what came of it on the board.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{LOOK, Shared, destroying};
use crate::chain;
use crate::cosign::{CosignError, LogNote, Role};
use crate::objects::ObjectError;
use crate::pull::{Follower, Parts, PullError, Round};
use crate::rules::Wanted;
use crate::source::SourceError;

/// Makes rounds.
pub(super) fn ledger_thread(shared: &Shared, notes: &Receiver<()>) {
    let repaired = &shared.repaired;
    let progress = |done, _wanted| {
        shared.board.update(|status| status.done = done);
        shared.goes_on()
    };
    let parts = Parts {
        cosigner: &shared.cosigner,
        own: &shared.own,
        source: Some(shared.source.as_ref()),
        repaired,
        progress: &progress,
    };
    let mut follower = loop {
        match Follower::open(&parts) {
            Ok(follower) => break follower,
            Err(error) => {
                tell(shared, &error);
                shared.pause(LOOK);
                if !shared.goes_on() {
                    return;
                }
            }
        }
    };
    publish(shared, &follower);
    let mut last = std::time::Instant::now();
    while shared.goes_on() {
        match notes.recv_timeout(Duration::from_millis(500)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if last.elapsed() < LOOK => {
                if shared.wants_all.load(Ordering::SeqCst) {
                    publish(shared, &follower);
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        last = std::time::Instant::now();
        let Some(note) = shared.newest().clone() else {
            continue;
        };
        offered(shared, &note);
        match follower.round(&parts, &note) {
            Ok(Round::RolledBack { offered, held }) => {
                let text = format!(
                    "the collector's log went back from {held} to {offered} entries: it was restored from an old copy. Nothing it signs from there on can be cosigned"
                );
                tracing::error!("{text}");
                shared.board.update(|status| status.alarm = text);
            }
            Ok(Round::Current) => shared.board.update(|status| status.alarm.clear()),
            Ok(Round::Grew(size)) => {
                tracing::info!(size, "Ledger checked, held and cosigned");
                shared.board.update(|status| status.alarm.clear());
            }
            Err(error) => tell(shared, &error),
        }
        publish(shared, &follower);
    }
}

fn offered(shared: &Shared, note: &[u8]) {
    let pins = shared.cosigner.pins();
    if let Ok(note) = LogNote::read(note, &pins.origin(), &pins.log_keys.keys()) {
        shared.board.update(|status| status.offered = note.checkpoint.size);
    }
}

/// Shows what the newest round came to, and hands out its collections.
fn publish(shared: &Shared, follower: &Follower) {
    let size = |role| shared.cosigner.last(role).map_or(0, |last| last.log.checkpoint.size);
    let (held, witnessed) = (size(Role::Mirror), size(Role::Witness));
    let rules = follower.rules();
    // Statements are about what is held: collections beyond wait for the next round.
    let now = crate::now();
    let mut waiting = rules.jobs(&shared.mirror);
    waiting.retain(|job| {
        let incident = job.incident.incident();
        !incident.is_some_and(|incident| rules.may_lack(&job.id, incident, &shared.mirror, now))
    });
    waiting.retain(|job| match job.wanted {
        Wanted::Stored { index, .. } => index < held,
        Wanted::Interrupted { .. } => true,
    });
    let all = shared.wants_all.swap(false, Ordering::SeqCst).then(|| Arc::new(rules.all_jobs()));
    let stated =
        rules.collections().values().filter(|collection| collection.held_by.contains(&shared.mirror)).count();
    shared.board.update(|status| {
        (status.held, status.witnessed) = (held, witnessed);
        status.fraud = shared.cosigner.fraud();
        status.details_missing = rules.details_missing(now);
        status.collections_held = u64::try_from(stated).unwrap_or(u64::MAX);
        status.collections_waiting = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        status.repaired = shared.repaired.load(Ordering::Relaxed);
    });
    let doomed = destroying::doomed(shared, follower);
    let unconfirmed = rules.unconfirmed(&shared.mirror).into_iter().collect();
    let disposed = rules.disposed(&shared.mirror, now);
    let mut jobs = shared.jobs();
    jobs.waiting = Arc::new(waiting);
    jobs.doomed = Arc::new(doomed);
    jobs.unconfirmed = Arc::new(unconfirmed);
    jobs.disposed = Arc::new(disposed);
    if all.is_some() {
        jobs.all = all;
    }
    drop(jobs);
    shared.held.send_replace(held);
    shared.board.write(&shared.layout.run());
}

/// Sorts an error of a round into alarms and waits.
fn tell(shared: &Shared, error: &PullError) {
    let text = chain(error);
    match error {
        PullError::Stopped => {}
        PullError::Object(ObjectError::Source(SourceError::Away { .. })) => {
            tracing::warn!(cause = %text, "A round waits for the collector");
            shared.board.update(|status| status.waiting = text);
        }
        PullError::Cosign(CosignError::Stopped { .. }) | PullError::Fraud { .. } => {
            shared.board.update(|status| status.fraud = shared.cosigner.fraud());
        }
        _ => {
            tracing::error!(cause = %text, "The ledger is not held beyond this point");
            shared.board.update(|status| status.alarm = text);
        }
    }
    shared.board.write(&shared.layout.run());
}
