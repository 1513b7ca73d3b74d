//! The scrub's thread: everything is read again, once in a while.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evidence::disposal::Object;
use evidence::time::Time;

use super::{LOOK, RETRY, Shared};
use crate::cosign::Role;
use crate::dispose::Confirmations;
use crate::rules::{Job, Wanted};
use crate::scrub;
use crate::state::replace;

/// Reads everything again, once in a while.
pub(super) fn scrub_thread(shared: &Shared) {
    let mark = shared.layout.0.join("scrubbed");
    while shared.goes_on() {
        let finished: Option<Time> =
            fs_err::read_to_string(&mark).ok().and_then(|text| text.trim().parse().ok());
        shared.board.update(|status| {
            status.scrub_finished = finished.map(|at| at.to_string()).unwrap_or_default();
        });
        let due = finished.is_none_or(|at| crate::now().since(at) >= shared.scrub_every);
        let held = shared.cosigner.last(Role::Mirror);
        let (Some(held), true) = (held, due) else {
            shared.pause(LOOK);
            continue;
        };
        let Some(all) = shared.jobs().all.take() else {
            shared.wants_all.store(true, Ordering::SeqCst);
            shared.pause(Duration::from_secs(1));
            continue;
        };
        // Only what was copied: a collection that still waits is no loss.
        let copied = |job: &Job| {
            let name = |suffix| shared.layout.replicated().join(format!("{}.{suffix}", job.id));
            match job.wanted {
                Wanted::Stored { .. } => name("signed").exists(),
                Wanted::Interrupted { .. } => name("interrupted").exists(),
            }
        };
        let all: Vec<Job> = all.iter().filter(|job| copied(job)).cloned().collect();
        let show = |found: &scrub::Scrubbed| {
            shared.board.update(|status| {
                status.scrub_objects = found.objects;
                status.scrub_damaged = found.damaged;
                status.repaired = shared.repaired.load(Ordering::Relaxed);
                status.scrub_lost = u64::try_from(found.lost.len()).unwrap_or(u64::MAX);
            });
            shared.board.write(&shared.layout.run());
        };
        let go_on = || shared.goes_on() && !shared.cut.load(Ordering::SeqCst);
        let quiet = shared.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked behind the lock: something may have gone since the list was made.
        let (disposed, unconfirmed) = {
            let jobs = shared.jobs();
            (Arc::clone(&jobs.disposed), Arc::clone(&jobs.unconfirmed))
        };
        // Destroyed before a hold came, and the ledger is about to hear of it.
        let confirmations = Confirmations::of(&shared.layout.0);
        let gone: BTreeSet<&Object> = unconfirmed
            .iter()
            .filter(|(plan, object)| confirmations.has(plan, object))
            .map(|(_, object)| object)
            .collect();
        let all: Vec<Job> = all
            .into_iter()
            .filter(|job| !disposed.contains(&job.id) && !gone.contains(&Object::Collection(job.id)))
            .collect();
        let parts = scrub::Parts {
            pins: shared.cosigner.pins(),
            own: &shared.own,
            source: Some(shared.source.as_ref()),
            repaired: &shared.repaired,
            judges: shared.judges.as_ref(),
            throttle: &shared.scrub_throttle,
            go_on: &go_on,
            progress: &show,
        };
        let scrubbed = scrub::scrub(&parts, &held.log, &all);
        drop(quiet);
        if let Some(found) = scrubbed {
            show(&found);
            tracing::info!(
                objects = found.objects,
                damaged = found.damaged,
                lost = found.lost.len(),
                "Scrub ended"
            );
            if found.lost.is_empty() {
                let now = format!("{}\n", crate::now());
                if let Err(error) = replace(&shared.layout.0, "scrubbed", now.as_bytes()) {
                    tracing::warn!(%error, "The end of the scrub could not be noted");
                }
            } else {
                shared.pause(RETRY);
            }
        }
    }
}
