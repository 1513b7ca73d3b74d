//! Whole-system tests; suites `system`, `faults::` and `packages::` of packaging/run-tests.py.

mod dependencies;
mod journey;
mod packages;
