//! Damage to seals and to their chain, and the limits of an order.

use evidence::container::{Expect, Limits, Malformed, Verifier};
use evidence::digest::Digest;
use evidence::frames::{FRAME_BYTES, compress_frame};
use evidence::item::RawBytes;
use evidence::seal::{self, ChainError, SealError, SealHeader};
use testkit::containers::lab::{Built, Lab, identity, signer, verifier};
use testkit::containers::pieces::Pieces;
use testkit::containers::{file, noise, records_of, unframe};

use super::{assert_defect, defect};

#[test]
fn seal_by_another_key() {
    let forge = Pieces { signer: 8, ..Pieces::small() };
    assert_defect!(forge.defect(), Malformed::Seal { source: SealError::WrongKey, .. });
}

#[test]
fn seal_of_another_collection() {
    let mut forge = Pieces::small();
    forge.header.collection = Digest([1; 32]);
    assert_defect!(forge.defect(), Malformed::Chain(ChainError::Foreign("collection")));
}

fn chain() -> Built {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/noise", 26 << 20), &noise(26 << 20)).unwrap();
    let built = lab.finish();
    assert_eq!(built.segments.len(), 4);
    built
}

#[test]
fn segments_swapped_reordered_dropped_repeated_or_behind_the_end() {
    let built = chain();
    let part = |seal: usize, segment: usize| {
        (built.segments[seal].seal.as_slice(), built.segments[segment].bytes.as_slice())
    };
    assert_defect!(
        defect(&[part(0, 1)]),
        Malformed::SegmentDigest { index: 0 } | Malformed::SegmentLength { .. }
    );
    assert_defect!(defect(&[part(1, 1)]), Malformed::Chain(ChainError::Index { stated: 1, expected: 0 }));
    assert_defect!(
        defect(&[part(0, 0), part(2, 2)]),
        Malformed::Chain(ChainError::Index { stated: 2, expected: 1 })
    );
    assert_defect!(
        defect(&[part(0, 0), part(0, 0)]),
        Malformed::Chain(ChainError::Index { stated: 0, expected: 1 })
    );
    assert_defect!(
        defect(&[part(0, 0), part(1, 1), part(2, 2), part(3, 3), part(3, 3)]),
        Malformed::Chain(ChainError::AfterFinal { index: 3 })
    );
    assert_defect!(defect(&[part(0, 0), part(1, 1), part(2, 2)]), Malformed::Unfinished);
}

#[test]
fn another_chain_grafted_on_with_the_sealers_key() {
    let built = chain();
    let second = &built.segments[1];
    let header = SealHeader { prev: Digest([5; 32]), ..second.header.clone() };
    let stored = &second.seal[second.seal.len() - header.records_len as usize..];
    let seal = seal::make(&header, stored, &signer()).unwrap();
    let first = (built.segments[0].seal.as_slice(), built.segments[0].bytes.as_slice());
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::Chain(ChainError::Prev { index: 1 }));
    let header =
        SealHeader { is_final: true, items: 1, items_total: 1, open: false, ..second.header.clone() };
    let seal = seal::make(&header, stored, &signer()).unwrap();
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::Record { item: 0, .. });
}

#[test]
fn open_record_contradicted_later() {
    let built = chain();
    let second = &built.segments[1];
    let mut open = records_of(&second.seal).remove(0);
    open.path = RawBytes(b"/other".to_vec());
    open.shown = "/other".into();
    open.member = Some(RawBytes(b"[root]/other".to_vec()));
    let line = [open.to_line().unwrap(), b"\n".to_vec()].concat();
    let stored = compress_frame(&line, 1).unwrap();
    let header = SealHeader {
        records_sha256: Digest::of(&stored),
        records_len: stored.len() as u64,
        ..second.header.clone()
    };
    let seal = seal::make(&header, &stored, &signer()).unwrap();
    let first = (built.segments[0].seal.as_slice(), built.segments[0].bytes.as_slice());
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::OpenContradicted { item: 0 });
}

#[test]
fn segment_that_ends_inside_a_frame() {
    let built = chain();
    let first = &built.segments[0];
    let plain = unframe(&first.bytes, usize::try_from(first.header.plain_end).unwrap());
    // The first segment as a sealer would make it that ends it earlier.
    let cut = |plain_end: usize| {
        let frames: Vec<Vec<u8>> =
            plain[..plain_end].chunks(FRAME_BYTES).map(|frame| compress_frame(frame, 1).unwrap()).collect();
        let segment = frames.concat();
        let line = records_of(&first.seal)[0].open_at(plain_end as u64, first.header.wall).to_line().unwrap();
        let records = compress_frame(&[line, b"\n".to_vec()].concat(), 1).unwrap();
        let header = SealHeader {
            sha256: Digest::of(&segment),
            stored_len: segment.len() as u64,
            plain_end: plain_end as u64,
            records_sha256: Digest::of(&records),
            records_len: records.len() as u64,
            ..first.header.clone()
        };
        (seal::make(&header, &records, &signer()).unwrap(), segment)
    };
    let (seal, segment) = cut(7 * FRAME_BYTES);
    verifier().segment(&seal, &segment, &mut |_| ()).unwrap();
    for plain_end in [7 * FRAME_BYTES - 512, 7 * FRAME_BYTES + 512] {
        let (seal, segment) = cut(plain_end);
        let found = verifier().segment(&seal, &segment, &mut |_| ()).unwrap_err();
        assert_defect!(found, Malformed::SegmentEnd { index: 0 });
    }
}

#[test]
fn limits_of_the_order() {
    let built = chain();
    let check = |limits| {
        let expect = Expect { identity: identity(), sealer: signer().public(), limits };
        let mut verifier = Verifier::new(expect).unwrap();
        let mut run = || {
            for part in &built.segments {
                verifier.segment(&part.seal, &part.bytes, &mut |_| ())?;
            }
            Ok::<_, Malformed>(())
        };
        run().unwrap_err()
    };
    let none = Limits::NONE;
    assert_defect!(
        check(Limits { stored_bytes: 9 << 20, ..none }),
        Malformed::Limit { index: 1, limit: "stored_bytes" }
    );
    assert_defect!(
        check(Limits { plain_bytes: 9 << 20, ..none }),
        Malformed::Limit { index: 1, limit: "plain_bytes" }
    );
    assert_defect!(check(Limits { items: 1, ..none }), Malformed::Limit { index: 3, limit: "items" });
    assert_defect!(
        check(Limits { item_bytes: 1 << 20, ..none }),
        Malformed::Limit { index: 0, limit: "item_bytes" }
    );
    assert_defect!(
        check(Limits { logical_bytes: 1, ..none }),
        Malformed::Limit { index: 0, limit: "logical_bytes" }
    );
}

/// A tiny file that says it is a petabyte of holes costs no hashing.
#[test]
fn holes_beyond_16_gib_are_not_hashed() {
    let mut lab = Lab::new(1);
    let mut record = file(b"/bomb", 1 << 50);
    record.sparse = Some(vec![(1 << 49, 5)]);
    let record = lab.whole(record, b"12345").unwrap();
    assert_eq!((record.sha256, record.sha256_read), (None, Some(Digest::of(b"12345"))));
    lab.finish().verify().unwrap();
}

#[test]
fn nothing_is_accepted_after_a_failure() {
    let (seal, segment) = Pieces::small().build();
    let mut verifier = verifier();
    verifier.segment(&seal, &segment[1..], &mut |_| ()).unwrap_err();
    assert_defect!(verifier.segment(&seal, &segment, &mut |_| ()).unwrap_err(), Malformed::AfterFailure);
    assert_defect!(verifier.finish().unwrap_err(), Malformed::AfterFailure);
}
