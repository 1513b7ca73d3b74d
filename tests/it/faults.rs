//! Processes killed, lines cut, stores full, at any moment: nothing that was acknowledged is ever lost, and what is called
//! stored verifies. `make faults ROUNDS=1000 SEED=7` runs the rounds longer; suite `faults` of packaging/run-tests.py.

mod crowd;
pub mod fixture;
mod line;
mod rounds;
mod stores;
