//! The log and its key, which signs whatever it is told.

use ledger::{Checkpoint, Leaves, Note, NoteSigner, ProofFile};

use super::signer;

/// The log: leaves, and what its key signs about them.
pub struct Log<'a> {
    pub leaves: Vec<ledger::Hash>,
    pub signer: NoteSigner,
    pub cosigners: &'a [(u8, &'static str)],
}

impl Log<'_> {
    pub fn note(&self, size: usize) -> Note {
        let text = Checkpoint::new(self.signer.name(), size as u64, ledger::root_of(&self.leaves[..size]))
            .unwrap()
            .to_text();
        let mut note = Note::new(&text, vec![self.signer.sign(&text).unwrap()]).unwrap();
        for (number, name) in self.cosigners {
            note.add(signer(*number, name).cosign(&text, 1_795_270_000).unwrap()).unwrap();
        }
        note
    }

    pub fn proof(&self, index: usize, size: usize) -> Vec<u8> {
        let hashes = ledger::inclusion_proof(&Leaves(&self.leaves), index as u64, size as u64).unwrap();
        ProofFile::new(index as u64, hashes, self.note(size), None).unwrap().encode().into_bytes()
    }
}
