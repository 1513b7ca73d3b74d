//! The fields of an `exhibit-act-v1` (docs/spec/ledger.md, *Fields*), and the object of `evidence.accessed`.
//! Guarantee: an act that passes has the fields of its type and no others, each value in its form. So nobody plants text in an act.

use super::act::Act;
use super::incident::{RsitClass, Severity, Tlp};
use super::{EntryType, pairs};
use crate::digest::Digest;
use crate::id::Chain;

/// The fields of a partial production, in the export's own acts.
const PART: &[&str] = &["items", "partial", "selection"];

/// Checks the fields of an act.
///
/// # Errors
/// `FieldsError::Word` if a word of `incident.opened` is not in its list; otherwise what is too much, too little or malformed.
pub fn check(act: &Act) -> Result<(), FieldsError> {
    let found: Vec<&str> = act.fields.iter().map(|(name, _)| name.as_str()).collect();
    let is_of_type = match act.act {
        EntryType::IncidentOpened => found == ["class", "severity", "tlp"],
        EntryType::EvidenceReplicated => found == ["bytes", "segments"],
        EntryType::EvidenceAccessed => found.is_empty() || found == PART,
        EntryType::BundleExported => {
            let part = found.strip_suffix(&["without_quorum"]).unwrap_or(&found);
            part.is_empty() || part == PART
        }
        _ => found.is_empty(),
    };
    if !is_of_type {
        return Err(FieldsError::Names { type_: act.act, found: found.join(", ") });
    }
    for (name, value) in &act.fields {
        let is_word = match name.as_str() {
            "class" => value.parse::<RsitClass>().is_ok(),
            "severity" => value.parse::<Severity>().is_ok(),
            "tlp" => value.parse::<Tlp>().is_ok(),
            _ => true,
        };
        if !is_word {
            return Err(FieldsError::Word { name: name.clone(), value: value.clone() });
        }
        let is_formed = match name.as_str() {
            "bytes" | "items" | "segments" => is_decimal(value),
            "partial" | "without_quorum" => value == "yes",
            "selection" => value.parse::<Digest>().is_ok(),
            _ => true,
        };
        if !is_formed {
            return Err(FieldsError::Value { name: name.clone(), value: value.clone() });
        }
    }
    Ok(())
}

/// True if the ref `object` of an `evidence.accessed` names what somebody can be given: something of one collection, or a bundle of the
/// incident in whose chain the entry stands.
#[must_use]
pub fn is_object(refs: &[(String, String)], chain: &Chain) -> bool {
    let Some((whole, part)) = pairs::find(refs, "object").and_then(|object| object.split_once('/')) else {
        return false;
    };
    if part == "bundle" {
        return chain.incident().is_some_and(|incident| incident.to_string() == whole);
    }
    let is_part = match part.split_once('/') {
        None => ["delegation", "items", "manifest"].contains(&part),
        Some((kind, number)) => ["item", "seal", "segment"].contains(&kind) && is_decimal(number),
    };
    is_part && Digest::from_hex(whole).is_ok()
}

/// A number below 2^64, without sign and without leading zero.
fn is_decimal(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

/// Fields that are not those of the act's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldsError {
    /// A field too many or too few.
    #[error("{type_} has the fields {found:?}, which are not those of its type")]
    Names { type_: EntryType, found: String },
    /// A value in another form.
    #[error("the field {name} cannot be {value:?}")]
    Value { name: String, value: String },
    /// A word that is not in the list of `class`, `severity` or `tlp`.
    #[error("the field {name} is not in its list: {value:?}")]
    Word { name: String, value: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_something_of_a_collection_or_a_bundle_of_the_incident() {
        let chain: Chain = Chain::from("INC-2026-0007".parse::<crate::id::IncidentId>().unwrap());
        let id = "ab".repeat(32);
        let is = |object: &str| is_object(&[("object".to_owned(), object.to_owned())], &chain);
        for part in
            ["items", "item/0", "item/18446744073709551615", "segment/7", "seal/10", "manifest", "delegation"]
        {
            assert!(is(&format!("{id}/{part}")), "{part}");
        }
        assert!(is("INC-2026-0007/bundle"));
        for object in [
            "everything",
            "INC-2026-0008/bundle",
            "INC-2026-0007/items",
            "/items",
            &id,
            &format!("{id}/"),
            &format!("{id}/bundle"),
            &format!("{id}/item"),
            &format!("{id}/item/"),
            &format!("{id}/item/01"),
            &format!("{id}/item/+1"),
            &format!("{id}/item/1/2"),
            &format!("{id}/items/1"),
            &format!("{}/items", id.to_uppercase()),
            &format!("{}/items", id.get(1..).unwrap()),
        ] {
            assert!(!is(object), "{object}");
        }
        assert!(!is_object(&[], &chain));
        assert!(!is_object(&[("object".to_owned(), "INC-2026-0007/bundle".to_owned())], &Chain::Deployment));
    }
}
