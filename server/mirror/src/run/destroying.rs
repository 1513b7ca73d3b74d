//! What two persons disposed of goes from the own copy, too, and the collector hears of it.
//! Guarantee: nothing is read again or copied while some of it is destroyed. Not here: who may say so (`rules`), how (`dispose`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{RETRY, Shared};
use crate::dispose;
use crate::pull::Follower;
use crate::remote::said;

/// What is to be destroyed and confirmed, as of the newest round.
pub(super) fn doomed(shared: &Shared, follower: &Follower) -> Vec<dispose::Job> {
    let rules = follower.rules();
    let doomed = rules.doomed(&shared.mirror, crate::now()).into_iter();
    let job = doomed.map(|doomed| {
        let plan = doomed.warrant.plan();
        let named = plan.details.iter().copied();
        let is_shared = |detail: &evidence::digest::Digest| rules.is_shared(detail, &plan.incident);
        dispose::Job {
            shared: named.filter(is_shared).collect(),
            doomed,
        }
    });
    job.collect()
}

/// Destroys and confirms what is to go. `confirmed`: what was looked at and sent, and when; each thing once a process, and again
/// while the ledger does not have it.
pub(super) fn disposals(shared: &Shared, confirmed: &mut dispose::Sent) {
    let jobs = Arc::clone(&shared.jobs().doomed);
    let is_due = |job: &&dispose::Job| {
        let sent = confirmed.get(&(job.doomed.plan, job.doomed.object.clone()));
        sent.is_none_or(|at| !job.doomed.is_confirmed && at.elapsed() >= RETRY)
    };
    let due: Vec<dispose::Job> = jobs.iter().filter(is_due).cloned().collect();
    if due.is_empty() || shared.cosigner.fraud().is_some() {
        return;
    }
    shared.cut.store(true, Ordering::SeqCst);
    let quiet = shared.quiet.lock().unwrap_or_else(PoisonError::into_inner);
    for job in due {
        if !still(shared, &job) {
            continue;
        }
        if let Err(why) = one(shared, &job) {
            tracing::warn!(object = %job.doomed.object, cause = %why, "A disposal waits");
        }
        confirmed.insert((job.doomed.plan, job.doomed.object), std::time::Instant::now());
    }
    drop(quiet);
    shared.cut.store(false, Ordering::SeqCst);
}

/// Whether the newest round still lets it go: a hold may have come, or a fraud.
fn still(shared: &Shared, job: &dispose::Job) -> bool {
    let newest = Arc::clone(&shared.jobs().doomed);
    let same = |other: &dispose::Job| {
        other.doomed.plan == job.doomed.plan && other.doomed.object == job.doomed.object
    };
    shared.cosigner.fraud().is_none() && newest.iter().any(same)
}

fn one(shared: &Shared, job: &dispose::Job) -> Result<(), String> {
    let folder =
        dispose::folder(&shared.layout.0).map_err(|error| format!("the mirror's directory: {error}"))?;
    let go_on = || shared.goes_on() && still(shared, job);
    let parts = dispose::Parts {
        folder,
        own: &shared.own,
        mirror: &shared.mirror,
        keys: shared.cosigner.keys(),
        go_on: &go_on,
    };
    let dispose::Outcome::Confirm(act) = parts.dispose(job, crate::now())? else {
        return Ok(());
    };
    if job.doomed.is_confirmed {
        return Ok(());
    }
    match shared.remote.disposed(&act) {
        // Recorded before under other bytes, or about to be seen in the ledger.
        Err(status) if status.code() != tonic::Code::AlreadyExists => Err(format!(
            "the collector does not take the confirmation: {}",
            said(&status)
        )),
        _ => Ok(()),
    }
}
