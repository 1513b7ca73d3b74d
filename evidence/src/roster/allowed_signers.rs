//! The roster's lines in `allowed_signers`: each person's key bound to what the person's roles may sign.
//! Guarantee: every line has `namespaces=`. Without that option a key may sign in every namespace (ssh-keygen(1), ALLOWED
//! SIGNERS), and a responder's key could sign a roster. Not here: the whole file (`bundle::allowed_signers`).

use std::collections::BTreeSet;

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
    /// The lines of the authority's keys, then those of the persons in their order.
    pub(crate) fn allowed_lines(&self) -> String {
        let mut out = String::new();
        self.authority.allowed_lines(&mut out);
        for person in &self.persons {
            let namespaces: BTreeSet<&str> =
                person.roles.iter().flat_map(|role| role.namespaces()).copied().collect();
            let namespaces: Vec<&str> = namespaces.into_iter().collect();
            for key in &person.keys {
                out.push_str(&format!(
                    "person:{} namespaces=\"{}\" {key}\n",
                    person.id,
                    namespaces.join(",")
                ));
            }
        }
        out
    }
}
