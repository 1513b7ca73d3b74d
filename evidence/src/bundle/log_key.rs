//! `deployment/log.vkey`: the log key in force at the bundle's head.

use ledger::VerifierKey;

/// The file: the key in the form of c2sp.org/signed-note, on one line.
pub fn log_vkey(key: &VerifierKey) -> Vec<u8> {
    format!("{key}\n").into_bytes()
}
