//! Finds out what a bucket can do by doing it (docs/spec/store.md, *Probe*).
//! Why: servers answer 200 to headers that they do not know, and a manual describes what one version once did.
//! Guarantee: the probe claims a capability only if it saw the effect. Its objects lie below `probe/`. It deletes them where the bucket
//! allows that, and nothing takes them for evidence.

use std::time::{Duration, SystemTime};

use super::bucket::{Bucket, LockUntil, Put, sha256_header};
use super::failure::{Failure, FailureKind};
use crate::capabilities::{Capabilities, LockProof};
use crate::s3_settings::LockMode;

/// How long a probe locks its object: longer than the requests that follow, but short enough not to be in the
/// way.
const LOCKED: Duration = Duration::from_secs(20);
/// Left-overs of probes that are older than this are deleted. Younger ones may belong to a probe that is
/// running now.
const LEFT_OVER: Duration = Duration::from_secs(600);

/// Tests every capability. `wanted` is the lock that the settings ask for.
///
/// # Errors
/// If the bucket cannot be written, read or listed. Such a bucket cannot be a store.
pub(crate) fn probe(
    bucket: &Bucket,
    prefix: &str,
    wanted: Option<LockMode>,
) -> Result<Capabilities, Failure> {
    let place = format!("{prefix}probe/");
    // A server that does not answer has neither.
    let is_versioned = unknown_is(false, bucket.is_versioned())?;
    let configuration = unknown_is(None, bucket.lock_configuration())?;
    let is_lockable = configuration.is_some();
    let default_retention = configuration.flatten();
    remove_left_overs(bucket, &place, is_versioned, is_lockable);
    let prober = Prober { bucket, place, is_versioned, is_lockable };

    let (first, create_only) = prober.create_only()?;
    let sha256_reported = bucket.head(&first)?.sha256.as_deref() == Some(sha256_header(FIRST).as_str());
    let sha256_refused = prober.refuses(|put| Put { sha256_of: SECOND, ..put })?;
    let md5_refused = prober.refuses(|put| Put { md5_of: SECOND, ..put })?;
    let versions = is_versioned && prober.versions()?;
    let mode = wanted.max(default_retention.map(|retention| retention.mode));
    let lock = if is_lockable { prober.lock(mode.unwrap_or(LockMode::Governance))? } else { LockProof::None };
    prober.read_after_write(&first, default_retention.is_some())?;
    Ok(Capabilities {
        read_after_write: true,
        create_only,
        sha256_refused,
        sha256_reported,
        md5_refused,
        versions,
        lock,
        default_retention,
    })
}

const FIRST: &[u8] = b"exhibit probe: the first bytes";
const SECOND: &[u8] = b"exhibit probe: other bytes";

struct Prober<'a> {
    bucket: &'a Bucket,
    place: String,
    is_versioned: bool,
    is_lockable: bool,
}

impl Prober<'_> {
    fn fresh(&self) -> Result<String, Failure> {
        Ok(format!("{}{}", self.place, random()?))
    }

    /// A short lock for the probe's object. A bucket that locks by itself would otherwise keep it for years.
    fn short_lock(&self) -> Option<LockUntil> {
        let until = SystemTime::now().checked_add(LOCKED)?;
        self.is_lockable.then_some(LockUntil { mode: LockMode::Governance, until })
    }

    fn put(&self, put: Put<'_>) -> Result<Option<String>, Failure> {
        self.bucket.put(Put { lock: put.lock.or(self.short_lock()), ..put })
    }

    /// Writes an object. Returns its name, and whether the server refused a second create and changed
    /// nothing.
    fn create_only(&self) -> Result<(String, bool), Failure> {
        let name = self.fresh()?;
        self.put(Put::new(&name, FIRST))?;
        let second = self.put(Put { only_new: true, ..Put::new(&name, SECOND) });
        let is_refused = match second {
            Err(failure) if failure.kind == FailureKind::Exists => true,
            Ok(_) => false,
            // 501 and 400 refuse the header, not the second create.
            Err(failure) if failure.kind == FailureKind::Permanent => false,
            Err(failure) => return Err(failure),
        };
        let kept = self.bucket.get(&name, None)? == FIRST;
        // The checks that follow expect the first bytes.
        if !kept {
            self.put(Put::new(&name, FIRST))?;
        }
        Ok((name, is_refused && kept))
    }

    /// True if the server refuses a put whose digest is wrong and stores nothing.
    fn refuses(&self, wrong: impl for<'a> Fn(Put<'a>) -> Put<'a>) -> Result<bool, Failure> {
        let name = self.fresh()?;
        let refused = match self.put(wrong(Put::new(&name, FIRST))) {
            Ok(_) => false,
            Err(failure) if matches!(failure.kind, FailureKind::Permanent | FailureKind::Denied) => true,
            Err(failure) => return Err(failure),
        };
        let is_absent = match self.bucket.head(&name) {
            Err(failure) if failure.kind == FailureKind::Absent => true,
            Err(failure) => return Err(failure),
            Ok(_) => false,
        };
        self.clean(&name);
        Ok(refused && is_absent)
    }

    /// True if bytes that were replaced can still be read by their version.
    fn versions(&self) -> Result<bool, Failure> {
        let name = self.fresh()?;
        let first = self.put(Put::new(&name, FIRST))?;
        self.put(Put::new(&name, SECOND))?;
        let seen = match &first {
            Some(id) => {
                let old = self.bucket.get(&name, Some(id));
                old.is_ok_and(|bytes| bytes == FIRST) && self.bucket.get(&name, None)? == SECOND
            }
            None => false,
        };
        self.clean(&name);
        Ok(seen)
    }

    /// The lock that refused a deletion, tested in the mode that the settings ask for.
    fn lock(&self, mode: LockMode) -> Result<LockProof, Failure> {
        let name = self.fresh()?;
        let until = SystemTime::now().checked_add(LOCKED);
        let lock = until.map(|until| LockUntil { mode, until });
        let version = match self.bucket.put(Put { lock, ..Put::new(&name, FIRST) }) {
            Ok(Some(version)) => version,
            // Without a version, a lock has nothing to hold.
            Ok(None) => return Ok(LockProof::None),
            Err(failure) if matches!(failure.kind, FailureKind::Permanent | FailureKind::Denied) => {
                return Ok(LockProof::None);
            }
            Err(failure) => return Err(failure),
        };
        let is_kept = |bypass: bool| -> Result<bool, Failure> {
            let refused = match self.bucket.delete(&name, Some(&version), bypass) {
                Ok(()) => false,
                Err(failure) if matches!(failure.kind, FailureKind::Permanent | FailureKind::Denied) => true,
                Err(failure) => return Err(failure),
            };
            let there = self.bucket.get(&name, Some(&version)).is_ok_and(|bytes| bytes == FIRST);
            Ok(refused && there)
        };
        let proof = match mode {
            LockMode::Governance if is_kept(false)? => LockProof::Governance,
            LockMode::Compliance if is_kept(false)? && is_kept(true)? => LockProof::Compliance,
            _ => LockProof::None,
        };
        self.clean(&name);
        Ok(proof)
    }

    /// Reads, lists and deletes the first object. If one of these fails, the bucket cannot be a store.
    fn read_after_write(&self, name: &str, is_kept_by_default: bool) -> Result<(), Failure> {
        let useless = |what: &str| {
            let text = format!("the bucket {what}. It is not fit to keep evidence");
            Failure::ours(FailureKind::Permanent, text)
        };
        if self.bucket.get(name, None)? != FIRST {
            return Err(useless("gives back other bytes than it was given"));
        }
        if !self.bucket.list(&self.place)?.iter().any(|listed| listed == name) {
            return Err(useless("does not list what it holds"));
        }
        self.bucket.delete(name, None, false)?;
        match self.bucket.head(name) {
            Err(failure) if failure.kind == FailureKind::Absent => {}
            Err(failure) => return Err(failure),
            Ok(_) if is_kept_by_default => {}
            Ok(_) => return Err(useless("shows objects that were deleted")),
        }
        self.clean(name);
        Ok(())
    }

    /// Deletes an object of the probe, unless its lock prevents that.
    fn clean(&self, name: &str) {
        let exactly = |found: &str| found == name;
        remove(self.bucket, name, exactly, self.is_versioned, self.is_lockable);
    }
}

/// `probe/` objects of earlier probes whose lock has ended.
fn remove_left_overs(bucket: &Bucket, place: &str, is_versioned: bool, is_lockable: bool) {
    let old = SystemTime::now().checked_sub(LEFT_OVER);
    let seconds = old.and_then(|old| old.duration_since(SystemTime::UNIX_EPOCH).ok());
    let limit = seconds.map_or(0, |seconds| seconds.as_secs());
    let is_old = |name: &str| name.strip_prefix(place).and_then(written).is_some_and(|at| at < limit);
    remove(bucket, place, is_old, is_versioned, is_lockable);
}

/// Best effort: a left-over is only a few bytes, and its name says what it is.
fn remove(bucket: &Bucket, prefix: &str, chosen: impl Fn(&str) -> bool, is_versioned: bool, bypass: bool) {
    // If the bucket cannot be listed now, the left-overs stay until the next probe.
    if is_versioned {
        for version in bucket.versions(prefix).into_iter().flatten() {
            if chosen(&version.name) {
                drop(bucket.delete(&version.name, Some(&version.id), bypass));
            }
        }
    } else {
        for name in bucket.list(prefix).into_iter().flatten() {
            if chosen(&name) {
                drop(bucket.delete(&name, None, false));
            }
        }
    }
}

/// `<seconds, 8 hex digits><random, 8 hex digits>`: the name tells the next probe how old it is.
fn random() -> Result<String, Failure> {
    let mut tail = [0; 4];
    getrandom::fill(&mut tail)
        .map_err(|error| Failure::ours(FailureKind::Transient, format!("draw a name: {error}")))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()) & 0xffff_ffff;
    Ok(format!("{seconds:08x}{}", hex::encode(tail)))
}

fn written(name: &str) -> Option<u64> {
    (name.len() == 16).then(|| u64::from_str_radix(name.get(..8)?, 16).ok()).flatten()
}

/// If a server does not know a request, it answers with an error of its own.
fn unknown_is<T>(otherwise: T, answer: Result<T, Failure>) -> Result<T, Failure> {
    match answer {
        Err(failure) if failure.kind == FailureKind::Absent || failure.is_no_lock() => Ok(otherwise),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3_settings::Retention;

    const ALL: Capabilities = Capabilities {
        read_after_write: true,
        create_only: true,
        sha256_refused: true,
        sha256_reported: true,
        md5_refused: true,
        versions: true,
        lock: LockProof::Compliance,
        default_retention: Some(Retention { mode: LockMode::Compliance, days: 30 }),
    };

    #[test]
    fn only_what_got_less_is_lost() {
        assert!(ALL.lost(&ALL).is_empty());
        let less = Capabilities {
            create_only: false,
            lock: LockProof::Governance,
            default_retention: Some(Retention { mode: LockMode::Compliance, days: 29 }),
            ..ALL
        };
        assert_eq!(ALL.lost(&less), ["create_only", "lock", "default_retention"]);
        assert!(less.lost(&ALL).is_empty());
    }

    #[test]
    fn the_record_reads_back_and_the_name_of_a_probe_tells_its_age() {
        let text = serde_json::to_string(&ALL).unwrap();
        assert_eq!(serde_json::from_str::<Capabilities>(&text).unwrap(), ALL);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(written(&random().unwrap()).unwrap() >= now);
        assert_eq!(written("store.json"), None);
    }
}
