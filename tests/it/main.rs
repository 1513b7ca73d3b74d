//! Whole-system tests; suites `system`, `faults::` and `packages::` of packaging/run-tests.py.

mod bad_input;
mod dependencies;
mod faults;
mod field;
mod journey;
mod packages;
