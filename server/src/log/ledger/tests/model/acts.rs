//! The acts that the model test submits. A number names one act, and the same act in every run.

use std::sync::LazyLock;

use evidence::document::Document;
use evidence::enrolment::Token;
use evidence::entry::act::{Act, ActNonce};
use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use evidence::keys::SigningKey;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use testkit::bundles;
use testkit::chains::act;
use testkit::people::key;

use crate::log::ledger::{GuardError, PendingEntry};

/// Two persons who may sign the same document. The signature that came first counts.
static PERSONS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| [key(1), key(2)]);

/// Every token of these tests, but for its endpoint. Made once: a run makes thousands.
static TOKEN: LazyLock<Token> = LazyLock::new(bundles::token);

/// How an act travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In the leaf, without a signature.
    Unsigned,
    /// In the leaf, with the signature of one person.
    Signed,
    /// In an object beside the ledger, with the signature of one person.
    Beside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActNumber(pub(super) u64);

impl ActNumber {
    pub(super) fn form(self) -> Form {
        match self.0 % 8 {
            5 | 6 => Form::Signed,
            7 => Form::Beside,
            _ => Form::Unsigned,
        }
    }

    /// The act as `person` would submit it. The person matters only if the form is signed.
    pub(super) fn pending(self, person: usize) -> PendingEntry {
        match self.form() {
            Form::Unsigned => super::super::act(self.0),
            Form::Signed => self.note(person),
            Form::Beside => self.token(person),
        }
    }

    /// As `pending`, with a guard that writes a row and then refuses inside the transaction.
    pub(super) fn refused(self) -> PendingEntry {
        let mut pending = self.pending(0);
        pending.guard = Some(Box::new(|tx| {
            tx.execute("INSERT INTO tsa_queue VALUES ('model', 1, x'', 0, 0, '')", [])?;
            Err(GuardError::Refused("the model says no".to_owned()))
        }));
        pending
    }

    /// As `pending`, in a chain where it does not belong.
    pub(super) fn moved(self) -> PendingEntry {
        let mut pending = self.pending(0);
        pending.chain = "INC-2026-0999".parse().unwrap();
        pending
    }

    fn note(self, person: usize) -> PendingEntry {
        let incident: Chain = format!("INC-2026-{:04}", self.0 % 3).parse().unwrap();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.0.to_be_bytes());
        let note = Act {
            nonce: ActNonce::Once(FixedBytes(nonce)),
            ..act(EntryType::IncidentNoted, &incident, Time::EPOCH, "person:ada", &[])
        };
        let act = signed(&note, person);
        PendingEntry { type_: EntryType::IncidentNoted, chain: incident, refs: Vec::new(), act, guard: None }
    }

    fn token(self, person: usize) -> PendingEntry {
        let endpoint = format!("host-{}", self.0);
        let token = Token { endpoint: endpoint.parse().unwrap(), ..TOKEN.clone() };
        let act = signed(&token, person);
        let refs = vec![
            ("endpoint".to_owned(), endpoint),
            ("generation".to_owned(), "1".to_owned()),
            ("token".to_owned(), act.event().to_string()),
        ];
        let (type_, chain) = (EntryType::EndpointAdmitted, Chain::Deployment);
        PendingEntry { type_, chain, refs, act, guard: None }
    }
}

fn signed<T: Document>(document: &T, person: usize) -> ActObject {
    Signed::sign(document, &[&PERSONS[person]]).unwrap().into()
}
