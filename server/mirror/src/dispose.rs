//! Destroys the own copy of what two persons disposed of, and confirms it (docs/spec/mirror.md, *Disposal*).
//!
//! Guarantee: only what the checked ledger's approvals name goes, while nothing keeps it at the checkpoint that is held; the
//! confirmation is kept before it is sent, and sent again until the ledger has it: the same bytes, one entry. A crash in
//! between leaves less than before; the next round goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evidence::act::{Act, ActNonce, ActType};
use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::EntryType;
use evidence::id::{Actor, Chain, MirrorId};
use evidence::signed::Signed;
use evidence::time::Time;
use store::{Disposable, Replicas};

use crate::chain;
use crate::keys::Keys;
use crate::rules::Doomed;
use crate::state::replace;

/// A plan's object with the texts that stay because another incident names them, too.
#[derive(Debug, Clone)]
pub struct Job {
    /// What.
    pub doomed: Doomed,
    /// Texts that stay.
    pub shared: Vec<Digest>,
}

/// Where confirmations are kept, and who signs them.
pub struct Parts<'a> {
    /// The folder of confirmations.
    pub folder: PathBuf,
    /// The own stores.
    pub own: &'a Replicas,
    /// This mirror.
    pub mirror: &'a MirrorId,
    /// Its keys.
    pub keys: &'a Keys,
    /// Said no when the mirror ends.
    pub go_on: &'a dyn Fn() -> bool,
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// It is gone; this says so.
    Confirm(Box<Signed>),
    /// The mirror ends.
    Stopped,
}

impl Parts<'_> {
    /// Destroys an object and gives the confirmation to send.
    ///
    /// # Errors
    /// In words: a store that does not let it go, or a file.
    pub fn dispose(&self, job: &Job, at: Time) -> Result<Outcome, String> {
        let Some(count) = self.destroy(job)? else {
            return Ok(Outcome::Stopped);
        };
        let name = name_of(&job.doomed);
        // Kept before: the same act, whatever is counted now.
        if let Ok(kept) = fs_err::read(self.folder.join(&name)) {
            let act = Signed::parse(&kept).map_err(|error| format!("{name}: {}", chain(&error)))?;
            return Ok(Outcome::Confirm(Box::new(act)));
        }
        let plan = job.doomed.warrant.plan();
        let act = Act {
            type_: ActType,
            deployment: plan.deployment.clone(),
            act: EntryType::DispositionConfirmed,
            incident: Chain::Incident(plan.incident.clone()),
            at,
            by: Actor::Mirror(self.mirror.clone()),
            refs: evidence::pairs::sorted([
                ("count", count.to_string()),
                ("mirror", self.mirror.to_string()),
                ("object", job.doomed.object.to_string()),
                ("plan", job.doomed.plan.to_string()),
            ]),
            fields: Vec::new(),
            detail: None,
            nonce: ActNonce::ByContent,
        };
        let act = Signed::sign(&act, &[&self.keys.act]).map_err(|error| chain(&error))?;
        replace(&self.folder, &name, &act.encode()).map_err(|error| format!("{name}: {error}"))?;
        Ok(Outcome::Confirm(Box::new(act)))
    }

    fn destroy(&self, job: &Job) -> Result<Option<u64>, String> {
        let warrant = &job.doomed.warrant;
        let objects: Vec<Disposable> = match &job.doomed.object {
            Object::Collection(id) => vec![Disposable::Collection(id.0)],
            Object::Details(_) => {
                let details = warrant.plan().details.iter();
                details
                    .filter(|digest| !job.shared.contains(digest))
                    .map(|digest| Disposable::Detail(digest.0))
                    .collect()
            }
        };
        let mut count = 0_u64;
        for store in self.own.stores() {
            for object in &objects {
                match store.dispose(object, warrant, self.go_on) {
                    Ok(Some(one)) => count = count.saturating_add(one),
                    Ok(None) => return Ok(None),
                    Err(error) => return Err(chain(&error)),
                }
            }
        }
        if count > 0 {
            tracing::info!(object = %job.doomed.object, plan = %job.doomed.plan, count, "The own copy is destroyed");
        }
        Ok(Some(count))
    }
}

/// The file that keeps a confirmation.
fn name_of(doomed: &Doomed) -> String {
    let object = doomed.object.to_string().replace('/', "-");
    format!("{}-{object}.signed", doomed.plan)
}

/// Statements that were sent and not seen in the ledger yet, and when.
pub type Sent = BTreeMap<(Digest, Object), std::time::Instant>;

/// Makes the folder of confirmations.
///
/// # Errors
/// Of the file system.
pub fn folder(directory: &Path) -> std::io::Result<PathBuf> {
    let folder = directory.join("disposed");
    fs_err::create_dir_all(&folder)?;
    Ok(folder)
}
