//! Remembers which paths the reader has met, in 16 bytes each.
//!
//! Guarantee: exact up to collisions of 128 bits of SHA-256. Not here: what to do when a path comes again.

use evidence::container::dense_set::DenseSet;
use sha2::Digest as _;

/// The paths met so far.
#[derive(Debug, Default)]
pub(super) struct Once {
    paths: DenseSet<[u8; 16]>,
}

impl Once {
    /// True the first time a path comes.
    pub(super) fn insert(&mut self, path: &[u8]) -> bool {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(sha2::Sha256::digest(path)) {
            *to = from;
        }
        self.paths.insert(short)
    }
}
