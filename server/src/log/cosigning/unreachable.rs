//! At a start: finds the witnesses of `ledger.policy` whose cosignatures cannot come.
//!
//! The collector asks a witness that has a URL. A witness without one must hand its lines in, and only an admitted mirror may call the
//! collector to do that. Not here: witnesses that are away (`rounds`).

use std::collections::BTreeSet;
use std::fmt;

use ledger::Policy;

/// The witnesses of a policy that the collector cannot ask and that may not hand lines in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// Their names in the policy.
    witnesses: Vec<String>,
    /// True if the quorum cannot be met without them.
    is_quorum_lost: bool,
}

impl Unreachable {
    /// Finds them in a policy. `mirror_keys` are the witness keys of the admitted mirrors. `None` if there are none.
    pub(crate) fn of(policy: &Policy, mirror_keys: &BTreeSet<String>) -> Option<Self> {
        let can_come = |witness: &ledger::policy::PolicyWitness| {
            witness.url.is_some() || mirror_keys.contains(&witness.key.to_string())
        };
        let silent = policy.witnesses().iter().filter(|witness| !can_come(witness));
        let witnesses: Vec<String> = silent.map(|witness| witness.name.clone()).collect();
        let is_quorum_lost = !policy.can_be_met_by(can_come);
        (!witnesses.is_empty()).then_some(Self { witnesses, is_quorum_lost })
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.witnesses.join(", ");
        write!(out, "`ledger.policy` names {names} without a URL, and no admitted mirror has that key: ")?;
        out.write_str(match self.is_quorum_lost {
            true => "the quorum can never be met, so every export that needs it is refused. ",
            false => "they can cosign nothing, and the quorum must be met without them. ",
        })?;
        out.write_str(
            "Write the URL at the end of the witness line and restart, or have an endpoint-admin admit the mirror: exhibit mirror admit",
        )
    }
}

#[cfg(test)]
mod tests {
    use ledger::{KeyType, NoteSigner};

    use super::*;

    #[test]
    fn a_witness_without_a_url_counts_only_as_an_admitted_mirror() {
        let signer = |name: &str, seed| NoteSigner::new(name, &[seed; 32]).unwrap();
        let log = signer("exhibit/acme", 1).verifier_key(KeyType::Ed25519);
        let [asked, silent] = [("w.example/w", 2), ("backup-1/witness", 3)]
            .map(|(name, seed)| signer(name, seed).verifier_key(KeyType::CosignatureV1).to_string());
        let policy = |group: &str, quorum: &str| {
            let text = format!(
                "log {log}\nwitness asked {asked} https://w.example/\nwitness silent {silent}\n\
                 {group}quorum {quorum}\n"
            );
            Policy::parse(text.as_bytes()).unwrap()
        };
        let nobody = BTreeSet::new();
        for (group, quorum, is_quorum_lost) in [
            ("", "silent", true),
            ("group both 2 asked silent\n", "both", true),
            ("group one 1 asked silent\n", "one", false),
            ("", "asked", false),
            ("", "none", false),
        ] {
            let found = Unreachable::of(&policy(group, quorum), &nobody).unwrap();
            assert_eq!(
                found,
                Unreachable { witnesses: vec!["silent".to_owned()], is_quorum_lost },
                "{quorum}"
            );
            let text = found.to_string();
            assert!(text.contains("names silent without a URL"), "{text}");
            assert_eq!(text.contains("can never be met"), is_quorum_lost, "{text}");
        }
        let mirrors = BTreeSet::from([silent.clone()]);
        assert_eq!(Unreachable::of(&policy("group both 2 asked silent\n", "both"), &mirrors), None);
    }
}
