//! Random values round-trip; random damage never panics a parser nor makes it accept a second spelling.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use evidence::bundle::Sums;
use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{Address, EnrolmentRequest, Login, Renewal, Token, TokenString};
use evidence::entry::Entry;
use evidence::entry::act::Act;
use evidence::id::{Actor, Chain, IncidentId};
use evidence::json;
use evidence::keys::sshsig::{self, SshSig};
use evidence::keys::{Fingerprint, PublicKey};
use evidence::manifest::Manifest;
use evidence::order::{Approval, Glob, Order, Target, TargetProof, TargetSet};
use evidence::roster::{AuthoritySet, Roster};
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::text::Bytes;
use evidence::time::{FileTime, Time};
use proptest::prelude::*;

use crate::documents;
use testkit::packages::*;

/// Damaged inputs for the parsers: the same ones on every machine.
const INPUTS: u32 = 10_000;

fn round_trip<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(value: &T) {
    assert_eq!(&value.to_string().parse::<T>().unwrap(), value);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_round_trip_through_their_text(
        ms in 0..=Time::MAX.unix_ms(), seconds: i64, nanos in 0..1_000_000_000_u32, bytes: Vec<u8>, hash: [u8; 32],
        year in 1970..=9999_u16, number in 0..=999_999_999_u32,
    ) {
        round_trip(&Time::from_unix_ms(ms).unwrap());
        round_trip(&FileTime::new(seconds, nanos).unwrap());
        round_trip(&Bytes(bytes));
        round_trip(&Digest(hash));
        round_trip(&Fingerprint(hash));
        round_trip(&Chain::Incident(IncidentId::new(year, number).unwrap()));
    }

    #[test]
    fn a_signature_by_any_key_over_any_message_holds(seed: [u8; 32], message: Vec<u8>, other: Vec<u8>) {
        let key = evidence::keys::SigningKey::from_seed(&seed);
        let armour = sshsig::sign(&key, "exhibit-act-v1", &message).unwrap();
        prop_assert_eq!(sshsig::verify(&armour, "exhibit-act-v1", &message).unwrap(), key.public());
        prop_assert_eq!(sshsig::verify(&armour, "exhibit-act-v1", &other).is_ok(), message == other);
        round_trip(&key.public());
    }

    #[test]
    fn orders_round_trip_whatever_their_text_says(purpose in "\\PC{0,200}", name in "\\PC{1,20}", nonce: [u8; 16]) {
        let mut order = order();
        order.purpose = purpose;
        order.profile.name = name;
        order.nonce = evidence::text::FixedBytes(nonce);
        let signed = sign(&order, &[ADA]);
        let again = Signed::parse(&signed.encode()).unwrap();
        prop_assert_eq!(again.open::<Order>().unwrap().0, order);
    }

    #[test]
    fn every_target_of_any_list_is_proven(names in prop::collection::btree_set("[a-z]{1,8}", 1..40)) {
        let targets = names.iter().map(|name| Target {
            endpoint: name.parse().unwrap(),
            generation: "1".parse().unwrap(),
            evidence_key: Fingerprint([1; 32]),
        });
        let set = TargetSet::new(targets.collect()).unwrap();
        for target in set.targets() {
            let proof = set.proof(&target.endpoint).unwrap();
            let bytes = json::to_document(&proof).unwrap();
            let read: TargetProof = json::parse_document(&bytes).unwrap();
            prop_assert_eq!(read.verify(target, &set.root()), Ok(()));
        }
    }

    #[test]
    fn any_text_survives_json(text: String, key: String, number in -json::INTEGER_MAX..=json::INTEGER_MAX) {
        let value = serde_json::json!({ key: [text, { "n": number }, null, true] });
        let line = json::to_line(&value).unwrap();
        prop_assert_eq!(json::parse_line::<serde_json::Value>(&line).unwrap(), value);
    }

    /// Whatever this reader accepts, serde_json reads as the same value: there is no third meaning.
    #[test]
    fn no_text_is_read_as_something_else_than_serde_json_reads(text in "[{}\\[\\]\",:\\\\u0-9a-f.eE+ tru-]{0,40}") {
        let text = format!("{{\"a\":{text}}}");
        if let Ok(value) = json::parse_line::<serde_json::Value>(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}

/// xorshift64*: the same damage on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b"\"{}[],:\\\n0-9 \x00\xff=."[self.below(17)]),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let end = (at + self.below(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
    }
}

/// Feeds one input to every parser.
fn parse_all(bytes: &[u8]) {
    fn document<T: Document>(signed: &Signed) {
        if let Ok(document) = signed.read::<T>() {
            assert!(json::to_document(&document).is_ok(), "what was read can be written");
        }
    }
    if let Ok(signed) = Signed::parse(bytes) {
        assert_eq!(signed.encode(), bytes);
        document::<Order>(&signed);
        document::<Approval>(&signed);
        document::<Roster>(&signed);
        document::<Token>(&signed);
        document::<EnrolmentRequest>(&signed);
        document::<Renewal>(&signed);
        document::<Login>(&signed);
        document::<Delegation>(&signed);
        document::<Manifest>(&signed);
        document::<Act>(&signed);
    }
    if let Ok(entry) = Entry::parse(bytes) {
        // An entry of a type that this version does not know is read and never written.
        let again = entry.encode();
        assert_eq!(again.is_ok(), entry.envelope.type_.is_known());
        if let Ok(again) = again {
            assert_eq!(Entry::parse(&again).unwrap(), entry);
        }
    }
    drop(json::parse_document::<TargetProof>(bytes));
    if let Ok(sums) = Sums::parse(bytes) {
        assert_eq!(sums.encode(), bytes);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(signature) = SshSig::parse(text) {
        assert_eq!(signature.armour(), text);
    }
    if let Ok(token) = TokenString::parse(text) {
        assert_eq!(*token.encode(), *text);
    }
    drop(AuthoritySet::from_trust_file(text));
    fn one_spelling<T: FromStr + Display>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            assert_eq!(value.to_string(), text);
        }
    }
    one_spelling::<Time>(text);
    one_spelling::<FileTime>(text);
    one_spelling::<PublicKey>(text);
    one_spelling::<Fingerprint>(text);
    one_spelling::<Digest>(text);
    one_spelling::<Actor>(text);
    one_spelling::<Chain>(text);
    one_spelling::<Glob>(text);
    one_spelling::<Address>(text);
    one_spelling::<Bytes>(text);
}

#[test]
fn damaged_input_never_panics_a_parser_nor_gets_a_second_spelling() {
    let mut seeds: Vec<Vec<u8>> = documents::all().into_iter().map(|(_, bytes)| bytes).collect();
    seeds.push(sign(&order(), &[ADA]).signatures[0].clone().into_bytes());
    seeds.push(format!("{}  README.txt\n", Digest::ZERO).into_bytes());
    let short = [
        "2026-11-21T12:00:00.000Z",
        "-1.500000000",
        "person:ada",
        "endpoint:web-03#2",
        "INC-2026-0007",
        "/var/log/**10",
        "[2001:db8::7]:4433",
        "AAAA/w==",
    ];
    seeds.extend(short.map(|text| text.as_bytes().to_vec()));
    seeds.extend(
        [key(ADA).public().to_string(), key(ADA).public().fingerprint().to_string()].map(String::into_bytes),
    );
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..INPUTS {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        random.damage(&mut bytes);
        parse_all(&bytes);
    }
}

#[test]
fn a_damaged_package_never_panics_and_is_never_admitted_with_another_order() {
    let good = Recipe::good().build();
    good.judge().unwrap();
    let mut random = Random(7);
    let mut refused = 0;
    for _ in 0..150 {
        let mut built = Recipe::good().build();
        match random.below(6) {
            0 => random.damage(&mut built.order),
            1 => random.damage(&mut built.rosters[0]),
            2 => random.damage(&mut built.approvals[0]),
            3 => random.damage(&mut built.proven[0].0),
            4 => random.damage(&mut built.proven[0].1),
            _ => random.damage(&mut built.proven[1].1),
        }
        // Damage may write the byte that was there; every other package is refused, whichever part of it was hit.
        let is_as_it_was = built.order == good.order
            && built.rosters == good.rosters
            && built.approvals == good.approvals
            && built.proven == good.proven;
        match built.judge() {
            Ok(admitted) => assert!(is_as_it_was, "a damaged package was admitted: {admitted:?}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "only {refused} packages were damaged");
}
