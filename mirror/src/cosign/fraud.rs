//! Fraud proofs: two notes of one log key that cannot both be true (docs/spec/mirror.md, *Fraud*).
//! Guarantee: a proof that [`FraudProof::check`] accepts convicts the holder of the log key. Anybody with the public key can check it.

use evidence::digest::Digest;
use evidence::log_key::{LogKeys, Placed};
use ledger::{Checkpoint, Hash, Note};
use serde::{Deserialize, Serialize};

use crate::note::LogNote;

const TYPE: &str = "exhibit-fraud-v1";

/// Two contradicting notes, with the proof that they contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudProof {
    fraud: String,
    pub deployment: String,
    /// When the fraud was found.
    pub found: String,
    /// The smaller note. For equal sizes, the one that the mirror knew first.
    pub older: String,
    pub newer: String,
    /// For unequal sizes: the root of the newer note's tree at the older note's size. Empty otherwise.
    pub root: String,
    /// The consistency proof from `root` to the newer note's root.
    pub proof: Vec<String>,
}

impl FraudProof {
    /// Makes a proof of two notes. `grown` holds root and proof, for unequal sizes.
    #[must_use]
    pub fn new(
        deployment: &str,
        found: &str,
        older: &Note,
        newer: &Note,
        grown: Option<(&Hash, &[Hash])>,
    ) -> Self {
        Self {
            fraud: TYPE.to_owned(),
            deployment: deployment.to_owned(),
            found: found.to_owned(),
            older: older.to_string(),
            newer: newer.to_string(),
            // Notes of one size need neither root nor proof: the format leaves both empty.
            root: grown.map(|(root, _)| root.to_base64()).unwrap_or_default(),
            proof: grown.map(|(_, proof)| proof.iter().map(Hash::to_base64).collect()).unwrap_or_default(),
        }
    }

    /// Parses the content of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let proof: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if proof.fraud == TYPE { Ok(proof) } else { Err(format!("it is a {}", proof.fraud)) }
    }

    /// The file's line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "strings cannot fail to serialise")]
        let mut bytes = serde_json::to_vec(self).expect("strings");
        bytes.push(b'\n');
        bytes
    }

    /// File name below `fraud/`: the size of the newer note and a digest of both notes.
    #[must_use]
    pub fn file_name(&self) -> String {
        let size = Note::parse(self.newer.as_bytes())
            .ok()
            .and_then(|note| Checkpoint::from_text(note.text()).ok())
            .map_or(0, |checkpoint| checkpoint.size);
        let digest = Digest::of([self.older.as_bytes(), self.newer.as_bytes()].concat().as_slice());
        format!("{size}-{digest}.json")
    }

    /// True if one of the two notes has this checkpoint.
    #[must_use]
    pub fn names(&self, checkpoint: &Checkpoint) -> bool {
        [&self.older, &self.newer].into_iter().any(|text| {
            Note::parse(text.as_bytes())
                .ok()
                .and_then(|note| Checkpoint::from_text(note.text()).ok())
                .is_some_and(|found| found == *checkpoint)
        })
    }

    /// Checks that the two notes convict the holder of the log's keys. Each key must have signed within its
    /// term.
    pub fn check(&self, keys: &LogKeys) -> Result<(), String> {
        let read = |text: &str| -> Result<Checkpoint, String> {
            let read = LogNote::read(text.as_bytes(), keys.current().name(), keys)
                .map_err(|error| error.to_string())?;
            let size = read.checkpoint.size;
            let may_be_late = |placed: &&Placed| {
                placed.index.is_none() && size > placed.change.size && read.is_of(placed.change.old.key())
            };
            match keys.changes().iter().find(may_be_late) {
                None => Ok(read.checkpoint),
                Some(placed) => Err(format!(
                    "size {size} is signed by {}, which another key followed, and the signed changes alone do not tell whether before \
                     or after: the ledger's entry of change {} does",
                    placed.change.old, placed.change.number
                )),
            }
        };
        let (older, newer) = (read(&self.older)?, read(&self.newer)?);
        if older.origin != newer.origin {
            return Err("they are of two logs".to_owned());
        }
        if older.size == newer.size {
            return if older.root == newer.root { Err("they say the same".to_owned()) } else { Ok(()) };
        }
        let proof: Vec<Hash> = self
            .proof
            .iter()
            .map(|hash| Hash::from_base64(hash).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let root = Hash::from_base64(&self.root).map_err(|error| error.to_string())?;
        ledger::verify_consistency(older.size, &root, newer.size, &newer.root, &proof)
            .map_err(|error| format!("the proof proves nothing: {error}"))?;
        if root == older.root { Err("they are consistent".to_owned()) } else { Ok(()) }
    }
}
