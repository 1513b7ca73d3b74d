//! The custody entries of the bundle: proven in the checkpoint, without gap, each with the act it names and the signatures its type demands.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::enrolment::{Login, Token};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, ActObject, ActPlace, ChainHead, Entry, EntryType, Signers};
use evidence::id::{Actor, Chain, DeploymentId, IncidentId, PersonId};
use evidence::keys::PublicKey;
use evidence::order::{Approval, Decision, Order};
use evidence::roster::Role;
use evidence::signed::Signed;
use ledger::{Checkpoint, Note, ProofFile, leaf_hash, verify_inclusion};

use crate::files::Files;
use crate::rosters::{Rosters, signed};
use evidence::causes::chain;

const LOGIN_NAMESPACE: &str = "exhibit-login-v1";

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

/// A checkpoint that the pinned log signed, with the note's own bytes.
#[derive(Debug)]
pub(crate) struct Head {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: Note,
}

/// Reads `NAME.entry` (or `export/entry`) with its proof, which must lead to `head`.
pub(crate) fn proven(files: &Files<'_>, entry: &str, proof: &str, head: &Head) -> Result<Proven, String> {
    let bytes = files.required(entry)?;
    let proof_bytes = files.required(proof)?;
    let parsed = Entry::parse(&bytes).map_err(|cause| format!("{entry}: {}", chain(&cause)))?;
    let file = ProofFile::parse(&proof_bytes).map_err(|cause| format!("{proof}: {}", chain(&cause)))?;
    // Not the text alone: a proof carries no signature that nobody looked at.
    let shown = file.checkpoint();
    let known = shown.signatures().iter().all(|line| head.note.signatures().contains(line));
    if shown.text() != head.note.text() || !known {
        return Err(format!(
            "{proof} leads to another checkpoint than that of size {}",
            head.checkpoint.size
        ));
    }
    if file.extra().is_some() {
        return Err(format!("{proof} has extra data, which no signature covers"));
    }
    let leaf = leaf_hash(&bytes);
    let checkpoint = &head.checkpoint;
    verify_inclusion(file.index(), checkpoint.size, &leaf, file.hashes(), &checkpoint.root)
        .map_err(|cause| format!("{entry} is not in the log: {}", chain(&cause)))?;
    Ok(Proven { index: file.index(), leaf: leaf.into(), entry: parsed })
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
    pub(crate) fn load(files: &Files<'_>, head: &Head) -> Result<Self, String> {
        let mut custody = Self::default();
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
                return Err(format!("entry {} is of another chain: {}", envelope.seq, envelope.incident));
            }
            state.step(envelope, proven.leaf).map_err(|cause| chain(&cause))?;
            if last_index.is_some_and(|last| last >= proven.index) {
                return Err(format!("entry {} stands before its predecessor in the log", envelope.seq));
            }
            last_index = Some(proven.index);
        }
        self.check_deployment_chain()?;
        let mut events = BTreeMap::new();
        for proven in self.all() {
            // The same act recorded twice is one entry.
            if let Some(first) = events.insert(proven.entry.envelope.event, proven.index) {
                return Err(format!("entries {first} and {} of the log record the same act", proven.index));
            }
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
            Some(_) => Ok(format!("{} entries, 0 to {head_seq}, without gap", self.incident.len())),
        }
    }

    /// The deployment's entries are a choice of its chain: what can be seen of their order must hold.
    fn check_deployment_chain(&self) -> Result<(), String> {
        let mut before: Option<&Proven> = None;
        for proven in self.deployment.values() {
            let envelope = &proven.entry.envelope;
            let says = |what: &str| Err(format!("entry {} of the deployment's chain {what}", proven.index));
            if let Some(before) = before {
                let earlier = &before.entry.envelope;
                if envelope.seq <= earlier.seq || envelope.time < earlier.time {
                    return says("is numbered or dated before the one before it");
                }
                if envelope.seq == earlier.seq.saturating_add(1) && envelope.prev != before.leaf {
                    return says("does not link to the one before it");
                }
            }
            let is_first = envelope.seq == 0;
            if is_first != (envelope.prev == Digest::ZERO) || proven.index < envelope.seq {
                return says("has an impossible number");
            }
            before = Some(proven);
        }
        Ok(())
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

/// An entry's act: from the entry, or from the file that holds it. Where both have it, they are the same.
pub(crate) fn act_of(files: &Files<'_>, proven: &Proven) -> Result<ActObject, String> {
    let envelope = &proven.entry.envelope;
    let name = act_name(proven)?;
    let inline = match envelope.act {
        ActPlace::Inline => proven.entry.act.clone(),
        ActPlace::Digest => None,
    };
    let filed = match name {
        Some(name) if inline.is_none() || files.has(&format!("{name}.json")) => {
            Some((ActObject::from(signed(files, &name)?), name))
        }
        _ => None,
    };
    match (inline, filed) {
        (None, None) => Err(format!("{} at {} has no act in the bundle", envelope.type_, proven.index)),
        (Some(act), None) => Ok(act),
        (inline, Some((act, name))) => {
            if act.event() != envelope.event {
                return Err(format!(
                    "{name} is not the act of entry {}: its digest is {}, the entry says {}",
                    proven.index,
                    act.event(),
                    envelope.event
                ));
            }
            if inline.is_some_and(|inline| inline != act) {
                return Err(format!("{name} has other signatures than entry {}", proven.index));
            }
            Ok(act)
        }
    }
}

/// True for an order or manifest that only its entry speaks of: a partial production leaves out what was not produced.
/// Whatever was produced asks for both, and fails without them.
pub(crate) fn is_left_out(files: &Files<'_>, proven: &Proven) -> bool {
    let envelope = &proven.entry.envelope;
    let may = matches!(envelope.type_, EntryType::OrderIssued | EntryType::CollectionStored);
    may && envelope.act == ActPlace::Digest
        && act_name(proven).is_ok_and(|name| name.is_some_and(|name| !files.has(&format!("{name}.json"))))
}

/// The file, without `.json`, in which a bundle keeps an entry's act; acts of their own kind are in the entry only.
fn act_name(proven: &Proven) -> Result<Option<String>, String> {
    let envelope = &proven.entry.envelope;
    let reference = |name: &'static str| {
        proven.reference(name).ok_or_else(|| format!("{} at {} has no {name}", envelope.type_, proven.index))
    };
    Ok(Some(match envelope.type_.rule().document {
        ActDocument::Order => format!("orders/{}", envelope.event),
        ActDocument::Roster => format!("deployment/roster-{}", reference("version")?),
        ActDocument::Token => {
            format!("deployment/token-{}-{}", reference("endpoint")?, reference("generation")?)
        }
        ActDocument::Manifest => format!("evidence/{}/manifest", reference("collection")?),
        ActDocument::Enrolment => {
            format!("deployment/enrolment-{}-{}", reference("endpoint")?, reference("generation")?)
        }
        ActDocument::Approval => format!("approvals/{}", envelope.event),
        ActDocument::Delegation => format!("evidence/{}/delegation", reference("collection")?),
        ActDocument::Act | ActDocument::LogKey | ActDocument::Login | ActDocument::Renewal => {
            return Ok(None);
        }
    }))
}

/// What a check of an act's signatures comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Signed by whom its type demands.
    Signed,
    /// Another check judges its signers: endpoint, delegation, manifest, roster.
    Elsewhere,
    /// A type of a later version.
    Unknown,
}

/// Checks an act against its entry, and the signatures of acts that persons sign or that nobody signs.
pub(crate) fn check_act(proven: &Proven, act: &ActObject, rosters: &Rosters) -> Result<Judged, String> {
    let envelope = &proven.entry.envelope;
    let says = |why: String| format!("{} at {}: {why}", envelope.type_, proven.index);
    let rule = envelope.type_.rule();
    match rule.signers {
        Signers::Nobody => {
            let document = act_document(proven, act).map_err(says)?;
            // Nobody signed it, so it speaks for nobody but the one whose log it stands in.
            if matches!(document.by, Actor::Collector(_)) {
                Ok(Judged::Signed)
            } else {
                Err(says(format!("recorded without a signature in the name of {}", document.by)))
            }
        }
        Signers::Person(names) => {
            let roles: Vec<Role> = names.iter().filter_map(|name| role(name)).collect();
            let signed = act.signed().map_err(|cause| says(chain(&cause)))?;
            let key = signer(&signed, namespace(rule.document)).map_err(says)?;
            let person = rosters.person(proven.index, &key, &roles).ok_or_else(|| {
                says(format!(
                    "signed by {}, which no person with role {} held then",
                    key.fingerprint(),
                    names.join(" or ")
                ))
            })?;
            let named = named_in(proven, act, &signed).map_err(says)?;
            if named == person.id {
                Ok(Judged::Signed)
            } else {
                Err(says(format!("signed by {}, but in the name of {named}", person.id)))
            }
        }
        Signers::PersonTls => {
            let roster =
                rosters.in_force(proven.index).ok_or_else(|| says("no roster was in force".to_owned()))?;
            let signed = act.signed().map_err(|cause| says(chain(&cause)))?;
            let login = Login::verify(&signed, roster).map_err(|cause| says(chain(&cause)))?;
            let keys = signed.verify_all(LOGIN_NAMESPACE).map_err(|cause| says(chain(&cause)))?;
            let key = keys.first().map(|key| key.fingerprint().to_string());
            if proven.reference("person") == Some(login.person.as_str())
                && proven.reference("key") == key.as_deref()
            {
                Ok(Judged::Signed)
            } else {
                Err(says("its entry names another person or key".to_owned()))
            }
        }
        Signers::Unspecified => Ok(Judged::Unknown),
        Signers::Authority
        | Signers::Evidence
        | Signers::EvidenceTls
        | Signers::Mirror
        | Signers::SealerEvidence
        | Signers::TokenEvidenceTls => Ok(Judged::Elsewhere),
    }
}

/// The act document, which must say what its envelope says.
pub(crate) fn act_document(proven: &Proven, object: &ActObject) -> Result<Act, String> {
    let envelope = &proven.entry.envelope;
    let act: Act = read(object)?;
    if act.act != envelope.type_ || act.incident != envelope.incident || act.deployment != envelope.deployment
    {
        return Err("its act is about something else".to_owned());
    }
    // What the collector put into the envelope must be what the person signed.
    if act.refs != envelope.refs {
        return Err("its refs are not those of its act".to_owned());
    }
    Ok(act)
}

/// The person in whose name a signed document speaks; its entry's refs must be about the same thing.
fn named_in(proven: &Proven, act: &ActObject, signed: &Signed) -> Result<PersonId, String> {
    let envelope = &proven.entry.envelope;
    let refs = |wanted: &[(&str, String)]| match wanted
        .iter()
        .find(|(name, value)| proven.reference(name) != Some(value.as_str()))
    {
        None => Ok(()),
        Some((name, _)) => Err(format!("its entry names another {name}")),
    };
    let deployment = |found: &DeploymentId| {
        if *found == envelope.deployment { Ok(()) } else { Err(format!("is of deployment {found}")) }
    };
    let event = envelope.event.to_string();
    match envelope.type_.rule().document {
        ActDocument::Order => {
            let order: Order = signed.read().map_err(|cause| chain(&cause))?;
            deployment(&order.deployment)?;
            refs(&[("order", event), ("roster", order.roster_sha256.to_string())])?;
            Ok(order.issuer)
        }
        ActDocument::Token => {
            let token: Token = signed.read().map_err(|cause| chain(&cause))?;
            deployment(&token.deployment)?;
            refs(&[
                ("token", event),
                ("endpoint", token.endpoint.to_string()),
                ("generation", token.generation.to_string()),
            ])?;
            Ok(token.issuer)
        }
        ActDocument::Approval => {
            let approval: Approval = signed.read().map_err(|cause| chain(&cause))?;
            deployment(&approval.deployment)?;
            refs(&[("order", approval.order.to_string())])?;
            let wanted = match envelope.type_ {
                EntryType::OrderApproved => Decision::Approve,
                _ => Decision::Reject,
            };
            if approval.decision == wanted {
                Ok(approval.approver)
            } else {
                Err("its entry says the opposite of what was decided".to_owned())
            }
        }
        _ => match act_document(proven, act)?.by {
            Actor::Person(person) => Ok(person),
            other => Err(format!("a person signed in the name of {other}")),
        },
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
        ActDocument::LogKey => "exhibit-log-key-v1",
        ActDocument::Manifest => "exhibit-manifest-v1",
        ActDocument::Order => "exhibit-order-v1",
        ActDocument::Renewal => "exhibit-renewal-v1",
        ActDocument::Roster => "exhibit-roster-v1",
        ActDocument::Token => "exhibit-token-v1",
    }
}
