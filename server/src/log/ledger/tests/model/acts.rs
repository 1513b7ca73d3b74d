//! The acts that the model test submits. A number names one act, and the same act in every run.

use std::sync::LazyLock;

use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{Token, TokenType};
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain, Generation};
use evidence::keys::SigningKey;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;

use super::super::deployment;
use crate::log::ledger::{GuardError, LocalSigner, PendingEntry, origin};

/// Two persons who may sign the same document. The signature that came first counts.
static PERSONS: LazyLock<[SigningKey; 2]> =
    LazyLock::new(|| [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])]);

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

/// One act.
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
            type_: ActType,
            deployment: deployment(),
            act: EntryType::IncidentNoted,
            incident: incident.clone(),
            at: Time::EPOCH,
            by: Actor::Person("ada".parse().unwrap()),
            refs: Vec::new(),
            fields: Vec::new(),
            detail: None,
            nonce: ActNonce::Once(FixedBytes(nonce)),
        };
        let act = signed(&note, person);
        PendingEntry { type_: EntryType::IncidentNoted, chain: incident, refs: Vec::new(), act, guard: None }
    }

    fn token(self, person: usize) -> PendingEntry {
        static LOG_KEY: LazyLock<String> = LazyLock::new(|| {
            let signer = LocalSigner::new(&origin(super::super::DEPLOYMENT), &super::super::SEED).unwrap();
            crate::log::ledger::CheckpointSigner::verifier_key(&signer).to_string()
        });
        let endpoint = format!("host-{}", self.0);
        let token = Token {
            type_: TokenType,
            deployment: deployment(),
            endpoint: endpoint.parse().unwrap(),
            generation: Generation::new(1).unwrap(),
            key: PERSONS[0].public(),
            issuer: "ada".parse().unwrap(),
            issued: Time::EPOCH,
            not_after: Time::from_unix_ms(3_600_000).unwrap(),
            enrol: "127.0.0.1:2".parse().unwrap(),
            collector: "127.0.0.1:1".parse().unwrap(),
            collector_id: "c1".parse().unwrap(),
            authority: Digest::of(b"authority"),
            ca_sha256: Digest::of(b"ca"),
            log_key: LOG_KEY.parse().unwrap(),
            roster_version_min: 1,
        };
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
    ActObject::from(Signed::sign(document, &[&PERSONS[person]]).unwrap())
}
