//! The scrub thread: it reads the whole copy again every `scrub_days`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evidence::disposal::Object;
use evidence::time::Time;

use super::{Context, LOOK, RETRY};
use crate::cosign::Role;
use crate::dispose::Confirmations;
use crate::rules::{CollectionToCopy, Extent};
use crate::scrub;

/// Reads everything again, once per period.
pub(super) fn scrub_thread(context: &Context) {
    let mark = context.layout.0.join("scrubbed");
    while context.goes_on() {
        let finished: Option<Time> =
            fs_err::read_to_string(&mark).ok().and_then(|text| text.trim().parse().ok());
        context.board.update(|status| {
            // Empty before the first.
            status.scrub_finished = finished.map(|at| at.to_string()).unwrap_or_default();
        });
        let due = finished.is_none_or(|at| crate::now().since(at) >= context.scrub_every);
        let held = context.cosigner.last(Role::Mirror);
        let (Some(held), true) = (held, due) else {
            context.pause(LOOK);
            continue;
        };
        let Some(all) = context.worklist().all.take() else {
            context.wants_all.store(true, Ordering::SeqCst);
            context.pause(Duration::from_secs(1));
            continue;
        };
        // Include only copied collections: one that still waits to be copied is not lost.
        let copied = |collection: &CollectionToCopy| {
            let name = |suffix| context.layout.replicated().join(format!("{}.{suffix}", collection.id));
            match collection.extent {
                Extent::Stored { .. } => name("signed").exists(),
                Extent::Interrupted { .. } => name("interrupted").exists(),
            }
        };
        let all: Vec<CollectionToCopy> =
            all.iter().filter(|collection| copied(collection)).cloned().collect();
        let show = |found: &scrub::Scrubbed| {
            context.board.update(|status| {
                status.scrub_objects = found.objects;
                status.scrub_damaged = found.damaged;
                status.repaired = context.repaired.load(Ordering::Relaxed);
                status.scrub_lost = found.lost.len() as u64;
            });
            context.board.write(&context.layout.run());
        };
        let go_on = || context.goes_on() && !context.cut.load(Ordering::SeqCst);
        let quiet = context.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        // Ask while holding the lock: something may have been destroyed since the list was made.
        let (disposed, unconfirmed) = {
            let worklist = context.worklist();
            (Arc::clone(&worklist.disposed), Arc::clone(&worklist.unconfirmed))
        };
        // The object was destroyed before a hold came, and the ledger will record that soon.
        let confirmations = Confirmations::of(&context.layout.0);
        let gone: BTreeSet<&Object> = unconfirmed
            .iter()
            .filter(|(plan, object)| confirmations.has(plan, object))
            .map(|(_, object)| object)
            .collect();
        let all: Vec<CollectionToCopy> = all
            .into_iter()
            .filter(|collection| {
                !disposed.contains(&collection.id) && !gone.contains(&Object::Collection(collection.id))
            })
            .collect();
        let parts = scrub::Parts {
            pins: context.cosigner.pins(),
            own: &context.own,
            source: Some(context.source.as_ref()),
            repaired: &context.repaired,
            judges: context.judges.as_ref(),
            throttle: &context.scrub_throttle,
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
                if let Err(error) =
                    durable::replace(&context.layout.0.join("scrubbed"), now.as_bytes(), 0o644)
                {
                    tracing::warn!(%error, "The end of the scrub could not be noted");
                }
            } else {
                context.pause(RETRY);
            }
        }
    }
}
