//! Certificate requests that the collector must refuse, and the worked examples of docs/spec/enrolment.md.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::key::{TlsKey, TlsKeyError};
use certs::request::{Named, Request, RequestError};
use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal};
use evidence::signed::Signed;
use rcgen::{Attribute, CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SigningKey as _};

const NONCE: [u8; 16] = [6; 16];
const CHALLENGE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 7];
const UNSTRUCTURED_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 2];
/// Bytes of the outer header, and of the part that the signature covers.
const HEAD: usize = 3;
const SIGNED: usize = 142;
/// Bytes of the signature's algorithm, behind that part.
const ALGORITHM: usize = 12;

fn nobody() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

fn pair(key: &TlsKey) -> KeyPair {
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.pkcs8());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A length in one byte.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap()
}

/// A SET of strings of a tag.
fn strings(tag: u8, texts: &[&str]) -> Vec<u8> {
    let values: Vec<u8> =
        texts.iter().flat_map(|text| [&[tag, short(text.len())], text.as_bytes()].concat()).collect();
    [&[0x31, short(values.len())], &values[..]].concat()
}

fn challenge(text: &str) -> Attribute {
    Attribute { oid: CHALLENGE, values: strings(0x0c, &[text]) }
}

/// A request with these attributes, by the library that made the good ones.
fn with(params: &CertificateParams, attributes: Vec<Attribute>) -> Vec<u8> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    params.serialize_request_with_attributes(&pair, attributes).unwrap().der().to_vec()
}

/// The request around another signature.
fn signed_by(request: &[u8], signature: &[u8]) -> Vec<u8> {
    let body = &request[HEAD..][..SIGNED + ALGORITHM];
    let bits = [&[0x03, short(signature.len()) + 1, 0], signature].concat();
    [&[0x30, 0x81, short(body.len() + bits.len())], body, &bits].concat()
}

fn signature(request: &[u8]) -> &[u8] {
    &request[HEAD + SIGNED + ALGORITHM + 3..]
}

#[test]
fn a_request_yields_the_key_and_the_challenge_that_it_was_made_for() {
    let key = TlsKey::generate().unwrap();
    for nonce in [&NONCE[..], &[9; 32]] {
        let request = key.request(nonce).unwrap();
        assert_eq!(
            Request::read(&request).unwrap(),
            Request { key: key.public(), challenge: nonce.to_vec() }
        );
        assert!(request.len() <= 252, "{} bytes", request.len());
    }
    let short = key.request(&[1; 8]).unwrap();
    assert!(matches!(Request::read(&short), Err(RequestError::Challenge)));
}

#[test]
fn a_request_with_any_byte_changed_cut_or_added_is_refused() {
    let request = TlsKey::generate().unwrap().request(&NONCE).unwrap();
    for at in 0..request.len() {
        for bit in [1, 0x20, 0x80] {
            let mut other = request.clone();
            other[at] ^= bit;
            assert!(Request::read(&other).is_err(), "byte {at}");
        }
        assert!(Request::read(&request[..at]).is_err(), "cut at {at}");
    }
    let refused = |der: &[u8]| Request::read(der).unwrap_err();
    assert!(matches!(refused(&[&request[..], &[0]].concat()), RequestError::Form), "a byte behind it");
    let mut inside = [&request[..], &[5, 0]].concat();
    inside[2] += 2;
    assert!(matches!(refused(&inside), RequestError::Form), "a value behind the signature, inside");
    let long = [&[0x30, 0x82, 0, request[2]], &request[HEAD..]].concat();
    assert!(matches!(refused(&long), RequestError::Form), "a length in a longer form");
    assert!(matches!(refused(&vec![0; 1025]), RequestError::Large { .. }));
}

#[test]
fn a_request_signed_by_another_key_is_refused() {
    let (own, other) = (TlsKey::generate().unwrap(), TlsKey::generate().unwrap());
    let request = own.request(&NONCE).unwrap();
    assert_eq!(signed_by(&request, signature(&request)), request);
    let foreign = pair(&other).sign(&request[HEAD..][..SIGNED]).unwrap();
    let borrowed = signature(&other.request(&NONCE).unwrap()).to_vec();
    // The signature in a form that is not strict: a zero in front of the first number.
    let good = signature(&request);
    let padded = [&[0x30, good[1] + 1, 0x02, good[3] + 1, 0], &good[4..]].concat();
    for (what, signature) in
        [("of another key", foreign), ("of another request", borrowed), ("padded", padded)]
    {
        let error = Request::read(&signed_by(&request, &signature)).unwrap_err();
        assert!(matches!(error, RequestError::Signature), "{what}: {error}");
    }
}

#[test]
fn requests_of_other_algorithms_are_refused_and_ed25519_by_name() {
    for (algorithm, is_ed25519) in [
        (&rcgen::PKCS_ED25519, true),
        (&rcgen::PKCS_ECDSA_P384_SHA384, false),
        (&rcgen::PKCS_RSA_SHA256, false),
    ] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let attributes = vec![challenge(&STANDARD.encode(NONCE))];
        let request = nobody().serialize_request_with_attributes(&pair, attributes).unwrap();
        match Request::read(request.der()).unwrap_err() {
            RequestError::Key(TlsKeyError::Ed25519) => assert!(is_ed25519),
            RequestError::Key(TlsKeyError::Algorithm) => assert!(!is_ed25519),
            other => panic!("{other}"),
        }
    }
    // ecdsa-with-SHA384 over a P-256 key.
    let mut request = TlsKey::generate().unwrap().request(&NONCE).unwrap();
    request[HEAD + SIGNED + ALGORITHM - 1] = 3;
    assert!(matches!(Request::read(&request), Err(RequestError::Algorithm)));
}

#[test]
fn a_request_names_nobody_and_has_one_attribute() {
    let text = STANDARD.encode(NONCE);
    let good = with(&nobody(), vec![challenge(&text)]);
    Request::read(&good).unwrap();
    let mut named = nobody();
    named.distinguished_name.push(DnType::CommonName, "root");
    let mut asks = nobody();
    asks.subject_alt_names = vec![SanType::URI("exhibit://acme/person/ada".try_into().unwrap())];
    let printable = Attribute { oid: CHALLENGE, values: strings(0x13, &[&text]) };
    let two = Attribute { oid: CHALLENGE, values: strings(0x0c, &[&text, &text]) };
    let other = Attribute { oid: UNSTRUCTURED_NAME, values: strings(0x0c, &[&text]) };
    type Is = fn(&RequestError) -> bool;
    let (attributes, challenged): (Is, Is) =
        (|e| matches!(e, RequestError::Attributes), |e| matches!(e, RequestError::Challenge));
    for (what, request, is) in [
        ("a subject", with(&named, vec![challenge(&text)]), (|e| matches!(e, RequestError::Subject)) as Is),
        ("no attribute", with(&nobody(), vec![]), attributes),
        ("an extension beside", with(&asks, vec![challenge(&text)]), attributes),
        ("an extension alone", with(&asks, vec![]), attributes),
        ("another attribute", with(&nobody(), vec![other.clone()]), attributes),
        ("another attribute beside", with(&nobody(), vec![challenge(&text), other]), attributes),
        ("two challenges", with(&nobody(), vec![challenge(&text), challenge(&text)]), attributes),
        ("two values", with(&nobody(), vec![two]), challenged),
        ("another kind of string", with(&nobody(), vec![printable]), challenged),
        ("no base64", with(&nobody(), vec![challenge("0123456789abcdef")]), challenged),
        ("base64 with spare bits", with(&nobody(), vec![challenge("BgYGBgYGBgYGBgYGBgYGBh==")]), challenged),
        ("base64 without padding", with(&nobody(), vec![challenge(text.trim_end_matches('='))]), challenged),
    ] {
        let error = Request::read(&request).unwrap_err();
        assert!(is(&error), "{what}: {error}");
    }
}

#[test]
fn a_document_holds_for_the_request_that_it_names_and_for_no_other() {
    let key = TlsKey::generate().unwrap();
    let request = key.request(&NONCE).unwrap();
    let (spki, digest) = (key.public().spki_sha256(), Digest::of(&request));
    let named = Named { spki_sha256: &spki, csr_sha256: &digest, challenge: &NONCE };
    assert_eq!(Request::read_named(&request, named).unwrap(), key.public());
    // The same key and nonce, signed once more: another request.
    let again = key.request(&NONCE).unwrap();
    for (what, request, named) in [
        ("key", &request, Named { spki_sha256: &Digest::ZERO, ..named }),
        ("challenge", &request, Named { challenge: &[7; 16], ..named }),
        ("challenge", &request, Named { challenge: &[], ..named }),
        ("digest", &request, Named { csr_sha256: &Digest::ZERO, ..named }),
        ("digest", &again, named),
    ] {
        match Request::read_named(request, named).unwrap_err() {
            RequestError::Differs { what: found } => assert_eq!(found, what),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_worked_examples_name_their_requests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/documents");
    let read = |name: &str| fs_err::read(folder.join(name)).unwrap();
    let signed = |name: &str| Signed::parse(&read(name)).unwrap();
    let check = |name: &str, spki_sha256: &Digest, csr_sha256: &Digest, challenge: &[u8]| {
        Request::read_named(&read(name), Named { spki_sha256, csr_sha256, challenge }).unwrap();
    };
    let enrolment: EnrolmentRequest = signed("enrolment.signed").read().unwrap();
    check("enrolment.csr", &enrolment.tls_spki_sha256, &enrolment.csr_sha256, &enrolment.nonce.0);
    let renewal: Renewal = signed("renewal.signed").read().unwrap();
    check("renewal.csr", &renewal.tls_spki_sha256, &renewal.csr_sha256, &renewal.nonce.0);
    let login: Login = signed("login.signed").read().unwrap();
    check("login.csr", &login.tls_spki_sha256, &login.csr_sha256, &login.challenge.0);
}
