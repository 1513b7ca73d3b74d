//! Receipts: the ledger's proof that a collection is stored, kept for the machine's owner.
//!
//! Guarantee: only verified receipts are kept. With the log's verifier key they convince anybody, whatever
//! happens to the collector. Not here: verifying them (`warden::claims`).

use std::io;
use std::path::Path;

use evidence::digest::Digest;

const DIR: &str = "receipts";

/// Keeps a verified receipt: `receipts/<collection>.entry` and `.tlog-proof`.
///
/// # Errors
/// The system's error.
pub fn keep(state: &Path, collection: Digest, entry: &[u8], proof: &[u8]) -> io::Result<()> {
    let dir = state.join(DIR);
    durable::require_private_folder(&dir)?;
    super::replace(&dir, &format!("{collection}.entry"), entry)?;
    super::replace(&dir, &format!("{collection}.tlog-proof"), proof)
}

/// How many receipts are kept.
///
/// # Errors
/// The system's error.
pub fn count(state: &Path) -> io::Result<usize> {
    match fs_err::read_dir(state.join(DIR)) {
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "tlog-proof"))
            .count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
