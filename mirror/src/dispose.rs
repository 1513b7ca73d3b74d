//! Destroys this mirror's copy of what an approved plan names, and keeps the signed confirmation
//! (docs/spec/mirror.md, *Disposal*).
//!
//! Guarantee: an object is destroyed only if the checked ledger approves its disposal and nothing retains it
//! at the held checkpoint. The confirmation is durable before it is sent, so that a retry sends the same
//! bytes. A crash in between leaves fewer objects than before, and the next round goes on. Not here: when to
//! destroy, and sending (`run`).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::id::{Actor, Chain, MirrorId};
use evidence::signed::Signed;
use evidence::time::Time;
use store::{Disposable, Replicas, StoreError};

use crate::keys::Keys;
use crate::rules::DueDisposal;

/// One object of a plan, with those of its texts that must stay because another chain names them.
#[derive(Debug, Clone)]
pub struct Destruction {
    pub due: DueDisposal,
    /// Texts that must stay.
    pub retained_texts: Vec<Digest>,
}

impl Destruction {
    /// The plan and the object.
    #[must_use]
    pub fn id(&self) -> (Digest, Object) {
        (self.due.plan, self.due.object.clone())
    }
}

/// A store refused to destroy the object.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Kept {
    pub why: String,
    /// When a lock on the object ends, if the store reports it.
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

/// Destroys an object in each of the mirror's stores. Returns how many stored objects were destroyed, or
/// `None` if `go_on` returned false.
///
/// # Errors
/// `Kept`. What was destroyed before that is gone.
pub fn destroy(
    own: &Replicas,
    destruction: &Destruction,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<u64>, Kept> {
    let warrant = &destruction.due.warrant;
    let objects: Vec<Disposable> = match &destruction.due.object {
        Object::Collection(id) => vec![Disposable::Collection(id.0)],
        Object::Details(_) => {
            let details = warrant.plan().details.iter();
            details
                .filter(|digest| !destruction.retained_texts.contains(digest))
                .map(|digest| Disposable::Detail(digest.0))
                .collect()
        }
    };
    let mut count = 0_u64;
    for store in own.stores() {
        for object in &objects {
            let done = store.dispose(object, warrant, go_on)?;
            count += done.count;
            if !done.is_all {
                return Ok(None);
            }
        }
    }
    if count > 0 {
        tracing::info!(object = %destruction.due.object, plan = %destruction.due.plan, count, "The own copy is destroyed");
    }
    Ok(Some(count))
}

/// A folder of signed confirmations that wait for their ledger entries.
pub struct Confirmations(PathBuf);

impl Confirmations {
    /// The folder in a mirror's directory.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self(directory.join("disposed"))
    }

    /// True if a confirmation of this object is kept.
    #[must_use]
    pub fn has(&self, plan: &Digest, object: &Object) -> bool {
        self.0.join(name_of(plan, object)).exists()
    }

    /// The confirmation that is kept.
    pub fn read(&self, plan: &Digest, object: &Object) -> Result<Option<Signed>, String> {
        let name = name_of(plan, object);
        match fs_err::read(self.0.join(&name)) {
            Ok(kept) => Signed::parse(&kept).map(Some).map_err(|error| format!("{name}: {}", chain(&error))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Signs and keeps a confirmation, unless one exists. An existing one stays as it is, whatever was
    /// counted since.
    pub fn keep(
        &self,
        destruction: &Destruction,
        count: u64,
        at: Time,
        mirror: &MirrorId,
        keys: &Keys,
    ) -> Result<(), String> {
        let (plan, object) = (&destruction.due.plan, &destruction.due.object);
        if self.has(plan, object) {
            return Ok(());
        }
        let named = destruction.due.warrant.plan();
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
        durable::create_private_folder(&self.0).map_err(|error| error.to_string())?;
        let name = name_of(plan, object);
        durable::replace(&self.0.join(&name), &act.encode(), 0o644)
            .map_err(|error| format!("{name}: {error}"))
    }
}

/// The file that keeps a confirmation.
fn name_of(plan: &Digest, object: &Object) -> String {
    format!("{plan}-{}.signed", object.to_string().replace('/', "-"))
}
