//! A small deployment: authority, persons, a log that signs whatever it is asked, one enrolled endpoint, and a link.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::diary;
use agent::message::{Empty, FromLink, ToLink, from_link, to_link};
use agent::state::identity::{self, NewIdentity, Pins};
use agent::warden::{self, LinkSource, Settings, WardenError};
use cage::channel;
use certs::key::TlsKey;
use evidence::digest::Digest;
use evidence::id::Generation;
use evidence::keys::SigningKey;
use evidence::order::*;
use evidence::roster::*;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use ledger::{KeyType, NoteSigner};
use proto::v1;
use rustls::pki_types::CertificateDer;
pub use testkit::clock::{ago, later, now};
use testkit::log::Log;
use testkit::orders;
use testkit::packages;
use testkit::people::{self, person};
pub use testkit::people::{key, sign};
pub use testkit::wait::{self, PATIENCE};

pub const DEPLOYMENT: &str = "acme";
pub const ADA: u8 = 10;
pub const BOB: u8 = 12;
pub const MALLORY: u8 = 66;
const AUTHORITY: u8 = 1;
const EVIDENCE: u8 = 20;

pub fn authority() -> AuthoritySet {
    people::authority(1, &[AUTHORITY])
}

/// The log: an append-only list and a key.
pub fn log(key: u8) -> Log {
    Log::of(NoteSigner::new("exhibit/acme", &[key; 32]).unwrap(), &[&[0], &[1], &[2]])
}

pub struct Lab {
    _dir: tempfile::TempDir,
    pub state: PathBuf,
    pub root: PathBuf,
    pub policy: PathBuf,
    calls: PathBuf,
    program: PathBuf,
    pub log: RefCell<Log>,
    pub roster: Roster,
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (state, root, policy, calls, program) =
            (at("state"), at("root"), at("policy.toml"), at("calls"), at("agent"));
        fs_err::write(&policy, "").unwrap();
        fs_err::create_dir(&root).unwrap();
        // Every process the warden starts leaves a line, then becomes the agent.
        let agent = env!("CARGO_BIN_EXE_exhibit-agent");
        fs_err::write(
            &program,
            format!("#!/bin/sh\necho \"$1 $$\" >> '{}'\nexec '{agent}' \"$@\"\n", calls.display()),
        )
        .unwrap();
        fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Link and sealer are other users when this runs as root.
        fs_err::write(&calls, "").unwrap();
        fs_err::set_permissions(&calls, std::fs::Permissions::from_mode(0o666)).unwrap();
        let roster = roster();
        let lab = Self { state, root, policy, calls, program, log: RefCell::new(log(40)), roster, _dir: dir };
        lab.enrol();
        lab
    }

    fn enrol(&self) {
        let now = now();
        let ca = certs::authority::Authority::create(DEPLOYMENT.parse().unwrap(), now).unwrap();
        let tls_key = TlsKey::generate().unwrap();
        let name = format!("exhibit://{DEPLOYMENT}/endpoint/web-03/1").parse().unwrap();
        let issued = ca.issue(&tls_key.public(), &name, Duration::from_secs(90 * 86_400), now).unwrap();
        let chain = ca.chain(&issued);
        let (chain, ca): (Vec<CertificateDer<'static>>, _) =
            (vec![chain[0].clone()], chain.last().unwrap().to_vec());
        let pins = Pins {
            deployment: DEPLOYMENT.parse().unwrap(),
            endpoint: "web-03".parse().unwrap(),
            generation: Generation::FIRST,
            collector_id: "collector-1".parse().unwrap(),
            collector: "127.0.0.1:1".to_owned(),
            enrol: "127.0.0.1:2".to_owned(),
            authority_threshold: 1,
            authority_keys: authority().keys,
            log_key: self.log.borrow().signer.verifier_key(KeyType::Ed25519).to_string(),
            token: Digest::of(b"token"),
            enrolled: now,
        };
        let checkpoint = self.log.borrow().note().to_string();
        let new = NewIdentity {
            log_keys: &[],
            pins: &pins,
            evidence_key: &key(EVIDENCE),
            tls_key: &tls_key,
            chain: &chain,
            ca: &ca,
            roster: &sign(&self.roster, &[AUTHORITY]),
            checkpoint: checkpoint.as_bytes(),
        };
        identity::write(&self.state, &new, false).unwrap();
    }

    pub fn evidence_key(&self) -> SigningKey {
        key(EVIDENCE)
    }

    fn targets(&self) -> TargetSet {
        let target = |name| orders::target(name, 1, &key(EVIDENCE).public());
        TargetSet::new(vec![target("db-01"), target("web-03")]).unwrap()
    }

    /// An order for everything below the lab's root.
    pub fn order(&self) -> Order {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let roster = sign(&self.roster, &[AUTHORITY]);
        let plan = Plan::new(vec![orders::files(&["/data/**"])]);
        Order {
            nonce: FixedBytes(nonce),
            expires: later(3600),
            ..orders::order(&roster, &self.targets(), plan, ago(60))
        }
    }

    /// The package of an honest collector.
    pub fn package(&self, order: &Order, signer: u8) -> v1::OrderPackage {
        self.package_with(order, &sign(order, &[signer]), &[])
    }

    pub fn package_with(&self, order: &Order, signed: &Signed, approvals: &[Signed]) -> v1::OrderPackage {
        let mut log = self.log.borrow_mut();
        let from = self.kept();
        let entries: Vec<Vec<u8>> = packages::entries(now(), order, signed, approvals)
            .iter()
            .map(|entry| entry.encode().unwrap())
            .collect();
        let indexes: Vec<u64> = entries.iter().map(|entry| log.append(entry)).collect();
        let mut proven = entries.iter().zip(indexes).map(|(entry, index)| v1::ProvenEntry {
            entry: entry.clone().into(),
            proof: log.proof(index).into(),
        });
        let target = self.targets().proof(&"web-03".parse().unwrap()).unwrap();
        v1::OrderPackage {
            order: Some(signed.into()),
            approvals: approvals.iter().map(Into::into).collect(),
            rosters: Vec::new(),
            target_index: target.index,
            target_proof: target
                .proof
                .iter()
                .map(|hash| bytes::Bytes::copy_from_slice(hash.as_bytes()))
                .collect(),
            issued: proven.next(),
            approved: proven.collect(),
            consistency_from: from,
            consistency: proto::convert::hash_bytes(&log.consistency(from)),
        }
    }

    /// Size of the checkpoint the endpoint keeps, as its greeting says.
    pub fn kept(&self) -> u64 {
        let note = fs_err::read_to_string(self.state.join("gen-1/checkpoint")).unwrap();
        note.lines().nth(1).unwrap().parse().unwrap()
    }

    pub fn write_policy(&self, text: &str) {
        fs_err::write(&self.policy, text).unwrap();
    }

    /// Starts a warden whose link we are.
    pub fn start(&self) -> Link {
        let (ours, theirs) = cage::datagram::pair().unwrap();
        let settings = Settings {
            state: self.state.clone(),
            policy: Some(self.policy.clone()),
            root: self.root.clone(),
            program: self.program.clone(),
            link: LinkSource::Given(theirs),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
            stop: None,
        };
        let warden = std::thread::spawn(move || warden::run(settings));
        let link = Link { socket: Some(ours), warden: Some(warden) };
        loop {
            if let (to_link::Say::Identity(identity), _) = link.next() {
                assert_eq!(identity.endpoint, "web-03");
                break;
            }
        }
        link.say(from_link::Say::Ready(Empty {}));
        link.connect();
        link
    }

    /// Roles of all processes that were started, sorted.
    pub fn calls(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.started().into_iter().map(|(role, _)| role).collect();
        roles.sort();
        roles
    }

    /// Process id of the newest process of a role.
    pub fn newest(&self, role: &str) -> i32 {
        let started = self.started().into_iter().rfind(|(started, _)| started == role);
        started.unwrap().1
    }

    /// Waits until the newest process of each role stands still: between many looks in a row, none of its threads has run.
    pub fn wait_for_standstill(&self, roles: &[&str]) {
        const LOOKS: u32 = 100;
        let switches = |role: &&str| -> Vec<String> {
            let tasks = fs_err::read_dir(format!("/proc/{}/task", self.newest(role))).unwrap();
            let status =
                tasks.map(|task| fs_err::read_to_string(task.unwrap().path().join("status")).unwrap());
            let lines =
                status.map(|text| text.lines().filter(|line| line.contains("ctxt_switches")).collect());
            lines.collect()
        };
        let (mut last, mut same) = (Vec::new(), 0);
        wait::until("processes standing still", || {
            let now: Vec<_> = roles.iter().map(switches).collect();
            same = if now == last { same + 1 } else { 0 };
            last = now;
            same == LOOKS
        });
    }

    fn started(&self) -> Vec<(String, i32)> {
        let text = fs_err::read_to_string(&self.calls).unwrap_or_default();
        let parse =
            |line: &str| line.split_once(' ').map(|(role, pid)| (role.to_owned(), pid.parse().unwrap()));
        text.lines().filter_map(parse).collect()
    }

    /// Lines of the endpoint's log, verified.
    pub fn diary(&self) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        diary::read(&self.state, |line| lines.push(serde_json::from_str(line).unwrap())).unwrap();
        lines
    }

    pub fn events(&self, event: &str) -> Vec<serde_json::Value> {
        self.diary().into_iter().filter(|line| line["event"] == event).collect()
    }

    pub fn seen(&self) -> String {
        fs_err::read_to_string(self.state.join("seen.jsonl")).unwrap_or_default()
    }
}

pub fn roster() -> Roster {
    let persons = vec![person("ada", &[ADA], &[Role::Responder]), person("bob", &[BOB], &[Role::Approver])];
    people::roster(DEPLOYMENT, authority(), persons, ago(86_400), later(86_400 * 20))
}

pub fn approval(order: &Signed, by: u8) -> Signed {
    sign(&orders::approval(order.digest(), ago(30)), &[by])
}

/// The link's end, in the hands of a test.
pub struct Link {
    socket: Option<OwnedFd>,
    warden: Option<JoinHandle<Result<(), WardenError>>>,
}

impl Link {
    fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().unwrap()
    }

    pub fn say(&self, say: from_link::Say) {
        channel::send(self.socket().as_fd(), &FromLink { say: Some(say) }, Vec::new()).unwrap();
    }

    pub fn connect(&self) {
        let welcome =
            v1::Welcome { collector: "collector-1".into(), wall: "1.000000000".into(), heartbeat_s: 60 };
        self.say(from_link::Say::Connected(welcome));
    }

    /// The next thing the warden says.
    pub fn next(&self) -> (to_link::Say, Vec<OwnedFd>) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some((message, files)) = channel::try_receive::<ToLink>(self.socket().as_fd()).unwrap() {
                return (message.say.unwrap(), files);
            }
            assert!(Instant::now() < until, "the warden said nothing");
            let mut polled = [rustix::event::PollFd::new(self.socket(), rustix::event::PollFlags::IN)];
            let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            rustix::event::poll(&mut polled, Some(&second)).unwrap();
        }
    }

    /// All that the warden has said by now.
    pub fn said_so_far(&self) -> Vec<to_link::Say> {
        let next = || channel::try_receive::<ToLink>(self.socket().as_fd()).unwrap();
        std::iter::from_fn(next).map(|(message, _)| message.say.unwrap()).collect()
    }

    /// The next answer to an order, skipping everything else.
    pub fn answer(&self) -> v1::OrderAnswer {
        loop {
            let (to_link::Say::Attend(request), _) = self.next() else {
                continue;
            };
            if let Some(v1::attend_request::Message::Answer(answer)) = request.message {
                return answer;
            }
        }
    }

    /// The next end of an attempt, skipping everything else.
    pub fn ended(&self) -> v1::AttemptEnded {
        loop {
            let (to_link::Say::Attend(request), _) = self.next() else {
                continue;
            };
            if let Some(v1::attend_request::Message::AttemptEnded(ended)) = request.message {
                return ended;
            }
        }
    }

    /// Ends the warden as a power cut would, but for what it is doing this moment.
    pub fn stop(mut self) -> Result<(), WardenError> {
        self.socket = None;
        self.warden.take().unwrap().join().unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket = None;
        if let Some(warden) = self.warden.take() {
            drop(warden.join());
        }
    }
}

pub fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}
