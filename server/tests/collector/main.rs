//! The collector as a process, spoken to over real sockets by a client that misbehaves in every way an endpoint can.

#![expect(clippy::wildcard_imports, reason = "a test's own helpers")]

mod container;
mod lab;

mod evidence_in;
mod hostile;
mod people;
