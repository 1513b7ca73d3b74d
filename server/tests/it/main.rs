//! The collector's programs as processes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers are tests, too"
)]

mod durability;
mod log_key;
mod operator;
mod signer;

use std::path::Path;
use std::process::Command;

/// `exhibit-server` as it was built for this test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exhibit-server"))
}

/// `exhibit-server init` into `place/server`, stores in `place/a` and `place/b`.
fn init(command: &mut Command, place: &Path) {
    testkit::collector::init(command, place);
    command.args([
        "--address",
        "collector.example.org:7443",
        "--enrol-address",
        "collector.example.org:7444",
    ]);
}
