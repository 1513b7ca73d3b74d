//! A deployment of one collector as a real process, with persons and endpoints played here over real sockets.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use certs::identity::Credentials;
use certs::request::TlsKey;
use certs::tls::{self, Expected};
use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::*;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::detail::Detail;
use evidence::entry::{Entry, EntryType};
use evidence::id::{Actor, Chain, Generation};
use evidence::keys::{PublicKey, SigningKey};
use evidence::log_key::LogKey;
use evidence::order::*;
use evidence::roster::*;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use proto::{service, v1};
use rustls::pki_types::CertificateDer;
pub use testkit::wait::{self, PATIENCE};
use tonic::transport::Channel;

pub const DEPLOYMENT: &str = "acme";
pub const AUTHORITY: u8 = 1;
/// Responder, analyst, endpoint-admin.
pub const ADA: u8 = 10;
/// Approver.
pub const BOB: u8 = 11;
/// Auditor only.
pub const DAN: u8 = 12;

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

pub fn sign<T: Document>(document: &T, keys: &[&SigningKey]) -> Signed {
    Signed::sign(document, keys).unwrap()
}

pub fn now() -> Time {
    server::clock::now()
}

pub fn later(seconds: u64) -> Time {
    now().checked_add(Duration::from_secs(seconds)).unwrap()
}

pub fn nonce() -> FixedBytes<16> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    FixedBytes(nonce)
}

pub fn authority() -> AuthoritySet {
    AuthoritySet::new(1, vec![key(AUTHORITY).public()]).unwrap()
}

pub fn roster(version: u64, previous: Option<Digest>, with_bob: bool) -> Roster {
    let person = |id: &str, number: u8, roles: &[Role]| Person {
        id: id.parse().unwrap(),
        keys: vec![key(number).public()],
        roles: roles.to_vec(),
    };
    let mut persons = vec![person("ada", ADA, &[Role::Responder, Role::Analyst, Role::EndpointAdmin])];
    if with_bob {
        persons.push(person("bob", BOB, &[Role::Approver]));
    }
    persons.push(person("dan", DAN, &[Role::Auditor]));
    Roster {
        type_: RosterType,
        deployment: DEPLOYMENT.parse().unwrap(),
        version,
        previous,
        issued: now(),
        not_after: later(86_400),
        authority: authority(),
        persons,
        rules: Rules { two_persons: vec![Sensitivity::Sensitive], order_hours_max: 24 },
    }
}

/// A collector's directory, its stores, and its process while it runs.
pub struct Lab {
    place: tempfile::TempDir,
    process: Option<Child>,
    pub roster: Signed,
    card: serde_json::Value,
}

impl Lab {
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let signed = sign(&roster(1, None, true), &[&key(AUTHORITY)]);
        fs_err::write(place.path().join("authority"), authority().to_trust_file()).unwrap();
        fs_err::write(place.path().join("roster.signed"), signed.encode()).unwrap();
        let at = |name: &str| place.path().join(name);
        let status = Command::new(program())
            .arg("init")
            .arg(at("server"))
            .arg("--authority")
            .arg(at("authority"))
            .arg("--roster")
            .arg(at("roster.signed"))
            .arg("--store")
            .arg(at("a"))
            .arg("--store")
            .arg(at("b"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--enrol-listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
            ])
            .args(["--address", "127.0.0.1:1", "--enrol-address", "127.0.0.1:2"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let card = serde_json::from_slice(&fs_err::read(at("server/deployment.json")).unwrap()).unwrap();
        let mut lab = Self { place, process: None, roster: signed, card };
        lab.start();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn start(&mut self) {
        let log = fs_err::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(program())
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

    /// `kill -9`: as a power cut, but for the page cache.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        drop(fs_err::remove_file(self.path("server/run/addresses.json")));
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let id = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        process.wait().unwrap().code()
    }

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

    pub fn address(&self, which: &str) -> String {
        let text = fs_err::read(self.path("server/run/addresses.json")).unwrap();
        let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap();
        addresses[which].as_str().unwrap().to_owned()
    }

    pub fn log_key(&self) -> LogKey {
        self.card["log_key"].as_str().unwrap().parse().unwrap()
    }

    pub fn ca_sha256(&self) -> Digest {
        self.card["ca_sha256"].as_str().unwrap().parse().unwrap()
    }

    pub fn policy(&self) -> ledger::Policy {
        self.log_key().policy().unwrap()
    }

    pub async fn stranger(&self) -> Channel {
        let expected = Expected::deployment(DEPLOYMENT.parse().unwrap());
        let config = tls::client_pinned(self.ca_sha256().0, expected).unwrap();
        certs::connect::connect(&self.address("enrol"), config).await.unwrap()
    }

    pub async fn connect(&self, credentials: &Credentials) -> Channel {
        let expected = Expected::deployment(DEPLOYMENT.parse().unwrap());
        let ca = credentials.chain.last().unwrap();
        let config = tls::client(ca, Some(credentials), expected).unwrap();
        certs::connect::connect(&self.address("collector"), config).await.unwrap()
    }

    pub async fn login(&self, id: &str, number: u8) -> Session {
        let mut client = service::enrol_client(self.stranger().await);
        let request = v1::LoginChallengeRequest { person: id.to_owned() };
        let challenge = client.login_challenge(request).await.unwrap().into_inner().challenge;
        let tls_key = TlsKey::generate().unwrap();
        let login = Login {
            type_: LoginType,
            deployment: DEPLOYMENT.parse().unwrap(),
            person: id.parse().unwrap(),
            challenge: FixedBytes(challenge.as_ref().try_into().unwrap()),
            tls_key: tls_key.public(),
            at: now(),
        };
        let signed = sign(&login, &[&key(number), tls_key.signing_key()]);
        let csr = tls_key.request().unwrap().into();
        let request = v1::LoginRequest { login: Some(signed.into()), csr };
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
        let mut found = Vec::new();
        walk(&self.path(store), &mut found);
        found.retain(|path| path.to_str().unwrap().contains(part));
        found.sort();
        found
    }
}

impl Drop for Lab {
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

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn der(chain: Vec<bytes::Bytes>) -> Vec<CertificateDer<'static>> {
    chain.into_iter().map(|certificate| certificate.to_vec().into()).collect()
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exhibit-server"))
}

/// A person with a session.
pub struct Session {
    pub channel: Channel,
    pub id: String,
    pub key: SigningKey,
    pub credentials: Credentials,
}

impl Session {
    pub fn act(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
        fields: &[(&str, &str)],
        text: Option<&str>,
    ) -> v1::ActRequest {
        let detail = text.map(|text| Detail { salt: nonce(), text: text.to_owned() }.encode().unwrap());
        let mut refs: Vec<_> = refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        refs.sort();
        let act = Act {
            type_: ActType,
            deployment: DEPLOYMENT.parse().unwrap(),
            act: type_,
            incident: chain,
            at: now(),
            by: Actor::Person(self.id.parse().unwrap()),
            refs,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            detail: detail.as_ref().map(|(_, digest)| *digest),
            nonce: ActNonce::Once(nonce()),
        };
        let detail = detail.map(|(bytes, _)| bytes.into()).unwrap_or_default();
        v1::ActRequest { act: Some(sign(&act, &[&self.key]).into()), detail }
    }

    pub async fn open_incident(&self) -> String {
        let mut client = service::incident_client(self.channel.clone());
        let id = client.next_incident_id(v1::NextIncidentIdRequest {}).await.unwrap().into_inner().incident;
        let request = self.opening(&id);
        client.open_incident(request).await.unwrap();
        id
    }

    pub fn opening(&self, id: &str) -> v1::ActRequest {
        let chain = Chain::Incident(id.parse().unwrap());
        let fields = [("class", "intrusions"), ("severity", "high"), ("tlp", "amber")];
        self.act(
            EntryType::IncidentOpened,
            chain,
            &[("incident", id.to_owned())],
            &fields,
            Some("Odd logins on web-03"),
        )
    }

    /// Registers a token and enrols an endpoint under it.
    pub async fn enrol(&self, lab: &Lab, name: &str, generation: u32) -> Endpoint {
        let one_time = SigningKey::generate(getrandom::fill).unwrap();
        let token = Token {
            type_: TokenType,
            deployment: DEPLOYMENT.parse().unwrap(),
            endpoint: name.parse().unwrap(),
            generation: Generation::new(generation).unwrap(),
            key: one_time.public(),
            issuer: self.id.parse().unwrap(),
            issued: now().checked_sub(Duration::from_secs(1)).unwrap(),
            not_after: later(3600),
            enrol: "127.0.0.1:2".parse().unwrap(),
            collector: "127.0.0.1:1".parse().unwrap(),
            collector_id: "collector-1".parse().unwrap(),
            authority: authority().id(),
            ca_sha256: lab.ca_sha256(),
            log_key: lab.log_key(),
            roster_version_min: 1,
        };
        let signed = sign(&token, &[&self.key]);
        let request = v1::RegisterTokenRequest { token: Some((&signed).into()) };
        service::endpoint_client(self.channel.clone()).register_token(request).await.unwrap();
        let string = TokenString::new(signed, one_time).unwrap();
        Endpoint::enrol(lab, &string).await.unwrap()
    }
}

/// An enrolled endpoint.
pub struct Endpoint {
    pub name: String,
    pub generation: Generation,
    pub evidence: SigningKey,
    pub credentials: Credentials,
    pub accepted: Accepted,
    pub request: (Signed, Vec<u8>),
}

impl Endpoint {
    pub async fn enrol(lab: &Lab, token: &TokenString) -> Result<Self, tonic::Status> {
        let evidence = SigningKey::generate(getrandom::fill).unwrap();
        let tls_key = TlsKey::generate().unwrap();
        let csr = tls_key.request().unwrap();
        let request = EnrolmentRequest {
            type_: EnrolmentType,
            deployment: DEPLOYMENT.parse().unwrap(),
            endpoint: token.token().endpoint.clone(),
            generation: token.token().generation,
            token: token.signed().digest(),
            evidence_key: evidence.public(),
            tls_key: tls_key.public(),
            csr_sha256: Digest::of(&csr),
            nonce: nonce(),
            at: now(),
            agent: AgentBuild { version: "0".into(), build_sha256: Digest::ZERO },
        };
        let signed = sign(&request, &[token.key(), &evidence, tls_key.signing_key()]);
        let mut client = service::enrol_client(lab.stranger().await);
        let call = v1::EnrolRequest { enrolment: Some((&signed).into()), csr: csr.clone().into() };
        let answer = client.enrol(call).await?.into_inner();
        let chain = der(answer.certificates);
        let set = AuthoritySet::new(
            answer.authority_threshold,
            answer.authority_keys.iter().map(|key| key.parse::<PublicKey>().unwrap()).collect(),
        )
        .unwrap();
        let newest = Signed::try_from(answer.rosters.last().unwrap().clone()).unwrap().encode();
        let enrolled = answer.enrolled.unwrap();
        let offer = Offer {
            log_keys: &[],
            ca: chain.last().unwrap(),
            roster: &newest,
            authority: &set,
            entry: &enrolled.entry,
            proof: &enrolled.proof,
        };
        let accepted = accept(token, &signed, &offer, now()).unwrap();
        Ok(Self {
            name: token.token().endpoint.to_string(),
            generation: token.token().generation,
            evidence,
            credentials: Credentials { key: tls_key, chain },
            accepted,
            request: (signed, csr),
        })
    }

    pub fn target(&self) -> Target {
        Target {
            endpoint: self.name.parse().unwrap(),
            generation: self.generation,
            evidence_key: self.evidence.public().fingerprint(),
        }
    }
}

pub fn limits() -> Limits {
    Limits {
        wall_s: 3600,
        stored_bytes: 1 << 30,
        plain_bytes: 1 << 32,
        item_bytes: 1 << 30,
        items: 1000,
        cpu_pct: 100,
    }
}

pub fn plan(environ: bool) -> Plan {
    Plan::new(vec![Step::Host {}, Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ })])
}

pub fn order(lab: &Lab, incident: &str, targets: &TargetSet, plan: Plan) -> Order {
    Order {
        type_: OrderType,
        deployment: DEPLOYMENT.parse().unwrap(),
        incident: incident.parse().unwrap(),
        nonce: nonce(),
        issuer: "ada".parse().unwrap(),
        issued: now(),
        expires: later(3600),
        attempts: 3,
        roster_version: lab.roster.read::<Roster>().unwrap().version,
        roster_sha256: lab.roster.digest(),
        targets_count: targets.count(),
        targets_root: targets.root(),
        profile: ProfileRef { name: "test".into(), version: "1".into(), sha256: Digest::ZERO },
        purpose: "To see what happened".into(),
        sensitivity: plan.sensitivity(),
        limits: limits(),
        plan,
    }
}

pub fn leaves(targets: &TargetSet) -> Vec<v1::TargetLeaf> {
    targets
        .targets()
        .iter()
        .map(|target| v1::TargetLeaf {
            endpoint: target.endpoint.to_string(),
            generation: u64::from(target.generation.number()),
            evidence_key: target.evidence_key.to_string(),
        })
        .collect()
}

/// Issues an order for one endpoint; gives it signed.
pub async fn issue(
    lab: &Lab,
    ada: &Session,
    incident: &str,
    endpoint: &Endpoint,
    plan: Plan,
) -> (Order, Signed) {
    let targets = TargetSet::new(vec![endpoint.target()]).unwrap();
    let order = order(lab, incident, &targets, plan);
    let signed = sign(&order, &[&ada.key]);
    let request = v1::IssueOrderRequest { order: Some((&signed).into()), targets: leaves(&targets) };
    service::order_client(ada.channel.clone()).issue_order(request).await.unwrap();
    (order, signed)
}

/// Checks an entry's proof under the pinned log key, and gives the entry.
pub fn proven(lab: &Lab, proven: &v1::ProvenEntry) -> Entry {
    let file = ledger::ProofFile::parse(&proven.proof).unwrap();
    assert!(file.verify(&ledger::leaf_hash(&proven.entry), &lab.policy()).unwrap().quorum_met);
    Entry::parse(&proven.entry).unwrap()
}
