//! An enrolled endpoint, played by the test.

use certs::identity::Credentials;
use certs::key::TlsKey;
use evidence::digest::Digest;
use evidence::enrolment::{
    Accepted, AgentBuild, EnrolmentRequest, EnrolmentType, Offer, TokenString, accept,
};
use evidence::id::Generation;
use evidence::keys::{PublicKey, SigningKey};
use evidence::order::Target;
use evidence::roster::AuthoritySet;
use evidence::signed::Signed;
use proto::{service, v1};

use super::{Collector, der, nonce};
use crate::clock::now;
use crate::orders;

/// An enrolled endpoint.
pub struct Endpoint {
    /// Its id.
    pub name: String,
    /// Generation of the enrolment.
    pub generation: Generation,
    /// Its evidence key.
    pub evidence: SigningKey,
    /// Its TLS key and certificates.
    pub credentials: Credentials,
    /// The pins that it took when it enrolled.
    pub accepted: Accepted,
    /// The request that enrolled it, with its PKCS#10 request.
    pub request: (Signed, Vec<u8>),
}

impl Endpoint {
    /// Enrols under a token, and checks the collector's answer as an agent does.
    pub async fn enrol(lab: &Collector, token: &TokenString) -> Result<Self, tonic::Status> {
        let evidence = SigningKey::generate(getrandom::fill).unwrap();
        let tls_key = TlsKey::generate().unwrap();
        let (signed, csr) = enrolment(token, &evidence, &tls_key, &[token.key(), &evidence]);
        let mut client = service::enrol_client(lab.stranger().await);
        let call = v1::EnrolRequest { enrolment: Some((&signed).into()), csr: csr.clone().into() };
        let answer = client.enrol(call).await?.into_inner();
        let chain = der(answer.certificates);
        let set = AuthoritySet::new(
            answer.authority_threshold,
            answer.authority_keys.iter().map(|key| key.parse::<PublicKey>().unwrap()).collect(),
        )
        .unwrap();
        let newest = Signed::try_from(answer.rosters.last().unwrap().clone()).unwrap().encode();
        let enrolled = answer.enrolled.unwrap();
        let offer = Offer {
            log_keys: &[],
            ca: chain.last().unwrap(),
            roster: &newest,
            authority: &set,
            entry: &enrolled.entry,
            proof: &enrolled.proof,
        };
        let accepted = accept(token, &signed, &offer, now()).unwrap();
        Ok(Self {
            name: token.token().endpoint.to_string(),
            generation: token.token().generation,
            evidence,
            credentials: Credentials { key: tls_key, chain },
            accepted,
            request: (signed, csr),
        })
    }

    /// The endpoint as an order names it.
    pub fn target(&self) -> Target {
        orders::target(&self.name, self.generation.number(), &self.evidence.public())
    }
}

/// Makes the request to enrol under `token` with these keys, with its PKCS#10 request. An honest endpoint signs with the token's key and
/// the evidence key.
pub fn enrolment(
    token: &TokenString,
    evidence: &SigningKey,
    tls_key: &TlsKey,
    signers: &[&SigningKey],
) -> (Signed, Vec<u8>) {
    let (nonce, pinned) = (nonce(), token.token());
    let csr = tls_key.request(&nonce.0).unwrap();
    let request = EnrolmentRequest {
        type_: EnrolmentType,
        deployment: pinned.deployment.clone(),
        endpoint: pinned.endpoint.clone(),
        generation: pinned.generation,
        token: token.signed().digest(),
        evidence_key: evidence.public(),
        tls_spki_sha256: tls_key.public().spki_sha256(),
        csr_sha256: Digest::of(&csr),
        nonce,
        at: now(),
        agent: AgentBuild { version: "0".into(), build_sha256: Digest::ZERO },
    };
    (Signed::sign(&request, signers).unwrap(), csr)
}
