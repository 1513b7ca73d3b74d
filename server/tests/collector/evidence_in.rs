//! Evidence on its way in: the collector acknowledges it when it is durable, and resumes after cuts.

use evidence::entry::{EntryType, Envelope};
use proto::{service, v1};

use crate::container::*;
use crate::lab::*;

pub struct Scene {
    pub lab: Collector,
    pub ada: Session,
    pub web: Endpoint,
    pub order: evidence::order::Order,
    pub signed: evidence::signed::Signed,
    pub incident: String,
}

pub async fn scene() -> Scene {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol_fleet(&lab, "web-03").await;
    let incident = ada.open_incident().await;
    let (order, signed) = issue(&lab, &ada, &incident, &web, plan(false)).await;
    Scene { lab, ada, web, order, signed, incident }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_segment_lies_in_both_stores_and_the_receipt_is_proven() {
    let Scene { lab, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let collection = attempt.collection();
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    let first = upload.position().await;
    assert_eq!((first.next_index, first.seal.as_str()), (0, ""));
    for segment in &attempt.segments {
        upload.segment(segment).await;
        let position = upload.position().await;
        assert_eq!(position.next_index, segment.index + 1);
        assert_eq!(position.seal, segment.seal_digest.to_string());
        assert_eq!((position.copies, position.degraded), (2, false));
        for store in ["a", "b"] {
            let index = segment.index;
            let name = format!("segments/{collection}/{index:06}-{}.zst", segment.header.sha256);
            assert_eq!(fs_err::read(lab.path(store).join(name)).unwrap(), segment.bytes, "{store}");
            let name = format!("seals/{collection}/{index:06}-{}.seal", segment.seal_digest);
            assert_eq!(fs_err::read(lab.path(store).join(name)).unwrap(), segment.seal, "{store}");
        }
    }
    upload.manifest(&attempt.manifest(&web, &order)).await;
    let Said::Stored(receipt) = upload.hear().await else { panic!("no receipt") };
    let entry = proven(&lab, &receipt);
    assert_eq!(entry.envelope.type_, EntryType::CollectionStored);
    assert_eq!(entry.envelope.reference("collection"), Some(collection.as_str()));
    assert_eq!(entry.envelope.reference("copies"), Some("2"));
    // Both stores are on one device, and the entry says so.
    assert_eq!(entry.envelope.reference("independent"), Some("no"));

    // The answer got lost: asked again, the same receipt.
    let mut again = Upload::begin(&lab, &web, &attempt.delegation).await;
    assert_eq!(again.position().await.next_index, attempt.segments.len() as u64);
    let Said::Stored(second) = again.hear().await else { panic!("no receipt") };
    assert_eq!(second.entry, receipt.entry);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_cut_and_after_a_crash_of_the_collector() {
    let Scene { mut lab, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    assert_eq!(upload.position().await.next_index, 1);
    // Half a segment, then the line is cut.
    for message in proto::segment::messages(
        attempt.segments[1].seal.clone().into(),
        attempt.segments[1].bytes.clone().into(),
    )
    .take(4)
    {
        upload.requests.send(message).await.unwrap();
    }
    drop(upload);

    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    let position = upload.position().await;
    assert_eq!((position.next_index, position.seal), (1, attempt.segments[0].seal_digest.to_string()));
    // What is durable already is welcome again.
    upload.segment(&attempt.segments[0]).await;
    assert_eq!(upload.position().await.next_index, 1);
    upload.segment(&attempt.segments[1]).await;
    assert_eq!(upload.position().await.next_index, 2);

    lab.kill();
    lab.start();
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    let position = upload.position().await;
    assert_eq!((position.next_index, position.seal), (2, attempt.segments[1].seal_digest.to_string()));
    assert_eq!((position.copies, position.degraded), (2, false));
    let receipt = upload.finish(&attempt, 2, &web, &order).await;
    assert_eq!(proven(&lab, &receipt).envelope.type_, EntryType::CollectionStored);
    assert!(lab.log().contains("fed again from the stores"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_call_takes_the_place_of_the_older() {
    let Scene { lab, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut older = Upload::begin(&lab, &web, &attempt.delegation).await;
    older.position().await;
    older.segment(&attempt.segments[0]).await;
    older.position().await;
    let mut newer = Upload::begin(&lab, &web, &attempt.delegation).await;
    assert_eq!(newer.position().await.next_index, 1);
    assert!(matches!(older.hear().await, Said::Ended));
    newer.finish(&attempt, 1, &web, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_verifier_is_replaced_and_nothing_is_acknowledged_unverified() {
    let Scene { lab, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    upload.position().await;
    let verifiers = lab.verifiers();
    assert_eq!(verifiers.len(), 1, "one caged process for one collection");
    for id in verifiers {
        let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    }
    upload.finish(&attempt, 1, &web, &order).await;
    assert!(lab.log().contains("Verifier died"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_complete_before_a_crash_gets_its_entry_from_the_sweep() {
    let Scene { mut lab, ada, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    for segment in &attempt.segments {
        upload.segment(segment).await;
        upload.position().await;
    }
    lab.kill();
    // As a crash between the manifest's object and its entry leaves it.
    let manifest = attempt.manifest(&web, &order);
    for store in ["a", "b"] {
        fs_err::write(
            lab.path(store).join(format!("documents/{}.signed", manifest.digest())),
            manifest.encode(),
        )
        .unwrap();
    }
    lab.start();
    let channel = lab.connect(&ada.credentials).await;
    let mut client = service::evidence_client(channel);
    let request = v1::ShowCollectionRequest { collection: attempt.collection() };
    wait::until_async("the collection stored", async || {
        let shown = client.show_collection(request.clone()).await.unwrap().into_inner();
        shown.row.unwrap().state == "stored"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_evidence_is_an_alarm_and_a_lost_copy_is_made_again() {
    let Scene { mut lab, ada, web, order, signed, incident } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &web, &order).await;
    assert_eq!(lab.terminate(), Some(0));
    let segments = lab.stored("a", "segments/");
    let (one, all) = (&segments[0], &segments[1]);
    fs_err::remove_file(one).unwrap();
    fs_err::remove_file(all).unwrap();
    fs_err::remove_file(lab.path("b").join(all.strip_prefix(lab.path("a")).unwrap())).unwrap();
    lab.start();
    wait::until("the lost copy is made again", || one.exists());
    let channel = lab.connect(&ada.credentials).await;
    wait::until_async("the failure and the repair in the ledger", async || {
        let types = chain_types(&channel, &incident).await;
        ["evidence.fixity_failed", "evidence.repaired"]
            .iter()
            .all(|due| types.iter().any(|type_| type_ == due))
    })
    .await;
}

pub async fn chain_types(channel: &tonic::transport::Channel, incident: &str) -> Vec<String> {
    let entries = chain_entries(channel, incident).await;
    entries.iter().map(|envelope| envelope.type_.to_string()).collect()
}

pub async fn chain_entries(channel: &tonic::transport::Channel, incident: &str) -> Vec<Envelope> {
    let request = v1::EntriesRequest { from: 0, count: 0, incident: incident.to_owned(), follow: false };
    let mut stream = service::ledger_client(channel.clone()).entries(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(row) = stream.message().await.unwrap() {
        entries.push(evidence::entry::Entry::parse(&row.entry).unwrap().envelope);
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_the_open_segment_and_leaves_with_zero() {
    let Scene { mut lab, web, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    // Begun before the signal, ended after it.
    let (seal, stored) = (attempt.segments[0].seal.clone(), attempt.segments[0].bytes.clone());
    // More than the collector's window and the client's buffers hold: once they are gone, the collector has read the first of them.
    assert!(stored.len() > 3 * proto::limits::STREAM_WINDOW_BYTES as usize);
    let mut messages: Vec<_> = proto::segment::messages(seal.into(), stored.into()).collect();
    let last = messages.pop().unwrap();
    for message in messages {
        upload.requests.send(message).await.unwrap();
    }
    let requests = upload.requests.clone();
    wait::until_async("the open segment on the wire", async || {
        requests.capacity() == requests.max_capacity()
    })
    .await;
    let log = lab.path("log");
    let ended = tokio::task::spawn_blocking(move || {
        let code = lab.terminate();
        (lab, code)
    });
    wait::until("the drain", || fs_err::read_to_string(&log).unwrap().contains("Collector drains"));
    upload.requests.send(last).await.unwrap();
    assert_eq!(upload.position().await.next_index, 1);
    let (lab, code) = ended.await.unwrap();
    assert_eq!(code, Some(0));
    assert!(!lab.path("server/run/addresses.json").exists());
    assert_eq!(lab.stored("b", "segments/").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_store_away_the_receipt_says_degraded_and_the_copy_is_made_when_it_is_back() {
    let Scene { mut lab, web, order, signed, .. } = scene().await;
    assert_eq!(lab.terminate(), Some(0));
    let settings = lab.path("server/server.toml");
    let text = fs_err::read_to_string(&settings).unwrap();
    assert!(text.contains("degraded = \"accept\""));
    fs_err::rename(lab.path("b"), lab.path("away")).unwrap();
    lab.start();

    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    let position = upload.position().await;
    assert_eq!((position.next_index, position.copies, position.degraded), (1, 1, true));
    let receipt = upload.finish(&attempt, 1, &web, &order).await;
    let entry = proven(&lab, &receipt);
    assert_eq!(entry.envelope.reference("copies"), Some("1"));
    assert_eq!(entry.envelope.reference("degraded"), Some("yes"));
    assert_eq!(entry.envelope.reference("independent"), Some("no"));

    assert_eq!(lab.terminate(), Some(0));
    fs_err::rename(lab.path("away"), lab.path("b")).unwrap();
    lab.start();
    let count = attempt.segments.len();
    wait::until("the copies are made", || {
        lab.stored("b", "segments/").len() == count && lab.stored("b", "seals/").len() == count
    });
    for (one, other) in lab.stored("a", "segments/").iter().zip(lab.stored("b", "segments/")) {
        assert!(fs_err::read(one).unwrap() == fs_err::read(other).unwrap());
    }
}
