//! Gives every act its place: one sequencer that batches entries into the deployment's Merkle log (docs/spec/ledger.md).
//! Guarantee: a [`Receipt`] exists only when entry, tiles and the checkpoint that covers them are durable on as many stores as the
//! policy asks for. The same event is one entry, whoever submits it and however often. The signer signs a checkpoint only from the
//! committed row, and never over a smaller or another tree than one that it signed before. An entry that breaks a rule of custody where
//! it would stand is not recorded, so no mirror refuses it (`book`).
//! Not here: what a service asks beyond the rule book, the mathematics (crate `ledger`), the entry format (crate `evidence`).
//!
//! # Life of an entry
//! 1. `Sequencer::submit` stores the act on the stores, if it does not travel in the leaf, and reads it with its signatures. *Crash: an
//!    orphan object.*
//! 2. The worker takes up to 256 entries and commits them in one transaction: guard, rules of custody, rows, projection, chain heads,
//!    staged tiles, compare-and-swap of (size, root). From here the index is fixed. *Crash: the start repeats step 3.*
//! 3. The publisher writes the staged tiles to every store. *Crash: some stores have some tiles of a size that no checkpoint names.*
//! 4. It proves the first and the last new leaf from the bytes that each store gives back.
//! 5. The signer signs (size, root) of the committed row. *Crash: the start signs the same note again; Ed25519 is deterministic.*
//! 6. The publisher replaces `ledger/checkpoint` on every store that passed 4. *Crash: the start brings up stores that lag.*
//! 7. The submitter gets entry and proof.
//!
//! Steps 3 to 6 are one function, `publish`. Recovery at the start calls the same function.

mod book;
mod commit;
mod edge;
mod fsck;
mod key_file;
mod keyed_signer;
mod log;
mod mend;
mod pending;
mod publish;
mod recorded_keys;
mod recovery;
mod sequencer;
mod signer;
mod signer_process;
mod tiles;
mod worker;

pub(crate) use book::BookError;
pub(crate) use edge::EdgeError;
pub use fsck::{FsckOptions, fsck};
pub(crate) use fsck::{FsckReport, check_store};
pub(crate) use key_file::KeyFileError;
pub use key_file::{create_log_key, read_log_key};
pub(crate) use keyed_signer::KeyedSigner;
pub(crate) use log::{Log, LogError, Published};
pub(crate) use mend::{Mended, mend_tiles};
pub use pending::PendingEntry;
pub(crate) use pending::{Guard, GuardError, Receipt, SubmitError};
pub(crate) use publish::PublishError;
pub(crate) use recovery::{HeadAtStore, StartError, verify_head};
pub(crate) use sequencer::{Sequencer, SequencerParts};
pub(crate) use signer::LocalSigner;
pub use signer::{CheckpointSigner, SignerError};
pub use signer_process::ProcessSigner;
pub(crate) use signer_process::run_signer_child;
pub(crate) use tiles::StoreTiles;

/// The origin of a deployment's log, which is also the name of its key.
pub fn origin(deployment: &str) -> String {
    format!("exhibit/{deployment}")
}

#[cfg(test)]
pub(crate) mod tests;
