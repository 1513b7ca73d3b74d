//! Receipts: the ledger's proof that a collection is stored, kept for the machine's owner.
//!
//! Guarantee: only verified receipts are kept. With the log's verifier key they convince anybody, whatever
//! happens to the collector. Not here: verifying them (`warden::claims`).

use std::io;
use std::path::Path;

use evidence::digest::Digest;

pub(super) const DIR: &str = "receipts";

/// True for the name of a file of a receipt.
pub(super) fn is_receipt(name: &str) -> bool {
    let collection = name.strip_suffix(".entry").or_else(|| name.strip_suffix(".tlog-proof"));
    collection.is_some_and(|collection| collection.parse::<Digest>().is_ok())
}

/// Keeps a verified receipt: `receipts/<collection>.entry` and `.tlog-proof`.
pub(crate) fn keep(state: &Path, collection: Digest, entry: &[u8], proof: &[u8]) -> io::Result<()> {
    let dir = state.join(DIR);
    durable::require_private_folder(&dir)?;
    super::replace(&dir, &format!("{collection}.entry"), entry)?;
    super::replace(&dir, &format!("{collection}.tlog-proof"), proof)
}

/// How many receipts are kept.
pub fn count(state: &Path) -> io::Result<usize> {
    match fs_err::read_dir(state.join(DIR)) {
        Ok(entries) => {
            let mut receipts = 0;
            for entry in entries {
                if entry?.path().extension().is_some_and(|extension| extension == "tlog-proof") {
                    receipts += 1;
                }
            }
            Ok(receipts)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
