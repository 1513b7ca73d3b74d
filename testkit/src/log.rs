//! A log whose key signs whatever a test asks for.

use std::sync::Arc;

use ledger::{Checkpoint, Hash, Leaves, Note, NoteSigner, ProofFile};

/// When the cosigners saw a checkpoint, in seconds since 1970.
const COSIGNED: u64 = 1_795_270_000;

/// Leaves, and the key that signs their tree.
#[derive(Clone)]
pub struct Log {
    /// Hashes of the entries. A test may rewrite them.
    pub leaves: Vec<Hash>,
    /// The log's key.
    pub signer: Arc<NoteSigner>,
    /// Keys that cosign every checkpoint.
    pub cosigners: Vec<Arc<NoteSigner>>,
}

impl Log {
    /// An empty log of that origin. The seed of its key is the number, 32 times.
    pub fn new(origin: &str, key: u8) -> Self {
        Self::of(NoteSigner::new(origin, &[key; 32]).unwrap(), &[])
    }

    /// A log of these entries under the key of that signer.
    pub fn of(signer: NoteSigner, entries: &[&[u8]]) -> Self {
        let leaves = entries.iter().map(|entry| ledger::leaf_hash(entry)).collect();
        Self { leaves, signer: Arc::new(signer), cosigners: Vec::new() }
    }

    /// Adds an entry and returns its index.
    pub fn append(&mut self, entry: &[u8]) -> u64 {
        self.leaves.push(ledger::leaf_hash(entry));
        self.size() - 1
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn first(&self, size: u64) -> &[Hash] {
        self.leaves.get(..usize::try_from(size).unwrap()).unwrap()
    }

    /// The checkpoint of the first entries.
    pub fn checkpoint_at(&self, size: u64) -> Checkpoint {
        Checkpoint::new(self.signer.name(), size, ledger::root_of(self.first(size))).unwrap()
    }

    /// The checkpoint of all entries.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_at(self.size())
    }

    /// The checkpoint of the first entries, signed and cosigned.
    pub fn note_at(&self, size: u64) -> Note {
        self.note_of(&self.checkpoint_at(size))
    }

    /// Any checkpoint, signed and cosigned: also one that is not of these entries.
    pub fn note_of(&self, checkpoint: &Checkpoint) -> Note {
        let text = checkpoint.to_text();
        let mut note = Note::new(&text, vec![self.signer.sign(&text).unwrap()]).unwrap();
        for cosigner in &self.cosigners {
            note.add(cosigner.cosign(&text, COSIGNED).unwrap()).unwrap();
        }
        note
    }

    /// The checkpoint of all entries, signed and cosigned.
    pub fn note(&self) -> Note {
        self.note_at(self.size())
    }

    /// The proof, as a file, that an entry is in the log of the first `size` entries.
    pub fn proof_at(&self, index: u64, size: u64) -> Vec<u8> {
        let hashes = ledger::inclusion_proof(&Leaves(self.first(size)), index, size).unwrap();
        ProofFile::new(index, hashes, self.note_at(size), None).unwrap().encode().into_bytes()
    }

    /// The proof, as a file, that an entry is in the log.
    pub fn proof(&self, index: u64) -> Vec<u8> {
        self.proof_at(index, self.size())
    }

    /// The proof that the log of `from` entries is the beginning of this one.
    pub fn consistency(&self, from: u64) -> Vec<Hash> {
        self.consistency_at(from, self.size())
    }

    /// The proof that the log of `from` entries is the beginning of the log of the first `size` entries.
    pub fn consistency_at(&self, from: u64, size: u64) -> Vec<Hash> {
        ledger::consistency_proof(&Leaves(self.first(size)), from, size).unwrap()
    }
}
