//! What must be true of a ledger, derived from what the test submitted and which answers it got.
//!
//! Nothing here trusts the code under test: it recomputes leaves, roots and tiles from the bytes of every store, compares rows with
//! the entries, and compares the entries with what was submitted.

use std::collections::{BTreeMap, BTreeSet};

use evidence::digest::Digest;
use evidence::entry::{ActLocation, ChainHead, Entry};
use evidence::time::Time;
use ledger::tile::{bundles_for_growth, decode_bundle, tiles_for_growth};
use ledger::{Hash, Note, ProofFile, TileKind, TilePath, leaf_hash, proof, root_of};
use store::{Degraded, Key, Store, StoreErrorClass};

use super::super::policy;
use super::acts::{ActNumber, Form};
use super::machine::{Machine, Running};
use crate::log::ledger::{Receipt, SubmitError};
use crate::rows;
use crate::rows::entries::EntryRow;

/// What the test knows of one act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// No log has it.
    Absent,
    /// It was submitted, and nobody knows yet whether it was recorded.
    Open,
    /// It is the entry of this index. That never changes.
    Recorded(u64),
}

/// One submission of an act.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    person: usize,
    /// True if the answer did not say whether the act was recorded.
    is_open: bool,
}

#[derive(Debug)]
struct ActState {
    fate: Fate,
    /// Submissions since the act was last known to be absent.
    attempts: Vec<Attempt>,
    /// Persons whose signature may lie beside the ledger.
    persons: BTreeSet<usize>,
    is_acknowledged: bool,
}

/// The test's own ledger.
#[derive(Debug, Default)]
pub(super) struct Expected {
    acts: BTreeMap<ActNumber, ActState>,
    numbers: BTreeMap<Digest, ActNumber>,
    entries: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    chains: BTreeMap<String, ChainHead>,
    /// Times that the collector's clock has shown.
    times: BTreeSet<Time>,
    /// Sizes whose signed root the test has compared with the log.
    compared: BTreeSet<u64>,
    /// Objects beside the ledger, as the test first saw them under a recorded entry.
    documents: BTreeMap<ActNumber, Vec<u8>>,
}

impl Expected {
    pub(super) fn saw_time(&mut self, time: Time) {
        self.times.insert(time);
    }

    /// Acts that were submitted so far.
    pub(super) fn acts(&self) -> Vec<ActNumber> {
        self.acts.keys().copied().collect()
    }

    pub(super) fn recorded(&self) -> Vec<(ActNumber, u64)> {
        let recorded = self.acts.iter().filter_map(|(number, act)| match act.fate {
            Fate::Recorded(index) => Some((*number, index)),
            Fate::Absent | Fate::Open => None,
        });
        recorded.collect()
    }

    /// Recorded acts whose object lies beside the ledger.
    pub(super) fn recorded_beside(&self) -> impl Iterator<Item = (ActNumber, &Vec<u8>)> {
        self.documents.iter().map(|(number, bytes)| (*number, bytes))
    }

    pub(super) fn is_recorded(&self, number: ActNumber) -> bool {
        matches!(self.acts.get(&number).map(|act| act.fate), Some(Fate::Recorded(_)))
    }

    /// Notes that an act is about to be submitted.
    pub(super) fn submits(&mut self, number: ActNumber, person: usize, event: Digest) {
        self.numbers.insert(event, number);
        let act = self.acts.entry(number).or_insert(ActState {
            fate: Fate::Absent,
            attempts: Vec::new(),
            persons: BTreeSet::new(),
            is_acknowledged: false,
        });
        if act.fate == Fate::Absent {
            act.fate = Fate::Open;
        }
        act.persons.insert(person);
        act.attempts.push(Attempt { person, is_open: true });
    }

    /// Notes the answer to one submission. An error leaves open whether the act was recorded.
    pub(super) fn answered(
        &mut self,
        machine: &Machine,
        running: &Running,
        number: ActNumber,
        attempt: usize,
        answer: &Result<Receipt, SubmitError>,
    ) {
        let act = self.acts.get_mut(&number).unwrap();
        let receipt = match answer {
            Ok(receipt) => receipt,
            // Nobody knows. The next check of the log tells.
            Err(_) => return,
        };
        act.attempts[attempt].is_open = false;
        if act.is_acknowledged {
            assert!(!receipt.is_new, "act {number:?} became new again");
        }
        act.is_acknowledged = true;
        match act.fate {
            Fate::Recorded(index) => {
                assert_eq!(receipt.index, index, "act {number:?} moved");
                let at = usize::try_from(index).unwrap();
                assert_eq!(Some(&receipt.entry), self.entries.get(at), "act {number:?} changed");
            }
            Fate::Absent => panic!("act {number:?} was answered without being submitted"),
            Fate::Open => {}
        }
        assert_eq!(receipt.leaf, leaf_hash(&receipt.entry));
        let proof = ProofFile::parse(&receipt.proof).unwrap();
        assert_eq!(proof.index(), receipt.index);
        assert!(proof.verify(&receipt.leaf, &policy(machine.keys().current())).unwrap().quorum_met);
        // The promise behind the answer: enough stores name a checkpoint that covers the entry, and hold its object.
        let stores = running.replicas.stores();
        let covers = |size: u64| size > receipt.index;
        let heads = stores.iter().filter_map(|store| head(machine, store.as_ref()));
        let covering = heads.filter(|(size, _)| covers(*size)).count();
        assert!(covering >= copies(machine), "act {number:?} was acknowledged on {covering} stores");
        if number.form() == Form::Beside {
            let key = Key::document(receipt.envelope.event.as_bytes());
            let holders = stores.iter().filter(|store| store.read(&key).is_ok()).count();
            assert!(holders >= copies(machine), "the object of act {number:?} is on {holders} stores");
        }
    }

    /// How many times the act was submitted. Names the next submission.
    pub(super) fn attempts(&self, number: ActNumber) -> usize {
        self.acts.get(&number).map_or(0, |act| act.attempts.len())
    }

    /// Asserts, after a check of the log, that no log has the act.
    pub(super) fn is_absent(&self, number: ActNumber) {
        assert_eq!(self.acts[&number].fate, Fate::Absent, "act {number:?} was refused, and is recorded");
    }

    /// Compares every store and the rows of a collector at rest with what is known, and learns the fate of acts
    /// that were still open.
    pub(super) fn check(&mut self, machine: &Machine, running: &Running) {
        let committed = running.db.read(rows::log::state).unwrap();
        let mut complete = 0;
        for store in running.replicas.stores() {
            if let Some((size, root)) = head(machine, store.as_ref()) {
                assert!(size <= committed.size, "a store is ahead of the committed row");
                self.check_tree(machine, store.as_ref(), size, &root);
                if size == committed.size {
                    assert_eq!(root, committed.root, "the committed row has another root");
                    complete += 1;
                }
            } else if committed.size == 0 {
                complete += 1;
            }
        }
        assert!(complete >= copies(machine), "{complete} stores have all {} entries", committed.size);
        assert_eq!(self.entries.len() as u64, committed.size, "entries committed and entries published");
        self.check_signed(machine);
        self.check_rows(running);
        self.check_documents(running);
        self.check_readers(running, committed.size);
        for (number, act) in &mut self.acts {
            match act.fate {
                Fate::Open => {
                    assert!(!act.is_acknowledged, "act {number:?} was acknowledged and is lost");
                    act.fate = Fate::Absent;
                    act.attempts.clear();
                }
                Fate::Absent => act.attempts.clear(),
                Fate::Recorded(_) => {}
            }
        }
    }

    /// Checks the whole tree of one store: entries, every tile, and the root that its checkpoint signs.
    fn check_tree(&mut self, machine: &Machine, store: &dyn Store, size: u64, root: &Hash) {
        let signed = machine.signed.lock().unwrap().get(&size).copied();
        assert_eq!(signed, Some(*root), "a store has a checkpoint that was never signed");
        let read =
            |path: &TilePath| store.read(&Key::tile(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut index = 0;
        for path in bundles_for_growth(0, size).unwrap() {
            let bundle = read(&path);
            for body in decode_bundle(&bundle, path.width()).unwrap() {
                match self.entries.get(index) {
                    Some(known) => assert_eq!(known, body, "entry {index} changed"),
                    None => self.learn(index as u64, body),
                }
                index += 1;
            }
        }
        assert_eq!(index as u64, size);
        assert_eq!(root_of(&self.leaves[..index]), *root, "the root of {size} entries");
        for path in tiles_for_growth(0, size).unwrap() {
            assert!(read(&path) == self.tile(&path), "tile {path} is not the one its entries make");
        }
    }

    /// Computes a tile's bytes from the leaves.
    fn tile(&self, path: &TilePath) -> Vec<u8> {
        let TileKind::Hashes(level) = path.kind() else { panic!("{path} holds no hashes") };
        let span = 256_usize.pow(u32::from(level));
        let first = usize::try_from(path.index()).unwrap() * 256;
        (first..first + usize::from(path.width()))
            .flat_map(|at| root_of(&self.leaves[at * span..(at + 1) * span]).0)
            .collect()
    }

    /// Learns the next entry of the log: it must be a submitted act, in its place, and only once.
    fn learn(&mut self, index: u64, body: &[u8]) {
        let entry = Entry::parse(body).unwrap();
        let envelope = &entry.envelope;
        let number = *self.numbers.get(&envelope.event).expect("an entry that nobody submitted");
        let act = self.acts.get_mut(&number).unwrap();
        match act.fate {
            Fate::Open => act.fate = Fate::Recorded(index),
            Fate::Absent => panic!("act {number:?} was not recorded, and now it is entry {index}"),
            Fate::Recorded(first) => panic!("act {number:?} is entry {first} and entry {index}"),
        }
        if let Some(found) = &entry.act {
            let mut earlier = act.attempts.iter();
            let winner =
                earlier.find(|attempt| number.pending(attempt.person).act == *found || !attempt.is_open);
            let winner = winner.expect("an entry with a signature that nobody submitted");
            assert_eq!(
                number.pending(winner.person).act,
                *found,
                "the first signature of {number:?} did not win"
            );
        }
        let leaf = leaf_hash(body);
        let chain = self.chains.entry(envelope.incident.to_string()).or_insert(ChainHead::START);
        chain.step(envelope, Digest(leaf.0)).unwrap();
        assert!(self.times.contains(&envelope.time), "entry {index} has a time that no clock showed");
        let before = self.entries.last().map(|last| Entry::parse(last).unwrap().envelope.time);
        assert!(before.is_none_or(|before| before <= envelope.time), "time falls at entry {index}");
        self.entries.push(body.to_vec());
        self.leaves.push(leaf);
    }

    /// No fork: each checkpoint ever signed has the root of a beginning of this one log.
    fn check_signed(&mut self, machine: &Machine) {
        for (size, root) in machine.signed.lock().unwrap().iter() {
            assert!(*size <= self.leaves.len() as u64, "size {size} was signed before it was committed");
            if self.compared.insert(*size) {
                let leaves = &self.leaves[..usize::try_from(*size).unwrap()];
                assert_eq!(root_of(leaves), *root, "size {size} was signed with another history");
            }
        }
    }

    /// Every row says what its entry says, and each chain's head is its last entry.
    fn check_rows(&self, running: &Running) {
        let rows =
            running.db.read(|reader| rows::entries::from_index(reader, 0, u64::from(u32::MAX))).unwrap();
        assert_eq!(rows.len(), self.entries.len(), "rows and entries");
        for (index, (row, body)) in (0..).zip(rows.iter().zip(&self.entries)) {
            let envelope = Entry::parse(body).unwrap().envelope;
            let expected = EntryRow {
                index,
                event: envelope.event,
                kind: envelope.type_,
                incident: envelope.incident,
                seq: envelope.seq,
                leaf: leaf_hash(body),
                time: envelope.time,
                refs: envelope.refs,
                actor: row.actor.clone(),
                detail: None,
            };
            assert_eq!(*row, expected, "row {index}");
        }
        for (incident, head) in &self.chains {
            let chain = incident.parse().unwrap();
            let row = running.db.read(|reader| rows::log::chain(reader, &chain)).unwrap();
            assert_eq!((row.next_seq, row.head), (head.next_seq, head.prev), "chain {incident:?}");
        }
    }

    /// An entry never names an absent object, and the object never changes.
    fn check_documents(&mut self, running: &Running) {
        for (number, index) in self.recorded() {
            if number.form() != Form::Beside {
                continue;
            }
            let envelope = Entry::parse(&self.entries[usize::try_from(index).unwrap()]).unwrap().envelope;
            assert_eq!(envelope.act, ActLocation::Digest);
            let key = Key::document(envelope.event.as_bytes());
            let stores = running.replicas.stores().iter();
            let found: Vec<_> = stores.filter_map(|store| store.read(&key).ok()).collect();
            let first = found.first().expect("an entry names an object that is on no store").clone();
            assert!(found.iter().all(|bytes| *bytes == first), "stores differ about {key}");
            let first = self.documents.entry(number).or_insert(first);
            assert_eq!(found[0], *first, "{key} changed");
            let persons = &self.acts[&number].persons;
            assert!(persons.iter().any(|person| number.pending(*person).act.encode() == *first));
        }
    }

    /// Checks what readers get: the newest checkpoint, and proofs from any earlier size.
    fn check_readers(&self, running: &Running, committed: u64) {
        let log = running.sequencer.log();
        let published = log.published();
        assert_eq!(published.size, committed);
        if committed == 0 {
            return;
        }
        let index = (committed * 7 / 11).min(committed - 1);
        let at = usize::try_from(index).unwrap();
        assert_eq!(log.entry(index).unwrap(), self.entries[at]);
        if index == 0 {
            return;
        }
        let (hashes, newest) = log.consistency(index).unwrap();
        proof::verify_consistency(index, &root_of(&self.leaves[..at]), newest.size, &newest.root, &hashes)
            .unwrap();
    }
}

/// Number of stores that an acknowledgement promises.
fn copies(machine: &Machine) -> usize {
    match machine.policy.degraded {
        Degraded::Wait => machine.policy.copies,
        Degraded::Accept => 1,
    }
}

/// Size and root of the checkpoint on a store. The log must have signed it.
pub(super) fn head(machine: &Machine, store: &dyn Store) -> Option<(u64, Hash)> {
    let note = match store.read(&Key::checkpoint()) {
        Ok(note) => note,
        Err(error) if error.class() == StoreErrorClass::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    let verified = policy(machine.keys().current()).verify_note(&Note::parse(&note).unwrap()).unwrap();
    Some((verified.checkpoint.size, verified.checkpoint.root))
}
