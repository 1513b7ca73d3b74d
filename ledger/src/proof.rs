//! Inclusion and consistency proofs: RFC 6962 section 2.1, verified as RFC 9162 section 2.1 writes it down.
//! Guarantee: a proof longer or shorter than the sizes demand is refused, so each proof has one form.
//! Not here: where hashes come from (`HashReader`; `tile` has two), files that carry proofs (`proof_file`).
//!
//! ```text
//! root of 7 leaves          inclusion of leaf 5:  leaf 4, leaf 6, root of 0..4
//!      /        \           consistency 3 to 7:   leaf 2, leaf 3, root of 0..2, root of 4..7
//!    0..4        4..7
//!    /  \        /  \
//!  0..2 2..4   4..6  6
//! ```

mod generate;
mod verify;

pub use generate::{HashReader, Leaves, ProveError, consistency_proof, frontier, inclusion_proof, root};
pub use verify::{PROOF_HASHES_MAX, ProofError, verify_consistency, verify_inclusion};
