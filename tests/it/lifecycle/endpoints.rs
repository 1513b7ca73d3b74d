//! Endpoints that retire, return, renew, sleep long, or run without root.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use certs::authority::ENDPOINT_LIFE;
use certs::certificate::Leaf;
use certs::identity::Credentials;
use certs::name::{Identity, Subject};
use evidence::id::Generation;
use lab::{Child, Lab, is_root, number, rows, run, text, wait_for};
use serde_json::Value;

use super::{refused, small, verified};
use crate::bad_input::now;

const ENDPOINT: &str = "web-03";
const DAY: Duration = Duration::from_secs(86_400);

/// Waits until a log says something, and returns that line.
fn wait_said(lab: &Lab, log: &str, words: &str) -> String {
    wait_for(words, || {
        let text = fs_err::read_to_string(lab.path(log))?;
        Ok(text.lines().find(|line| line.contains(words)).map(str::to_owned))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", lab.logs()))
}

/// The endpoint's certificate, in the state of its first generation.
fn leaf(lab: &Lab) -> Leaf {
    let credentials = Credentials::load(&lab.state(ENDPOINT).join("gen-1/tls.pem")).unwrap();
    Leaf::parse(&credentials.chain[0]).unwrap()
}

/// Gives the endpoint the certificate it would have had it enrolled `age` ago.
fn age(lab: &Lab, age: Duration) -> Leaf {
    let path = lab.state(ENDPOINT).join("gen-1/tls.pem");
    let key = Credentials::load(&path).unwrap().key;
    let (authority, name) = lab::proxy::identity(&lab.path("server")).unwrap();
    let subject = Subject::Endpoint { id: ENDPOINT.parse().unwrap(), generation: Generation::FIRST };
    let then = now().checked_sub(age).unwrap();
    let issued = authority
        .issue(&key.public(), &Identity::new(name.deployment, subject), ENDPOINT_LIFE, then)
        .unwrap();
    Credentials::replace(&path, &key, &[issued.certificate.into()]).unwrap();
    leaf(lab)
}

/// An agent that is not waited for.
fn agent(lab: &Lab, state: &Path, log: &str) -> Child {
    let mut command = lab.tool("exhibit-agent");
    command.arg("run").arg("--state").arg(state);
    command.env("EXHIBIT_RECONNECT_MIN_MS", "50");
    command.env("EXHIBIT_RECONNECT_MAX_MS", "500");
    Child::start(command, &lab.path(log)).unwrap()
}

fn endpoint_row(lab: &Lab, generation: u64) -> Value {
    let list = lab.json(&["endpoint", "list"]).unwrap();
    let is_it = |row: &Value| row["endpoint"] == ENDPOINT && row["generation"] == generation;
    rows(&list).into_iter().find(is_it).unwrap()
}

#[test]
fn a_retired_endpoint_is_out_until_it_is_enrolled_anew() {
    let mut lab = Lab::new().unwrap();
    lab.enrol(ENDPOINT).unwrap();
    lab.start_agent(ENDPOINT, &[]).unwrap();
    let profile = small(&lab, &[]);
    let incident = lab.incident().unwrap();
    let first = lab.collect(&incident, ENDPOINT, &profile).unwrap();
    lab.stop_agent(ENDPOINT).unwrap();
    let order = |lab: &Lab| {
        let mut order = lab.exhibit();
        order.args(["--json", "collect", "--incident", &incident, "--on", ENDPOINT]);
        order.args(["--purpose", "test", "--no-wait", "--profile"]).arg(&profile);
        order
    };
    let waiting = run(&mut order(&lab)).unwrap();
    let waiting = text(&serde_json::from_slice(&waiting.stdout).unwrap(), "order").unwrap();

    run(lab.exhibit().args(["endpoint", "retire", ENDPOINT, "--reason", "Decommissioned"])).unwrap();
    let retired = agent(&lab, &lab.state(ENDPOINT), "retired.log");
    let cause = wait_said(&lab, "retired.log", "Disconnected");
    assert!(cause.contains("CertificateRevoked"), "{cause}");
    assert_eq!(endpoint_row(&lab, 1)["state"], "retired");
    let ordering = refused(&mut order(&lab), "not enrolled, or retired");
    drop(retired);
    println!(
        "tried: an endpoint retired while an order waits for it; got: its agent: {cause}; a new order: {ordering}"
    );

    // Even its evidence key gets it no new certificate.
    age(&lab, 100 * DAY);
    let retired = agent(&lab, &lab.state(ENDPOINT), "expired.log");
    let cause = wait_said(&lab, "expired.log", "Certificate not renewed");
    assert!(cause.contains("is not enrolled here"), "{cause}");
    assert_eq!(endpoint_row(&lab, 1)["connected"], false);
    drop(retired);
    println!("tried: the same with its certificate ended; got: {cause}");

    let token = lab.token(ENDPOINT, &["--generation", "2"]).unwrap();
    let mut enrol = lab.tool("exhibit-agent");
    enrol.args(["enrol", "--token", &token, "--state"]).arg(lab.state(ENDPOINT));
    refused(&mut enrol, "--replace");
    run(enrol.arg("--replace")).unwrap();
    lab.start_agent(ENDPOINT, &[]).unwrap();
    let second = lab
        .collect(&incident, ENDPOINT, &profile)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));
    assert_ne!(first["collection"], second["collection"]);
    let shown = lab.json(&["order", "show", &waiting]).unwrap();
    let begun: Vec<Value> = rows(&shown["attempts"]).into_iter().filter(|row| row["attempt"] != 0).collect();
    assert_eq!(begun, Vec::<Value>::new(), "the order was for generation 1");
    assert_eq!(endpoint_row(&lab, 2)["state"], "enrolled");
    assert_eq!(verified(&lab, &incident), 2);
    println!(
        "tried: a token for generation 2 and enrol --replace; got: it collects again, the old order stays undelivered, the bundle with evidence of both generations verifies"
    );
}

#[test]
fn a_certificate_is_renewed_in_its_second_half_and_after_its_end() {
    let mut lab = Lab::new().unwrap();
    lab.enrol(ENDPOINT).unwrap();
    let profile = small(&lab, &[]);
    let incident = lab.incident().unwrap();
    for days in [50, 100] {
        let old = age(&lab, days * DAY);
        lab.start_agent(ENDPOINT, &[]).unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));
        let new = wait_for("a new certificate", || {
            let leaf = leaf(&lab);
            Ok((leaf.serial != old.serial).then_some(leaf))
        })
        .unwrap_or_else(|error| panic!("{error:?}\n{}", lab.logs()));
        assert_ne!(new.key, old.key, "the key is new, too");
        assert!(new.not_after.since(now()) > 89 * DAY);
        lab.wait_connected(ENDPOINT).unwrap();
        lab.collect(&incident, ENDPOINT, &profile)
            .unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));
        lab.stop_agent(ENDPOINT).unwrap();
        println!(
            "tried: a certificate of {days} days, until {}; got: renewed until {}, collected",
            old.not_after, new.not_after
        );
    }
    let log = run(lab.tool("exhibit-agent").args(["log", "--state"]).arg(lab.state(ENDPOINT))).unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.matches("certificate_renewed").count(), 2, "{log}");
    assert_eq!(verified(&lab, &incident), 2);
}

#[test]
fn an_agent_without_root_says_what_it_was_denied() {
    let name = "an_agent_without_root_says_what_it_was_denied";
    if !is_root(name) {
        return;
    }
    const USER: u32 = 64_321;
    let lab = Lab::new().unwrap();
    // The folder of a lab is its owner's alone.
    let state = tempfile::Builder::new().prefix("exhibit-user-").tempdir().unwrap();
    std::os::unix::fs::chown(state.path(), Some(USER), Some(USER)).unwrap();
    let programs = tempfile::tempdir().unwrap();
    open_to_all(programs.path());
    let program = programs.path().join("exhibit-agent");
    fs_err::copy(lab::bin_dir().join("exhibit-agent"), &program).unwrap();
    let as_user = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        let user = USER.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
        command.arg(&program).args(args).arg("--state").arg(state.path().join("agent"));
        command
    };
    let token = lab.token(ENDPOINT, &[]).unwrap();
    run(&mut as_user(&["enrol", "--token", &token])).unwrap();
    let agent = Child::start(as_user(&["run"]), &lab.path("user.log")).unwrap();
    lab.wait_connected(ENDPOINT).unwrap_or_else(|error| panic!("{error:#}\n{}", agent.log()));
    let incident = lab.incident().unwrap();
    let collection = lab
        .collect(&incident, ENDPOINT, "linux-triage".as_ref())
        .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", agent.log(), lab.logs()));
    let shown = lab.json(&["collection", "show", &text(&collection, "collection").unwrap()]).unwrap();
    let denied = rows(&shown["outcomes"]).into_iter().find(|pair| pair[0] == "denied");
    let denied = denied.unwrap_or_else(|| panic!("nothing was denied: {shown}"))[1].as_u64().unwrap();
    assert_eq!(verified(&lab, &incident), 1);
    println!(
        "tried: linux-triage by an agent of uid {USER}; got: stored and verified, {} items, {denied} denied",
        number(&collection, "items").unwrap()
    );
    drop(agent);
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
