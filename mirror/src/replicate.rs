//! Evidence: the mirror copies a collection, a judge verifies it, and the mirror states that it holds it.

pub(crate) mod copy;
pub mod judge;
pub(crate) mod statement;
