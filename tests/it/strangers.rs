//! Our ledger before people who know nothing of us: a consultant's witness (aics-witness) cosigns it and catches it forking; aics-tlog
//! and Go's x/mod/sumdb read it from a store as it lies there, and refuse what is forged; gRPC for Python speaks to our listeners.
//! Suite `strangers` of packaging/run-tests.py.

mod clients;
mod elsewhere;
mod readers;
mod witness;

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Lab, attempt};

/// A Python that has aics-witness, aics-tlog and grpcio (packaging/test-deps.sh); otherwise says by name what is skipped.
fn python(test: &str) -> Option<PathBuf> {
    let venv = std::env::var_os("EXHIBIT_STRANGERS_VENV").map(PathBuf::from);
    let python = venv.map(|venv| venv.join("bin/python"));
    let works = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", "import aics_witness, aics_tlog, cryptography, grpc"]);
        attempt(&mut command).is_ok_and(|output| output.status.success())
    };
    let found = python.filter(works);
    if found.is_none() {
        println!(
            "SKIPPED {test}: aics-witness, aics-tlog or grpcio are not installed (packaging/test-deps.sh)"
        );
    }
    found
}

/// The log's verifier key, as the deployment's card tells it.
fn log_key(lab: &Lab) -> String {
    let card: serde_json::Value =
        serde_json::from_slice(&fs_err::read(lab.path("server/deployment.json")).unwrap()).unwrap();
    card["log_key"].as_str().unwrap().to_owned()
}

/// Copies a folder whole.
fn copy(from: &Path, to: &Path) {
    let output = attempt(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
