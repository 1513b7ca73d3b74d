//! `exhibit-agent enrol`: becomes an endpoint of a deployment.
//!
//! Guarantee: whoever answers, the agent believes only what the token names (CA, log key, authority, roster
//! version, collector), and the enrolment must be in the log under that key. The keys are made here and never
//! leave. State is written only after everything has verified. Not here: the formats and their checks
//! (`evidence::enrolment`).

use std::path::Path;

use certs::certificate::{CertificateError, Leaf};
use certs::connect::{self, ConnectError, Refusal};
use certs::key::{TlsKey, TlsKeyError};
use certs::name::{Identity as Name, Subject};
use certs::tls::{self, Expected, TlsError};
use evidence::digest::Digest;
use evidence::enrolment::{
    AgentBuild, EnrolmentError, EnrolmentRequest, EnrolmentType, Offer, TokenString, accept,
};
use evidence::keys::{KeyError, PublicKey, SigningKey};
use evidence::log_key::LOG_KEY_CHANGES_MAX;
use evidence::roster::{AuthorityError, AuthoritySet, Roster, RosterError, RosterFloor};
use evidence::signed::{Signed, SignedError};
use evidence::text::FixedBytes;
use evidence::time::Time;
use ledger::ProofFile;
use ledger::proof_file::ProofFileError;
use prost::Message as _;
use proto::convert::{self, WireError};
use proto::v1;
use rustls::pki_types::CertificateDer;

use crate::diary::{Diary, Fields};
use crate::state::clock::{ClockFloor, Reading};
use crate::state::counter;
use crate::state::identity::{self, IdentityStateError, NewIdentity, Pins};

/// Most certificates in an answer: leaf and CA, and perhaps one between them.
const CHAIN_MAX: usize = 4;

/// Most rosters in an answer. A new one is published every month or so.
const ROSTERS_MAX: usize = 1000;

/// The result that the command shows to the owner.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The pins.
    pub pins: Pins,
    /// Fingerprint of the evidence key.
    pub evidence_key: String,
    /// Authority set id.
    pub authority: Digest,
    /// SHA-256 of the CA certificate.
    pub ca_sha256: Digest,
    /// Version of the roster in force.
    pub roster_version: u64,
    /// Index of `agent.enrolled` in the ledger.
    pub index: u64,
}

/// Why the machine did not enrol. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The token is malformed, or outside its time.
    #[error("the token cannot be used")]
    Token(#[source] EnrolmentError),
    /// The answer does not fit the token.
    #[error(
        "the answer does not fit the token; nothing was written. Somebody else may be answering: ask who gave you the token"
    )]
    Enrolment(#[from] EnrolmentError),
    /// A document of our own could not be made.
    #[error("sign the enrolment request")]
    Sign(#[from] SignedError),
    /// The keys could not be made.
    #[error("make keys")]
    TlsKey(#[from] TlsKeyError),
    /// The system has no random bytes.
    #[error("no random bytes from the kernel")]
    Random(#[from] getrandom::Error),
    /// The authority keys in the answer are wrong.
    #[error("the authority keys in the answer")]
    AuthorityKey(#[from] KeyError),
    /// Their threshold is wrong.
    #[error("the authority keys in the answer")]
    Authority(#[from] AuthorityError),
    /// The rosters in the answer are wrong.
    #[error("the rosters in the answer do not follow from one another")]
    Roster(#[from] RosterError),
    /// The proof in the answer is wrong.
    #[error("the proof in the answer")]
    Proof(#[from] ProofFileError),
    /// The answer has the wrong form.
    #[error("the answer is malformed")]
    Wire(#[from] WireError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no connection.
    #[error("no connection. Check the address in the token, the network, and that the collector runs")]
    Connect(#[from] ConnectError),
    /// The server is not the one that the token names.
    #[error(
        "whoever answers is not the collector that the token names: {0}. Nothing was written and the token is not used up; ask who gave it to you"
    )]
    Impostor(String),
    /// The collector refused.
    #[error("the collector refused: {0}")]
    Refused(String),
    /// The certificate in the answer is wrong.
    #[error("the certificate in the answer")]
    Certificate(#[from] CertificateError),
    /// It names or binds something else.
    #[error("the certificate in the answer is not for {0}; nothing was written")]
    WrongCertificate(&'static str),
    /// The state could not be written.
    #[error(transparent)]
    State(#[from] IdentityStateError),
    /// The system refused.
    #[error("state directory")]
    Io(#[from] std::io::Error),
}

/// Enrols with `token` and writes the state to `dir`.
pub fn enrol(token: &str, dir: &Path, build_sha256: Digest, replace: bool) -> Result<Enrolled, EnrolError> {
    let token = TokenString::parse(token.trim()).map_err(EnrolError::Token)?;
    let now = Reading::now();
    token.token().check_time(now.wall).map_err(EnrolError::Token)?;
    // Before the token is used up, check that the result can be written.
    identity::check_room(dir, token.token().generation, replace)?;
    let _lock = counter::lock(dir)?;
    let evidence_key = SigningKey::generate(getrandom::fill)?;
    let tls_key = TlsKey::generate()?;
    let (request, csr) = request(&token, &evidence_key, &tls_key, build_sha256, now.wall)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(&token, &request, csr))?;
    let verified = verify(&token, &request, &tls_key, answer, now.wall)?;

    let pinned = token.token();
    let pins = Pins {
        deployment: pinned.deployment.clone(),
        endpoint: pinned.endpoint.clone(),
        generation: pinned.generation,
        collector_id: pinned.collector_id.clone(),
        collector: pinned.collector.to_string(),
        enrol: pinned.enrol.to_string(),
        authority_threshold: verified.authority.threshold,
        authority_keys: verified.authority.keys.clone(),
        log_key: pinned.log_key.to_string(),
        token: token.signed().digest(),
        enrolled: now.wall,
    };
    let new = NewIdentity {
        pins: &pins,
        evidence_key: &evidence_key,
        tls_key: &tls_key,
        chain: &verified.chain,
        ca: &verified.ca,
        roster: &verified.roster,
        checkpoint: verified.checkpoint.as_bytes(),
        log_keys: &verified.log_keys,
    };
    identity::write(dir, &new, replace)?;
    let fingerprint = evidence_key.public().fingerprint().to_string();
    ClockFloor::open(dir, now)?.raise(verified.time, now)?;
    let fields = Fields::new()
        .text("deployment", &pins.deployment)
        .text("endpoint", &pins.endpoint)
        .number("generation", u64::from(pins.generation.number()))
        .text("evidence_key", &fingerprint);
    Diary::open(dir)?.record(now.wall, "enrolled", fields)?;
    Ok(Enrolled {
        evidence_key: fingerprint,
        authority: verified.authority.id(),
        ca_sha256: Digest::of(&verified.ca),
        roster_version: verified.roster_version,
        index: verified.index,
        pins,
    })
}

/// The enrolment, and the certificate request that it names.
fn request(
    token: &TokenString,
    evidence_key: &SigningKey,
    tls_key: &TlsKey,
    build_sha256: Digest,
    at: Time,
) -> Result<(Signed, Vec<u8>), EnrolError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let csr = tls_key.request(&nonce)?;
    let pinned = token.token();
    let request = EnrolmentRequest {
        type_: EnrolmentType,
        deployment: pinned.deployment.clone(),
        endpoint: pinned.endpoint.clone(),
        generation: pinned.generation,
        token: token.signed().digest(),
        evidence_key: evidence_key.public(),
        tls_spki_sha256: tls_key.public().spki_sha256(),
        csr_sha256: Digest::of(&csr),
        nonce: FixedBytes(nonce),
        at,
        agent: AgentBuild { version: crate::VERSION.to_owned(), build_sha256 },
    };
    Ok((Signed::sign(&request, &[token.key(), evidence_key])?, csr))
}

async fn ask(token: &TokenString, request: &Signed, csr: Vec<u8>) -> Result<v1::EnrolResponse, EnrolError> {
    let pinned = token.token();
    let expected = Expected::collector(pinned.deployment.clone(), pinned.collector_id.clone());
    let config = tls::client_pinned(*pinned.ca_sha256.as_bytes(), expected)?;
    let channel = connect::connect(pinned.enrol.as_str(), config).await;
    let channel = channel.map_err(|error| match connect::refusal(&error) {
        Some(Refusal::OfCollector(why)) => EnrolError::Impostor(why),
        _ => error.into(),
    })?;
    let message = v1::EnrolRequest { enrolment: Some(request.into()), csr: csr.into() };
    let answer = proto::service::enrol_client(channel).enrol(message).await;
    let refused = |status: tonic::Status| EnrolError::Refused(status.message().to_owned());
    Ok(answer.map_err(refused)?.into_inner())
}

/// The parts of an answer that remain after every check.
struct Verified {
    chain: Vec<CertificateDer<'static>>,
    ca: Vec<u8>,
    authority: AuthoritySet,
    roster: Signed,
    roster_version: u64,
    checkpoint: String,
    index: u64,
    /// Changes of the log key, as they arrived.
    log_keys: Vec<u8>,
    /// The latest time in anything that was verified.
    time: Time,
}

fn verify(
    token: &TokenString,
    request: &Signed,
    tls_key: &TlsKey,
    answer: v1::EnrolResponse,
    now: Time,
) -> Result<Verified, EnrolError> {
    let pinned = token.token();
    let certificates = convert::bounded_list("certificates", answer.certificates, CHAIN_MAX)?;
    let [leaf, between @ .., ca] = certificates.as_slice() else {
        return Err(WireError::Missing { field: "certificates" }.into());
    };
    let keys = convert::bounded_list("authority_keys", answer.authority_keys, 16)?;
    let keys = keys.iter().map(|key| key.parse()).collect::<Result<Vec<PublicKey>, _>>()?;
    let authority = AuthoritySet::new(answer.authority_threshold, keys)?;
    let rosters = convert::signed_list("rosters", answer.rosters, ROSTERS_MAX)?;
    let newest = rosters.last().ok_or(WireError::Missing { field: "rosters" })?;
    let proven = convert::proven("enrolled", answer.enrolled)?;
    // Absent on the wire means that the log key has never changed.
    let log_keys = answer.log_keys.unwrap_or_default();
    let changes = convert::proven_list("log_keys", log_keys.changes.clone(), LOG_KEY_CHANGES_MAX)?;
    let changes: Vec<(&[u8], &[u8])> =
        changes.iter().map(|one| (one.entry.as_ref(), one.proof.as_ref())).collect();
    let offer = Offer {
        log_keys: &changes,
        ca,
        roster: &newest.encode(),
        authority: &authority,
        entry: &proven.entry,
        proof: &proven.proof,
    };
    let accepted = accept(token, request, &offer, now)?;
    // By now the authority is known to be the pinned one. Every roster back to the first must follow from the
    // one before.
    let mut floor: Option<RosterFloor> = None;
    for signed in &rosters {
        let roster = Roster::verify(signed, &pinned.deployment, &authority, floor.as_ref())?;
        floor = Some(roster.floor());
    }
    let parsed = Leaf::parse(leaf)?;
    let subject = Subject::Endpoint { id: pinned.endpoint.clone(), generation: pinned.generation };
    if parsed.identity != Name::new(pinned.deployment.clone(), subject) {
        return Err(EnrolError::WrongCertificate("this endpoint"));
    }
    if parsed.key != tls_key.public() {
        return Err(EnrolError::WrongCertificate("the key made here"));
    }
    let chain = std::iter::once(leaf).chain(between).map(|der| CertificateDer::from(der.to_vec())).collect();
    let proof = ProofFile::parse(&proven.proof)?;
    let entry = evidence::entry::Entry::parse(&proven.entry);
    let entry = entry.map_err(|source| EnrolError::Enrolment(EnrolmentError::Entry { source }))?;
    Ok(Verified {
        chain,
        ca: ca.to_vec(),
        roster: newest.clone(),
        roster_version: accepted.roster.roster().version,
        checkpoint: proof.checkpoint().to_string(),
        index: proof.index(),
        time: entry.envelope.time.max(accepted.roster.roster().issued),
        log_keys: log_keys.encode_to_vec(),
        authority,
    })
}
