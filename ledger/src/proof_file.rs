//! Proof files (c2sp.org/tlog-proof, `.tlog-proof`): index, audit path and checkpoint in one text.
//! Guarantee: a parsed file prints as the same bytes. Not here: how the leaf hash is made (the caller).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra cmVhZGluZyBob3VycyA5LTE3
//! index 1
//! bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=
//!
//! example.com/behind-the-sofa
//! 2
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding::{self, decimal};
use crate::hash::Hash;
use crate::note::{NOTE_BYTES_MAX, Note, NoteError};
use crate::policy::{Policy, PolicyError, Verified};
use crate::proof::{PROOF_HASHES_MAX, ProofError, verify_inclusion};

/// First line of every proof file.
pub(crate) const PROOF_FILE_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Longest extra data: 16 KiB.
pub(crate) const EXTRA_BYTES_MAX: usize = 16 << 10;

/// Longest proof file: 160 KiB, the largest note, extra data and audit path together.
pub const PROOF_FILE_BYTES_MAX: usize = NOTE_BYTES_MAX + (32 << 10);

/// The proof that an entry is in a log, in its portable form. Nothing is verified before [`ProofFile::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: Note,
}

impl ProofFile {
    /// A proof from its parts; `checkpoint` carries the signatures to hand on.
    ///
    /// # Errors
    /// `ProofFileError::TooLong` for more extra data or hashes than a file may hold;
    /// `ProofFileError::Checkpoint` when the note is about something else.
    pub fn new(
        index: u64,
        hashes: Vec<Hash>,
        checkpoint: Note,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, ProofFileError> {
        let extra_bytes = extra.as_ref().map_or(0, Vec::len);
        if extra_bytes > EXTRA_BYTES_MAX || hashes.len() > PROOF_HASHES_MAX {
            return Err(ProofFileError::TooLong);
        }
        Checkpoint::from_text(checkpoint.text()).map_err(ProofFileError::Checkpoint)?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// The bytes of the file.
    pub fn encode(&self) -> String {
        let mut file = format!("{PROOF_FILE_HEADER}\n");
        if let Some(extra) = &self.extra {
            file.push_str(&format!("extra {}\n", encoding::encode(extra)));
        }
        file.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            file.push_str(&hash.to_base64());
            file.push('\n');
        }
        file.push('\n');
        file.push_str(&self.checkpoint.to_string());
        file
    }

    /// Reads a proof file in its one spelling.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > PROOF_FILE_BYTES_MAX {
            return Err(ProofFileError::TooLong);
        }
        let file = str::from_utf8(bytes).or(Err(ProofFileError::Utf8))?;
        // No line before the checkpoint is empty, so the first empty line ends the head.
        let (head, checkpoint) = file.split_once("\n\n").ok_or(ProofFileError::Layout)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_FILE_HEADER) {
            return Err(ProofFileError::Header);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                let encoded = line.strip_prefix("extra ").ok_or(ProofFileError::Extra)?;
                Some(encoding::decode(encoded).ok_or(ProofFileError::Extra)?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(ProofFileError::Index)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == PROOF_HASHES_MAX {
                return Err(ProofFileError::TooLong);
            }
            hashes.push(Hash::from_base64(line).or(Err(ProofFileError::Hash))?);
        }
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(ProofFileError::Note)?;
        Self::new(index, hashes, checkpoint, extra)
    }

    /// Checks that the entry with `leaf` hash is in a log that `policy` trusts, cosigned as it demands.
    ///
    /// # Errors
    /// `ProofFileError::Policy` if the checkpoint is not trusted, `ProofFileError::Quorum` if it is trusted but too few
    /// cosigned, `ProofFileError::Inclusion` if the audit path does not lead from leaf to root.
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Verified, ProofFileError> {
        let verified = policy.verify_note(&self.checkpoint).map_err(ProofFileError::Policy)?;
        if !verified.quorum_met {
            return Err(ProofFileError::Quorum { cosigners: verified.cosigners.len() });
        }
        let checkpoint = &verified.checkpoint;
        verify_inclusion(self.index, checkpoint.size, leaf, &self.hashes, &checkpoint.root)
            .map_err(ProofFileError::Inclusion)?;
        Ok(verified)
    }

    /// Index of the entry in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The audit path, leaf's sibling first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The signed checkpoint.
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }

    /// Data that an application added. No signature covers it, so never trust it as it is.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }
}

/// A proof file that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// The signed text is no checkpoint.
    #[error("signed text of the proof file is not a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The extra line is not canonical base64.
    #[error("extra line of the proof file is not canonical base64")]
    Extra,
    /// A line of the audit path is not a hash.
    #[error("audit path of the proof file holds a line that is not a hash")]
    Hash,
    /// The first line is not [`PROOF_FILE_HEADER`].
    #[error("proof file does not begin with {PROOF_FILE_HEADER}")]
    Header,
    /// The audit path does not lead from the leaf to the root.
    #[error("entry is not in the checkpoint")]
    Inclusion(#[source] ProofError),
    /// The index line is missing or not a decimal number.
    #[error("index line of the proof file is missing or malformed")]
    Index,
    /// No empty line ends the audit path.
    #[error("proof file has no checkpoint")]
    Layout,
    /// The checkpoint is no signed note.
    #[error("checkpoint of the proof file is not a signed note")]
    Note(#[source] NoteError),
    /// The checkpoint is not one the policy trusts.
    #[error("checkpoint of the proof file is not trusted")]
    Policy(#[source] PolicyError),
    /// Too few trusted witnesses cosigned.
    #[error("quorum is not met by {cosigners} trusted cosigners")]
    Quorum {
        /// How many cosigned.
        cosigners: usize,
    },
    /// More bytes or hashes than any proof file may hold.
    #[error("proof file is longer than allowed")]
    TooLong,
    /// The file is not valid UTF-8.
    #[error("proof file is not UTF-8")]
    Utf8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::note::{KeyType, NoteSigner};
    use crate::proof::{Leaves, inclusion_proof};
    use crate::tree::root_of;

    const ORIGIN: &str = "ledger.example/one";

    fn sample(extra: Option<Vec<u8>>) -> (ProofFile, Policy, Vec<Hash>) {
        let leaves: Vec<Hash> = (0..7_u8).map(|number| leaf_hash(&[number])).collect();
        let log = NoteSigner::new(ORIGIN, &[1; 32]).unwrap();
        let witness = NoteSigner::new("m1/witness", &[2; 32]).unwrap();
        let text = Checkpoint::new(ORIGIN, 7, root_of(&leaves)).unwrap().to_text();
        let lines = vec![log.sign(&text).unwrap(), witness.cosign(&text, 1_700_000_000).unwrap()];
        let proof = inclusion_proof(&Leaves(&leaves), 5, 7).unwrap();
        let file = ProofFile::new(5, proof, Note::new(&text, lines).unwrap(), extra).unwrap();
        let policy = format!(
            "log {}\nwitness m1 {}\nquorum m1\n",
            log.verifier_key(KeyType::Ed25519),
            witness.verifier_key(KeyType::CosignatureV1)
        );
        (file, Policy::parse(policy.as_bytes()).unwrap(), leaves)
    }

    #[test]
    fn a_proof_verifies_for_its_leaf_only() {
        let (file, policy, leaves) = sample(None);
        let file = ProofFile::parse(file.encode().as_bytes()).unwrap();
        let verified = file.verify(&leaves[5], &policy).unwrap();
        assert_eq!(verified.cosigners, [("m1".to_owned(), 1_700_000_000)]);
        assert!(matches!(file.verify(&leaves[4], &policy), Err(ProofFileError::Inclusion(_))));
    }

    #[test]
    fn without_its_cosignature_a_proof_misses_the_quorum() {
        let (file, policy, leaves) = sample(None);
        let log_only =
            Note::new(file.checkpoint().text(), file.checkpoint().signatures()[..1].to_vec()).unwrap();
        let file = ProofFile::new(5, file.hashes().to_vec(), log_only, None).unwrap();
        assert_eq!(file.verify(&leaves[5], &policy), Err(ProofFileError::Quorum { cosigners: 0 }));
    }

    #[test]
    fn what_was_parsed_prints_as_the_same_bytes() {
        for extra in [None, Some(vec![]), Some(vec![1, 2, 3])] {
            let (file, ..) = sample(extra);
            let parsed = ProofFile::parse(file.encode().as_bytes()).unwrap();
            assert_eq!(parsed.encode(), file.encode());
            assert_eq!(parsed, file);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_proof_file_is_noticed() {
        let (file, policy, leaves) = sample(None);
        let bytes = file.encode().into_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let accepted =
                ProofFile::parse(&altered).is_ok_and(|file| file.verify(&leaves[5], &policy).is_ok());
            assert!(!accepted, "bit {bit}");
        }
    }

    #[test]
    fn malformed_files_are_refused_by_what_is_wrong() {
        let (file, ..) = sample(Some(vec![1, 2, 3]));
        let text = file.encode();
        let replaced =
            |from: &str, to: &str| ProofFile::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(replaced("@v1", "@v2"), ProofFileError::Header);
        assert_eq!(replaced("extra AQID", "extra AQI"), ProofFileError::Extra);
        assert_eq!(replaced("extra AQID", "more AQID"), ProofFileError::Index);
        assert_eq!(replaced("index 5", "index 05"), ProofFileError::Index);
        assert_eq!(replaced("index 5\n", ""), ProofFileError::Index);
        assert_eq!(replaced("index 5\n", "index 5\nxx\n"), ProofFileError::Hash);
        assert_eq!(replaced("index 5\n", "index 5\n\n"), ProofFileError::Checkpoint(CheckpointError::Lines));
        let many = format!("index 5\n{}", format!("{}\n", leaf_hash(b"").to_base64()).repeat(65));
        assert_eq!(replaced("index 5\n", &many), ProofFileError::TooLong);
        assert_eq!(ProofFile::parse(b""), Err(ProofFileError::Layout));
        assert_eq!(ProofFile::parse(&vec![b'a'; PROOF_FILE_BYTES_MAX + 1]), Err(ProofFileError::TooLong));
    }
}
