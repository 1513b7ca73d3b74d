//! A consultant's own witness, aics-witness of PyPI: it cosigns our heads, and it catches a fork.

use std::path::PathBuf;
use std::process::Command;

use lab::{Child, Lab, attempt, free_address, rows, run, text, wait_for};
use serde_json::Value;

use super::{copy, log_key, python};

/// aics-witness with its configuration in the lab.
struct Witness {
    python: PathBuf,
    address: String,
    key: String,
    child: Option<Child>,
}

impl Witness {
    /// Makes a witness that knows the lab's log, starts it, and has the collector ask it.
    fn of(lab: &mut Lab, python: PathBuf) -> Self {
        let mut witness = Self { python, address: free_address().unwrap(), key: String::new(), child: None };
        let init = run(witness
            .command(lab)
            .arg("init")
            .arg("--config")
            .arg(lab.path("witness.json"))
            .args(["--name", "consultant.example/w1", "--listen", &witness.address]))
        .unwrap();
        witness.key = String::from_utf8(init.stdout).unwrap().trim().to_owned();
        run(witness.command(lab).arg("add-log").arg("--config").arg(lab.path("witness.json")).args([
            "--origin",
            "exhibit/lab",
            "--vkey",
            &log_key(lab),
        ]))
        .unwrap();
        witness.start(lab);
        let policy = format!(
            "# the consultant must have seen it\nlog {}\nwitness w1 {} http://{}\nquorum w1\n",
            log_key(lab),
            witness.key,
            witness.address
        );
        fs_err::write(lab.path("server/ledger.policy"), &policy).unwrap();
        run(lab.exhibit().args(["trust", "policy"]).arg(lab.path("server/ledger.policy"))).unwrap();
        lab.stop_server().unwrap();
        lab.start_server().unwrap();
        witness
    }

    fn command(&self, lab: &Lab) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "aics_witness"]).current_dir(lab.path(""));
        command
    }

    fn start(&mut self, lab: &Lab) {
        let mut command = self.command(lab);
        command.arg("serve").arg("--config").arg(lab.path("witness.json"));
        let child = Child::start(command, &lab.path("witness.log")).unwrap();
        wait_for("the witness listening", || {
            Ok(std::net::TcpStream::connect(&self.address).is_ok().then_some(()))
        })
        .unwrap();
        self.child = Some(child);
    }

    fn stop(&mut self) {
        self.child = None;
    }

    /// What it holds of our log.
    fn state(&self, lab: &Lab) -> Value {
        let status =
            run(self.command(lab).arg("status").arg("--json").arg("--config").arg(lab.path("witness.json")))
                .unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        status["logs"][0].clone()
    }
}

/// `exhibit ledger checkpoint` of alice.
fn checkpoint(lab: &Lab) -> Value {
    lab.json(&["ledger", "checkpoint"]).unwrap()
}

fn quorum(lab: &Lab) -> Option<Value> {
    let shown = checkpoint(lab);
    (shown["cosigned"]["quorum"] == true).then_some(shown)
}

fn export(lab: &Lab, incident: &str, out: &str, more: &[&str]) -> std::process::Output {
    let mut command = lab.exhibit();
    command.args(["bundle", "export", incident, "--purpose", "test", "--out"]).arg(lab.path(out)).args(more);
    attempt(&mut command).unwrap()
}

#[test]
fn a_strangers_witness_cosigns_what_we_export_and_without_it_nothing_goes_out_unsaid() {
    let Some(python) = python("a_strangers_witness_cosigns_what_we_export") else {
        return;
    };
    let mut lab = Lab::new().unwrap();
    let incident = lab.incident().unwrap();
    let mut witness = Witness::of(&mut lab, python);

    // Boot: it had nothing, we had a log already.
    let shown = wait_for("the first cosignature", || Ok(quorum(&lab))).unwrap();
    assert_eq!(shown["cosigned"]["pinned_quorum"], true);
    assert_eq!(shown["cosigned"]["cosigners"][0]["pinned"], true);
    let first = shown["cosigned"]["size"].as_u64().unwrap();

    // Growth, at once when somebody waits for it.
    let bundle = export(&lab, &incident, "cosigned", &[]);
    assert!(bundle.status.success(), "{}\n{}", String::from_utf8_lossy(&bundle.stderr), lab.logs());
    let report = lab.verify(&lab.path("cosigned")).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.vouched_by[0].starts_with("w1 (consultant.example/w1), since 20"), "{}", report.text());
    println!("{}", report.text());
    let plain = run(Command::new("python3")
        .arg(lab::checkout().join("packaging/verify.py"))
        .arg(lab.path("cosigned"))
        .arg(lab.trust().unwrap()))
    .unwrap();
    assert!(String::from_utf8_lossy(&plain.stdout).contains("ok           quorum"));
    run(lab
        .exhibit()
        .args(["ledger", "prove", "--index", "1", "--cosigned", "--out"])
        .arg(lab.path("entry")))
    .unwrap();
    let proof = fs_err::read_to_string(lab.path("entry.tlog-proof")).unwrap();
    assert!(proof.contains("— consultant.example/w1 "), "{proof}");
    assert!(witness.state(&lab)["size"].as_u64().unwrap() > first);

    // A restart forgets what it has: 409 names the size, and it signs the same head again.
    lab.stop_server().unwrap();
    lab.start_server().unwrap();
    wait_for("a cosignature after the restart", || Ok(quorum(&lab))).unwrap();
    let log = fs_err::read_to_string(lab.path("witness.log")).unwrap();
    assert!(log.contains("409"), "{log}");

    // Away: entries go on, an export does not, unless it says so.
    witness.stop();
    lab.incident().unwrap();
    let refused = export(&lab, &incident, "refused", &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && !lab.path("refused").exists(), "{said}");
    for expected in ["quorum", "w1", "not reached", "--without-quorum"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let waived = export(&lab, &incident, "waived", &["--without-quorum"]);
    assert!(waived.status.success(), "{}", String::from_utf8_lossy(&waived.stderr));
    let report = lab.verify(&lab.path("waived")).unwrap();
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    assert!(
        fs_err::read_to_string(lab.path("waived/README.txt")).unwrap().starts_with("EXPORTED WITHOUT QUORUM")
    );
    let mut verifier = lab.tool("exhibit-verify");
    verifier.arg(lab.path("waived")).arg("--trust").arg(lab.trust().unwrap());
    assert_eq!(attempt(&mut verifier).unwrap().status.code(), Some(2));
    assert_eq!(attempt(verifier.arg("--without-quorum")).unwrap().status.code(), Some(0));

    // Back.
    witness.start(&lab);
    let bundle = export(&lab, &incident, "again", &[]);
    assert!(bundle.status.success(), "{}", String::from_utf8_lossy(&bundle.stderr));
    let kept = fs_err::read_dir(lab.path("store-b/ledger/cosigned")).unwrap().count();
    assert!(kept >= 3, "{kept} cosigned heads on the second store");
}

#[test]
fn a_rolled_back_and_a_forked_ledger_are_refused_by_a_strangers_witness_and_both_notes_kept() {
    let Some(python) = python("a_rolled_back_and_a_forked_ledger_are_refused") else {
        return;
    };
    let mut lab = Lab::new().unwrap();
    let mut witness = Witness::of(&mut lab, python);
    wait_for("the first cosignature", || Ok(quorum(&lab))).unwrap();
    // A backup of everything that the collector has.
    lab.stop_server().unwrap();
    let parts = ["server", "store-a", "store-b"];
    fs_err::create_dir(lab.path("backup")).unwrap();
    for part in parts {
        copy(&lab.path(part), &lab.path(format!("backup/{part}")));
    }
    lab.start_server().unwrap();
    lab.incident().unwrap();
    run(lab.exhibit().args(["ledger", "prove", "--index", "3", "--cosigned"])).unwrap();
    let held = witness.state(&lab)["size"].as_u64().unwrap();
    lab.stop_server().unwrap();
    for part in parts {
        fs_err::remove_dir_all(lab.path(part)).unwrap();
        copy(&lab.path(format!("backup/{part}")), &lab.path(part));
    }

    // Rolled back: the collector knows nothing of it, and no store does. The witness does, and it is asked before anything is signed.
    let refused = attempt(lab.tool("exhibit-server").arg("run").arg(lab.path("server"))).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    for expected in ["w1", &held.to_string(), "exhibit-server restore"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // With the witness away it cannot know, and goes on: what it signs then is refused later.
    fs_err::remove_dir_all(lab.path("server/contradictions")).unwrap();
    witness.stop();
    lab.start_server().unwrap();
    witness.start(&lab);
    let contradictions = lab.path("server/contradictions");
    let notes = || -> Vec<String> {
        let folder = fs_err::read_dir(&contradictions).map(Iterator::collect::<Vec<_>>);
        let names = folder.unwrap_or_default().into_iter();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let kept = wait_for("the rollback being noticed", || Ok((notes().len() >= 2).then(notes))).unwrap();
    assert!(kept[0].ends_with(".ours") && kept[1].ends_with(".theirs"), "{kept:?}");
    let theirs = fs_err::read_to_string(contradictions.join(&kept[1])).unwrap();
    assert_eq!(theirs.lines().nth(1), Some(held.to_string().as_str()), "{theirs}");
    // The notes are durable before anything is said.
    wait_for("the alarm", || Ok(lab.logs().contains("A witness contradicts this ledger").then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));

    // Forked: the log grows past what the witness holds, another way. Somebody who was not here before sees no contradiction of their own.
    lab.log_in("bob").unwrap();
    let shown = || -> Value {
        let output = run(lab.exhibit_as("bob").args(["--json", "ledger", "checkpoint"])).unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    while shown()["size"].as_u64().unwrap() <= held {
        run(lab.exhibit_as("bob").arg("login")).unwrap();
    }
    let asked =
        attempt(lab.exhibit_as("bob").args(["ledger", "prove", "--index", "1", "--cosigned"])).unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("another history"), "{said}");
    let shown = shown();
    let cosigner = &rows(&shown["cosigned"]["cosigners"])[0];
    assert_eq!(cosigner["contradicts"], true, "{shown}");
    assert!(notes().len() >= 4, "{:?}", notes());
    assert_eq!(witness.state(&lab)["size"].as_u64(), Some(held), "it stays with what it saw");
    let evidence = witness.state(&lab)["evidence"].as_u64().unwrap();
    assert!(evidence > 0, "aics-witness kept the request that forks, too");
    // Alice was here before: her home is a witness, too.
    let alice = attempt(lab.exhibit().args(["ledger", "checkpoint"])).unwrap();
    assert_eq!(alice.status.code(), Some(1), "{}", String::from_utf8_lossy(&alice.stderr));
    println!("tried: aics-witness refuses the fork: {}", text(cosigner, "trouble").unwrap());
}
