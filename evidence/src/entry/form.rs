//! Forms of the values in `refs`, by name (docs/spec/ledger.md, *Refs*).
//! Guarantee: a ref holds an id, digest, number or enumeration, so no free text enters a leaf through a ref.

use std::str::FromStr;

use crate::digest::Digest;
use crate::id::{EndpointId, Generation, IncidentId, MirrorId, PersonId};
use crate::keys::Fingerprint;
use crate::text::decimal;
use crate::time::Time;

/// True if `value` has the form of the ref `name`. Names that no type has are refused earlier.
pub(super) fn fits(name: &str, value: &str) -> bool {
    match name {
        "authority" | "ca" | "collection" | "head" | "hold" | "manifest" | "order" | "plan" | "root"
        | "roster" | "seal" | "sha256" | "stamp" | "sums" | "tls_spki_sha256" | "token" => {
            is::<Digest>(value)
        }
        "attempt" | "copies" | "count" | "index" | "segments" | "size" | "version" => {
            decimal(value).is_some()
        }
        "degraded" | "independent" => matches!(value, "yes" | "no"),
        "endpoint" => is::<EndpointId>(value),
        "evidence_key" | "key" => is::<Fingerprint>(value),
        "generation" => is::<Generation>(value),
        "incident" => is::<IncidentId>(value),
        "log" | "mirror_key" | "witness_key" => ledger::VerifierKey::parse(value).is_ok(),
        "mirror" => is::<MirrorId>(value),
        "person" => is::<PersonId>(value),
        "reason" => is_word(value),
        "object" | "store" => is_key(value),
        "until" => is::<Time>(value),
        _ => false,
    }
}

fn is<T: FromStr>(value: &str) -> bool {
    value.parse::<T>().is_ok()
}

/// An enumeration's value.
fn is_word(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=32).contains(&value.len()) && value.bytes().all(allowed)
}

/// A store's name or the key of an object in it.
fn is_key(value: &str) -> bool {
    let allowed =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-');
    // Not a path of a machine: those begin with a slash.
    !value.is_empty() && !value.starts_with('/') && value.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::super::EntryType;
    use super::*;

    #[test]
    fn every_ref_of_every_type_has_a_form_and_takes_no_text() {
        let log = ledger::NoteSigner::new("exhibit/acme", &[1; 32]).unwrap();
        for type_ in EntryType::ALL {
            for name in type_.rule().refs {
                let digest = Digest::ZERO.to_string();
                let fingerprint = Fingerprint([0; 32]).to_string();
                let log = log.verifier_key(ledger::KeyType::Ed25519).to_string();
                let time = Time::EPOCH.to_string();
                let samples = [&digest, "1", "yes", "web-03", &fingerprint, "INC-2026-0007", &log, &time];
                assert!(samples.iter().any(|sample| fits(name, sample)), "{type_} {name}");
                for text in ["", "Ada Lovelace", "/home/ada", "ada@example.org", "name=ada", "ä"] {
                    assert!(!fits(name, text), "{type_} {name} {text:?}");
                }
            }
        }
        assert!(!fits("host", "web-03"));
        assert!(!fits("version", "01") && !fits("generation", "0") && !fits("degraded", "maybe"));
    }
}
