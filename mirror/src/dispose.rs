//! Destroys the own copy of what two persons disposed of, and keeps the confirmation (docs/spec/mirror.md, *Disposal*).
//!
//! Guarantee: only what the checked ledger's approvals name goes, while nothing keeps it at the checkpoint that is held; a
//! confirmation is kept before it is sent: the same bytes, one entry. A crash in between leaves less than before; the next
//! round goes on. Not here: when, and sending (`run`).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::id::{Actor, Chain, MirrorId};
use evidence::signed::Signed;
use evidence::time::Time;
use store::{Disposable, Replicas, StoreError};

use crate::chain;
use crate::keys::Keys;
use crate::rules::Doomed;
use crate::state::replace;

/// A plan's object with the texts of it that stay, by another chain's word.
#[derive(Debug, Clone)]
pub struct Job {
    /// What.
    pub doomed: Doomed,
    /// Texts that stay.
    pub stays: Vec<Digest>,
}

impl Job {
    /// What it is of which plan.
    #[must_use]
    pub fn id(&self) -> (Digest, Object) {
        (self.doomed.plan, self.doomed.object.clone())
    }
}

/// A store did not let it go.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Kept {
    /// In words.
    pub why: String,
    /// When a lock on it ends, where the store tells.
    pub until: Option<SystemTime>,
}

impl From<StoreError> for Kept {
    fn from(error: StoreError) -> Self {
        Self {
            why: chain(&error),
            until: match error {
                StoreError::Locked { until, .. } => until,
                _ => None,
            },
        }
    }
}

/// Destroys an object in every own store; gives how many stored objects went, `None` when `go_on` said no.
///
/// # Errors
/// `Kept`; what went before that is gone.
pub fn destroy(own: &Replicas, job: &Job, go_on: &dyn Fn() -> bool) -> Result<Option<u64>, Kept> {
    let warrant = &job.doomed.warrant;
    let objects: Vec<Disposable> = match &job.doomed.object {
        Object::Collection(id) => vec![Disposable::Collection(id.0)],
        Object::Details(_) => {
            let details = warrant.plan().details.iter();
            details
                .filter(|digest| !job.stays.contains(digest))
                .map(|digest| Disposable::Detail(digest.0))
                .collect()
        }
    };
    let mut count = 0_u64;
    for store in own.stores() {
        for object in &objects {
            let done = store.dispose(object, warrant, go_on)?;
            count = count.saturating_add(done.count);
            if !done.is_all {
                return Ok(None);
            }
        }
    }
    if count > 0 {
        tracing::info!(object = %job.doomed.object, plan = %job.doomed.plan, count, "The own copy is destroyed");
    }
    Ok(Some(count))
}

/// Signed confirmations that wait for their entries, in a folder.
pub struct Confirmations(PathBuf);

impl Confirmations {
    /// Of a mirror's directory.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self(directory.join("disposed"))
    }

    /// Whether there is one.
    #[must_use]
    pub fn has(&self, plan: &Digest, object: &Object) -> bool {
        self.0.join(name_of(plan, object)).exists()
    }

    /// The one that is kept.
    ///
    /// # Errors
    /// In words: the file.
    pub fn read(&self, plan: &Digest, object: &Object) -> Result<Option<Signed>, String> {
        let name = name_of(plan, object);
        match fs_err::read(self.0.join(&name)) {
            Ok(kept) => Signed::parse(&kept).map(Some).map_err(|error| format!("{name}: {}", chain(&error))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Signs and keeps one, unless there is one: the same act, whatever was counted since.
    ///
    /// # Errors
    /// In words: the file.
    pub fn keep(
        &self,
        job: &Job,
        count: u64,
        at: Time,
        mirror: &MirrorId,
        keys: &Keys,
    ) -> Result<(), String> {
        let (plan, object) = (&job.doomed.plan, &job.doomed.object);
        if self.has(plan, object) {
            return Ok(());
        }
        let named = job.doomed.warrant.plan();
        let act = Act {
            type_: ActType,
            deployment: named.deployment.clone(),
            act: EntryType::DispositionConfirmed,
            incident: Chain::Incident(named.incident.clone()),
            at,
            by: Actor::Mirror(mirror.clone()),
            refs: evidence::entry::pairs::sorted([
                ("count", count.to_string()),
                ("mirror", mirror.to_string()),
                ("object", object.to_string()),
                ("plan", plan.to_string()),
            ]),
            fields: Vec::new(),
            detail: None,
            nonce: ActNonce::ByContent,
        };
        let act = Signed::sign(&act, &[&keys.act]).map_err(|error| chain(&error))?;
        fs_err::create_dir_all(&self.0).map_err(|error| error.to_string())?;
        let name = name_of(plan, object);
        replace(&self.0, &name, &act.encode()).map_err(|error| format!("{name}: {error}"))
    }
}

/// The file that keeps a confirmation.
fn name_of(plan: &Digest, object: &Object) -> String {
    format!("{plan}-{}.signed", object.to_string().replace('/', "-"))
}
