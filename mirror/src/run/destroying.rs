//! What two persons disposed of goes from the own copy, too, and the collector hears of it.
//! Guarantee: nothing is read again or copied while some of it is destroyed; a store that keeps it is asked again when its lock
//! ends, anything else that failed ever more rarely. Not here: who may say so (`rules`), how (`dispose`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use evidence::digest::Digest;
use evidence::disposal::Object;

use super::{RETRY, Shared};
use crate::dispose::{self, Confirmations, Job, Kept};
use crate::pull::Follower;
use crate::remote::said;

/// Longest wait but for a lock whose end is known.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What is to be destroyed, as of the newest round.
pub(super) fn doomed(shared: &Shared, follower: &Follower) -> Vec<Job> {
    let (rules, now) = (follower.rules(), crate::now());
    let doomed = rules.doomed(&shared.mirror, now).into_iter();
    let job = doomed.map(|doomed| {
        let stays = match &doomed.object {
            Object::Collection(_) => Vec::new(),
            Object::Details(_) => {
                let named = doomed.warrant.plan().details.iter().copied();
                named.filter(|text| rules.text_stays(text, now)).collect()
            }
        };
        Job { doomed, stays }
    });
    job.collect()
}

/// What this process tried. Nothing of it is needed after a restart: it looks at everything once.
#[derive(Default)]
pub(super) struct Tries {
    /// Gone, and the texts that stayed.
    gone: BTreeMap<(Digest, Object), Vec<Digest>>,
    kept: BTreeMap<(Digest, Object), Pause>,
    sent: BTreeMap<(Digest, Object), Pause>,
}

/// When something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    until: Instant,
    wait: Duration,
}

impl Pause {
    /// After a failure: as long as a lock stands, else twice as long as the last time.
    fn after(last: Option<&Self>, now: Instant, lock: Option<Duration>) -> Self {
        let wait = last.map_or(RETRY, |last| last.wait.saturating_mul(2).min(RETRY_MAX));
        let until = now.checked_add(lock.unwrap_or(wait));
        Self { until: until.unwrap_or(now + RETRY_MAX), wait }
    }
}

fn is_due(pauses: &BTreeMap<(Digest, Object), Pause>, id: &(Digest, Object)) -> bool {
    pauses.get(id).is_none_or(|pause| Instant::now() >= pause.until)
}

/// Destroys what is to go, and sends the confirmations that the ledger does not have.
pub(super) fn disposals(shared: &Shared, tries: &mut Tries) {
    if shared.cosigner.fraud().is_some() {
        return;
    }
    let confirmations = Confirmations::of(&shared.layout.0);
    destroy(shared, &confirmations, tries);
    confirm(shared, &confirmations, tries);
}

fn destroy(shared: &Shared, confirmations: &Confirmations, tries: &mut Tries) {
    let jobs = Arc::clone(&shared.jobs().doomed);
    // What a hold kept meanwhile may have been put back: it is looked at again.
    tries.gone.retain(|id, _| jobs.iter().any(|job| job.id() == *id));
    let is_left = |job: &&Job| {
        let id = job.id();
        tries.gone.get(&id) != Some(&job.stays) && is_due(&tries.kept, &id)
    };
    let due: Vec<Job> = jobs.iter().filter(is_left).cloned().collect();
    if due.is_empty() {
        return;
    }
    shared.cut.store(true, Ordering::SeqCst);
    let quiet = shared.quiet.lock().unwrap_or_else(PoisonError::into_inner);
    for job in due {
        let id = job.id();
        let go_on = || shared.goes_on() && still(shared, &job);
        if !go_on() {
            continue;
        }
        let done = dispose::destroy(&shared.own, &job, &go_on).and_then(|count| {
            // Owed, or there was something after all.
            if let Some(count) = count
                && (job.doomed.is_owed || count > 0 && !job.doomed.is_confirmed)
            {
                let keys = shared.cosigner.keys();
                let kept = confirmations.keep(&job, count, crate::now(), &shared.mirror, keys);
                kept.map_err(|why| Kept { why, until: None })?;
            }
            Ok(count.is_some())
        });
        match done {
            Ok(true) => {
                tries.kept.remove(&id);
                tries.sent.remove(&id);
                tries.gone.insert(id, job.stays);
            }
            Ok(false) => {}
            Err(kept) => {
                let lock = kept.until.and_then(|until| until.duration_since(SystemTime::now()).ok());
                let pause = Pause::after(tries.kept.get(&id), Instant::now(), lock);
                let wait = pause.until.saturating_duration_since(Instant::now()).as_secs();
                tracing::warn!(object = %id.1, cause = %kept, again_in_s = wait, "A disposal waits");
                tries.kept.insert(id, pause);
            }
        }
    }
    drop(quiet);
    shared.cut.store(false, Ordering::SeqCst);
}

/// Whether the newest round still lets it go, and no text less: a hold may have come, also on another incident that names one of
/// the texts, or a fraud.
fn still(shared: &Shared, job: &Job) -> bool {
    let newest = Arc::clone(&shared.jobs().doomed);
    let same = |one: &Job| one.id() == job.id() && one.stays == job.stays;
    shared.cosigner.fraud().is_none() && newest.iter().any(same)
}

/// Sends what is kept; also when a hold came since: it was quicker.
fn confirm(shared: &Shared, confirmations: &Confirmations, tries: &mut Tries) {
    let unconfirmed = Arc::clone(&shared.jobs().unconfirmed);
    tries.sent.retain(|id, _| unconfirmed.contains(id));
    for id in unconfirmed.iter() {
        if !shared.goes_on() {
            return;
        }
        if !is_due(&tries.sent, id) {
            continue;
        }
        let sent = match confirmations.read(&id.0, &id.1) {
            Ok(None) => Ok(()),
            Ok(Some(act)) => match shared.remote.disposed(&act) {
                // Recorded before under other bytes, or about to be seen in the ledger.
                Err(status) if status.code() != tonic::Code::AlreadyExists => {
                    Err(format!("the collector does not take the confirmation: {}", said(&status)))
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
