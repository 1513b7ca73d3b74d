//! The uploads of a lying endpoint: the collector acknowledges nothing of them, keeps apart everything that was sealed, and
//! continues to serve.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bytes::Bytes;
use evidence::container::{SealedSegment, SeekTable};
use evidence::digest::Digest;
use evidence::frames::{FrameDecoder, compress_frame};
use evidence::keys::SigningKey;
use evidence::seal;
use lab::{Options, run};
use proto::v1::upload_request::Message;
use proto::v1::{SegmentBegin, UploadRequest, upload_response};

use super::endpoint::{Liar, records};
use crate::field::{Field, Random};

struct Bench {
    field: Field,
    incident: String,
    profile: PathBuf,
    random: Random,
}

impl Bench {
    fn new() -> Self {
        let field = Field::silent(&Options::default()).unwrap();
        let dir = field.lab.path("fixture");
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::write(dir.join("file"), b"true content\n").unwrap();
        let profile = field.lab.files_profile("lies", &[&format!("{}/**", dir.display())]).unwrap();
        let incident = field.incident().unwrap();
        Self { field, incident, profile, random: Random::new(21) }
    }

    fn order(&self) -> String {
        self.field.order(&self.incident, &self.profile, &["--attempts", "1"]).unwrap()
    }

    /// Sends a seal and bytes as segment 0 of a new collection; asserts what comes back and what is kept.
    fn rejected(&mut self, what: &str, spoil: impl FnOnce(&Liar<'_>, &SealedSegment) -> (Vec<u8>, Vec<u8>)) {
        let order = self.order();
        let liar = Liar::new(&self.field, &order, 1, &mut self.random);
        let honest = liar.container(&[("/aa/etc/passwd", b"root:x:0:0\n".to_vec())]);
        let (seal, stored) = spoil(&liar, &honest[0]);
        let mut call = liar.upload();
        call.segment(&seal, &stored);
        let rejected = match call.answer() {
            Ok(Some(upload_response::Message::Rejected(rejected))) => rejected,
            other => panic!("{what}: {other:?}\n{}", self.field.logs()),
        };
        assert_eq!(rejected.reason, "malformed", "{what}: {}", rejected.detail);
        let id = liar.collection.to_string();
        assert!(
            !self
                .field
                .lab
                .path(format!("store-a/segments/{id}/000000-{}.zst", Digest::of(&stored)))
                .exists()
        );
        for store in &self.field.stores {
            let kept = store.join(format!("quarantine/{id}/000000-{}.zst", Digest::of(&stored)));
            assert_eq!(fs_err::read(&kept).unwrap(), stored, "{what}: quarantined as it came");
        }
        let tail = run(self.field.lab.exhibit().args(["ledger", "tail", "--from", "0"])).unwrap();
        let tail = String::from_utf8(tail.stdout).unwrap();
        let is_entry = |line: &str| line.contains("collection.malformed") && line.contains(&id);
        assert!(tail.lines().any(is_entry), "{what}: {tail}");
        let ended = self.field.show(&order).unwrap();
        assert_eq!(ended.attempts[0].state, "malformed", "{what}");
        // It cannot be continued either.
        let mut again = liar.open();
        match again.answer() {
            Ok(Some(upload_response::Message::Rejected(rejected))) => {
                assert_eq!(rejected.reason, "malformed")
            }
            other => panic!("{what}: a malformed collection goes on: {other:?}"),
        }
        println!(
            "tried: {what}; got: rejected `malformed` ({}), kept in quarantine twice, an entry in the ledger",
            rejected.detail
        );
    }

    /// After all lies the true agent on the same host collects, and everything verifies.
    fn serves_on(mut self) {
        self.field.start_agent(&[]).unwrap();
        let incident = self.field.incident().unwrap();
        let order = self.field.order(&incident, &self.profile, &[]).unwrap();
        let ended = self.field.wait_ended(&order).unwrap();
        assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, self.field.logs());
        self.field.fsck().unwrap();
        let bundle = self.field.lab.export(&incident).unwrap();
        let report = self.field.lab.verify(&bundle).unwrap();
        assert_eq!(report.exit_code(), 0, "{}", report.text());
        assert!(self.field.lab.stop_server().unwrap());
    }
}

#[test]
fn sealed_lies_are_rejected_and_kept_apart() {
    let mut bench = Bench::new();
    bench.rejected("a flipped byte in a segment", |_, segment| {
        let mut bytes = segment.bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        (segment.seal.clone(), bytes)
    });
    bench.rejected("a seal signed by another key than the delegated one", |_, segment| {
        let other = SigningKey::from_seed(&[99; 32]);
        (seal::make(&segment.header, &records(segment), &other).unwrap(), segment.bytes.clone())
    });
    bench.rejected("a seal of another collection", |liar, segment| {
        let header = seal::SealHeader { collection: Digest::of(b"other"), ..segment.header.clone() };
        (seal::make(&header, &records(segment), &liar.sealer).unwrap(), segment.bytes.clone())
    });
    bench.rejected("bytes that are no zstd, sealed properly", |liar, segment| {
        let bytes = vec![0x55; 4096];
        (liar.reseal(&segment.header, &bytes, &records(segment)), bytes)
    });
    bench.rejected("a decompression bomb: one frame of 1 GiB of zeros, sealed properly", |liar, segment| {
        let bytes = bomb();
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        (liar.reseal(&segment.header, &bytes, &records(segment)), bytes)
    });
    bench.rejected(
        "a decompression bomb: the same frame, said to hold what the records say, sealed properly",
        |liar, segment| {
            let bytes = understated(bomb(), segment.header.plain_end);
            (liar.reseal(&segment.header, &bytes, &records(segment)), bytes)
        },
    );
    bench.rejected("a decompression bomb in the records of the seal", |liar, segment| {
        (liar.reseal(&segment.header, &segment.bytes, &bomb()), segment.bytes.clone())
    });
    bench.rejected("another content than the records say, sealed properly", |liar, segment| {
        let bytes = rewritten(segment, |plain| replace(plain, b"root:x:0:0", b"root:x:9:9"));
        (liar.reseal(&segment.header, &bytes, &records(segment)), bytes)
    });
    bench.rejected(
        "a member named `[root]/../etc/passwd` in tar header and records, sealed properly",
        |liar, segment| {
            let bytes = rewritten(segment, |plain| {
                replace(plain, b"[root]/aa/etc/passwd", b"[root]/../etc/passwd");
                checksum(plain);
            });
            let mut lines = decoded(&records(segment));
            replace_text(&mut lines, "/aa/etc/passwd", "/../etc/passwd");
            (liar.reseal(&segment.header, &bytes, &compress_frame(&lines, 1).unwrap()), bytes)
        },
    );
    bench.rejected(
        "a member named `[root]/../etc/passwd` in the tar header only, sealed properly",
        |liar, segment| {
            let bytes = rewritten(segment, |plain| {
                replace(plain, b"[root]/aa/etc/passwd", b"[root]/../etc/passwd");
                checksum(plain);
            });
            (liar.reseal(&segment.header, &bytes, &records(segment)), bytes)
        },
    );
    bench.serves_on();
}

#[test]
fn calls_that_break_the_rules_end_and_acknowledge_nothing() {
    let mut bench = Bench::new();
    let order = bench.order();
    let liar = Liar::new(&bench.field, &order, 1, &mut bench.random);
    let mut noise = vec![0; 20 << 20];
    Random::new(5).fill(&mut noise);
    let segments = liar.container(&[("/noise", noise)]);
    assert!(segments.len() >= 2);
    let begin = |seal_len, stored_len| UploadRequest {
        message: Some(Message::Segment(SegmentBegin { seal_len, stored_len })),
    };
    let data = |len: usize| UploadRequest { message: Some(Message::Data(Bytes::from(vec![7; len]))) };
    let seal_data =
        |len: usize| UploadRequest { message: Some(Message::SealData(Bytes::from(vec![7; len]))) };
    for (what, messages, code) in [
        (
            "a message of 3 MiB",
            vec![begin(4096, 4 << 20), seal_data(4096), data(3 << 20)],
            tonic::Code::OutOfRange,
        ),
        (
            "a piece of 1.5 MiB",
            vec![begin(4096, 4 << 20), seal_data(4096), data(3 << 19)],
            tonic::Code::InvalidArgument,
        ),
        ("a segment announced with 17 MiB", vec![begin(4096, 17 << 20)], tonic::Code::InvalidArgument),
        ("a seal announced with 65 MiB", vec![begin(65 << 20, 1)], tonic::Code::InvalidArgument),
        ("data before the seal", vec![begin(4096, 4096), data(4096)], tonic::Code::InvalidArgument),
        (
            "more data than announced",
            vec![begin(1, 10), seal_data(1), data(11)],
            tonic::Code::InvalidArgument,
        ),
        ("data without a segment", vec![data(10)], tonic::Code::InvalidArgument),
        ("a message of no kind", vec![UploadRequest { message: None }], tonic::Code::InvalidArgument),
    ] {
        let mut call = liar.upload();
        call.send(messages);
        let status = call.answer().expect_err(what);
        assert_eq!(status.code(), code, "{what}: {status:?}");
        println!("tried: {what}; got: {:?} ({})", status.code(), status.message());
    }
    // The second segment first.
    let mut call = liar.upload();
    call.segment(&segments[1].seal, &segments[1].bytes);
    let status = call.answer().expect_err("out of order");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}");
    println!("tried: the second segment first; got: {:?} ({})", status.code(), status.message());

    // Nothing of all that is anywhere; the true segment is taken, and then no other in its place.
    let shown = bench.field.show(&order).unwrap();
    assert_eq!(shown.attempts[0].segments, 0);
    let mut call = liar.upload();
    call.segment(&segments[0].seal, &segments[0].bytes);
    match call.answer() {
        Ok(Some(upload_response::Message::Position(position))) => {
            assert_eq!((position.next_index, position.copies), (1, 2));
            assert_eq!(position.seal, segments[0].seal_digest.to_string());
        }
        other => panic!("{other:?}\n{}", bench.field.logs()),
    }
    // The same again is good news that got lost.
    call.segment(&segments[0].seal, &segments[0].bytes);
    assert!(matches!(
        call.answer(),
        Ok(Some(upload_response::Message::Position(position))) if position.next_index == 1
    ));
    let other = seal::SealHeader {
        boot: evidence::time::FileTime::new(101, 0).unwrap(),
        ..segments[0].header.clone()
    };
    let other = seal::make(&other, &records(&segments[0]), &liar.sealer).unwrap();
    call.segment(&other, &segments[0].bytes);
    match call.answer() {
        Ok(Some(upload_response::Message::Rejected(rejected))) => {
            assert_eq!(rejected.reason, "contradiction");
            println!(
                "tried: another seal for a durable segment; got: rejected `contradiction` ({})",
                rejected.detail
            );
        }
        other => panic!("{other:?}"),
    }
    drop(call);

    // A collection under nobody's order, and under an attempt that the order does not grant.
    let unknown = Liar::new(&bench.field, &Digest::of(b"no order").to_string(), 1, &mut bench.random);
    let fresh = bench.order();
    let ninth = Liar::new(&bench.field, &fresh, 9, &mut bench.random);
    for (what, liar) in
        [("an order that nobody issued", unknown), ("attempt 9 of an order that grants one", ninth)]
    {
        match liar.open().answer() {
            Ok(Some(upload_response::Message::Rejected(rejected))) => {
                assert_eq!(rejected.reason, "unknown-order", "{what}");
                println!(
                    "tried: a collection under {what}; got: rejected `unknown-order` ({})",
                    rejected.detail
                );
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    bench.serves_on();
}

/// One zstd frame of 1 GiB of zeros, by the stock tool.
fn bomb() -> Vec<u8> {
    let mut zstd = Command::new("zstd")
        .args(["-q", "-c", "-1", "--no-check", "--stream-size=1073741824"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = zstd.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        let zeros = vec![0; 1 << 20];
        for _ in 0..1024 {
            input.write_all(&zeros).unwrap();
        }
    });
    let output = zstd.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// The same frame with another content size in its header (RFC 8878, 3.1.1.1.4).
fn understated(mut frame: Vec<u8>, plain: u64) -> Vec<u8> {
    let plain = u32::try_from(plain).unwrap();
    replace(&mut frame, &(1_u32 << 30).to_le_bytes(), &plain.to_le_bytes());
    frame
}

/// The plain bytes of one frame.
fn decoded(frame: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    FrameDecoder::new().unwrap().decode_up_to(frame, 1 << 20, &mut plain).unwrap();
    plain
}

/// A small final segment with changed plain bytes: one frame and the seek table.
fn rewritten(segment: &SealedSegment, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    assert!(segment.header.is_final && segment.header.index == 0);
    let mut plain = decoded(&segment.bytes);
    change(&mut plain);
    let mut bytes = compress_frame(&plain, 1).unwrap();
    let mut table = SeekTable::new();
    table.push(u32::try_from(bytes.len()).unwrap(), u32::try_from(plain.len()).unwrap());
    bytes.extend(table.to_bytes());
    bytes
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// The same path in every spelling that a record has: shown, and base64 of path and member.
fn replace_text(lines: &mut Vec<u8>, from: &str, to: &str) {
    use base64::Engine as _;
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let mut text = String::from_utf8(lines.clone()).unwrap();
    for (from, to) in [
        (base64(format!("[root]{from}")), base64(format!("[root]{to}"))),
        (base64(from.to_owned()), base64(to.to_owned())),
        (from.to_owned(), to.to_owned()),
    ] {
        assert!(text.contains(&from), "{from} in {text}");
        text = text.replace(&from, &to);
    }
    *lines = text.into_bytes();
}

/// Sets the checksum of the first ustar block anew.
fn checksum(plain: &mut [u8]) {
    plain[148..156].copy_from_slice(b"        ");
    let sum: u32 = plain[..512].iter().map(|byte| u32::from(*byte)).sum();
    plain[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
