//! Gives every act its place: one sequencer that batches entries into the deployment's Merkle log (docs/spec/ledger.md).
//! Guarantee: a [`Receipt`] exists only when entry, tiles and the checkpoint that covers them are durable on the stores
//! that policy asks; the same event is one entry, whoever submits it how often; a checkpoint is signed from the
//! committed row only, and never over a smaller or another tree than one signed before.
//! Not here: who may record what (services), the mathematics (crate `ledger`), the entry format (crate `evidence`).
//!
//! # Life of an entry
//! 1. `Sequencer::submit` puts the act on the stores when it does not travel in the leaf. *Crash: an orphan object.*
//! 2. The worker takes up to 256 entries and commits them in one transaction: rows, projection, chain heads, staged
//!    tiles, compare-and-swap of (size, root). From here the index is fixed. *Crash: step 3 is repeated at start.*
//! 3. Staged tiles go to every store. *Crash: some stores have some tiles of a size that no checkpoint names.*
//! 4. First and last new leaf are proven from the bytes each store gives back.
//! 5. The signer signs (size, root) of the committed row. *Crash: the same note again, Ed25519 is deterministic.*
//! 6. `ledger/checkpoint` is replaced on every store that passed 4. *Crash: start-up finds stores that lag, brings them up.*
//! 7. Who waits gets entry and proof.
//!
//! Steps 3 to 6 are one function, `publish`, that start-up recovery calls as well.

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

/// Origin of a deployment's log, and the name of its key.
pub fn origin(deployment: &str) -> String {
    format!("exhibit/{deployment}")
}

#[cfg(test)]
mod tests;
