//! Tests against a real authority: openssl behind packaging/test-tsa/tsa.py.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use evidence::digest::Digest;

use super::*;
use crate::log::ledger::tests::{act, parts};
use crate::log::ledger::{LocalSigner, Sequencer, origin};
use crate::rows::{Db, QueueSink, stamps};
use store::fault::FaultDisk;
use store::{DirectoryStore, Key, Replicas, ReplicationPolicy, Store, StoreIdentity};
use testkit::wait;

struct Authority {
    process: Child,
    folder: tempfile::TempDir,
}

impl Authority {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/test-tsa/tsa.py");
        let process = Command::new("python3")
            .arg(script)
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is needed for this test");
        let authority = Self { process, folder };
        wait::until("the authority up (is openssl installed?)", || authority.path("address").exists());
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        format!("http://{}/", fs_err::read_to_string(self.path("address")).unwrap().trim())
    }

    fn mode(&self, mode: &str) {
        fs_err::write(self.path("mode"), mode).unwrap();
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn openssl_verifies(authority: &Authority, response: &[u8], digest: &Digest) -> bool {
    fs_err::write(authority.path("answer.tsr"), response).unwrap();
    let status = Command::new("openssl")
        .args(["ts", "-verify", "-in"])
        .arg(authority.path("answer.tsr"))
        .args(["-digest", &digest.to_string(), "-CAfile"])
        .arg(authority.path("ca.pem"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_stamp_of_openssl_is_taken_and_openssl_verifies_it() {
    let authority = Authority::start();
    let client = TsaClient::new(&authority.url(), Duration::from_secs(30)).unwrap();
    runtime().block_on(async {
        // Nonces with and without a top bit, so both forms of the INTEGER occur.
        for text in 0..6_u8 {
            let digest = Digest::of(&[text]);
            let response = client.stamp(&[text]).await.unwrap().bytes;
            assert!(openssl_verifies(&authority, &response, &digest));
            assert!(!openssl_verifies(&authority, &response, &Digest::of(b"other")));
        }
    });
}

#[test]
fn no_answer_but_the_right_one_is_a_stamp() {
    let authority = Authority::start();
    let client = TsaClient::new(&authority.url(), Duration::from_millis(1500)).unwrap();
    let head = b"head";
    runtime().block_on(async {
        for (mode, expected) in [
            ("other", "another digest"),
            ("refuse", "refused with status 2"),
            ("error", "status 500"),
            ("silent", "no answer"),
        ] {
            authority.mode(mode);
            let error = client.stamp(head).await.unwrap_err();
            let text = chain(&error);
            assert!(text.contains(expected), "{mode}: {text}");
        }
        let nowhere = TsaClient::new("http://127.0.0.1:9/", Duration::from_secs(5)).unwrap();
        assert!(matches!(nowhere.stamp(head).await, Err(TsaError::Http { .. })));
    });
    assert!(TsaClient::new("ftp://tsa.example.org/", Duration::from_secs(1)).is_err());
}

/// The authority's answer to a request.
fn answer(authority: &Authority, request: &StampRequest<'_>) -> Vec<u8> {
    fs_err::write(authority.path("query.tsq"), request.encode()).unwrap();
    let output = Command::new("openssl")
        .args(["ts", "-reply", "-section", "tsa_config", "-queryfile"])
        .arg(authority.path("query.tsq"))
        .arg("-config")
        .arg(authority.path("tsa.cnf"))
        .output()
        .unwrap();
    output.stdout
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_response_is_answered_without_panic() {
    let authority = Authority::start();
    let nonce = [0x81; 16];
    let request = StampRequest::new(b"head", nonce);
    let response = answer(&authority, &request);
    request.verify(&response, &[]).unwrap();
    let refused = |request: StampRequest<'_>| request.verify(&response, &[]).unwrap_err();
    assert_eq!(refused(StampRequest::new(b"head", [0x80; 16])), Refusal::OtherNonce);
    assert_eq!(refused(StampRequest::new(b"x", nonce)), Refusal::OtherData);
    for end in 0..response.len() {
        assert!(request.verify(&response[..end], &[]).is_err());
    }
    let mut longer = response.clone();
    longer.push(0);
    assert!(request.verify(&longer, &[]).is_err());
    let mut kept = 0;
    for at in 0..response.len() {
        let mut flipped = response.clone();
        flipped[at] ^= 0xff;
        kept += usize::from(request.verify(&flipped, &[]).is_ok());
    }
    // The signature covers neither the certificates besides the signer's, nor the text beside the status.
    assert!(kept < response.len() / 2, "{kept} of {} flips passed", response.len());
}

#[test]
fn a_stamp_whose_signature_does_not_hold_is_not_stored() {
    let authority = Authority::start();
    authority.mode("unsigned");
    let client = TsaClient::new(&authority.url(), Duration::from_secs(30)).unwrap();
    let text = chain(&runtime().block_on(client.stamp(b"head")).unwrap_err());
    assert!(text.contains("it is not signed by a certificate in it"), "{text}");
    assert!(text.contains("compare the authority's URL with its operator"), "{text}");
}

/// The authority answers in this mode. No verifier would take the answer, and the collector says why.
fn refused(mode: &str, says: &str) {
    let authority = Authority::start();
    authority.mode(mode);
    let client = TsaClient::new(&authority.url(), Duration::from_secs(30)).unwrap();
    let error = runtime().block_on(client.stamp(b"head")).unwrap_err();
    assert!(error.is_refused_here(), "{mode}: {error}");
    assert!(chain(&error).contains(says), "{mode}: {error}");
}

#[test]
fn stamp_4_an_answer_of_more_than_16_kib_is_not_kept() {
    refused("long", "stamp-4: it is over 16384 bytes");
}

#[test]
fn stamp_5_an_answer_that_is_not_strict_der_is_not_kept() {
    refused("lax", "stamp-5: it is not strict DER");
}

#[test]
fn stamp_6_an_answer_with_a_certificate_of_nobody_in_the_chain_is_not_kept() {
    refused("spare", "stamp-6: it carries a certificate that its signer's chain does not use");
}

#[test]
fn stamp_7_an_answer_about_something_else_is_not_kept() {
    refused("other", "stamp-7: the stamp is for another digest");
    refused("unsigned", "stamp-7: it is not signed by a certificate in it");
}

#[test]
fn a_head_is_stamped_stored_and_recorded_and_an_absent_authority_only_queues() {
    let place = tempfile::tempdir().unwrap();
    Db::create(&place.path().join("db")).unwrap();
    let db = Db::open(&place.path().join("db"), 2).unwrap();
    let stores: Vec<Arc<dyn Store>> = ["one", "two"]
        .map(|name| {
            let identity = StoreIdentity {
                store: name.into(),
                deployment: "acme".into(),
                created: "-".into(),
                domain: name.into(),
            };
            Arc::new(DirectoryStore::initialise_on(FaultDisk::default(), name, &identity).unwrap())
                as Arc<dyn Store>
        })
        .into();
    let replicas = Replicas::new(stores, ReplicationPolicy::default(), Arc::new(QueueSink(db.clone())));
    let signer = Arc::new(LocalSigner::new(&origin("acme"), &[7; 32]).unwrap());
    let made = parts(db.clone(), replicas.clone(), signer, crate::clock::now);
    let sequencer = Sequencer::start(made).unwrap();
    let (deployment, collector) = ("acme".parse().unwrap(), "collector-1".parse().unwrap());
    let parts = Parts {
        db: &db,
        replicas: &replicas,
        sequencer: &sequencer,
        deployment: &deployment,
        collector: &collector,
    };
    runtime().block_on(async {
        sequencer.submit(act(0)).await.unwrap();
        let head = sequencer.log().published();
        let now = crate::clock::now();
        let (db, sequencer) = (&db, &sequencer);
        let newest =
            async |tsa: String, now| enqueue_newest(db, &tsa, sequencer.log().published(), now).await;
        // The authority is away: nothing is lost, nothing waits, and the collector tries again later.
        let away = TsaClient::new("http://127.0.0.1:9/", Duration::from_secs(5)).unwrap();
        assert!(newest(away.name(), now).await.unwrap());
        assert_eq!(stamp_due(&away, parts, now).await.unwrap(), None);
        let (waiting, error) = db.read(stamps::waiting).unwrap();
        assert!(waiting == 1 && error.is_some());

        // Another authority has its own queue.
        let authority = Authority::start();
        let client = TsaClient::new(&authority.url(), Duration::from_secs(30)).unwrap();
        assert_eq!(stamp_due(&client, parts, now).await.unwrap(), None);
        assert!(newest(client.name(), now).await.unwrap());
        // A stamp that no verifier takes is not kept. The collector waits, and takes the next good one.
        authority.mode("lax");
        assert_eq!(stamp_due(&client, parts, now).await.unwrap(), None);
        assert_eq!(db.read(|reader| stamps::covering(reader, 1)).unwrap().len(), 0);
        authority.mode("");
        let later = now.checked_add(Duration::from_secs(60)).unwrap();
        let stamped = stamp_due(&client, parts, later).await.unwrap().unwrap();
        assert_eq!(stamped.size, 1);
        let response = replicas.read(&Key::stamp(1, stamped.stamp.as_bytes())).unwrap();
        assert!(openssl_verifies(&authority, &response, &Digest::of(&head.note)));
        assert_eq!(replicas.read(&Key::stamped_checkpoint(1)).unwrap(), head.note.to_vec());
        let covering = db.read(|reader| stamps::covering(reader, 1)).unwrap();
        assert_eq!(
            covering.iter().map(|row| (row.size, row.stamp)).collect::<Vec<_>>(),
            [(1, stamped.stamp)]
        );
        assert_eq!(db.read(stamps::waiting).unwrap().0, 1, "the one that is away is still asked");
        // The stamp's own entry does not call for another stamp; any other entry does.
        assert!(!newest(client.name(), now).await.unwrap());
        sequencer.submit(act(9)).await.unwrap();
        assert!(newest(client.name(), now).await.unwrap());
        stamp_due(&client, parts, now).await.unwrap().unwrap();

        // Nothing more is recorded, and the certificate nears its end: the collector renews the stamps, once a day.
        let ends = Command::new("openssl")
            .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"])
            .arg(authority.path("tsa.pem"))
            .output()
            .unwrap();
        let text = String::from_utf8(ends.stdout).unwrap();
        let text = text.trim().strip_prefix("notAfter=").unwrap().replace(' ', "T");
        let ends: evidence::time::Time = text.replace('Z', ".000Z").parse().unwrap();
        let days = |count: u64| Duration::from_secs(count * 86_400);
        let had = db.read(|db| stamps::newest(db, &client.name())).unwrap().unwrap();
        assert_eq!(had.ends_ms, Some(ends.unix_ms()));
        assert!(!newest(client.name(), ends.checked_sub(days(31)).unwrap()).await.unwrap());
        let soon = ends.checked_sub(days(30)).unwrap();
        assert!(newest(client.name(), soon).await.unwrap());
        let renewed = stamp_due(&client, parts, soon).await.unwrap().unwrap();
        assert!(renewed.size > had.size, "the tree of the new stamp holds the entry of the old one");
        assert!(!newest(client.name(), soon).await.unwrap());
        assert!(newest(client.name(), soon.checked_add(days(1)).unwrap()).await.unwrap());
    });
}
