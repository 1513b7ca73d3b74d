//! `exhibit-server`: the collector.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::ops::program::main()
}
