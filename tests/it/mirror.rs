//! Mirrors as operators meet them: real processes, a real collection, real damage.

mod bench;
mod follows;
mod restores;
mod succeeds;
