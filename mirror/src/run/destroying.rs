//! Destroys the mirror's own copy of what approved plans name, and sends the confirmations to the collector.
//! Guarantee: while this thread destroys, nothing is scrubbed or copied. If a store refuses because of a
//! lock, the thread tries again after the lock ends. After any other failure it waits longer each time. Not
//! here: who may approve (`rules`), how to destroy (`dispose`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use evidence::digest::Digest;
use evidence::disposal::Object;
use proto::backoff::Backoff;

use super::{Context, RETRY};
use crate::dispose::{self, Confirmations, Destruction, Kept};
use crate::pull::Follower;
use crate::remote::describe_status;

/// Longest wait, except for a lock whose end is known.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// The destructions that are due as of the newest round.
pub(super) fn destructions(context: &Context, follower: &Follower) -> Vec<Destruction> {
    let (rules, now) = (follower.rules(), crate::now());
    let due = rules.due_disposals(&context.mirror, now).into_iter();
    let destruction = due.map(|due| {
        let retained_texts = match &due.object {
            Object::Collection(_) => Vec::new(),
            Object::Details(_) => {
                let named = due.warrant.plan().details.iter().copied();
                named.filter(|text| rules.text_stays(text, now)).collect()
            }
        };
        Destruction { due, retained_texts }
    });
    destruction.collect()
}

/// The attempts of this process. After a restart each object gets one new attempt.
#[derive(Default)]
pub(super) struct Tries {
    /// The object is destroyed. Holds the texts that stayed.
    gone: BTreeMap<(Digest, Object), Vec<Digest>>,
    kept: BTreeMap<(Digest, Object), Pause>,
    sent: BTreeMap<(Digest, Object), Pause>,
}

/// When to try an object again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    until: Instant,
    failures: u32,
}

impl Pause {
    /// Schedules the next attempt after a failure: at the end of the lock if there is one, else after twice
    /// the last wait.
    fn after(last: Option<&Self>, now: Instant, lock: Option<Duration>) -> Self {
        // Saturating is correct here: the wait reached its maximum long before.
        let failures = last.map_or(0, |last| last.failures.saturating_add(1));
        let wait = lock.unwrap_or_else(|| Backoff::new(RETRY, RETRY_MAX).wait_after(failures));
        // A lock that ends beyond the clock's range is tried again after the longest wait.
        Self { until: now.checked_add(wait).unwrap_or(now + RETRY_MAX), failures }
    }
}

fn is_due(pauses: &BTreeMap<(Digest, Object), Pause>, id: &(Digest, Object)) -> bool {
    pauses.get(id).is_none_or(|pause| Instant::now() >= pause.until)
}

/// Carries out the due destructions, and sends the confirmations that the ledger lacks.
pub(super) fn disposals(context: &Context, tries: &mut Tries) {
    if context.cosigner.fraud().is_some() {
        return;
    }
    let confirmations = Confirmations::of(&context.layout.0);
    destroy(context, &confirmations, tries);
    confirm(context, &confirmations, tries);
}

fn destroy(context: &Context, confirmations: &Confirmations, tries: &mut Tries) {
    let destructions = Arc::clone(&context.worklist().destructions);
    // While a hold was in force, objects may have been put back, so try them again.
    tries.gone.retain(|id, _| destructions.iter().any(|destruction| destruction.id() == *id));
    let is_left = |destruction: &&Destruction| {
        let id = destruction.id();
        tries.gone.get(&id) != Some(&destruction.retained_texts) && is_due(&tries.kept, &id)
    };
    let due: Vec<Destruction> = destructions.iter().filter(is_left).cloned().collect();
    if due.is_empty() {
        return;
    }
    context.cut.store(true, Ordering::SeqCst);
    let quiet = context.quiet.lock().unwrap_or_else(PoisonError::into_inner);
    for destruction in due {
        let id = destruction.id();
        let go_on = || context.goes_on() && still(context, &destruction);
        if !go_on() {
            continue;
        }
        let done = dispose::destroy(&context.own, &destruction, &go_on).and_then(|count| {
            // A confirmation is owed, or there was an object to destroy after all.
            if let Some(count) = count
                && (destruction.due.is_owed || count > 0 && !destruction.due.is_confirmed)
            {
                let keys = context.cosigner.keys();
                let kept = confirmations.keep(&destruction, count, crate::now(), &context.mirror, keys);
                kept.map_err(|why| Kept { why, until: None })?;
            }
            Ok(count.is_some())
        });
        match done {
            Ok(true) => {
                tries.kept.remove(&id);
                tries.sent.remove(&id);
                tries.gone.insert(id, destruction.retained_texts);
            }
            Ok(false) => {}
            Err(kept) => {
                let lock = kept.until.and_then(|until| until.duration_since(SystemTime::now()).ok());
                let pause = Pause::after(tries.kept.get(&id), Instant::now(), lock);
                // Display only.
                let wait = pause.until.saturating_duration_since(Instant::now()).as_secs();
                tracing::warn!(object = %id.1, cause = %kept, again_in_s = wait, "A disposal waits");
                tries.kept.insert(id, pause);
            }
        }
    }
    drop(quiet);
    context.cut.store(false, Ordering::SeqCst);
}

/// Checks that the newest round still permits the destruction, with the same texts staying. Meanwhile a fraud
/// may have been found, or a hold may have come, also on another incident that names one of the texts.
fn still(context: &Context, destruction: &Destruction) -> bool {
    let newest = Arc::clone(&context.worklist().destructions);
    let same =
        |one: &Destruction| one.id() == destruction.id() && one.retained_texts == destruction.retained_texts;
    context.cosigner.fraud().is_none() && newest.iter().any(same)
}

/// Sends the kept confirmations, even if a hold came since: the destruction happened before the hold.
fn confirm(context: &Context, confirmations: &Confirmations, tries: &mut Tries) {
    let unconfirmed = Arc::clone(&context.worklist().unconfirmed);
    tries.sent.retain(|id, _| unconfirmed.contains(id));
    for id in unconfirmed.iter() {
        if !context.goes_on() {
            return;
        }
        if !is_due(&tries.sent, id) {
            continue;
        }
        let sent = match confirmations.read(&id.0, &id.1) {
            Ok(None) => Ok(()),
            Ok(Some(act)) => match context.remote.disposed(&act) {
                // The confirmation was recorded earlier with other bytes, or will appear in the ledger soon.
                Err(status) if status.code() != tonic::Code::AlreadyExists => {
                    Err(format!("the collector does not take the confirmation: {}", describe_status(&status)))
                }
                _ => Ok(()),
            },
            Err(why) => Err(why),
        };
        if let Err(why) = sent {
            tracing::warn!(object = %id.1, cause = %why, "A confirmation waits");
        }
        let pause = Pause::after(tries.sent.get(id), Instant::now(), None);
        tries.sent.insert(id.clone(), pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_and_anything_else_ever_longer() {
        let now = Instant::now();
        let mut waits = Vec::new();
        let mut last = None;
        for _ in 0..8 {
            let pause = Pause::after(last.as_ref(), now, None);
            waits.push(pause.until.duration_since(now).as_secs());
            last = Some(pause);
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let years = Duration::from_secs(5 * 365 * 86_400);
        assert_eq!(Pause::after(last.as_ref(), now, Some(years)).until, now + years);
        assert_eq!(Pause::after(None, now, Some(Duration::MAX)).until, now + RETRY_MAX);
    }
}
