//! Tokens, enrolment, renewal and login: good ones are accepted, and each single change is refused.

use evidence::digest::Digest;
use evidence::enrolment::*;
use evidence::entry::{Entry, EntryType};
use evidence::id::Chain;
use evidence::roster::AuthoritySet;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use ledger::KeyType;

use testkit::chains::Draft;
use testkit::packages::*;
use testkit::people;

pub const CA: &[u8] = b"the CA certificate, DER";

// Requests of another program. Their signatures are random, so no test writes them anew.
pub const ENROLMENT_CSR: &[u8] = include_bytes!("../../../docs/spec/vectors/documents/enrolment.csr");
pub const RENEWAL_CSR: &[u8] = include_bytes!("../../../docs/spec/vectors/documents/renewal.csr");
pub const LOGIN_CSR: &[u8] = include_bytes!("../../../docs/spec/vectors/documents/login.csr");

/// Digest of the 91 bytes at 11, the SubjectPublicKeyInfo.
fn spki_sha256(csr: &[u8]) -> Digest {
    Digest::of(&csr[11..102])
}

pub fn token() -> Token {
    Token {
        type_: TokenType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: "2".parse().unwrap(),
        key: key(TOKEN).public(),
        issuer: "cat".parse().unwrap(),
        issued: at("2026-11-20T08:00:00.000Z"),
        not_after: at("2026-11-27T08:00:00.000Z"),
        enrol: "collector.acme.example:7401".parse().unwrap(),
        collector: "collector.acme.example:7400".parse().unwrap(),
        collector_id: "main".parse().unwrap(),
        authority: authority().id(),
        ca_sha256: Digest::of(CA),
        log_key: log().verifier_key(KeyType::Ed25519).to_string().parse().unwrap(),
        roster_version_min: 2,
    }
}

pub fn token_string() -> TokenString {
    TokenString::new(sign(&token(), &[CAT]), key(TOKEN)).unwrap()
}

pub fn request() -> EnrolmentRequest {
    EnrolmentRequest {
        type_: EnrolmentType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: "2".parse().unwrap(),
        token: token_string().signed().digest(),
        evidence_key: key(EVIDENCE).public(),
        tls_spki_sha256: spki_sha256(ENROLMENT_CSR),
        csr_sha256: Digest::of(ENROLMENT_CSR),
        nonce: FixedBytes([6; 16]),
        at: at("2026-11-20T09:00:00.000Z"),
        agent: AgentBuild { version: "0.1.0".into(), build_sha256: Digest([3; 32]) },
    }
}

pub fn renewal() -> Renewal {
    Renewal {
        type_: RenewalType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: "2".parse().unwrap(),
        csr_sha256: Digest::of(RENEWAL_CSR),
        tls_spki_sha256: spki_sha256(RENEWAL_CSR),
        nonce: FixedBytes([8; 16]),
        at: at("2027-01-04T09:00:00.000Z"),
    }
}

pub fn login() -> Login {
    Login {
        type_: LoginType,
        deployment: "acme".parse().unwrap(),
        person: "ada".parse().unwrap(),
        challenge: FixedBytes([9; 32]),
        tls_spki_sha256: spki_sha256(LOGIN_CSR),
        csr_sha256: Digest::of(LOGIN_CSR),
        at: now(),
    }
}

#[test]
fn a_token_string_round_trips_and_nothing_else_is_read() {
    let text = token_string().encode();
    let again = TokenString::parse(&text).unwrap();
    assert_eq!((again.token(), again.signed()), (&token(), token_string().signed()));
    assert_eq!(again.key().public(), key(TOKEN).public());
    assert_eq!(again.encode(), text);
    assert!(!format!("{again:?}").contains(text.rsplit('.').next().unwrap()));
    let parts: Vec<&str> = text.split('.').collect();
    let seed = parts[3].to_owned();
    for wrong in [
        String::new(),
        text.trim_end_matches(char::is_alphanumeric).to_owned(),
        format!("{}.x", *text),
        format!(" {}", *text),
        format!("{}=", *text),
        text.replacen("exhibit1", "exhibit2", 1),
        [parts[0], parts[1], parts[2]].join("."),
        [parts[0], parts[1], parts[2], &seed[..20]].join("."),
        [parts[0], parts[2], parts[1], parts[3]].join("."),
        "exhibit1.".repeat(10_000),
    ] {
        assert!(TokenString::parse(&wrong).is_err());
    }
    assert!(matches!(
        TokenString::new(sign(&token(), &[CAT]), key(MALLORY)),
        Err(EnrolmentError::Differs { .. })
    ));
}

#[test]
fn a_token_holds_only_by_its_issuer_as_endpoint_admin_and_in_its_time() {
    let roster = second_roster();
    assert_eq!(Token::verify(&sign(&token(), &[CAT]), &roster).unwrap(), token());
    for keys in [&[MALLORY][..], &[ADA], &[1], &[CAT, CAT], &[TOKEN]] {
        assert!(
            matches!(Token::verify(&sign(&token(), keys), &roster), Err(EnrolmentError::Signers { .. })),
            "{keys:?}"
        );
    }
    let by_ada = Token { issuer: "ada".parse().unwrap(), ..token() };
    assert!(Token::verify(&sign(&by_ada, &[ADA]), &roster).is_err());
    assert!(token().check_time(at("2026-11-20T08:00:00.000Z")).is_ok());
    assert!(token().check_time(at("2026-11-20T07:59:59.999Z")).is_err());
    assert!(token().check_time(at("2026-11-27T08:00:00.000Z")).is_err());
    let longer = Token { not_after: at("2026-11-27T08:00:00.001Z"), ..token() };
    assert!(Signed::sign(&longer, &[&key(CAT)]).is_err());
    let other_log = Token { deployment: "other".parse().unwrap(), ..token() };
    assert!(Signed::sign(&other_log, &[&key(CAT)]).is_err());
}

#[test]
fn every_key_of_an_enrolment_must_have_signed_it() {
    let digest = token_string().signed().digest();
    let verify = |request: &EnrolmentRequest, keys: &[u8]| {
        EnrolmentRequest::verify(&sign(request, keys), &token(), digest)
    };
    assert_eq!(verify(&request(), &[TOKEN, EVIDENCE]).unwrap(), request());
    for keys in [
        &[TOKEN][..],
        &[EVIDENCE],
        &[EVIDENCE, TOKEN],
        &[MALLORY, EVIDENCE],
        &[TOKEN, MALLORY],
        &[TOKEN, EVIDENCE, MALLORY],
        &[TOKEN, EVIDENCE, EVIDENCE],
    ] {
        assert!(matches!(verify(&request(), keys), Err(EnrolmentError::Signers { .. })), "{keys:?}");
    }
    let good = request();
    for wrong in [
        EnrolmentRequest { endpoint: "web-04".parse().unwrap(), ..good.clone() },
        EnrolmentRequest { generation: "3".parse().unwrap(), ..good.clone() },
        EnrolmentRequest { deployment: "other".parse().unwrap(), ..good.clone() },
        EnrolmentRequest { token: Digest::ZERO, ..good.clone() },
    ] {
        assert!(matches!(verify(&wrong, &[TOKEN, EVIDENCE]), Err(EnrolmentError::Differs { .. })));
    }
    // One key in two places proves nothing about the other.
    let token_as_evidence = EnrolmentRequest { evidence_key: key(TOKEN).public(), ..good };
    assert!(verify(&token_as_evidence, &[TOKEN, TOKEN]).is_err());
}

#[test]
fn renewals_and_logins_hold_only_by_their_one_key() {
    let evidence = key(EVIDENCE).public();
    assert_eq!(Renewal::verify(&sign(&renewal(), &[EVIDENCE]), &evidence).unwrap(), renewal());
    for keys in [&[MALLORY][..], &[TOKEN], &[EVIDENCE, EVIDENCE], &[EVIDENCE, MALLORY]] {
        assert!(Renewal::verify(&sign(&renewal(), keys), &evidence).is_err());
    }
    let roster = second_roster();
    for person in [ADA, ADA_SECOND] {
        assert_eq!(Login::verify(&sign(&login(), &[person]), &roster).unwrap(), login());
    }
    for keys in [&[BOB][..], &[MALLORY], &[1], &[ADA, ADA], &[ADA, MALLORY], &[MALLORY, ADA]] {
        assert!(Login::verify(&sign(&login(), keys), &roster).is_err());
    }
    let elsewhere = Login { deployment: "other".parse().unwrap(), ..login() };
    assert!(Login::verify(&sign(&elsewhere, &[ADA]), &roster).is_err());
}

/// What the collector answers to the request.
struct Answer {
    ca: Vec<u8>,
    roster: Vec<u8>,
    authority: AuthoritySet,
    entry: Vec<u8>,
    proof: Vec<u8>,
}

pub fn enrolled_entry(request: &Signed) -> Entry {
    let document = self::request();
    let draft = Draft {
        type_: EntryType::AgentEnrolled,
        chain: Chain::Deployment,
        time: at("2026-11-20T09:00:01.000Z"),
        refs: vec![
            ("endpoint".into(), document.endpoint.to_string()),
            ("evidence_key".into(), document.evidence_key.fingerprint().to_string()),
            ("generation".into(), document.generation.to_string()),
            ("token".into(), document.token.to_string()),
        ],
        act: request.clone().into(),
    };
    draft.entry(4, Digest([7; 32]))
}

impl Answer {
    fn good(request: &Signed) -> Self {
        let entry = enrolled_entry(request).encode().unwrap();
        let tree = Log::of(log(), &[b"genesis", &entry]);
        let roster = sign(&second_roster(), &[1, 2]).encode();
        Self { ca: CA.to_vec(), roster, authority: authority(), proof: tree.proof(1), entry }
    }

    fn accept(&self, request: &Signed) -> Result<Accepted, EnrolmentError> {
        let offer = Offer {
            log_keys: &[],
            ca: &self.ca,
            roster: &self.roster,
            authority: &self.authority,
            entry: &self.entry,
            proof: &self.proof,
        };
        accept(&token_string(), request, &offer, at("2026-11-20T09:00:05.000Z"))
    }
}

#[test]
fn an_endpoint_accepts_nothing_that_its_token_does_not_name() {
    let request = sign(&request(), &[TOKEN, EVIDENCE]);
    let accepted = Answer::good(&request).accept(&request).unwrap();
    assert_eq!((accepted.roster.roster().version, accepted.checkpoint.size), (2, 2));
    let stranger = people::authority(1, &[MALLORY]);
    type Change<'a> = &'a dyn Fn(&mut Answer);
    let changes: [(&str, Change<'_>); 9] = [
        ("CA", &|answer| answer.ca.push(0)),
        ("authority of a stranger, with a roster it signed", &|answer| {
            answer.authority = stranger.clone();
            let roster = evidence::roster::Roster { authority: stranger.clone(), ..second_roster() };
            answer.roster = sign(&roster, &[MALLORY]).encode();
        }),
        ("authority with a lower threshold", &|answer| answer.authority.threshold = 1),
        ("roster older than the token's", &|answer| answer.roster = sign(&first_roster(), &[1, 2]).encode()),
        ("roster of too few", &|answer| answer.roster = sign(&second_roster(), &[1]).encode()),
        ("roster without the token's issuer", &|answer| {
            let mut roster = second_roster();
            roster.persons.retain(|person| person.id.as_str() != "cat");
            answer.roster = sign(&roster, &[1, 2]).encode();
        }),
        ("entry of another request", &|answer| {
            let other = EnrolmentRequest { nonce: FixedBytes([0; 16]), ..super::enrolment::request() };
            let other = enrolled_entry(&sign(&other, &[TOKEN, EVIDENCE])).encode().unwrap();
            let tree = Log::of(log(), &[&other]);
            (answer.proof, answer.entry) = (tree.proof(0), other);
        }),
        ("log of a stranger", &|answer| {
            let log = ledger::NoteSigner::new("exhibit/acme", &[41; 32]).unwrap();
            answer.proof = Log::of(log, &[&answer.entry]).proof(0);
        }),
        ("entry that is not in the log", &|answer| {
            answer.proof = Log::of(log(), &[b"other"]).proof(0);
        }),
    ];
    for (name, change) in changes {
        let mut answer = Answer::good(&request);
        change(&mut answer);
        assert!(answer.accept(&request).is_err(), "{name}");
    }
}
