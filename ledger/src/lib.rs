//! The transparency log: C2SP formats and the mathematics behind them.
//!
//! Pure: no I/O, no clock, no randomness, and no panic on any input. Entries are opaque bytes; docs/spec says what they
//! mean. Every decoder has a limit before it allocates and accepts one spelling only, so printing
//! a parsed value gives the same bytes.
//!
//! | format | module | example |
//! |---|---|---|
//! | [signed note](https://c2sp.org/signed-note) | [`note`] | text, blank line, `— example.com/log AQIDBAU=` |
//! | verifier key | [`note`] | `sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8` |
//! | [checkpoint](https://c2sp.org/tlog-checkpoint) | [`checkpoint`] | three lines: origin, size, root |
//! | [cosignature/v1](https://c2sp.org/tlog-cosignature) | [`cosignature`] | `00000000641850cb` (time), then 64 bytes of signature |
//! | [tile](https://c2sp.org/tlog-tiles) | [`tile`] | `tile/0/x001/x234/067`: 256 hashes, 8,192 bytes |
//! | entry bundle | [`tile`] | `0002 6869 0000`: the entry `hi` and an empty one |
//! | [proof](https://c2sp.org/tlog-proof) | [`proof_file`] | `c2sp.org/tlog-proof@v1`, `index 1`, hashes, blank line, checkpoint |
//! | [policy](https://c2sp.org/tlog-policy) | [`policy`] | `group mirrors 2 m1 m2 m3`, `quorum mirrors` |
//!
//! A log of one entry, cosigned by one mirror, and the check that a stranger makes years later:
//!
//! ```
//! use ledger::{Checkpoint, KeyType, Note, NoteSigner, Policy, ProofFile, leaf_hash, root_of};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = NoteSigner::new("ledger.example/one", &[1; 32])?;
//! let mirror = NoteSigner::new("m1.example/mirror", &[2; 32])?;
//!
//! let leaf = leaf_hash(b"first entry");
//! let text = Checkpoint::new("ledger.example/one", 1, root_of(&[leaf]))?.to_text();
//! assert_eq!(text, "ledger.example/one\n1\nuYmoCZl8WNzZsvX9VThOyR13ouL04Jnwbfr/UGxgKLY=\n");
//!
//! let mut note = Note::new(&text, vec![log.sign(&text)?])?;
//! note.add(mirror.cosign(&text, 1_790_000_000)?)?;
//! let receipt = ProofFile::new(0, vec![], note, None)?.encode();
//!
//! let trust = format!(
//!     "log {}\nwitness m1 {}\nquorum m1\n",
//!     log.verifier_key(KeyType::Ed25519),
//!     mirror.verifier_key(KeyType::CosignatureV1),
//! );
//! let policy = Policy::parse(trust.as_bytes())?;
//! let verified = ProofFile::parse(receipt.as_bytes())?.verify(&leaf, &policy)?;
//! assert_eq!(verified.cosigners, [("m1".to_owned(), 1_790_000_000)]);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]

pub mod checkpoint;
pub mod cosignature;
mod encoding;
pub mod hash;
pub mod note;
pub mod policy;
pub mod proof;
pub mod proof_file;
pub mod tile;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash};
pub use note::{KeyType, Note, NoteSignature, NoteSigner, VerifierKey};
pub use policy::{LogTerm, Policy, Verified};
pub use proof::{
    HashReader, Leaves, consistency_proof, frontier, inclusion_proof, root, verify_consistency,
    verify_inclusion,
};
pub use proof_file::ProofFile;
pub use tile::{AuthenticatedReader, Tile, TileKind, TilePath, TileReader, TileSet, TileSource};
pub use tree::{Frontier, root_of};
