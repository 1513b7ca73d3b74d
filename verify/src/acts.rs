//! The act that an entry records. It stands in the entry or in a file of the bundle; if in both, they are equal.
//! Not here: `fold` judges what the act says and who signed it.

use evidence::entry::{ActDocument, ActLocation, ActObject, EntryType};

use crate::documents::signed;
use crate::entries::Proven;
use crate::files::Files;

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
