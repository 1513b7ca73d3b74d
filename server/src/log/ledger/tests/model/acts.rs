//! The acts that the model test submits. A number names one act, and the same act in every run. The first [`BEGINNING`] begin the log:
//! behind them the others are lawful in every order.

use std::sync::LazyLock;

use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::Token;
use evidence::entry::act::{Act, ActNonce};
use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use evidence::keys::SigningKey;
use evidence::roster::{Role, Roster};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use testkit::bundles;
use testkit::chains::{act, own_act};
use testkit::people::{key, person, sign};

use super::super::{DEPLOYMENT, SEED};
use crate::log::ledger::{CheckpointSigner as _, GuardError, LocalSigner, PendingEntry, origin};

/// Acts that must stand first: the genesis, the roster, and one `incident.opened` for each incident.
pub(super) const BEGINNING: u64 = 2 + INCIDENTS;
const INCIDENTS: u64 = 3;

/// Two keys of ada.
const KEYS: [u8; 2] = [71, 72];

/// Two signatures that one document may have. The one that came first counts.
static PERSONS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| [key(KEYS[0]), key(KEYS[1])]);

/// Every token of these tests, but for its endpoint. Made once: a run makes thousands.
static TOKEN: LazyLock<Token> = LazyLock::new(|| {
    let signer = LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap();
    let log_key = signer.verifier_key().to_string().parse().unwrap();
    Token { issuer: "ada".parse().unwrap(), log_key, ..bundles::token() }
});

/// The roster that lets ada do all that these acts say.
static ROSTER: LazyLock<ActObject> = LazyLock::new(|| {
    let ada = person("ada", &KEYS, &[Role::Responder, Role::EndpointAdmin]);
    let roster = Roster { persons: vec![ada], ..bundles::first_roster() };
    sign(&roster, &[bundles::AUTHORITY]).into()
});

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
        match self.0 {
            0 => Form::Unsigned,
            1 => Form::Beside,
            2..BEGINNING => Form::Signed,
            number => match number % 8 {
                5 | 6 => Form::Signed,
                7 => Form::Beside,
                _ => Form::Unsigned,
            },
        }
    }

    /// The act as `person` would submit it. The person matters only if the form is signed.
    pub(super) fn pending(self, person: usize) -> PendingEntry {
        match (self.0, self.form()) {
            (0, _) => super::super::act(0),
            (1, _) => published(),
            (2..BEGINNING, _) => self.of_ada(EntryType::IncidentOpened, person),
            (_, Form::Unsigned) => self.accessed(),
            (_, Form::Signed) => self.of_ada(EntryType::IncidentNoted, person),
            (_, Form::Beside) => self.token(person),
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

    fn incident(self) -> Chain {
        format!("INC-2026-{:04}", self.0 % INCIDENTS).parse().unwrap()
    }

    fn accessed(self) -> PendingEntry {
        let chain = self.incident();
        let refs = vec![
            ("object".to_owned(), format!("{}/manifest", Digest::of(&self.0.to_be_bytes()))),
            ("person".to_owned(), "ada".to_owned()),
        ];
        let act = own_act(EntryType::EvidenceAccessed, &chain, &refs);
        PendingEntry { type_: EntryType::EvidenceAccessed, chain, refs, act, guard: None }
    }

    fn of_ada(self, type_: EntryType, key: usize) -> PendingEntry {
        let chain = self.incident();
        let named = (type_ == EntryType::IncidentOpened).then(|| ("incident".to_owned(), chain.to_string()));
        let refs: Vec<_> = named.into_iter().collect();
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.0.to_be_bytes());
        let made = act(type_, &chain, Time::EPOCH, "person:ada", &refs);
        let act = signed(&Act { nonce: ActNonce::Once(FixedBytes(nonce)), ..made }, key);
        PendingEntry { type_, chain, refs, act, guard: None }
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

fn published() -> PendingEntry {
    let act = ROSTER.clone();
    let refs = vec![("roster".to_owned(), act.event().to_string()), ("version".to_owned(), "1".to_owned())];
    PendingEntry { type_: EntryType::RosterPublished, chain: Chain::Deployment, refs, act, guard: None }
}

fn signed<T: Document>(document: &T, person: usize) -> ActObject {
    Signed::sign(document, &[&PERSONS[person]]).unwrap().into()
}
