//! Tests of crate `evidence` through its public interface.

mod admission;
mod container;
mod enrolment;
mod roster;
mod ssh;
mod world;
