//! The custody entries of the bundle: proven in the checkpoint, without gap, each with the act it names and the signatures its type demands.

use std::collections::BTreeMap;

use evidence::act::Act;
use evidence::digest::Digest;
use evidence::entry::{ActDocument, ActObject, ActPlace, ChainHead, Entry, Signers};
use evidence::id::{Actor, Chain, DeploymentId, IncidentId};
use evidence::keys::PublicKey;
use evidence::order::Approval;
use evidence::roster::Role;
use evidence::signed::Signed;
use ledger::{Checkpoint, ProofFile, leaf_hash, verify_inclusion};

use crate::files::Files;
use crate::rosters::{Rosters, signed};
use crate::trust::chain;

/// An entry that is proven to be in the log.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    /// Place in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Digest,
    /// The entry.
    pub entry: Entry,
}

impl Proven {
    /// The value of a ref of its envelope.
    pub(crate) fn reference(&self, name: &str) -> Option<&str> {
        self.entry.envelope.reference(name)
    }
}

/// Reads `NAME.entry` (or `export/entry`) with its proof, which must lead to `head`.
pub(crate) fn proven(files: &Files, entry: &str, proof: &str, head: &Checkpoint) -> Result<Proven, String> {
    let bytes = files.required(entry)?;
    let proof_bytes = files.required(proof)?;
    let parsed = Entry::parse(&bytes).map_err(|cause| format!("{entry}: {}", chain(&cause)))?;
    let file = ProofFile::parse(&proof_bytes).map_err(|cause| format!("{proof}: {}", chain(&cause)))?;
    let shown = Checkpoint::from_text(file.checkpoint().text())
        .map_err(|cause| format!("{proof}: {}", chain(&cause)))?;
    if shown != *head {
        return Err(format!(
            "{proof} leads to another checkpoint (origin {}, size {})",
            shown.origin, shown.size
        ));
    }
    let leaf = leaf_hash(&bytes);
    verify_inclusion(file.index(), head.size, &leaf, file.hashes(), &head.root)
        .map_err(|cause| format!("{entry} is not in the log: {}", chain(&cause)))?;
    Ok(Proven {
        index: file.index(),
        leaf: leaf.into(),
        entry: parsed,
    })
}

/// The incident's chain and the deployment entries it leans on.
#[derive(Debug, Default)]
pub(crate) struct Custody {
    /// The incident's entries, 0 … head.
    pub incident: Vec<Proven>,
    /// Entries of the deployment's chain, by log index.
    pub deployment: BTreeMap<u64, Proven>,
}

impl Custody {
    /// Reads all entries and their proofs.
    pub(crate) fn load(files: &Files, head: &Checkpoint) -> Result<Self, String> {
        let mut custody = Self::default();
        let mut incident = BTreeMap::new();
        for name in files.below("custody/") {
            let Some(base) = name.strip_suffix(".entry") else {
                let has_entry = name
                    .strip_suffix(".tlog-proof")
                    .is_some_and(|base| files.has(&format!("{base}.entry")));
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
                custody.deployment.insert(found.index, found);
            } else {
                let seq = found.entry.envelope.seq;
                if base.strip_prefix("custody/") != Some(format!("{seq:06}").as_str()) {
                    return Err(format!("{name} has sequence number {seq}"));
                }
                incident.insert(seq, found);
            }
        }
        custody.incident = incident.into_values().collect();
        Ok(custody)
    }

    /// Sequence 0 … `head_seq` without gap, links, times, one incident, ascending log indices.
    pub(crate) fn check_chain(
        &self,
        deployment: &DeploymentId,
        incident: &IncidentId,
        head_seq: u64,
        head: &Digest,
    ) -> Result<String, String> {
        let mut state = ChainHead::START;
        let mut last_index = None;
        for proven in &self.incident {
            let envelope = &proven.entry.envelope;
            if envelope.incident.incident() != Some(incident) {
                return Err(format!(
                    "entry {} is of another chain: {}",
                    envelope.seq, envelope.incident
                ));
            }
            state.step(envelope, proven.leaf).map_err(|cause| chain(&cause))?;
            if last_index.is_some_and(|last| last >= proven.index) {
                return Err(format!(
                    "entry {} stands before its predecessor in the log",
                    envelope.seq
                ));
            }
            last_index = Some(proven.index);
        }
        let foreign = self
            .incident
            .iter()
            .chain(self.deployment.values())
            .find(|proven| proven.entry.envelope.deployment != *deployment);
        if let Some(proven) = foreign {
            return Err(format!(
                "entry {} of the log is of deployment {}",
                proven.index, proven.entry.envelope.deployment
            ));
        }
        match self.incident.last() {
            None => Err("the incident has no entries".to_owned()),
            Some(last) if last.entry.envelope.seq != head_seq || last.leaf != *head => Err(format!(
                "the last entry here is {} ({}), bundle.json says {head_seq} ({head})",
                last.entry.envelope.seq, last.leaf
            )),
            Some(_) => Ok(format!(
                "{} entries, 0 to {head_seq}, without gap",
                self.incident.len()
            )),
        }
    }

    /// All entries in the order of the log.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Proven> {
        let mut all: Vec<&Proven> = self.incident.iter().chain(self.deployment.values()).collect();
        all.sort_by_key(|proven| proven.index);
        all.into_iter()
    }
}

/// An entry's act: from the entry, or from the file that holds it.
pub(crate) fn act_of(files: &Files, proven: &Proven) -> Result<ActObject, String> {
    let envelope = &proven.entry.envelope;
    if let (ActPlace::Inline, Some(act)) = (envelope.act, &proven.entry.act) {
        return Ok(act.clone());
    }
    let missing = |name: &str| format!("{} at {} has no {name}", envelope.type_, proven.index);
    let reference = |name: &'static str| proven.reference(name).ok_or_else(|| missing(name));
    let name = match envelope.type_.rule().document {
        ActDocument::Order => format!("orders/{}", envelope.event),
        ActDocument::Roster => format!("deployment/roster-{}", reference("version")?),
        ActDocument::Token => format!(
            "deployment/token-{}-{}",
            reference("endpoint")?,
            reference("generation")?
        ),
        ActDocument::Manifest => format!("evidence/{}/manifest", reference("collection")?),
        ActDocument::Enrolment => format!(
            "deployment/enrolment-{}-{}",
            reference("endpoint")?,
            reference("generation")?
        ),
        ActDocument::Approval => format!("approvals/{}", envelope.event),
        ActDocument::Delegation => format!("evidence/{}/delegation", reference("collection")?),
        ActDocument::Act | ActDocument::Login | ActDocument::Renewal => {
            return Err(missing("act in the bundle"));
        }
    };
    let act = ActObject::from(signed(files, &name)?);
    if act.event() == envelope.event {
        Ok(act)
    } else {
        Err(format!(
            "{name} is not the act of entry {}: its digest is {}, the entry says {}",
            proven.index,
            act.event(),
            envelope.event
        ))
    }
}

/// Checks the signatures of acts that persons sign or that nobody signs. Returns false for acts whose signers other checks judge
/// (endpoint, delegation, manifest, roster).
pub(crate) fn check_act(proven: &Proven, act: &ActObject, rosters: &Rosters) -> Result<bool, String> {
    let envelope = &proven.entry.envelope;
    let says = |why: String| format!("{} at {}: {why}", envelope.type_, proven.index);
    let rule = envelope.type_.rule();
    let act_document = |object: &ActObject| {
        let act: Act = read(object).map_err(&says)?;
        if act.act != envelope.type_
            || act.incident != envelope.incident
            || act.deployment != envelope.deployment
        {
            return Err(says("its act is about something else".to_owned()));
        }
        // What the collector put into the envelope must be what the person signed.
        if act.refs != envelope.refs {
            return Err(says("its refs are not those of its act".to_owned()));
        }
        Ok(act)
    };
    match rule.signers {
        Signers::Nobody => {
            let act = act_document(act)?;
            if matches!(
                act.by,
                Actor::Collector(_) | Actor::Person(_) | Actor::Endpoint(..)
            ) {
                Ok(true)
            } else {
                Err(says(format!("recorded by {}", act.by)))
            }
        }
        Signers::Person(names) => {
            let roles: Vec<Role> = names.iter().filter_map(|name| role(name)).collect();
            let signed = act.signed().map_err(|cause| says(chain(&cause)))?;
            let signers = signed
                .verify_all(namespace(rule.document))
                .map_err(|cause| says(chain(&cause)))?;
            let [key] = signers.as_slice() else {
                return Err(says("not exactly one signature".to_owned()));
            };
            let person = rosters.person(proven.index, key, &roles).ok_or_else(|| {
                says(format!(
                    "signed by {}, which no person with role {} held then",
                    key.fingerprint(),
                    names.join(" or ")
                ))
            })?;
            let named = match rule.document {
                ActDocument::Act => act_document(act)?.by == Actor::Person(person.id.clone()),
                ActDocument::Approval => {
                    let approval: Approval = signed.read().map_err(|cause| says(chain(&cause)))?;
                    approval.approver == person.id
                        && proven.reference("order") == Some(approval.order.to_string().as_str())
                }
                // Issuer and token are judged with their own documents.
                _ => true,
            };
            if named {
                Ok(true)
            } else {
                Err(says(format!(
                    "signed by {}, who is not the one it names",
                    person.id
                )))
            }
        }
        Signers::Unspecified => Err(says("this version does not know who signs it".to_owned())),
        _ => Ok(false),
    }
}

/// Reads an act document that may be unsigned.
fn read(object: &ActObject) -> Result<Act, String> {
    use evidence::document::Document as _;
    let act: Act = evidence::json::parse_document(&object.document).map_err(|cause| chain(&cause))?;
    act.validate().map_err(str::to_owned)?;
    Ok(act)
}

/// The key of the one signature, verified.
pub(crate) fn signer(signed: &Signed, namespace: &str) -> Result<PublicKey, String> {
    let signers = signed.verify_all(namespace).map_err(|cause| chain(&cause))?;
    match signers.as_slice() {
        [key] => Ok(key.clone()),
        _ => Err("not exactly one signature".to_owned()),
    }
}

fn role(name: &str) -> Option<Role> {
    match name {
        "responder" => Some(Role::Responder),
        "approver" => Some(Role::Approver),
        "analyst" => Some(Role::Analyst),
        "auditor" => Some(Role::Auditor),
        "endpoint-admin" => Some(Role::EndpointAdmin),
        _ => None,
    }
}

fn namespace(document: ActDocument) -> &'static str {
    match document {
        ActDocument::Act => "exhibit-act-v1",
        ActDocument::Approval => "exhibit-approval-v1",
        ActDocument::Delegation => "exhibit-delegation-v1",
        ActDocument::Enrolment => "exhibit-enrolment-v1",
        ActDocument::Login => "exhibit-login-v1",
        ActDocument::Manifest => "exhibit-manifest-v1",
        ActDocument::Order => "exhibit-order-v1",
        ActDocument::Renewal => "exhibit-renewal-v1",
        ActDocument::Roster => "exhibit-roster-v1",
        ActDocument::Token => "exhibit-token-v1",
    }
}
