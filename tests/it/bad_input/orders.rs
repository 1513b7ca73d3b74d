//! Orders that the proxy changes on their way: the endpoint refuses them, reads nothing, and writes down why.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use evidence::digest::Digest;
use evidence::order::Order;
use evidence::roster::Roster;
use evidence::signed::Signed;
use lab::proxy::Seen;
use lab::{run, wait_for};
use ledger::{Checkpoint, Hash, Note, NoteSigner, ProofFile};
use proto::v1::attend_response::Message;
use proto::v1::{self, OrderPackage};
use serde_json::Value;
use testkit::clock::ago;
use testkit::log::Log;
use testkit::people;

use super::{signed_by, wire};
use crate::field::{ENDPOINT, Field};

/// A field with an order under way that the endpoint does not get, and what it takes to spoil it.
struct Bench {
    field: Field,
    incident: String,
    /// The order's id.
    order: String,
    profile: PathBuf,
    captured: Arc<Mutex<Option<OrderPackage>>>,
}

impl Bench {
    fn new() -> Self {
        let field = Field::new().unwrap();
        let dir = field.lab.path("fixture");
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::write(dir.join("file"), b"what is to be collected\n").unwrap();
        let profile = field.lab.files_profile("orders", &[&format!("{}/**", dir.display())]).unwrap();
        let incident = field.incident().unwrap();
        let captured = Arc::new(Mutex::new(None));
        let mut bench = Self { field, incident, order: String::new(), profile, captured };
        bench.renew();
        bench
    }

    /// A new order, withheld: a refusal ends one for good.
    fn renew(&mut self) {
        self.withhold();
        self.order = self.field.order(&self.incident, &self.profile, &[]).unwrap();
    }

    /// Keeps orders from the endpoint, and keeps them here.
    fn withhold(&self) {
        let captured = Arc::clone(&self.captured);
        self.field.proxy.alter(move |message| {
            if let Message::Order(package) = message {
                *captured.lock().unwrap_or_else(PoisonError::into_inner) = Some(package.clone());
                // Says nothing new.
                *message = Message::Welcome(v1::Welcome::default());
            }
        });
    }

    /// The package as the collector makes it now.
    fn package(&self) -> OrderPackage {
        *self.captured.lock().unwrap() = None;
        self.field.proxy.cut();
        wait_for("the order sent again", || Ok(self.captured.lock().unwrap().clone()))
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.field.logs()))
    }

    fn order_of(package: &OrderPackage) -> Order {
        Signed::try_from(package.order.clone().unwrap()).unwrap().read().unwrap()
    }

    fn alice(&self) -> PathBuf {
        self.field.lab.path("admin/keys/alice")
    }

    /// Hands a package to the endpoint; asserts that it refuses with this reason, reads nothing and writes it down.
    fn refused(&mut self, what: &str, reason: &str, package: OrderPackage) {
        let document = package.order.as_ref().map(|order| order.document.clone()).unwrap_or_default();
        let order = Digest::of(&document).to_string();
        let mark = self.field.proxy.mark();
        // The collector may have cut the call over the answer before; the endpoint is back in a moment.
        let mut asked = 0;
        let answer = wait_for("an answer to the order", || {
            let seen = self.field.proxy.since(mark);
            let answer = seen.into_iter().find_map(|one| match one.what {
                Seen::Answer { order: answered, admitted, reason, detail } if answered == order => {
                    Some((admitted, reason, detail))
                }
                _ => None,
            });
            // Every second: the endpoint may have asked for a fresh greeting first.
            if answer.is_none() && asked % 20 == 0 {
                drop(self.field.proxy.say(Message::Order(package.clone())));
            }
            asked += 1;
            Ok(answer)
        })
        .with_context(|| self.field.logs())
        .unwrap();
        assert!(!answer.0, "{what}: admitted");
        assert_eq!(answer.1, reason, "{what}: {}", answer.2);
        let readers = self.field.agent().children("__reader").unwrap();
        assert_eq!(readers, Vec::<u32>::new(), "{what}: a reader runs");
        let diary = self.field.diary().unwrap();
        let about = |event: &str| {
            let is = |line: &&Value| line["event"] == event && line["order"] == order.as_str();
            diary.iter().filter(is).cloned().collect::<Vec<_>>()
        };
        let refusals = about("order_refused");
        assert!(
            refusals.iter().any(|line| line["reason"] == reason),
            "{what}: the endpoint's log has {refusals:?}"
        );
        println!("tried: {what}; got: refused `{reason}` ({}), no reader, in the endpoint's log", answer.2);
    }

    /// The true order is obeyed after all that.
    fn obeyed(&mut self) {
        self.field.proxy.honest();
        self.field.proxy.cut();
        let ended = self.field.wait_ended(&self.order).unwrap();
        assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, self.field.logs());
        // The collector knows before the endpoint does, which until its receipt has an attempt to go on with.
        wait_for("the receipt at the endpoint", || {
            let diary = self.field.diary()?;
            let mut stored = diary.iter().filter(|line| line["event"] == "stored");
            Ok(stored.any(|line| line["order"] == self.order.as_str()).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:?}\n{}", self.field.logs()));
    }

    fn prove(&self, what: v1::prove_request::What) -> v1::ProvenEntry {
        let request = v1::ProveRequest { what: Some(what), cosigned: false };
        self.field.block(async |channel| proto::service::ledger_client(channel).prove(request).await).unwrap()
    }

    /// Consistency from the endpoint's checkpoint to one of `size`.
    fn consistency(&self, from: u64, to: u64) -> Vec<bytes::Bytes> {
        let request = v1::ConsistencyRequest { from, to };
        self.field
            .block(async |channel| proto::service::ledger_client(channel).consistency(request).await)
            .unwrap()
            .proof
    }

    /// The checkpoint that the endpoint keeps.
    fn kept(&self) -> Checkpoint {
        let note = fs_err::read(self.field.lab.state(ENDPOINT).join("gen-1/checkpoint")).unwrap();
        Checkpoint::from_text(Note::parse(&note).unwrap().text()).unwrap()
    }

    fn entries(&self) -> Vec<bytes::Bytes> {
        self.field
            .runtime()
            .block_on(async {
                let credentials = self.field.lab.path("responder/session/credentials.pem");
                let channel = lab::proxy::channel(&self.field.lab.path("server"), &credentials).await?;
                let request =
                    v1::EntriesRequest { from: 0, count: 0, incident: "*".to_owned(), follow: false };
                let mut rows = proto::service::ledger_client(channel).entries(request).await?.into_inner();
                let mut entries = Vec::new();
                while let Some(row) = rows.message().await? {
                    entries.push(row.entry);
                }
                anyhow::Ok(entries)
            })
            .unwrap()
    }

    /// A log of these leaves under the true log key.
    fn log(&self, leaves: Vec<Hash>) -> Log {
        let text = fs_err::read_to_string(self.field.lab.path("server/keys/log")).unwrap();
        let encoded = text.split_whitespace().last().unwrap();
        let seed = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
        let signer = NoteSigner::new("exhibit/lab", &seed.try_into().unwrap()).unwrap();
        Log { leaves, ..Log::of(signer, &[]) }
    }
}

fn size_of(proof: &[u8]) -> u64 {
    let proof = ProofFile::parse(proof).unwrap();
    Checkpoint::from_text(proof.checkpoint().text()).unwrap().size
}

/// A package with another order in it, signed by `key`.
fn with_order(package: &OrderPackage, order: &Order, key: &std::path::Path) -> OrderPackage {
    OrderPackage { order: wire(&signed_by(order, key)), ..package.clone() }
}

#[test]
fn an_order_that_is_not_what_its_issuer_signed_is_refused() {
    let mut bench = Bench::new();
    let package = bench.package();
    let true_order = Bench::order_of(&package);
    let alice = bench.alice();

    let mut again = package.clone();
    again.order = wire(&people::sign(&true_order, &[77]));
    bench.refused("an order signed by a key that nobody knows", "signature", again);

    // The same document: to the collector it was the true order that was refused, and that is the end of it.
    bench.renew();
    let bob = bench.field.lab.path("admin/keys/bob");
    let package = bench.package();
    let true_order = Bench::order_of(&package);
    bench.refused(
        "an order in alice's name signed by bob, who is no responder",
        "signature",
        with_order(&package, &true_order, &bob),
    );

    bench.renew();
    let true_order = Bench::order_of(&bench.package());
    let mut old = true_order.clone();
    old.issued = ago(3 * 3600);
    old.expires = ago(3600);
    let package = bench.package();
    bench.refused("an order that expired an hour ago", "expired", with_order(&package, &old, &alice));

    let mut long = true_order.clone();
    long.expires = long.issued.checked_add(Duration::from_secs(25 * 3600)).unwrap();
    let package = bench.package();
    bench.refused(
        "an order that lives longer than the roster lets it",
        "expired",
        with_order(&package, &long, &alice),
    );

    let mut foreign = true_order.clone();
    foreign.deployment = "other".parse().unwrap();
    let package = bench.package();
    bench.refused("an order of another deployment", "foreign", with_order(&package, &foreign, &alice));

    let mut elsewhere = true_order.clone();
    elsewhere.targets_root = Digest::of(b"other endpoints");
    let package = bench.package();
    bench.refused("an order for other endpoints", "target", with_order(&package, &elsewhere, &alice));

    let mut label = serde_json::to_value(&true_order).unwrap();
    label["sensitivity"] = match label["sensitivity"].as_str() {
        Some("normal") => "sensitive".into(),
        _ => "normal".into(),
    };
    let label: Order = serde_json::from_value(label).unwrap();
    let package = bench.package();
    bench.refused(
        "an order with another sensitivity than its plan has",
        "sensitivity",
        with_order(&package, &label, &alice),
    );

    let mut widened = true_order;
    widened.purpose = "something else".to_owned();
    let package = bench.package();
    bench.refused(
        "an order changed after it was logged, signed by alice again",
        "ledger",
        with_order(&package, &widened, &alice),
    );
    bench.obeyed();
}

#[test]
fn an_order_without_its_ledger_proof_is_refused() {
    let mut bench = Bench::new();
    let package = bench.package();
    let mut without = package.clone();
    without.issued = None;
    bench.refused("an order without the proof of its entry", "malformed", without);

    bench.renew();
    let package = bench.package();
    let other = bench.prove(v1::prove_request::What::Index(0));
    let mut swapped = package.clone();
    swapped.issued = Some(other.clone());
    bench.refused("an order with the entry and proof of log.genesis", "ledger", swapped);

    bench.renew();
    let package = bench.package();
    let other = bench.prove(v1::prove_request::What::Index(1));
    let mut mixed = package.clone();
    mixed.issued = package.issued.map(|issued| v1::ProvenEntry { proof: other.proof, ..issued });
    bench.refused("an order with its entry and another entry's proof", "ledger", mixed);
    bench.renew();
    bench.obeyed();
}

#[test]
fn an_order_from_a_forked_ledger_is_refused_and_a_fork_is_written_down() {
    let mut bench = Bench::new();
    let package = bench.package();
    let kept = bench.kept();
    // The operator rewrites history: one early entry is another, and the log key signs it.
    let mut leaves: Vec<Hash> = bench.entries().iter().map(|entry| ledger::leaf_hash(entry)).collect();
    let issued = package.issued.clone().unwrap();
    let index = leaves.iter().position(|leaf| *leaf == ledger::leaf_hash(&issued.entry)).unwrap();
    leaves[1] = ledger::leaf_hash(b"something that was never recorded");
    let fork = bench.log(leaves);
    let proof = fork.proof(u64::try_from(index).unwrap());
    let mut forked = package.clone();
    forked.issued = Some(v1::ProvenEntry { entry: issued.entry, proof: proof.into() });
    forked.consistency = proto::convert::hash_bytes(&fork.consistency(kept.size));
    bench.refused("an order proven by a forked ledger that the true log key signed", "ledger", forked);
    assert_eq!(bench.kept(), kept, "the endpoint keeps the checkpoint it had");

    // The same size with another root: a contradiction that both notes prove.
    let update = v1::CheckpointUpdate {
        checkpoint: fork.note_at(kept.size).to_string().into_bytes().into(),
        consistency_from: kept.size,
        consistency: Vec::new(),
    };
    let contradiction = wait_for("the contradiction in the endpoint's log", || {
        drop(bench.field.proxy.say(Message::Checkpoint(update.clone())));
        let diary = bench.field.diary()?;
        Ok(diary.into_iter().find(|line| line["event"] == "contradiction"))
    })
    .unwrap();
    assert_eq!(bench.kept(), kept);
    println!(
        "tried: a checkpoint of the kept size with another root, signed by the true log key; got: `contradiction` in the endpoint's log ({})",
        contradiction["detail"].as_str().unwrap_or_default()
    );
    bench.renew();
    bench.obeyed();
    assert!(bench.kept().size > kept.size);

    // An older checkpoint is nothing new.
    let newer = bench.kept();
    let old = v1::CheckpointUpdate {
        checkpoint: bench
            .field
            .block(async |channel| {
                let mut client = proto::service::ledger_client(channel);
                client.consistency(v1::ConsistencyRequest { from: 1, to: kept.size }).await
            })
            .unwrap()
            .checkpoint,
        consistency_from: newer.size,
        consistency: Vec::new(),
    };
    bench.field.proxy.say(Message::Checkpoint(old)).unwrap();
    let incident = bench.incident.clone();
    let profile = bench.profile.clone();
    let next = bench.field.order(&incident, &profile, &[]).unwrap();
    assert_eq!(bench.field.wait_ended(&next).unwrap().state, "stored");
    assert!(bench.kept().size > newer.size, "the endpoint never goes back");
    println!(
        "tried: an older checkpoint sent again; got: ignored, the next order is obeyed, the endpoint's checkpoint grew"
    );
}

#[test]
fn a_stored_order_is_not_obeyed_again() {
    let mut bench = Bench::new();
    let package = bench.package();
    bench.obeyed();
    bench.withhold();
    // With everything fresh that can be fresh: only the count of attempts speaks against it.
    let kept = bench.kept();
    let proven = bench.prove(v1::prove_request::What::Event(bench.order.clone()));
    let replayed = OrderPackage {
        consistency_from: kept.size,
        consistency: bench.consistency(kept.size, size_of(&proven.proof)),
        issued: Some(proven),
        ..package
    };
    bench.refused("an order that was stored, sent again with fresh proofs", "replay", replayed);
}

#[test]
fn an_order_under_a_roster_that_is_withheld_or_has_ended_is_refused() {
    let mut bench = Bench::new();
    // The collector withholds a newer roster that the order names.
    let package = bench.package();
    let mut newer = Bench::order_of(&package);
    newer.roster_version += 1;
    newer.roster_sha256 = Digest::of(b"a roster that the endpoint never saw");
    let alice = bench.alice();
    bench.refused(
        "an order under a roster that was not delivered",
        "roster",
        with_order(&package, &newer, &alice),
    );

    // A roster of the true authority that has ended.
    let first = fs_err::read(bench.field.lab.path("admin/roster-1.signed")).unwrap();
    let first = Signed::parse(&first).unwrap();
    let roster: Roster = first.read().unwrap();
    let ended = people::next_roster(&roster, first.digest(), ago(48 * 3600), ago(3600));
    let authority = bench.field.lab.path("admin/keys");
    let key = fs_err::read_dir(&authority)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("authority") && !name.ends_with(".pub")
        })
        .unwrap();
    let ended = signed_by(&ended, &key);
    let mut package = bench.package();
    package.rosters = wire(&ended).into_iter().collect();
    bench.refused("a roster of the true authority that ended an hour ago", "roster", package);

    // One that nobody of the authority signed.
    bench.renew();
    let forged = people::next_roster(&roster, first.digest(), roster.issued, roster.not_after);
    let mut package = bench.package();
    package.rosters = wire(&people::sign(&forged, &[78])).into_iter().collect();
    bench.refused("a roster that a stranger signed", "roster", package);
    bench.renew();
    bench.obeyed();
}

#[test]
fn an_order_over_the_owners_policy_is_refused() {
    for (text, what) in [
        ("pause = true\n", "an order while the owner paused all collecting"),
        ("denied_collectors = [\"files\"]\n", "an order for a collector that the owner denies"),
        ("min_approvals = 1\n", "an order without the approval that the owner asks for"),
    ] {
        let mut field = Field::silent(&lab::Options::default()).unwrap();
        let policy = field.lab.path("policy.toml");
        fs_err::write(&policy, text).unwrap();
        field.start_agent(&["--policy", policy.to_str().unwrap()]).unwrap();
        let profile = field.lab.files_profile("policy", &["/etc/hostname"]).unwrap();
        let incident = field.incident().unwrap();
        let order = field.order(&incident, &profile, &[]).unwrap();
        let ended = field.wait_ended(&order).unwrap();
        assert_eq!(ended.state, "refused", "{what}: {}", ended.detail);
        let diary = field.diary().unwrap();
        let is_refused = |line: &Value| line["event"] == "order_refused" && line["reason"] == "policy";
        assert!(diary.iter().any(is_refused), "{what}: {diary:?}");
        assert!(!diary.iter().any(|line| line["event"] == "attempt_begun"), "{what}");
        let listed = run(field.lab.exhibit().args(["ledger", "tail", "--from", "0"])).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let entry = listed.lines().find(|line| line.contains("order.refused")).unwrap();
        assert!(entry.contains("reason=policy"), "{entry}");
        println!(
            "tried: {what}; got: refused `policy`, in the endpoint's log and as order.refused in the ledger"
        );
    }
}
