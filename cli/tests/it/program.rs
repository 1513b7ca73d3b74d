//! The program as people meet it: exit codes, errors that say the next step, what works before anything is set up.

use std::path::Path;
use std::process::{Command, Output};

fn exhibit(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_exhibit")).arg("--home").arg(home).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn exit_codes_tell_usage_from_what_could_not_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    for (words, code) in [
        (&["--version"][..], 0),
        (&["collect", "--help"], 0),
        (&["profile", "list"], 0),
        (&["nonsense"], 64),
        (&[], 64),
        (&["collect", "--incident", "INC-1"], 64),
        (&["profile", "show", "nothing"], 64),
        (&["login"], 2),
        (&["verify", "nothing", "--trust", "nothing"], 2),
    ] {
        let output = exhibit(&home, words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stderr));
    }
    let refused = exhibit(&home, &["login"]);
    assert!(
        text(&refused.stderr).contains("next: pin a deployment: exhibit setup"),
        "{}",
        text(&refused.stderr)
    );
    let refused = exhibit(&home, &["--json", "login"]);
    let value: serde_json::Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert!(value["next"].as_str().unwrap().contains("exhibit setup"));
}

#[test]
fn a_card_is_pinned_and_exported_as_a_trust_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (home, admin) = (folder.path().join("home"), folder.path().join("admin"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let admin_text = admin.to_str().unwrap();
    let made = exhibit(
        &home,
        &["authority", "init", admin_text, "--deployment", "acme", "--person", "alice=responder"],
    );
    assert!(made.status.success(), "{}", text(&made.stderr));

    let log =
        ledger::NoteSigner::new("exhibit/acme", &[8; 32]).unwrap().verifier_key(ledger::KeyType::Ed25519);
    let ca = b"a certificate".to_vec();
    let card = |sha256: String, port: u16| {
        serde_json::json!({
            "deployment": "acme", "collector": "c1", "ca": evidence::text::Bytes(ca.clone()), "ca_sha256": sha256,
            "log_key": log.to_string(), "address": format!("127.0.0.1:{port}"), "enrol_address": format!("127.0.0.1:{port}"),
        })
        .to_string()
    };
    let sha256 = evidence::digest::Digest::of(&ca).to_string();
    let setup = |home: &Path| {
        let words = [
            "setup",
            "--card",
            &path("card.json"),
            "--authority",
            &path("admin/authority"),
            "--person",
            "alice",
            "--key",
            &path("admin/keys/alice"),
        ]
        .map(str::to_owned);
        exhibit(home, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    fs_err::write(path("card.json"), card(evidence::digest::Digest::ZERO.to_string(), 1)).unwrap();
    assert_eq!(setup(&home).status.code(), Some(1), "a card that contradicts itself");
    fs_err::write(path("card.json"), card(sha256.clone(), 0)).unwrap();
    assert_eq!(setup(&home).status.code(), Some(2), "ports are open until the collector runs");
    fs_err::create_dir(path("run")).unwrap();
    let running = r#"{"collector":"127.0.0.1:4001","enrol":"[::1]:4002","metrics":null}"#;
    fs_err::write(path("run/addresses.json"), running).unwrap();
    let done = setup(&home);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    for needle in [sha256.as_str(), &log.to_string(), "127.0.0.1:4001", "[::1]:4002"] {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    assert_eq!(setup(&home).status.code(), Some(2), "pins are never overwritten");

    let trust = folder.path().join("trust");
    assert!(exhibit(&home, &["trust", "export", trust.to_str().unwrap()]).status.success());
    let pinned = exhibit_verify::Trust::load(&trust).unwrap();
    assert_eq!(pinned.policy.logs()[0].key, log);
    let refused = exhibit(&home, &["incident", "list"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("next: log in: exhibit login"), "{}", text(&refused.stderr));
}

#[test]
fn lint_names_line_and_cause_and_completions_and_manual_pages_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let shown = exhibit(&home, &["profile", "show", "linux-triage"]);
    let file = folder.path().join("mine.toml");
    fs_err::write(&file, &shown.stdout).unwrap();
    let file = file.to_str().unwrap();
    assert!(exhibit(&home, &["profile", "lint", file]).status.success());
    let wrong = text(&shown.stdout).replacen("wall = \"30m\"", "wall = \"30\"", 1);
    fs_err::write(file, wrong).unwrap();
    let linted = exhibit(&home, &["profile", "lint", file]);
    assert_eq!(linted.status.code(), Some(1));
    let said = text(&linted.stdout);
    assert!(said.contains("mine.toml:9: ") && said.contains("not a duration"), "{said}");

    let help = text(&exhibit(&home, &["profile", "lint", "--help"]).stdout);
    assert!(help.contains("its first fault with line and cause"), "{help}");

    let script = text(&exhibit(&home, &["completions", "bash"]).stdout);
    assert!(script.contains("_exhibit") && script.contains("bundle"));
    let man = folder.path().join("man");
    assert!(exhibit(&home, &["man", "--dir", man.to_str().unwrap()]).status.success());
    assert!(man.join("exhibit-bundle-export.1").exists());
}
