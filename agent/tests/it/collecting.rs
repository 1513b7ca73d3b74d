//! A collection from order to receipt. The test plays the collector. Stored evidence verifies, a cut upload continues,
//! and after every early end the next attempt is judged rightly.

use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;

use agent::message::{Close, Position, Rejected, Segment, Stored, from_link, to_link};
use evidence::container::{Expect, Limits, Verifier};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::manifest::{CollectionResult, Manifest};
use evidence::order::Order;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use proto::v1;
use testkit::containers::noise;
use testkit::{collections, packages};

use crate::lab::*;

fn bytes(file: OwnedFd) -> Vec<u8> {
    let mut file = std::fs::File::from(file);
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The collector's side of one upload.
struct Collector<'lab> {
    lab: &'lab Lab,
    order: Order,
    signed: Signed,
    delegation_signed: Signed,
    delegation: Delegation,
    verifier: Verifier,
    paths: Vec<String>,
    stored: Vec<u8>,
}

impl<'lab> Collector<'lab> {
    /// Orders, and takes the answer.
    fn order(lab: &'lab Lab, link: &Link) -> Self {
        let order = lab.order();
        link.say(from_link::Say::Order(lab.package(&order, ADA)));
        Self::answered(lab, link, order)
    }

    fn answered(lab: &'lab Lab, link: &Link, order: Order) -> Self {
        let answer = link.answer();
        assert!(answer.admitted, "{}: {}", answer.reason, answer.detail);
        let delegation_signed = proto::convert::signed("delegation", answer.delegation).unwrap();
        let delegation = Delegation::verify(&delegation_signed, &lab.evidence_key().public()).unwrap();
        assert_eq!(delegation.attempt, answer.attempt);
        let expect = Expect {
            identity: collections::identity(&delegation),
            sealer: delegation.sealer.clone(),
            limits: Limits::NONE,
        };
        let verifier = Verifier::new(expect).unwrap();
        let signed = sign(&order, &[ADA]);
        Self {
            lab,
            order,
            signed,
            delegation_signed,
            delegation,
            verifier,
            paths: Vec::new(),
            stored: Vec::new(),
        }
    }

    fn collection(&self) -> String {
        self.delegation.collection.to_string()
    }

    fn next_index(&self) -> u64 {
        self.verifier.chain().next_index()
    }

    fn position(&self, is_first: bool) -> from_link::Say {
        let next_index = self.next_index();
        let seal = if next_index == 0 { String::new() } else { self.verifier.chain().head().to_string() };
        from_link::Say::Position(Position {
            collection: self.collection(),
            next_index,
            seal,
            copies: 2,
            is_first,
        })
    }

    fn accept_segment(&mut self, segment: &Segment, files: Vec<OwnedFd>) {
        assert_eq!(segment.collection, self.collection());
        assert_eq!(segment.index, self.next_index());
        let [seal, stored]: [OwnedFd; 2] = files.try_into().unwrap();
        let (seal, stored) = (bytes(seal), bytes(stored));
        let paths = &mut self.paths;
        let report = self.verifier.segment(&seal, &stored, &mut |record| {
            paths.push(format!("{} {}", record.shown, record.outcome));
        });
        let report = report.unwrap();
        assert_eq!(report.seal_digest.to_string(), segment.seal);
        assert_eq!(report.header.is_final, segment.is_final);
        self.stored.extend(stored);
    }

    /// Takes everything up to the manifest, acknowledging each segment.
    fn rest(&mut self, link: &Link) -> (Manifest, Signed) {
        loop {
            match link.next() {
                (to_link::Say::Segment(segment), files) => {
                    self.accept_segment(&segment, files);
                    link.say(self.position(false));
                }
                (to_link::Say::Manifest(upload), _) => {
                    let signed = proto::convert::signed("manifest", upload.manifest).unwrap();
                    let digest = self.delegation_signed.digest();
                    let manifest = Manifest::verify(
                        &signed,
                        &self.delegation,
                        &digest,
                        &self.lab.evidence_key().public(),
                    )
                    .unwrap();
                    assert_eq!(upload.segments, manifest.segments);
                    return (manifest, signed);
                }
                (to_link::Say::OpenUpload(open), _) => assert_eq!(open.collection, self.collection()),
                _ => {}
            }
        }
    }

    fn receipt(&self, manifest: &Signed) -> v1::ProvenEntry {
        let refs = [
            ("collection", self.collection()),
            ("copies", "2".to_owned()),
            ("degraded", "no".to_owned()),
            ("endpoint", "web-03".to_owned()),
            ("independent", "yes".to_owned()),
            ("manifest", manifest.digest().to_string()),
            ("order", self.signed.digest().to_string()),
        ];
        let refs = refs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let entry = packages::entry(now(), EntryType::CollectionStored, &self.order, manifest, refs);
        let entry = entry.encode().unwrap();
        let mut log = self.lab.log.borrow_mut();
        let index = log.append(&entry);
        v1::ProvenEntry { entry: entry.into(), proof: log.proof(index).into() }
    }

    fn stored(&self, manifest: &Signed) -> from_link::Say {
        from_link::Say::Stored(Stored {
            collection: self.collection(),
            receipt: Some(self.receipt(manifest)),
        })
    }
}

#[test]
fn from_order_to_receipt_every_byte_verifies() {
    let lab = Lab::new();
    write(&lab.root, "data/hello", b"hello, court\n");
    write(&lab.root, "data/noise", &noise(20 << 20));
    lab.write_policy("[paths]\ndeny = [\"/data/secret/**\"]\n[limits]\nwall_s = 500\n");
    write(&lab.root, "data/secret/diary", b"nobody's business");
    let link = lab.start();
    let mut collector = Collector::order(&lab, &link);
    link.say(collector.position(true));
    let (manifest, signed) = collector.rest(&link);
    assert!(manifest.segments >= 3, "20 MiB that do not compress");
    assert_eq!(manifest.container_sha256, Digest::of(&collector.stored));
    assert_eq!(manifest.result, CollectionResult::Complete, "{:?}", manifest.limitations);
    assert_eq!(manifest.limits.wall_s, 500, "the owner's limit is smaller");
    assert_eq!(manifest.policy_sha256, Digest::of(&fs_err::read(&lab.policy).unwrap()));
    assert!(collector.paths.contains(&"/data/hello ok".to_owned()), "{:?}", collector.paths);
    assert!(
        collector
            .paths
            .iter()
            .any(|path| path.starts_with("/data/secret") && path.ends_with("skipped_policy"))
    );
    assert!(!collector.paths.iter().any(|path| path == "/data/secret/diary ok"));
    // The manifest names the head of the endpoint's own log as it was when the attempt began.
    let begun = &lab.events("attempt_begun")[0];
    assert_eq!(manifest.log_head.seq, begun["seq"].as_u64().unwrap());

    let fresh = collector_verifier(&collector);
    let summary = std::mem::replace(&mut collector.verifier, fresh).finish().unwrap();
    manifest.check_container(&summary).unwrap();
    link.say(collector.stored(&signed));
    let ended = link.ended();
    assert_eq!((ended.result.as_str(), ended.attempt), ("complete", 1));
    assert_eq!(ended.collection, collector.collection());
    assert!(lab.state.join(format!("receipts/{}.tlog-proof", collector.collection())).exists());
    assert_eq!(lab.calls(), ["__reader", "__sealer"]);
    // Stored is terminal, in this life and the next.
    link.say(from_link::Say::Order(lab.package(&collector.order, ADA)));
    assert_eq!(link.answer().reason, "replay");
    link.stop().unwrap();
    let link = lab.start();
    link.say(from_link::Say::Order(lab.package(&collector.order, ADA)));
    assert_eq!(link.answer().reason, "replay");
    link.stop().unwrap();
    let stored = &lab.events("stored")[0];
    assert_eq!((&stored["copies"], &stored["degraded"]), (&"2".into(), &"no".into()));
}

/// A verifier to leave behind where one is taken out.
fn collector_verifier(collector: &Collector<'_>) -> Verifier {
    let delegation = &collector.delegation;
    let (identity, sealer) = (collections::identity(delegation), delegation.sealer.clone());
    Verifier::new(Expect { identity, sealer, limits: Limits::NONE }).unwrap()
}

#[test]
fn after_a_cut_the_upload_goes_on_where_the_collector_is_and_the_window_never_holds_more_than_three() {
    let lab = Lab::new();
    write(&lab.root, "data/noise", &noise(60 << 20));
    let link = lab.start();
    let mut collector = Collector::order(&lab, &link);
    link.say(collector.position(true));
    let mut in_flight = Vec::new();
    while in_flight.len() < 3 {
        if let (to_link::Say::Segment(segment), files) = link.next() {
            in_flight.push((segment, files));
        }
    }
    // Nothing is acknowledged, so nothing more comes: the reading itself waits.
    lab.wait_for_standstill(&["__reader", "__sealer"]);
    let more = link.said_so_far();
    assert!(!more.iter().any(|say| matches!(say, to_link::Say::Segment(_))), "{more:?}");
    let (segment, files) = in_flight.remove(0);
    collector.accept_segment(&segment, files);
    // The line is cut before the acknowledgement; what was in flight is lost.
    drop(in_flight);
    link.say(from_link::Say::UploadCut(Close { collection: collector.collection(), detail: "cut".into() }));
    link.say(collector.position(true));
    let (manifest, signed) = collector.rest(&link);
    assert!(manifest.segments >= 7);
    assert_eq!(manifest.container_sha256, Digest::of(&collector.stored));
    link.say(collector.stored(&signed));
    assert_eq!(link.ended().result, "complete");
    link.stop().unwrap();
    assert_eq!(lab.events("upload_position").len(), 2, "each first position is in the endpoint's log");
}

#[test]
fn a_collector_that_contradicts_itself_ends_the_collection_and_the_owner_can_read_it() {
    for (what, next_index, seal) in [
        ("beyond what was sent", 9, Digest([9; 32]).to_string()),
        ("another seal", 1, Digest([9; 32]).to_string()),
    ] {
        let lab = Lab::new();
        write(&lab.root, "data/noise", &noise(40 << 20));
        let link = lab.start();
        let collector = Collector::order(&lab, &link);
        link.say(collector.position(true));
        while !matches!(link.next().0, to_link::Say::Segment(_)) {}
        let collection = collector.collection();
        link.say(from_link::Say::Position(Position {
            collection,
            next_index,
            seal,
            copies: 2,
            is_first: false,
        }));
        let ended = link.ended();
        assert_eq!(ended.result, "interrupted", "{what}");
        assert!(ended.detail.contains("server contradiction"), "{what}: {}", ended.detail);
        link.stop().unwrap();
        assert_eq!(lab.events("contradiction").len(), 1, "{what}");
        assert_eq!(lab.calls(), ["__reader", "__sealer"], "{what}: no attempt follows by itself");
    }
}

#[test]
fn a_dead_sealer_costs_an_attempt_and_the_order_grants_no_more_than_it_says() {
    let lab = Lab::new();
    write(&lab.root, "data/noise", &noise(40 << 20));
    let link = lab.start();
    let order = lab.order();
    link.say(from_link::Say::Order(lab.package(&order, ADA)));
    for attempt in 1..=3 {
        let collector = Collector::answered(&lab, &link, order.clone());
        assert_eq!(collector.delegation.attempt, attempt);
        link.say(collector.position(true));
        while !matches!(link.next().0, to_link::Say::Segment(_)) {}
        let pid = rustix::process::Pid::from_raw(lab.newest("__sealer")).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let ended = link.ended();
        assert_eq!((ended.result.as_str(), ended.attempt), ("interrupted", attempt));
    }
    link.say(from_link::Say::Order(lab.package(&order, ADA)));
    let answer = link.answer();
    assert_eq!(answer.reason, "replay", "{}", answer.detail);
    link.stop().unwrap();
    assert_eq!(lab.calls().len(), 6);
}

#[test]
fn a_warden_that_died_in_the_middle_says_so_at_the_next_contact_and_makes_the_second_attempt() {
    let lab = Lab::new();
    write(&lab.root, "data/noise", &noise(40 << 20));
    let link = lab.start();
    let first = Collector::order(&lab, &link);
    link.say(first.position(true));
    while !matches!(link.next().0, to_link::Say::Segment(_)) {}
    link.stop().unwrap();
    // Its processes are gone with it.
    let link = lab.start();
    let ended = link.ended();
    assert_eq!((ended.result.as_str(), ended.attempt), ("interrupted", 1));
    assert_eq!(ended.collection, first.collection());
    link.say(from_link::Say::Order(lab.package(&first.order, ADA)));
    let mut second = Collector::answered(&lab, &link, first.order.clone());
    assert_eq!(second.delegation.attempt, 2);
    assert_ne!(second.delegation.sealer, first.delegation.sealer);
    link.say(second.position(true));
    let (_, signed) = second.rest(&link);
    // The receipt comes only after another restart: it is recognised by the manifest's digest.
    link.stop().unwrap();
    let link = lab.start();
    assert_eq!(link.ended().result, "interrupted");
    let delivery =
        v1::ReceiptDelivery { collection: second.collection(), stored: Some(second.receipt(&signed)) };
    link.say(from_link::Say::Receipt(delivery));
    link.say(from_link::Say::Order(lab.package(&first.order, ADA)));
    assert_eq!(link.answer().reason, "replay");
    link.stop().unwrap();
    assert_eq!(lab.events("stored").len(), 1);
}

#[test]
fn a_receipt_that_does_not_hold_is_not_kept() {
    let lab = Lab::new();
    write(&lab.root, "data/hello", b"hello");
    let link = lab.start();
    let mut collector = Collector::order(&lab, &link);
    link.say(collector.position(true));
    let (_, signed) = collector.rest(&link);
    let honest = lab.log.replace(log(41));
    let forged = collector.stored(&signed);
    lab.log.replace(honest);
    link.say(forged);
    let ended = link.ended();
    assert_eq!(ended.result, "interrupted");
    assert!(ended.detail.contains("receipt"), "{}", ended.detail);
    link.stop().unwrap();
    assert!(!lab.state.join("receipts").exists());
    assert!(lab.events("stored").is_empty());
}

#[test]
fn four_orders_wait_the_fifth_meets_busy_and_a_rejection_makes_room() {
    let lab = Lab::new();
    write(&lab.root, "data/noise", &noise(40 << 20));
    let link = lab.start();
    // No position: it stays in its first window.
    let first = Collector::order(&lab, &link);
    let waiting: Vec<Order> = (0..4).map(|_| lab.order()).collect();
    for (number, order) in (2..).zip(&waiting) {
        link.say(from_link::Say::Order(lab.package(order, ADA)));
        // Each proof begins where the one before ended.
        wait::until("the order is admitted", || lab.events("order_admitted").len() == number);
    }
    link.say(from_link::Say::Order(lab.package(&lab.order(), ADA)));
    let answer = link.answer();
    assert_eq!(answer.reason, "busy", "{}", answer.detail);
    let (collection, reason) = (first.collection(), "over-limit".to_owned());
    link.say(from_link::Say::Rejected(Rejected { collection, reason, detail: "enough".into() }));
    assert!(link.ended().detail.contains("over-limit"));
    let answer = link.answer();
    assert!(answer.admitted);
    assert_eq!(answer.order, sign(&waiting[0], &[ADA]).digest().to_string());
    link.stop().unwrap();
}
