//! Acts of persons, of the authority, of mirrors, and of the collector itself.

use evidence::causes::chain;
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

use super::{Broken, Case, Change, Rules, rule};

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
    let document: T =
        evidence::json::parse_document(&object.document).map_err(|error| Broken::Rule(chain(&error)))?;
    document.validate().map_err(|why| Broken::Rule(why.to_owned()))?;
    Ok(document)
}

/// The act. It must agree with its envelope.
pub(super) fn act_document(case: &Case<'_>) -> Result<Act, Broken> {
    let act = read_act(case.act)?;
    let envelope = case.envelope;
    if act.act != envelope.type_ || act.incident != envelope.incident || act.deployment != envelope.deployment
    {
        return rule("its act is about something else");
    }
    if act.refs != envelope.refs {
        return rule("its refs are not those of its act");
    }
    Ok(act)
}

/// The key of the only signature, which is verified.
pub(super) fn signer(signed: &Signed, namespace: &str) -> Result<PublicKey, Broken> {
    let keys = signed.verify_all(namespace).map_err(|error| Broken::Rule(chain(&error)))?;
    match keys.as_slice() {
        [key] => Ok(key.clone()),
        _ => rule("not exactly one signature"),
    }
}

impl Rules {
    /// The newest roster that was published before.
    pub(super) fn in_force(&self) -> Result<&Roster, Broken> {
        let roster = self.roster.as_ref().map(evidence::roster::AdmittedRoster::roster);
        roster.ok_or_else(|| Broken::Rule("no roster was published before".to_owned()))
    }

    pub(super) fn roster(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let floor = self.roster.as_ref().map(evidence::roster::AdmittedRoster::floor);
        let admitted = Roster::verify(&signed, &self.pins.deployment, &self.pins.authority, floor.as_ref())
            .map_err(|error| Broken::Rule(chain(&error)))?;
        let version = admitted.roster().version;
        if floor.is_some_and(|floor| version <= floor.version) {
            return rule(format!("roster {version} was published before"));
        }
        case.refs(&[("roster", admitted.digest().to_string()), ("version", version.to_string())])?;
        Ok(Change::Roster(Box::new(admitted)))
    }

    pub(super) fn collector(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let act = act_document(case)?;
        // Nobody signed the act, so it speaks only for the collector whose log holds it.
        if !matches!(act.by, Actor::Collector(_)) {
            return rule(format!("recorded without a signature in the name of {}", act.by));
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
        let login = Login::verify(&signed, self.in_force()?).map_err(|error| Broken::Rule(chain(&error)))?;
        let keys = signed.verify_all(Login::TYPE).map_err(|error| Broken::Rule(chain(&error)))?;
        let Some(key) = keys.first() else {
            return rule("nobody signed it");
        };
        case.refs(&[("person", login.person.to_string()), ("key", key.fingerprint().to_string())])?;
        Ok(Change::None)
    }

    /// Judges an act or document that one person signs, and returns its change.
    pub(super) fn person(&self, case: &Case<'_>, names: &[&str]) -> Result<Change, Broken> {
        let roles: Vec<Role> = names.iter().filter_map(|name| Role::from_word(name)).collect();
        let signed = case.signed()?;
        let namespace = match case.envelope.type_.rule().document {
            ActDocument::Act => "exhibit-act-v1",
            ActDocument::Order => "exhibit-order-v1",
            ActDocument::Approval => "exhibit-approval-v1",
            ActDocument::Token => "exhibit-token-v1",
            other => return rule(format!("a person does not sign {other:?}")),
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
            rule(format!("signed by {}, no key of {named} as {} then", key.fingerprint(), names.join(" or ")))
        }
    }

    fn act_of_person(&self, case: &Case<'_>) -> Result<(PersonId, Change), Broken> {
        let act = act_document(case)?;
        let Actor::Person(person) = &act.by else {
            return rule(format!("a person signed in the name of {}", act.by));
        };
        let change = match case.envelope.type_ {
            EntryType::EndpointRetired => self.retired(case)?,
            EntryType::OrderCancelled => self.cancelled(case)?,
            EntryType::MirrorAdmitted => self.mirror_admitted(&act)?,
            EntryType::MirrorRetired => {
                let mirror = mirror_of(&act)?;
                if !self.mirrors.contains_key(&mirror) {
                    return rule(format!("there is no mirror {mirror}"));
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
            return rule(format!("mirror {mirror} was admitted before"));
        }
        for (name, role) in [("witness_key", "witness"), ("mirror_key", "mirror")] {
            let key = ledger::VerifierKey::parse(named(act, name)?)
                .map_err(|error| Broken::Rule(format!("{name}: {}", chain(&error))))?;
            if key.kind() != KeyType::CosignatureV1 || key.name() != format!("{mirror}/{role}") {
                return rule(format!("{name} is no cosigner key named {mirror}/{role}"));
            }
        }
        let key: Fingerprint = named(act, "key")?
            .parse()
            .map_err(|_not_one| Broken::Rule("key is no fingerprint".to_owned()))?;
        Ok(Change::Mirror(mirror, MirrorKeys { act: key, is_retired: false, since: self.next }))
    }

    /// Judges an approval or rejection.
    fn decision(&self, case: &Case<'_>, approval: &Approval) -> Result<Change, Broken> {
        same_deployment(&approval.deployment, case)?;
        case.refs(&[("order", approval.order.to_string())])?;
        let Some(order) = self.orders.get(&approval.order) else {
            return rule("it is about an order that was never issued");
        };
        if Chain::Incident(order.incident.clone()) != case.envelope.incident {
            return rule("it stands in another incident than its order");
        }
        match (case.envelope.type_, approval.decision) {
            (EntryType::OrderApproved, Decision::Approve) if approval.approver == order.issuer => {
                rule("the issuer approved the own order")
            }
            (EntryType::OrderApproved, Decision::Approve) => Ok(Change::Approved(approval.order)),
            (EntryType::OrderRejected, Decision::Reject) => {
                Ok(Change::OrderEnded(approval.order, "was rejected"))
            }
            _ => rule("it says the opposite of what was decided"),
        }
    }

    /// Judges a mirror's statement.
    pub(super) fn mirror_statement(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let act = act_document(case)?;
        let mirror = mirror_of(&act)?;
        if act.by != Actor::Mirror(mirror.clone()) {
            return rule(format!("a mirror's statement in the name of {}", act.by));
        }
        let key = signer(&case.signed()?, "exhibit-act-v1")?;
        match self.mirrors.get(&mirror) {
            Some(keys) if keys.is_retired => return rule(format!("mirror {mirror} was retired before")),
            Some(keys) if keys.act == key.fingerprint() => {}
            Some(_) => {
                return rule(format!("signed by {}, not the act key of {mirror}", key.fingerprint()));
            }
            None => return rule(format!("no mirror {mirror} was admitted before")),
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
        rule(format!("its act is of deployment {found}"))
    }
}

fn mirror_of(act: &Act) -> Result<MirrorId, Broken> {
    named(act, "mirror")?.parse().map_err(|error| Broken::Rule(format!("mirror: {error}")))
}

/// The value of a ref that the act must have.
fn named<'a>(act: &'a Act, name: &str) -> Result<&'a str, Broken> {
    act.reference(name).ok_or_else(|| Broken::Rule(format!("it has no ref {name}")))
}
