//! A log whose key signs whatever it is told.

use ledger::{Checkpoint, Hash, Leaves, Note, NoteSigner, ProofFile};

/// Leaves, and what the log's key says of them.
pub struct Log {
    /// Hashes of the entries. A test may rewrite them.
    pub leaves: Vec<Hash>,
    /// The log's key.
    pub signer: NoteSigner,
}

impl Log {
    /// An empty log of that origin, whose key's seed is the number, 32 times.
    pub fn new(origin: &str, key: u8) -> Self {
        Self { leaves: Vec::new(), signer: NoteSigner::new(origin, &[key; 32]).unwrap() }
    }

    /// Adds an entry; its index.
    pub fn append(&mut self, entry: &[u8]) -> u64 {
        self.leaves.push(ledger::leaf_hash(entry));
        self.size() - 1
    }

    /// How many entries there are.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The checkpoint of all entries.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.signer.name(), self.size(), ledger::root_of(&self.leaves)).unwrap()
    }

    /// The checkpoint, signed by the log.
    pub fn note(&self) -> Note {
        let text = self.checkpoint().to_text();
        Note::new(&text, vec![self.signer.sign(&text).unwrap()]).unwrap()
    }

    /// That an entry is in the log, as a file.
    pub fn proof(&self, index: u64) -> Vec<u8> {
        let hashes = ledger::inclusion_proof(&Leaves(&self.leaves), index, self.size()).unwrap();
        ProofFile::new(index, hashes, self.note(), None).unwrap().encode().into_bytes()
    }

    /// That the log of `from` entries is the beginning of this one.
    pub fn consistency(&self, from: u64) -> Vec<Hash> {
        ledger::consistency_proof(&Leaves(&self.leaves), from, self.size()).unwrap()
    }
}
