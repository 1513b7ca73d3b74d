//! A collector in a folder: the program that operators run, on loopback, with its own CA, log key, two stores and two rosters.
//! The test plays persons and endpoints over real sockets.
//!
//! Guarantee: the collector's surroundings break hidden assumptions of tests. Its machine is not in UTC, its enrolment listener uses IPv6
//! if the machine has it, and its newest roster is not its first. The process ends when its owner is dropped. Not here: the commands of
//! responders and agents (the package `system-tests` has a lab of all programs).

#![expect(clippy::indexing_slicing, reason = "a test that cannot build its world has failed")]

mod endpoint;
mod orders;
mod session;

pub use endpoint::{Endpoint, enrolment};
pub use orders::{issue, leaves, limits, order, plan, proven};
pub use session::Session;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::tls::{self, Expected};
use evidence::digest::Digest;
use evidence::enrolment::{Login, LoginType};
use evidence::log_key::LogKey;
use evidence::roster::{AuthoritySet, Person, Role, Roster};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use proto::{service, v1};
use rustls::pki_types::CertificateDer;
use tonic::transport::Channel;

use crate::clock::{later, now};
use crate::people::{self, key, person, sign};
use crate::wait;
use crate::walk::files_below;

/// The deployment's name.
pub const DEPLOYMENT: &str = "acme";
/// Number of the authority's key.
pub const AUTHORITY: u8 = 1;
/// Number of Ada's key: responder, analyst, endpoint-admin.
pub const ADA: u8 = 10;
/// Number of Bob's key: approver.
pub const BOB: u8 = 11;
/// Number of Dan's key: auditor only.
pub const DAN: u8 = 12;

/// A fresh nonce.
pub fn nonce() -> FixedBytes<16> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    FixedBytes(nonce)
}

/// The authority: one key.
pub fn authority() -> AuthoritySet {
    people::authority(1, &[AUTHORITY])
}

/// Ada, Bob and Dan with their roles.
pub fn persons() -> Vec<Person> {
    vec![
        person("ada", &[ADA], &[Role::Responder, Role::Analyst, Role::EndpointAdmin]),
        person("bob", &[BOB], &[Role::Approver]),
        person("dan", &[DAN], &[Role::Auditor]),
    ]
}

/// Completes a command of `exhibit-server` to one that makes a collector in `place/server`, with stores in `place/a` and `place/b`.
/// Writes the authority and the first roster there, and returns the roster.
pub fn init(command: &mut Command, place: &Path) -> Signed {
    let roster = people::roster(DEPLOYMENT, authority(), persons(), now(), later(86_400));
    let roster = sign(&roster, &[AUTHORITY]);
    fs_err::write(place.join("authority"), authority().to_trust_file()).unwrap();
    fs_err::write(place.join("roster.signed"), roster.encode()).unwrap();
    command.arg("init").arg(place.join("server"));
    for (flag, name) in
        [("--authority", "authority"), ("--roster", "roster.signed"), ("--store", "a"), ("--store", "b")]
    {
        command.arg(flag).arg(place.join(name));
    }
    roster
}

/// A collector's directory, its stores, and its process while it runs.
pub struct Collector {
    place: tempfile::TempDir,
    program: PathBuf,
    process: Option<Child>,
    /// The newest roster.
    pub roster: Signed,
    card: serde_json::Value,
}

impl Collector {
    /// Makes a collector with `program`, an `exhibit-server`, and starts it.
    pub fn new(program: &Path) -> Self {
        let place = tempfile::Builder::new().prefix("collector of a test ").tempdir().unwrap();
        // One listener in each address family, if the machine has both.
        let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        let enrol = if has_ipv6 { "[::1]:0" } else { "127.0.0.1:0" };
        let mut making = command(program);
        let roster = init(&mut making, place.path());
        let status = making
            .args(["--listen", "127.0.0.1:0", "--enrol-listen", enrol, "--metrics-listen", "127.0.0.1:0"])
            .args(["--address", "127.0.0.1:1", "--enrol-address", "127.0.0.1:2"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let card = fs_err::read(place.path().join("server/deployment.json")).unwrap();
        let card = serde_json::from_slice(&card).unwrap();
        let program = program.to_path_buf();
        let mut collector = Self { place, program, process: None, roster, card };
        collector.start();
        let second = collector.next_roster(persons());
        let published = collector.publish(&second, AUTHORITY);
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
        collector.roster = sign(&second, &[AUTHORITY]);
        collector
    }

    /// The roster after the newest one, with other persons.
    pub fn next_roster(&self, persons: Vec<Person>) -> Roster {
        let newest: Roster = self.roster.read().unwrap();
        let next = people::next_roster(&newest, self.roster.digest(), now(), later(86_400));
        Roster { persons, ..next }
    }

    /// Signs a roster with the key of that number and hands it to the collector, as an operator does.
    pub fn publish(&self, roster: &Roster, signer: u8) -> std::process::Output {
        let path = self.path("next.signed");
        fs_err::write(&path, sign(roster, &[signer]).encode()).unwrap();
        command(&self.program).arg("publish-roster").arg(self.path("server")).arg(path).output().unwrap()
    }

    /// A path in the collector's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Starts the collector and waits until it serves.
    pub fn start(&mut self) {
        let log = fs_err::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = command(&self.program)
            .arg("run")
            .arg(self.path("server"))
            .env("EXHIBIT_LOG", "server=debug,info")
            .stderr(log.into_parts().0)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let addresses = self.path("server/run/addresses.json");
        let process = self.process.as_mut().unwrap();
        wait::until("the collector serving", || {
            assert!(process.try_wait().unwrap().is_none(), "the collector ended");
            addresses.exists()
        });
    }

    /// Sends SIGKILL: like a power cut, except that the page cache survives.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        drop(fs_err::remove_file(self.path("server/run/addresses.json")));
    }

    /// Sends SIGTERM, waits, and returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let id = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        process.wait().unwrap().code()
    }

    /// The collector's log so far.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.path("log")).unwrap()
    }

    /// Process ids of the collector's caged children.
    pub fn verifiers(&self) -> Vec<u32> {
        let parent = self.process.as_ref().unwrap().id().to_string();
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let (Ok(stat), Ok(command)) =
                (fs_err::read_to_string(path.join("stat")), fs_err::read(path.join("cmdline")))
            else {
                continue;
            };
            let of_parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1))
                == Some(parent.as_str());
            if of_parent && command.split(|byte| *byte == 0).nth(1) == Some(b"__verify") {
                found.push(id);
            }
        }
        found
    }

    /// The address of a listener: `collector`, `enrol` or `metrics`.
    pub fn address(&self, which: &str) -> String {
        let text = fs_err::read(self.path("server/run/addresses.json")).unwrap();
        let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap();
        addresses[which].as_str().unwrap().to_owned()
    }

    /// The log's key, from the deployment's card.
    pub fn log_key(&self) -> LogKey {
        self.card["log_key"].as_str().unwrap().parse().unwrap()
    }

    /// Digest of the CA's certificate, from the card.
    pub fn ca_sha256(&self) -> Digest {
        self.card["ca_sha256"].as_str().unwrap().parse().unwrap()
    }

    /// The policy that accepts a checkpoint of this log.
    pub fn policy(&self) -> ledger::Policy {
        self.log_key().policy().unwrap()
    }

    /// A connection to the enrolment listener by a caller whom the collector does not know.
    pub async fn stranger(&self) -> Channel {
        let expected = Expected::deployment(DEPLOYMENT.parse().unwrap());
        let config = tls::client_pinned(self.ca_sha256().0, expected).unwrap();
        certs::connect::connect(&self.address("enrol"), config).await.unwrap()
    }

    /// A connection to the main listener.
    pub async fn connect(&self, credentials: &Credentials) -> Channel {
        let expected = Expected::deployment(DEPLOYMENT.parse().unwrap());
        let ca = credentials.chain.last().unwrap();
        let config = tls::client(ca, Some(credentials), expected).unwrap();
        certs::connect::connect(&self.address("collector"), config).await.unwrap()
    }

    /// Logs a person in, with the key of that number.
    pub async fn login(&self, id: &str, number: u8) -> Session {
        let mut client = service::enrol_client(self.stranger().await);
        let request = v1::LoginChallengeRequest { person: id.to_owned() };
        let challenge = client.login_challenge(request).await.unwrap().into_inner().challenge;
        let tls_key = TlsKey::generate().unwrap();
        let csr = tls_key.request(&challenge).unwrap();
        let login = Login {
            type_: LoginType,
            deployment: DEPLOYMENT.parse().unwrap(),
            person: id.parse().unwrap(),
            challenge: FixedBytes(challenge.as_ref().try_into().unwrap()),
            tls_spki_sha256: tls_key.public().spki_sha256(),
            csr_sha256: Digest::of(&csr),
            at: now(),
        };
        let signed = Signed::sign(&login, &[&key(number)]).unwrap();
        let request = v1::LoginRequest { login: Some(signed.into()), csr: csr.into() };
        let chain = client.login(request).await.unwrap().into_inner().certificates;
        let credentials = Credentials { key: tls_key, chain: der(chain) };
        Session {
            channel: self.connect(&credentials).await,
            id: id.to_owned(),
            key: key(number),
            credentials,
        }
    }

    /// Every file below a store's directory whose path contains `part`.
    pub fn stored(&self, store: &str, part: &str) -> Vec<PathBuf> {
        let mut found = files_below(&self.path(store));
        found.retain(|path| path.to_str().unwrap().contains(part));
        found
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            if std::thread::panicking() {
                eprintln!("collector: {:?}", process.try_wait());
            }
            drop(process.kill());
            drop(process.wait());
        }
        if std::thread::panicking() {
            eprintln!("{}", fs_err::read_to_string(self.path("log")).unwrap_or_default());
        }
    }
}

/// The program, on a machine whose time zone is off by half an hour.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("TZ", "America/St_Johns");
    command
}

fn der(chain: Vec<bytes::Bytes>) -> Vec<CertificateDer<'static>> {
    chain.into_iter().map(|certificate| certificate.to_vec().into()).collect()
}
