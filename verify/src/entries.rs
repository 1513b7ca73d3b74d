//! The custody entries of the bundle: each proven in the checkpoint.
//! Guarantee: each entry is in the tree of the verified head, and its file has the name that its number asks for.
//! Not here: `fold` judges the place of an entry in its chain, the act that it records, and who signed that act.

use std::collections::BTreeMap;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use evidence::id::{Chain, IncidentId};
use ledger::{ProofFile, leaf_hash, verify_inclusion};

use crate::files::Files;
use crate::head::Head;
use crate::notes;

/// An entry that is proven to be in the log.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    /// Its place in the log.
    pub index: u64,
    pub leaf: Digest,
    pub entry: Entry,
}

impl Proven {
    /// The value of a ref in its envelope.
    pub(crate) fn reference(&self, name: &str) -> Option<&str> {
        self.entry.envelope.reference(name)
    }
}

/// Reads `NAME.entry` (or `export/entry`) and its proof. The proof must lead to `head`.
pub(crate) fn proven(files: &Files<'_>, entry: &str, proof: &str, head: &Head) -> Result<Proven, String> {
    let bytes = files.required(entry)?;
    let proof_bytes = files.required(proof)?;
    let parsed = Entry::parse(&bytes).map_err(|cause| format!("{entry}: {}", chain(&cause)))?;
    let file = ProofFile::parse(&proof_bytes).map_err(|cause| format!("{proof}: {}", chain(&cause)))?;
    // A proof may carry no signature line that the verified head does not have: nobody would have looked at it.
    let shown = file.checkpoint();
    let known = shown.signatures().iter().all(|line| head.note.signatures().contains(line));
    if shown.text() != head.note.text() || !known {
        return Err(format!(
            "{proof} leads to another checkpoint than that of size {}",
            head.checkpoint.size
        ));
    }
    notes::each_key_once(shown).map_err(|broken| format!("{proof}: {broken}"))?;
    if file.extra().is_some() {
        return Err(format!("{proof} has extra data, which no signature covers"));
    }
    let leaf = leaf_hash(&bytes);
    let checkpoint = &head.checkpoint;
    verify_inclusion(file.index(), checkpoint.size, &leaf, file.hashes(), &checkpoint.root)
        .map_err(|cause| format!("{entry} is not in the log: {}", chain(&cause)))?;
    Ok(Proven { index: file.index(), leaf: leaf.into(), entry: parsed })
}

/// The incident's chain, and the entries of the deployment's chain that it depends on.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// The incident's entries, 0 … head.
    pub incident: Vec<Proven>,
    /// Entries of the deployment's chain, by log index.
    pub deployment: BTreeMap<u64, Proven>,
}

impl Entries {
    /// Reads and proves every entry of the bundle.
    pub(crate) fn load(files: &Files<'_>, head: &Head) -> Result<Self, String> {
        let mut entries = Self::default();
        let mut incident = BTreeMap::new();
        for name in files.below("custody/") {
            let Some(base) = name.strip_suffix(".entry") else {
                let has_entry =
                    name.strip_suffix(".tlog-proof").is_some_and(|base| files.has(&format!("{base}.entry")));
                if has_entry {
                    continue;
                }
                return Err(format!("{name} belongs to no entry"));
            };
            let found = proven(files, name, &format!("{base}.tlog-proof"), head)?;
            if let Some(index) = base.strip_prefix("custody/deployment/") {
                if found.index.to_string() != index || found.entry.envelope.incident != Chain::Deployment {
                    return Err(format!(
                        "{name} is entry {} of chain {:?}",
                        found.index,
                        found.entry.envelope.incident.to_string()
                    ));
                }
                entries.deployment.insert(found.index, found);
            } else {
                let seq = found.entry.envelope.seq;
                if base.strip_prefix("custody/") != Some(format!("{seq:06}").as_str()) {
                    return Err(format!("{name} has sequence number {seq}"));
                }
                incident.insert(seq, found);
            }
        }
        entries.incident = incident.into_values().collect();
        Ok(entries)
    }

    /// The check `custody.chain`, but for what the fold asks: all of `custody/` are entries of the incident, and the last one is the
    /// bundle's head.
    pub(crate) fn check_chain(
        &self,
        incident: &IncidentId,
        head_seq: u64,
        head: &Digest,
    ) -> Result<String, String> {
        let mut chain = self.incident.iter().map(|proven| &proven.entry.envelope);
        if let Some(foreign) = chain.find(|envelope| envelope.incident.incident() != Some(incident)) {
            return Err(format!("entry {} is of another chain: {}", foreign.seq, foreign.incident));
        }
        match self.incident.last() {
            None => Err("the incident has no entries".to_owned()),
            Some(last) if last.entry.envelope.seq != head_seq || last.leaf != *head => Err(format!(
                "the last entry here is {} ({}), bundle.json says {head_seq} ({head})",
                last.entry.envelope.seq, last.leaf
            )),
            Some(_) => Ok(format!("{} entries, 0 to {head_seq}, without gap", self.incident.len())),
        }
    }

    /// The deployment's entries of one type, in the order of the log.
    pub(crate) fn of_deployment(&self, type_: EntryType) -> impl Iterator<Item = &Proven> {
        self.deployment.values().filter(move |proven| proven.entry.envelope.type_ == type_)
    }

    /// All entries in the order of the log.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Proven> {
        let mut all: Vec<&Proven> = self.incident.iter().chain(self.deployment.values()).collect();
        all.sort_by_key(|proven| proven.index);
        all.into_iter()
    }
}
