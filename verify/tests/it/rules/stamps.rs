//! `stamp-*`: stamps that no collector keeps, with a pinned authority and without.

use testkit::bundles::*;

use super::{refused, refused_under};
use crate::forged::with;
use crate::stamps::{P256, Tsa, sequence};
use crate::verdicts::*;

/// Makes a stamp over some bytes.
type Stamp<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync + 'a>;

/// A bundle with this stamp over SHA256SUMS.
fn stamped<'a>(stamp: Stamp<'a>) -> Recipe<'a> {
    with! { after: move |files: &mut Files| {
        let response = stamp(&files["SHA256SUMS"]);
        files.insert("SHA256SUMS.tsr".into(), response);
    } }
}

/// The same over the checkpoint.
fn stamped_head<'a>(stamp: Stamp<'a>) -> Recipe<'a> {
    with! { files: move |files: &mut Files| {
        let response = stamp(&files["ledger/checkpoint"]);
        files.insert("ledger/checkpoint.tsr".into(), response);
    } }
}

/// Who pins the authority.
fn pinned(tsa: &Tsa) -> Files {
    let mut pins = trust_files();
    pins.insert("tsa.pem".into(), tsa.read("root.pem"));
    pins
}

/// The stamp's token behind another status.
fn with_status(response: &[u8], status: &[u8]) -> Vec<u8> {
    // The header of four bytes, then the status of five.
    sequence(&[&sequence(status), &response[9..]].concat())
}

/// A granted status with words of this length.
fn words(length: usize) -> Vec<u8> {
    let mut text = vec![0x0c, 0x82];
    text.extend(u16::try_from(length).unwrap().to_be_bytes());
    text.extend(vec![b'x'; length]);
    [&[2, 1, 0], sequence(&text).as_slice()].concat()
}

#[test]
fn stamp_4_a_response_of_more_than_16_kib() {
    let tsa = Tsa::new(P256);
    // Certificates and signatures differ in length from stamp to stamp, so the words fill what is left.
    let of_length = |data: &[u8], length: usize| {
        let response = tsa.stamp(data, 0);
        let plain = with_status(&response, &words(300)).len();
        with_status(&response, &words(300 + length - plain))
    };
    let long = || -> Stamp<'_> { Box::new(|data| of_length(data, (16 << 10) + 1)) };
    let rows = || {
        vec![
            ("one byte too many", "sums.stamp", stamped(long())),
            ("one byte too many over the checkpoint", "checkpoint.stamp", stamped_head(long())),
        ]
    };
    refused("stamp-4", rows());
    refused_under(&pinned(&tsa), "stamp-4", rows());
    let files = stamped(Box::new(|data| of_length(data, 16 << 10))).build().files;
    assert_eq!(files["SHA256SUMS.tsr"].len(), 16 << 10);
    let report = verify(&files);
    assert_eq!((report.exit_code(), script(&files, &trust_files()).0), (0, 0), "{}", report.text());
}

#[test]
fn stamp_5_a_response_that_is_not_strict_der() {
    let tsa = Tsa::new(P256);
    let long_length = |data: &[u8]| [&[0x30, 0x83, 0], &tsa.stamp(data, 0)[2..]].concat();
    let without_length = |data: &[u8]| [&[0x30, 0x80], &tsa.stamp(data, 0)[4..], &[0, 0]].concat();
    let long_number = |data: &[u8]| with_status(&tsa.stamp(data, 0), &[2, 2, 0, 0]);
    let in_pieces =
        |data: &[u8]| with_status(&tsa.stamp(data, 0), &[2, 1, 0, 0x30, 5, 0x2c, 3, 0x0c, 1, b'x']);
    let rows = || {
        vec![
            ("a length in more bytes than it needs", "sums.stamp", stamped(Box::new(long_length))),
            ("no length", "sums.stamp", stamped(Box::new(without_length))),
            ("a number in more bytes than it needs", "sums.stamp", stamped(Box::new(long_number))),
            ("a text in pieces", "sums.stamp", stamped(Box::new(in_pieces))),
            ("a length of the checkpoint's stamp", "checkpoint.stamp", stamped_head(Box::new(long_length))),
        ]
    };
    refused("stamp-5", rows());
    refused_under(&pinned(&tsa), "stamp-5", rows());
}

#[test]
fn stamp_6_a_certificate_that_the_chain_does_not_use() {
    let (tsa, other) = (Tsa::new(P256), Tsa::new(P256));
    let (root, foreign) = (tsa.read("root.pem"), other.read("root.pem"));
    let both = [root.as_slice(), &foreign].concat();
    let altered = |data: &[u8]| {
        let mut response = tsa.stamp_with(data, 0, &root);
        let der = pem_bytes(&root);
        let at = response.windows(der.len()).position(|part| part == der).unwrap();
        // The last byte of the root's own signature.
        response[at + der.len() - 1] ^= 1;
        response
    };
    let rows = || {
        vec![
            (
                "a root of somebody else",
                "sums.stamp",
                stamped(Box::new(|data| tsa.stamp_with(data, 0, &foreign))),
            ),
            (
                "the same beside the own root",
                "sums.stamp",
                stamped(Box::new(|data| tsa.stamp_with(data, 0, &both))),
            ),
            ("a root that did not sign itself", "sums.stamp", stamped(Box::new(altered))),
            (
                "over the checkpoint",
                "checkpoint.stamp",
                stamped_head(Box::new(|data| tsa.stamp_with(data, 0, &both))),
            ),
        ]
    };
    refused("stamp-6", rows());
    refused_under(&pinned(&tsa), "stamp-6", rows());
    // Its own chain, as most authorities send it.
    let files = stamped(Box::new(|data| tsa.stamp_with(data, 0, &root))).build().files;
    for pins in [trust_files(), pinned(&tsa)] {
        let report = judged_under(&files, &trust_of(&pins));
        assert_eq!((report.exit_code(), script(&files, &pins).0), (0, 0), "{}", report.text());
    }
}

/// The bytes of the one certificate in a PEM file.
fn pem_bytes(pem: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(lines).unwrap()
}

#[test]
fn stamp_7_a_stamp_over_other_bytes_where_nobody_is_pinned() {
    let tsa = Tsa::new(P256);
    let other = |data: &[u8]| tsa.stamp(&data[1..], 0);
    let broken = |data: &[u8]| {
        let mut response = tsa.stamp(data, 0);
        *response.last_mut().unwrap() ^= 1;
        response
    };
    let version = |data: &[u8]| {
        let mut response = tsa.stamp(data, 0);
        // The version of the SignedData, behind three headers of four bytes, the status and the kind of content.
        assert_eq!(response[32..35], [2, 1, 3]);
        response[34] = 1;
        response
    };
    let rows = || {
        vec![
            ("other bytes", "sums.stamp", stamped(Box::new(other))),
            ("other bytes than the checkpoint", "checkpoint.stamp", stamped_head(Box::new(other))),
            ("a signature that does not hold", "sums.stamp", stamped(Box::new(broken))),
            ("another version", "sums.stamp", stamped(Box::new(version))),
        ]
    };
    refused("stamp-7", rows());
    refused_under(&pinned(&tsa), "stamp-7", rows());
}

#[test]
fn a_stamp_that_holds_where_nobody_is_pinned_is_said_to_be_unjudged() {
    let tsa = Tsa::new(P256);
    let files = stamped(Box::new(|data| tsa.stamp(data, 0))).build().files;
    let report = verify(&files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let says =
        "about these bytes; no time-stamping authority is pinned (tsa.pem), so nobody's signature was judged";
    assert!(report.text().contains(says), "{}", report.text());
}
