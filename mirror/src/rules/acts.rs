//! Acts of persons, of the authority, of mirrors, and of the collector itself.

use evidence::document::Document;
use evidence::enrolment::{Login, Token};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, ActObject, EntryType};
use evidence::id::{Actor, Chain, DeploymentId, MirrorId, PersonId};
use evidence::keys::{Fingerprint, PublicKey};
use evidence::order::{Approval, Decision, Order};
use evidence::roster::{Role, Roster};
use evidence::signed::Signed;
use ledger::KeyType;

use super::{Broken, BrokenRule, Case, Change, OrderEnd, Rules};

/// What `mirror.admitted` states about a mirror.
#[derive(Debug, Clone)]
pub(super) struct MirrorKeys {
    pub(super) act: Fingerprint,
    pub(super) is_retired: bool,
    /// Index of the entry that admitted it.
    pub(super) since: u64,
}

/// Reads an act document that may be unsigned.
pub(crate) fn read_act(object: &ActObject) -> Result<Act, Broken> {
    read(object)
}

/// Reads a document without checking its signatures.
pub(super) fn read<T: Document>(object: &ActObject) -> Result<T, Broken> {
    let document: T = evidence::json::parse_document(&object.document).map_err(BrokenRule::Document)?;
    document.validate().map_err(|why| BrokenRule::DocumentInvalid { why })?;
    Ok(document)
}

/// The act. It must agree with its envelope.
pub(super) fn act_document(case: &Case<'_>) -> Result<Act, Broken> {
    let act = read_act(case.act)?;
    let envelope = case.envelope;
    if act.act != envelope.type_ || act.incident != envelope.incident || act.deployment != envelope.deployment
    {
        return Err(BrokenRule::ActSubject.into());
    }
    if act.refs != envelope.refs {
        return Err(BrokenRule::Refs.into());
    }
    Ok(act)
}

/// The key of the only signature, which is verified.
pub(super) fn signer(signed: &Signed, namespace: &str) -> Result<PublicKey, Broken> {
    let keys = signed.verify_all(namespace).map_err(BrokenRule::Signed)?;
    match keys.as_slice() {
        [key] => Ok(key.clone()),
        _ => Err(BrokenRule::SignatureNotOne.into()),
    }
}

impl Rules {
    /// The newest roster that was published before.
    pub(super) fn in_force(&self) -> Result<&Roster, Broken> {
        let roster = self.roster.as_ref().map(evidence::roster::AdmittedRoster::roster);
        Ok(roster.ok_or(BrokenRule::RosterMissing)?)
    }

    pub(super) fn roster(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let floor = self.roster.as_ref().map(evidence::roster::AdmittedRoster::floor);
        let admitted = Roster::verify(&signed, &self.pins.deployment, &self.pins.authority, floor.as_ref())
            .map_err(BrokenRule::Roster)?;
        let version = admitted.roster().version;
        if floor.is_some_and(|floor| version <= floor.version) {
            return Err(BrokenRule::RosterPublishedBefore { version }.into());
        }
        case.refs(&[("roster", admitted.digest().to_string()), ("version", version.to_string())])?;
        Ok(Change::Roster(Box::new(admitted)))
    }

    pub(super) fn collector(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let act = act_document(case)?;
        // Nobody signed the act, so it speaks only for the collector whose log holds it.
        if !matches!(act.by, Actor::Collector(_)) {
            return Err(BrokenRule::Speaker { by: act.by }.into());
        }
        match case.envelope.type_ {
            EntryType::LogGenesis => {
                case.refs(&[
                    ("authority", self.pins.authority.id().to_string()),
                    ("ca", self.pins.ca_sha256.to_string()),
                    ("log", self.pins.log_keys.keys().first().to_string()),
                ])?;
                Ok(Change::None)
            }
            EntryType::CollectionProgress
            | EntryType::CollectionInterrupted
            | EntryType::CollectionMalformed
            | EntryType::CollectionContradicted => self.collection_event(case),
            _ => Ok(Change::None),
        }
    }

    pub(super) fn login(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let login = Login::verify(&signed, self.in_force()?).map_err(BrokenRule::Enrolment)?;
        let keys = signed.verify_all(Login::TYPE).map_err(BrokenRule::Signed)?;
        let Some(key) = keys.first() else {
            return Err(BrokenRule::SignatureMissing.into());
        };
        case.refs(&[("person", login.person.to_string()), ("key", key.fingerprint().to_string())])?;
        Ok(Change::None)
    }

    /// Judges an act or document that one person signs, and returns its change.
    pub(super) fn person(&self, case: &Case<'_>, names: &'static [&'static str]) -> Result<Change, Broken> {
        let roles: Vec<Role> = names.iter().filter_map(|name| Role::from_word(name)).collect();
        let signed = case.signed()?;
        let namespace = match case.envelope.type_.rule().document {
            ActDocument::Act => "exhibit-act-v1",
            ActDocument::Order => "exhibit-order-v1",
            ActDocument::Approval => "exhibit-approval-v1",
            ActDocument::Token => "exhibit-token-v1",
            document => return Err(BrokenRule::NotForPersons { document }.into()),
        };
        let key = signer(&signed, namespace)?;
        let (named, change) = match case.envelope.type_.rule().document {
            ActDocument::Order => {
                let order: Order = read(case.act)?;
                (order.issuer.clone(), self.issued(case, &order)?)
            }
            ActDocument::Token => {
                let token: Token = read(case.act)?;
                (token.issuer.clone(), self.admitted(case, token)?)
            }
            ActDocument::Approval => {
                let approval: Approval = read(case.act)?;
                (approval.approver.clone(), self.decision(case, &approval)?)
            }
            _ => self.act_of_person(case)?,
        };
        if self.in_force()?.speaks_for(&key, &named, &roles) {
            Ok(change)
        } else {
            Err(BrokenRule::PersonKey { key: key.fingerprint(), person: named, roles: names }.into())
        }
    }

    fn act_of_person(&self, case: &Case<'_>) -> Result<(PersonId, Change), Broken> {
        let act = act_document(case)?;
        let Actor::Person(person) = &act.by else {
            return Err(BrokenRule::NoPerson { by: act.by }.into());
        };
        let change = match case.envelope.type_ {
            EntryType::EndpointRetired => self.retired(case)?,
            EntryType::OrderCancelled => self.cancelled(case)?,
            EntryType::MirrorAdmitted => self.mirror_admitted(&act)?,
            EntryType::MirrorRetired => {
                let mirror = mirror_of(&act)?;
                if !self.mirrors.contains_key(&mirror) {
                    return Err(BrokenRule::MirrorUnknown { mirror }.into());
                }
                Change::MirrorRetired(mirror)
            }
            _ => Change::None,
        };
        Ok((person.clone(), change))
    }

    fn mirror_admitted(&self, act: &Act) -> Result<Change, Broken> {
        let mirror = mirror_of(act)?;
        if self.mirrors.contains_key(&mirror) {
            return Err(BrokenRule::MirrorAdmittedBefore { mirror }.into());
        }
        for (name, role) in [("witness_key", "witness"), ("mirror_key", "mirror")] {
            let key = ledger::VerifierKey::parse(named(act, name)?)
                .map_err(|source| BrokenRule::CosignerKey { name, source })?;
            if key.kind() != KeyType::CosignatureV1 || key.name() != format!("{mirror}/{role}") {
                return Err(BrokenRule::CosignerKeyName { name, mirror, role }.into());
            }
        }
        let key: Fingerprint = named(act, "key")?.parse().or(Err(BrokenRule::Fingerprint))?;
        Ok(Change::Mirror(mirror, MirrorKeys { act: key, is_retired: false, since: self.next }))
    }

    /// Judges an approval or rejection.
    fn decision(&self, case: &Case<'_>, approval: &Approval) -> Result<Change, Broken> {
        same_deployment(&approval.deployment, case)?;
        case.refs(&[("order", approval.order.to_string())])?;
        let Some(order) = self.orders.get(&approval.order) else {
            return Err(BrokenRule::OrderUnknown.into());
        };
        if Chain::Incident(order.incident.clone()) != case.envelope.incident {
            return Err(BrokenRule::OrderStandsElsewhere.into());
        }
        match (case.envelope.type_, approval.decision) {
            (EntryType::OrderApproved, Decision::Approve) if approval.approver == order.issuer => {
                Err(BrokenRule::ApprovedOwnOrder.into())
            }
            (EntryType::OrderApproved, Decision::Approve) => Ok(Change::Approved(approval.order)),
            (EntryType::OrderRejected, Decision::Reject) => {
                Ok(Change::OrderEnded(approval.order, OrderEnd::Rejected))
            }
            _ => Err(BrokenRule::Decision.into()),
        }
    }

    /// Judges a mirror's statement.
    pub(super) fn mirror_statement(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let act = act_document(case)?;
        let mirror = mirror_of(&act)?;
        if act.by != Actor::Mirror(mirror.clone()) {
            return Err(BrokenRule::MirrorSpeaker { by: act.by }.into());
        }
        let key = signer(&case.signed()?, "exhibit-act-v1")?;
        match self.mirrors.get(&mirror) {
            Some(keys) if keys.is_retired => return Err(BrokenRule::MirrorRetired { mirror }.into()),
            Some(keys) if keys.act == key.fingerprint() => {}
            Some(_) => return Err(BrokenRule::MirrorKey { key: key.fingerprint(), mirror }.into()),
            None => return Err(BrokenRule::MirrorNeverAdmitted { mirror }.into()),
        }
        match case.envelope.type_ {
            // The incident's course judges whether an approved plan names the object.
            EntryType::DispositionConfirmed => Ok(Change::None),
            _ => self.stated(case, mirror),
        }
    }
}

pub(super) fn same_deployment(found: &DeploymentId, case: &Case<'_>) -> Result<(), Broken> {
    if *found == case.envelope.deployment {
        Ok(())
    } else {
        Err(BrokenRule::ActDeployment { found: found.clone() }.into())
    }
}

fn mirror_of(act: &Act) -> Result<MirrorId, BrokenRule> {
    named(act, "mirror")?.parse().map_err(BrokenRule::MirrorId)
}

/// The value of a ref that the act must have.
fn named<'a>(act: &'a Act, name: &'static str) -> Result<&'a str, BrokenRule> {
    act.reference(name).ok_or(BrokenRule::RefMissing { name })
}
