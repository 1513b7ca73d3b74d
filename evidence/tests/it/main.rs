//! Tests of crate `evidence` through its public interface.

mod admission;
mod container;
mod documents;
mod enrolment;
mod random;
mod roster;
mod ssh;
mod world;
