//! The line of log keys: which key may follow which, and what each may sign.

use evidence::digest::Digest;
use evidence::id::{Chain, DeploymentId};
use evidence::log_key::{LogKeyChange, LogKeyChangeType, LogKeyError, LogKeys, Reason};
use evidence::signed::Signed;
use ledger::policy::PolicyError;
use ledger::{KeyType, Note, NoteSigner, VerifierKey};

use testkit::chains::Draft;
use testkit::packages::*;

fn acme() -> DeploymentId {
    "acme".parse().unwrap()
}

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new("exhibit/acme", &[seed; 32]).unwrap()
}

fn vkey(seed: u8) -> VerifierKey {
    signer(seed).verifier_key(KeyType::Ed25519)
}

/// One change as a reader is shown it.
#[derive(Clone)]
pub struct Shown {
    pub signed: Signed,
    pub entry: Vec<u8>,
    pub proof: Vec<u8>,
}

/// A log of four entries under key 40, then whatever is added: each change is followed by three other entries.
pub struct Line {
    log: Log,
    changes: Vec<(u64, Signed, Vec<u8>)>,
    key: u8,
    /// Who signs the documents.
    pub authority: Vec<u8>,
    /// Alters the next document before it is signed.
    pub alter: fn(&mut LogKeyChange),
}

impl Default for Line {
    fn default() -> Self {
        Self {
            log: Log::of(signer(40), &[&[0], &[1], &[2], &[3]]),
            changes: Vec::new(),
            key: 40,
            authority: vec![1, 3],
            alter: |_| (),
        }
    }
}

impl Line {
    /// The next change is recorded.
    pub fn change(mut self, new: u8, reason: Reason) -> Self {
        let mut document = LogKeyChange {
            type_: LogKeyChangeType,
            deployment: acme(),
            number: self.changes.len() as u64 + 1,
            reason,
            old: vkey(self.key).to_string().parse().unwrap(),
            new: vkey(new).to_string().parse().unwrap(),
            size: self.log.size(),
            root: self.log.checkpoint().root.into(),
            issued: at("2026-11-21T12:00:00.000Z"),
        };
        (self.alter)(&mut document);
        let signed = sign(&document, &self.authority);
        let draft = Draft {
            type_: document.reason.entry_type(),
            chain: Chain::Deployment,
            time: at("2026-11-21T12:01:00.000Z"),
            refs: document.refs(),
            act: signed.clone().into(),
        };
        let entry = draft.entry(7, Digest([7; 32])).encode().unwrap();
        self.changes.push((self.log.append(&entry), signed, entry));
        for number in 0..3_u8 {
            self.log.append(&[9, number]);
        }
        self.key = new;
        self
    }

    /// The same log under another key.
    fn log_by(&self, seed: u8) -> Log {
        Log { leaves: self.log.leaves.clone(), ..Log::of(signer(seed), &[]) }
    }

    fn note(&self, seed: u8, size: u64) -> Note {
        self.log_by(seed).note_at(size)
    }

    /// All changes under the head of the whole log, signed by `seed`.
    fn shown_by(&self, seed: u8) -> Vec<Shown> {
        let log = self.log_by(seed);
        let changes = self.changes.iter().map(|(index, signed, entry)| Shown {
            signed: signed.clone(),
            entry: entry.clone(),
            proof: log.proof(*index),
        });
        changes.collect()
    }

    /// As an honest collector shows them.
    pub fn shown(&self) -> Vec<Shown> {
        self.shown_by(self.key)
    }
}

fn follow(pin: u8, shown: &[Shown]) -> Result<LogKeys, LogKeyError> {
    let entries: Vec<_> = shown.iter().map(|one| (one.entry.as_slice(), one.proof.as_slice())).collect();
    LogKeys::proven(&acme(), &authority(), &vkey(pin), &entries)
}

fn two() -> Line {
    Line::default().change(41, Reason::Planned).change(42, Reason::Lost)
}

#[test]
fn any_key_of_the_line_leads_to_the_newest() {
    let line = two();
    for pin in [40, 41, 42] {
        let keys = follow(pin, &line.shown()).unwrap();
        assert_eq!((keys.current(), keys.first(), keys.number()), (&vkey(42), &vkey(40), 2));
    }
    assert!(matches!(follow(43, &line.shown()), Err(LogKeyError::NotPinned { .. })));
    // Nothing shown: the pin, and only the pin.
    let keys = follow(41, &[]).unwrap();
    assert_eq!((keys.current(), keys.number()), (&vkey(41), 0));
}

#[test]
fn each_key_signs_its_own_sizes_and_no_other() {
    let line = two();
    let policy = follow(40, &line.shown()).unwrap().policy().unwrap();
    // Changes stand at 4 and 8; the log has 12 entries.
    for (seed, sizes) in [(40, 1..=4_u64), (41, 5..=8), (42, 9..=12)] {
        for size in 1..=12 {
            let verified = policy.verify_note(&line.note(seed, size));
            if sizes.contains(&size) {
                assert_eq!(verified.unwrap().checkpoint.size, size);
            } else {
                let error = verified.unwrap_err();
                assert!(matches!(error, PolicyError::OutsideTerm { .. }), "{seed} {size} {error}");
            }
        }
    }
}

#[test]
fn a_stolen_key_signs_nothing_beyond_what_the_authority_saw() {
    let honest = Line::default().change(41, Reason::Compromised);
    let keys = follow(40, &honest.shown()).unwrap();
    let policy = keys.policy().unwrap();
    assert!(policy.verify_note(&honest.note(40, 4)).is_ok());
    // The thief goes on from the same history, further than the collector.
    let mut thief = Line::default();
    for number in 0..20_u8 {
        thief.log.append(&[77, number]);
    }
    for size in 5..=thief.log.size() {
        let refused = policy.verify_note(&thief.note(40, size)).unwrap_err();
        assert!(matches!(refused, PolicyError::OutsideTerm { .. }), "{size} {refused}");
    }
    // By the authority's word alone it ends there, too.
    let signed = honest.shown()[0].signed.clone();
    let keys = LogKeys::signed(&acme(), &authority(), &vkey(40), &[signed]).unwrap();
    assert!(keys.policy().unwrap().verify_note(&thief.note(40, 5)).is_err());
    // Entries between what the authority saw and the change could be the thief's.
    let late = Line { alter: |document| document.size = 3, ..Line::default() };
    let refused = follow(40, &late.change(41, Reason::Compromised).shown()).unwrap_err();
    assert!(matches!(refused, LogKeyError::NotNext { number: 1, .. }), "{refused}");
}

#[test]
fn a_note_with_a_line_of_the_old_key_beside_the_new_one_holds() {
    let line = Line::default().change(41, Reason::Planned);
    let policy = follow(40, &line.shown()).unwrap().policy().unwrap();
    let mut note = line.note(40, 5);
    note.add(line.note(41, 5).signatures()[0].clone()).unwrap();
    assert!(policy.verify_note(&note).is_ok());
}

#[test]
fn too_few_or_other_signers_change_nothing() {
    for authority in [vec![1], vec![1, 1], vec![1, 90], vec![90, 91]] {
        let line = Line { authority: authority.clone(), ..Line::default() };
        let refused = follow(40, &line.change(41, Reason::Planned).shown()).unwrap_err();
        assert!(matches!(refused, LogKeyError::Authority { .. }), "{authority:?} {refused}");
    }
}

#[test]
fn a_line_with_a_gap_a_repetition_or_another_beginning_is_refused() {
    let shown = two().shown();
    let refused = follow(41, &shown[1..]).unwrap_err();
    assert!(matches!(refused, LogKeyError::NotNext { number: 2, .. }), "{refused}");
    let again = [shown[0].clone(), shown[0].clone(), shown[1].clone()];
    assert!(matches!(follow(40, &again), Err(LogKeyError::NotNext { .. })));
    let turned = [shown[1].clone(), shown[0].clone()];
    assert!(matches!(follow(40, &turned), Err(LogKeyError::NotNext { .. })));
    // The first change alone, as it was shown when it was the newest, is an older line.
    let older = follow(40, &Line::default().change(41, Reason::Planned).shown()).unwrap();
    let newer = follow(40, &shown).unwrap();
    newer.continues(&older).unwrap();
    assert!(matches!(older.continues(&newer), Err(LogKeyError::Other { number: 2 })));
    // Another second change than the one accepted.
    let other = Line::default().change(41, Reason::Planned).change(43, Reason::Lost);
    let other = follow(40, &other.shown()).unwrap();
    assert!(matches!(other.continues(&newer), Err(LogKeyError::Other { number: 2 })));
}

#[test]
fn only_the_newest_key_proves_the_line() {
    let line = two();
    for seed in [40, 41, 43] {
        let refused = follow(40, &line.shown_by(seed)).unwrap_err();
        assert!(matches!(refused, LogKeyError::Proof { .. }), "{seed} {refused}");
    }
    // An entry that is not in the tree.
    let mut shown = line.shown();
    shown[1].proof = shown[0].proof.clone();
    assert!(follow(40, &shown).is_err());
    // Proven, but under two heads.
    let mut shown = line.shown();
    shown[0].proof = Line::default().change(41, Reason::Planned).shown()[0].proof.clone();
    assert!(follow(40, &shown).is_err());
}

#[test]
fn documents_that_do_not_follow_are_refused() {
    let wrong: [fn(&mut LogKeyChange); 4] = [
        |document| document.number += 1,
        |document| document.old = vkey(77).to_string().parse().unwrap(),
        |document| document.size = 4,
        |document| document.new = vkey(40).to_string().parse().unwrap(),
    ];
    for alter in wrong {
        let line = Line::default().change(41, Reason::Planned);
        let line = Line { alter, ..line };
        assert!(follow(40, &line.change(42, Reason::Planned).shown()).is_err());
    }
    let other_name = NoteSigner::new("exhibit/other", &[41; 32]).unwrap();
    let mut document = two().shown()[0].signed.read::<LogKeyChange>().unwrap();
    document.new = other_name.verifier_key(KeyType::Ed25519).to_string().parse().unwrap();
    assert!(Signed::sign(&document, &[&key(1), &key(3)]).is_err());
    document = two().shown()[0].signed.read().unwrap();
    document.new = document.old.clone();
    assert!(Signed::sign(&document, &[&key(1), &key(3)]).is_err());
}

#[test]
fn what_only_the_authority_said_is_narrowed_by_where_it_is_recorded() {
    let line = Line::default().change(41, Reason::Planned);
    let signed = &line.shown()[0].signed;
    let change = LogKeyChange::verify(signed, &acme(), &authority()).unwrap();
    let mut keys = LogKeys::unchanged(vkey(40));
    keys.append(change, signed.digest(), None).unwrap();
    let sizes = |keys: &LogKeys| -> Vec<(u64, u64)> {
        keys.terms().iter().map(|term| (term.from, term.to)).collect()
    };
    assert_eq!(sizes(&keys), [(5, u64::MAX), (0, u64::MAX)]);
    assert!(!keys.place(1, &Digest([1; 32]), 6) && !keys.place(2, &signed.digest(), 6));
    assert!(!keys.place(1, &signed.digest(), 3), "below its size");
    assert!(keys.place(1, &signed.digest(), 6));
    assert!(!keys.place(1, &signed.digest(), 7), "it stands at 6");
    assert_eq!(sizes(&keys), [(7, u64::MAX), (0, 6)]);
    // Of two, the second stands behind the first.
    let documents: Vec<Signed> = two().shown().into_iter().map(|one| one.signed).collect();
    let mut keys = LogKeys::signed(&acme(), &authority(), &vkey(41), &documents).unwrap();
    let digests: Vec<Digest> = documents.iter().map(Signed::digest).collect();
    assert!(!keys.place(2, &digests[1], 8), "the first is nowhere yet");
    assert!(
        keys.place(1, &digests[0], 9) && !keys.place(2, &digests[1], 9) && keys.place(2, &digests[1], 10)
    );
}
