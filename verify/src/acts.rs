//! The act that an entry records. It stands in the entry or in a file of the bundle, it repeats the envelope, and the persons
//! whom its type names signed it.
//! Not here: the signers of enrolments, delegations, manifests, rosters and mirrors' statements. Each has a check of its own.

use evidence::causes::chain;
use evidence::enrolment::{Login, Token};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, ActLocation, ActObject, EntryType, Signers};
use evidence::id::{Actor, DeploymentId, PersonId};
use evidence::order::{Approval, Decision, Order};
use evidence::roster::Role;
use evidence::signed::Signed;

use crate::documents::{signed, signer};
use crate::entries::Proven;
use crate::files::Files;
use crate::rosters::Rosters;

const LOGIN_NAMESPACE: &str = "exhibit-login-v1";

/// Returns an entry's act, from the entry or from the file that holds it. If both hold it, they must be equal.
pub(crate) fn act_of(files: &Files<'_>, proven: &Proven) -> Result<ActObject, String> {
    let envelope = &proven.entry.envelope;
    let name = act_name(proven)?;
    let inline = match envelope.act {
        ActLocation::Inline => proven.entry.act.clone(),
        ActLocation::Digest => None,
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

/// True for an order or manifest whose document is not in the bundle. A partial production leaves out the documents of collections
/// that it does not produce; the checks of a produced collection read both documents and fail without them.
pub(crate) fn is_left_out(files: &Files<'_>, proven: &Proven) -> bool {
    let envelope = &proven.entry.envelope;
    let may = matches!(envelope.type_, EntryType::OrderIssued | EntryType::CollectionStored);
    may && envelope.act == ActLocation::Digest
        && act_name(proven).is_ok_and(|name| name.is_some_and(|name| !files.has(&format!("{name}.json"))))
}

/// The name, without `.json`, of the file that holds an entry's act. `None` for types whose act stands only in the entry.
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

/// Checks an act against its entry, and the signatures of acts that persons sign or that nobody signs.
pub(crate) fn check_act(proven: &Proven, act: &ActObject, rosters: &Rosters) -> Result<(), String> {
    let envelope = &proven.entry.envelope;
    let says = |why: String| format!("{} at {}: {why}", envelope.type_, proven.index);
    let rule = envelope.type_.rule();
    match rule.signers {
        Signers::Nobody => {
            let document = act_document(proven, act).map_err(says)?;
            // Nobody signed it, so it speaks only for the collector whose log holds it.
            if matches!(document.by, Actor::Collector(_)) {
                Ok(())
            } else {
                Err(says(format!("recorded without a signature in the name of {}", document.by)))
            }
        }
        Signers::Person(names) => {
            let roles: Vec<Role> = names.iter().filter_map(|name| Role::from_word(name)).collect();
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
                Ok(())
            } else {
                Err(says(format!("signed by {}, but in the name of {named}", person.id)))
            }
        }
        Signers::PersonLogin => {
            let roster =
                rosters.in_force(proven.index).ok_or_else(|| says("no roster was in force".to_owned()))?;
            let signed = act.signed().map_err(|cause| says(chain(&cause)))?;
            let login = Login::verify(&signed, roster).map_err(|cause| says(chain(&cause)))?;
            let keys = signed.verify_all(LOGIN_NAMESPACE).map_err(|cause| says(chain(&cause)))?;
            let key = keys.first().map(|key| key.fingerprint().to_string());
            if proven.reference("person") == Some(login.person.as_str())
                && proven.reference("key") == key.as_deref()
            {
                Ok(())
            } else {
                Err(says("its entry names another person or key".to_owned()))
            }
        }
        Signers::Authority
        | Signers::Evidence
        | Signers::Mirror
        | Signers::SealerEvidence
        | Signers::TokenEvidence
        | Signers::Unspecified => Ok(()),
    }
}

/// Reads the act document and checks that it repeats its envelope.
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
    custody::act::has_its_fields(&act).map_err(|broken| broken.to_string())?;
    Ok(act)
}

/// Returns the person in whose name a signed document speaks. The refs of its entry must name the same things as the document.
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
