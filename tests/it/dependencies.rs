//! Who may know whom (ARCHITECTURE.md, Code map), asked of cargo.

use std::process::Command;

fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(lab::checkout())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn assert_without(package: &str, forbidden: &[&str]) {
    let tree = tree(package);
    assert!(tree.contains(&package.to_owned()), "cargo tree told nothing of {package}");
    for name in forbidden {
        assert!(!tree.iter().any(|found| found == name), "{package} uses {name}");
    }
}

#[test]
fn the_offline_verifier_has_no_network_code() {
    assert_without(
        "exhibit-verify",
        &["tokio", "hyper", "tonic", "rustls", "socket2", "mio", "reqwest", "certs", "proto"],
    );
}

#[test]
fn a_mirror_uses_no_code_of_what_it_checks() {
    assert_without("mirror", &["server", "agent", "cli"]);
}

#[test]
fn formats_know_no_runtime_no_clock_and_no_files() {
    assert_without("evidence", &["tokio", "rustix", "fs-err", "getrandom", "proto", "certs", "tonic"]);
    assert_without("ledger", &["tokio", "rustix", "fs-err", "getrandom", "evidence", "tonic"]);
}

#[test]
fn agent_server_and_command_line_never_use_each_other() {
    assert_without("agent", &["server", "cli", "rusqlite", "axum-server"]);
    assert_without("server", &["agent", "cli"]);
    assert_without("cli", &["agent", "server", "rusqlite"]);
}
