//! C2SP tlog-witness, answer by answer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirror::cosign::Role;
use mirror::status::Board;
use mirror::witness::{AddCheckpoint, Witness};
use tokio::sync::{Notify, watch};

use crate::world::{Log, Mirror};

fn witness(mirror: &Mirror) -> (Witness, watch::Sender<u64>) {
    let size = mirror.cosigner.last(Role::Mirror).map_or(0, |last| last.log.checkpoint.size);
    let (sender, held) = watch::channel(size);
    let witness = Witness {
        cosigner: Arc::clone(&mirror.cosigner),
        own: mirror.own.clone(),
        held,
        wake: Arc::new(Notify::new()),
        board: Arc::new(Board::default()),
    };
    (witness, sender)
}

fn request(old: u64, proof: &[ledger::Hash], note: &[u8]) -> Vec<u8> {
    let mut body = format!("old {old}\n");
    for hash in proof {
        body.push_str(&format!("{}\n", STANDARD.encode(hash.as_bytes())));
    }
    body.push('\n');
    [body.as_bytes(), note].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_one_of_the_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 40);
    let (ten, twenty) = (log.note(10), log.note(20));
    let mirror = Mirror::new(dir.path());
    let (witness, _held) = witness(&mirror);
    let post = |body: Vec<u8>| {
        let witness = witness.clone();
        async move { witness.add_checkpoint(Role::Witness, body).await }
    };
    // Nothing signed yet.
    assert_eq!(post(request(0, &[], b"nonsense")).await.status, 400);
    assert_eq!(post(b"old 01\n\nx".to_vec()).await.status, 400);
    assert_eq!(post(request(11, &[], &ten)).await.status, 400, "old above the size");
    let wrong = post(request(5, &[], &ten)).await;
    assert_eq!((wrong.status, wrong.body.as_str()), (409, "0\n"));
    let first = post(request(0, &[], &ten)).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert!(first.body.starts_with("— backup-1/witness ") && first.body.ends_with('\n'));
    // Growth, and what is no growth.
    let behind = post(request(0, &[], &twenty)).await;
    assert_eq!((behind.status, behind.body.as_str()), (409, "10\n"));
    assert_eq!(post(request(10, &log.log.consistency_at(9, 20), &twenty)).await.status, 422);
    assert_eq!(post(request(10, &[], &twenty)).await.status, 422);
    assert_eq!(post(request(10, &log.log.consistency_at(10, 20), &twenty)).await.status, 200);
    assert_eq!(post(request(20, &[], &twenty)).await.status, 200, "signed again");
    assert_eq!(post(request(10, &[], &ten)).await.status, 409);
    let unsigned = String::from_utf8(log.note(30)).unwrap().replacen("\n30\n", "\n31\n", 1);
    assert_eq!(post(request(20, &[], unsigned.as_bytes())).await.status, 403);
    let foreign = String::from_utf8(log.note(30)).unwrap().replacen("exhibit/acme", "exhibit/acne", 1);
    assert_eq!(post(request(20, &[], foreign.as_bytes())).await.status, 404);
    // What was signed survives; another root of that size is fraud, and nothing is signed any more.
    assert_eq!(post(request(20, &[], &log.forged_note(20, ledger::Hash([9; 32])))).await.status, 422);
    assert!(mirror.cosigner.fraud().is_some());
    assert_eq!(post(request(20, &log.log.consistency_at(20, 30), &log.note(30))).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_role_signs_what_is_held_and_convicts_what_contradicts_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 40);
    let held = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &held).unwrap();
    let size = log.size();
    let (witness, sender) = witness(&mirror);
    let answer = witness.add_checkpoint(Role::Mirror, request(size, &[], &held)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with("— backup-1/mirror "));
    // Asked for more than is held, it waits for the round that brings it.
    log.reads(&chain, 5);
    let grown = log.publish();
    let asked = witness
        .add_checkpoint(Role::Mirror, request(size, &log.log.consistency_at(size, log.size()), &grown));
    let wake = Arc::clone(&witness.wake);
    let round = async {
        wake.notified().await;
        mirror.round(&log, &grown).unwrap();
        sender.send_replace(log.size());
    };
    let (answer, ()) = tokio::join!(asked, round);
    assert_eq!(
        (answer.status, answer.body),
        (409, format!("{}\n", log.size())),
        "the round signed it meanwhile"
    );
    let again = witness.add_checkpoint(Role::Mirror, request(log.size(), &[], &grown)).await;
    assert_eq!(again.status, 200);
    // A smaller note of another history, shown to either role, convicts.
    let forged = log.forged_note(7, ledger::Hash([9; 32]));
    assert_eq!(witness.add_checkpoint(Role::Witness, request(0, &[], &forged)).await.status, 422);
    assert!(mirror.cosigner.fraud().is_some());
}

#[test]
fn a_request_has_one_form() {
    let hash = STANDARD.encode([1; 32]);
    let good = format!("old 7\n{hash}\n\nnote\n");
    assert_eq!(AddCheckpoint::parse(good.as_bytes()).unwrap().old, 7);
    for bad in [
        String::new(),
        "old 7\n".to_owned(),
        "old -7\n\nx".to_owned(),
        "old +7\n\nx".to_owned(),
        "old 07\n\nx".to_owned(),
        "new 7\n\nx".to_owned(),
        format!("old 7\n{hash}=\n\nx"),
        format!("old 7\n{}\nx", format!("{hash}\n").repeat(64)),
    ] {
        assert_eq!(AddCheckpoint::parse(bad.as_bytes()), None, "{bad:?}");
    }
}
