//! Mirrors as operators meet them: real processes, a real collection, real damage.

pub(crate) mod bench;
mod disposes;
mod follows;
mod gate;
mod repairs;
mod restores;
mod succeeds;
