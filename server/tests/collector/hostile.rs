//! Endpoints that lie: the collector refuses each with its reason, keeps evidence of the lie, and never acknowledges it.

use evidence::digest::Digest;
use evidence::frames::{FRAME_BYTES, compress_frame};
use evidence::item::outcome::Outcome;
use evidence::item::{ItemRecord, Kind};
use evidence::seal::{self, SealHeader};
use proto::v1;
use proto::v1::upload_request::Message;
use testkit::containers::{noise_from, time};

use crate::container::*;
use crate::lab::*;

struct Scene {
    lab: Collector,
    ada: Session,
    web: Endpoint,
    signed: evidence::signed::Signed,
    incident: String,
}

async fn scene() -> Scene {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    let (_, signed) = issue(&lab, &ada, &incident, &web, plan(false)).await;
    Scene { lab, ada, web, signed, incident }
}

/// The state a collection ended in, by its entry.
async fn has_entry(scene: &Scene, type_: &str) -> bool {
    let request = v1::EntriesRequest { from: 0, count: 0, incident: scene.incident.clone(), follow: false };
    let channel = scene.ada.channel.clone();
    let mut stream = proto::service::ledger_client(channel).entries(request).await.unwrap().into_inner();
    while let Some(row) = stream.message().await.unwrap() {
        if evidence::entry::Entry::parse(&row.entry).unwrap().envelope.type_.as_str() == type_ {
            return true;
        }
    }
    false
}

/// A first seal of our own making, correctly signed, over whatever bytes.
fn forged(attempt: &Attempt, stored: &[u8], plain: u64, lines: &[String]) -> Vec<u8> {
    let records: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let records =
        if records.is_empty() { Vec::new() } else { compress_frame(records.as_bytes(), 1).unwrap() };
    let header = SealHeader {
        sha256: Digest::of(stored),
        stored_len: stored.len() as u64,
        plain_start: 0,
        plain_end: plain,
        items: lines.len() as u64,
        items_total: lines.len() as u64,
        open: false,
        records_sha256: Digest::of(&records),
        records_len: records.len() as u64,
        is_final: false,
        index: 0,
        prev: Digest::ZERO,
        ..attempt.segments[0].header.clone()
    };
    seal::make(&header, &records, &attempt.sealer).unwrap()
}

/// Sends one forged first segment; it must be refused as malformed, quarantined, and stored nowhere else.
async fn refused_as_malformed(scene: &Scene, attempt: &Attempt, seal: &[u8], stored: &[u8]) -> String {
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    assert_eq!(upload.position().await.next_index, 0);
    upload.send(seal, stored).await;
    let rejected = upload.rejected().await;
    assert_eq!(rejected.reason, "malformed", "{}", rejected.detail);
    for store in ["a", "b"] {
        assert!(scene.lab.stored(store, &format!("segments/{}", attempt.collection())).is_empty());
        let kept = scene.lab.stored(store, &format!("quarantine/{}", attempt.collection()));
        assert_eq!(kept.len(), 2, "segment and seal are kept in {store}");
        assert!(kept.iter().any(|path| fs_err::read(path).unwrap() == stored));
        assert!(kept.iter().any(|path| fs_err::read(path).unwrap() == seal));
    }
    // And it stays refused.
    let mut again = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    assert_eq!(again.rejected().await.reason, "malformed");
    rejected.detail
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_bytes_bombs_and_names_that_leave_the_tree_are_malformed_and_kept() {
    let scene = scene().await;
    // Each try is an attempt of its own; the order allows three.
    let first = attempt(&scene.web, &scene.signed, 1);
    let mut altered = first.segments[0].bytes.clone();
    altered[100] ^= 1;
    let detail = refused_as_malformed(&scene, &first, &first.segments[0].seal, &altered).await;
    assert!(detail.contains("not the bytes its seal names"), "{detail}");
    assert!(has_entry(&scene, "collection.malformed").await);

    // 1 GiB of zeros in a few KiB: the frame says so, and is refused by its header.
    let second = attempt(&scene.web, &scene.signed, 2);
    let bomb = compress_frame(&vec![0; 1 << 30], 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    let seal = forged(&second, &bomb, FRAME_BYTES as u64, &[]);
    let detail = refused_as_malformed(&scene, &second, &seal, &bomb).await;
    assert!(detail.contains("frame"), "{detail}");

    let third = attempt(&scene.web, &scene.signed, 3);
    let frame = compress_frame(&vec![0; FRAME_BYTES], 1).unwrap();
    let mut record = ItemRecord::new("files", Kind::Dir, b"/etc".to_vec(), time(1, 0));
    record.ended = time(1, 0);
    record.member = Some(b"[root]/../../etc/cron.d/".to_vec().into());
    record.at = Some(0);
    record.data = Some(512);
    record.size = Some(0);
    record.stored = Some(0);
    let line = String::from_utf8(record.to_line().unwrap()).unwrap();
    let seal = forged(&third, &frame, FRAME_BYTES as u64, &[line]);
    let detail = refused_as_malformed(&scene, &third, &seal, &frame).await;
    assert!(detail.contains("record"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_for_a_durable_segment_are_a_contradiction_and_both_are_kept() {
    let scene = scene().await;
    let attempt = attempt(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    assert_eq!(upload.position().await.next_index, 1);
    // The same sealer tells another story of segment 0.
    let other = [("/var/log/big", noise_from(77, 20 << 20))];
    let segments = writer(&attempt.document, &attempt.sealer).files(&other).finish().segments;
    upload.segment(&segments[0]).await;
    assert_eq!(upload.rejected().await.reason, "contradiction");
    assert!(has_entry(&scene, "collection.contradicted").await);
    for store in ["a", "b"] {
        let first = scene.lab.stored(store, "segments/");
        assert_eq!(fs_err::read(&first[0]).unwrap(), attempt.segments[0].bytes);
        let kept = scene.lab.stored(store, "quarantine/");
        assert!(kept.iter().any(|path| fs_err::read(path).unwrap() == segments[0].bytes));
    }
    let mut again = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    assert_eq!(again.rejected().await.reason, "contradiction");
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_lengths_over_the_format_and_gaps_in_the_chain_end_the_call_only() {
    let scene = scene().await;
    let attempt = attempt(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    upload.position().await;
    let begin = v1::SegmentBegin { seal_len: 1, stored_len: 1 << 40 };
    upload.requests.send(v1::UploadRequest { message: Some(Message::Segment(begin)) }).await.unwrap();
    let Said::Failed(status) = upload.hear().await else { panic!("an oversized segment was begun") };
    assert_eq!(status.code(), tonic::Code::InvalidArgument);

    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    assert_eq!(upload.position().await.next_index, 0);
    upload.segment(&attempt.segments[1]).await;
    let Said::Failed(status) = upload.hear().await else { panic!("a gap was taken") };
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("segment 1 where 0 is due"), "{status:?}");

    // No harm was done: the right segment is taken.
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    assert_eq!(upload.position().await.next_index, 0);
    upload.segment(&attempt.segments[0]).await;
    assert_eq!(upload.position().await.next_index, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_items_than_the_order_allows_end_the_collection_as_interrupted() {
    let scene = scene().await;
    let (document, delegation, sealer) = delegate(&scene.web, &scene.signed, 1);
    let mut writer = writer(&document, &sealer);
    for number in 0..u32::try_from(limits().items).unwrap() + 5000 {
        let path = format!("/tmp/{number}");
        let mut record = ItemRecord::new("files", Kind::File, path.into_bytes(), time(1, 0));
        record.ended = time(1, 0);
        record.outcome = Outcome::Absent;
        writer.only(record);
    }
    let segments = writer.finish().segments;
    let mut upload = Upload::begin(&scene.lab, &scene.web, &delegation).await;
    upload.position().await;
    upload.segment(&segments[0]).await;
    let rejected = upload.rejected().await;
    assert_eq!(rejected.reason, "over-limit", "{}", rejected.detail);
    assert!(rejected.detail.contains("items"), "{}", rejected.detail);
    assert!(has_entry(&scene, "collection.interrupted").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_about_another_container_is_malformed_and_no_receipt_is_given() {
    let scene = scene().await;
    let request = v1::ListOrdersRequest { incident: scene.incident.clone() };
    let orders = proto::service::order_client(scene.ada.channel.clone()).list_orders(request).await;
    assert_eq!(proto::parts::join(orders).await.unwrap().orders[0].state, "issued");
    let mut attempt = attempt(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &attempt.delegation).await;
    upload.position().await;
    for segment in &attempt.segments {
        upload.segment(segment).await;
        upload.position().await;
    }
    attempt.summary.items += 1;
    let order = scene.signed.read().unwrap();
    upload.manifest(&attempt.manifest(&scene.web, &order)).await;
    let rejected = upload.rejected().await;
    assert_eq!(rejected.reason, "malformed");
    assert!(rejected.detail.contains("items"), "{}", rejected.detail);
    assert!(!has_entry(&scene, "collection.stored").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uploads_under_a_foreign_name_order_or_attempt() {
    let scene = scene().await;
    let db = scene.ada.enrol(&scene.lab, "db-01", 1).await;

    // Not addressed by the order.
    let (_, delegation, _) = delegate(&db, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &db, &delegation).await;
    assert_eq!(upload.rejected().await.reason, "unknown-order");

    // Another endpoint's delegation.
    let (_, delegation, _) = delegate(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &db, &delegation).await;
    assert_eq!(upload.rejected().await.reason, "malformed");

    // More attempts than granted.
    let (_, delegation, _) = delegate(&scene.web, &scene.signed, 4);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &delegation).await;
    assert_eq!(upload.rejected().await.reason, "unknown-order");

    // Two collections under one attempt number.
    let (_, delegation, _) = delegate(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &delegation).await;
    upload.position().await;
    let (_, other, _) = delegate(&scene.web, &scene.signed, 1);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &other).await;
    assert_eq!(upload.rejected().await.reason, "unknown-order");

    // A later attempt ends the earlier one, which nobody heard of again.
    let (_, second, _) = delegate(&scene.web, &scene.signed, 2);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &second).await;
    upload.position().await;
    assert!(has_entry(&scene, "collection.interrupted").await);
    let mut upload = Upload::begin(&scene.lab, &scene.web, &delegation).await;
    assert_eq!(upload.rejected().await.reason, "unknown-order");
}
