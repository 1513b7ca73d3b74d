//! The roster as stock `ssh-keygen -Y verify` reads it: each key bound to what its roles may sign.
//! Guarantee: no line without `namespaces=`, so that an endpoint's key cannot sign a roster (ssh-keygen(1), ALLOWED
//! SIGNERS: a line without the option allows every namespace).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::id::{EndpointId, Generation};
use crate::keys::PublicKey;

use super::{Role, Roster};

impl Role {
    /// Document types that the role may sign.
    pub fn namespaces(self) -> &'static [&'static str] {
        match self {
            Self::Responder => {
                &["exhibit-order-v1", "exhibit-act-v1", "exhibit-login-v1", "exhibit-bundle-v1"]
            }
            Self::Approver => &["exhibit-approval-v1", "exhibit-act-v1", "exhibit-login-v1"],
            Self::Analyst | Self::Auditor => &["exhibit-act-v1", "exhibit-login-v1"],
            Self::EndpointAdmin => &["exhibit-token-v1", "exhibit-act-v1", "exhibit-login-v1"],
        }
    }
}

impl Roster {
    /// The whole file: authority keys, then persons in order.
    pub fn allowed_signers(&self) -> String {
        let mut out = String::new();
        self.authority.allowed_lines(&mut out);
        for person in &self.persons {
            let namespaces: BTreeSet<&str> =
                person.roles.iter().flat_map(|role| role.namespaces()).copied().collect();
            let namespaces: Vec<&str> = namespaces.into_iter().collect();
            for key in &person.keys {
                // Writing to a string cannot fail.
                writeln!(out, "person:{} namespaces=\"{}\" {key}", person.id, namespaces.join(","))
                    .unwrap_or_default();
            }
        }
        out
    }
}

/// The line of an endpoint's evidence key.
pub fn endpoint_line(endpoint: &EndpointId, generation: Generation, evidence_key: &PublicKey) -> String {
    let namespaces = "exhibit-delegation-v1,exhibit-enrolment-v1,exhibit-manifest-v1,exhibit-renewal-v1";
    format!("endpoint:{endpoint}#{generation} namespaces=\"{namespaces}\" {evidence_key}\n")
}
