//! Renews the TLS certificate at half its life.
//!
//! Guarantee: the new key is made here. It is used only with a certificate that names this endpoint and that
//! key. Until then, and if anything fails, the old key stays. An expired certificate can still be renewed
//! within the grace period: the evidence key signs the request. Not here: the call itself (`link`).

use std::time::Duration;

use certs::certificate::Leaf;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::name::{Identity as Name, Subject};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::enrolment::{Renewal, RenewalType};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use proto::v1;
use rustls::pki_types::CertificateDer;

use crate::message::Renew;
use crate::state::identity::Identity;

/// How long to wait after a renewal that failed. There are 45 days for it.
const RETRY: Duration = Duration::from_secs(3600);

/// A renewal that has no answer after this time is asked for again.
const ANSWER: Duration = Duration::from_secs(300);

/// The state of renewal.
#[derive(Debug, Default)]
pub struct Renewals {
    key: Option<TlsKey>,
    /// CLOCK_BOOTTIME before which the agent asks for nothing.
    not_before: Duration,
}

impl Renewals {
    /// A request, if one is due.
    ///
    /// # Errors
    /// Words for the log. The next request is due after a while.
    pub(crate) fn due(
        &mut self,
        identity: &Identity,
        now: Time,
        boot: Duration,
    ) -> Result<Option<Renew>, String> {
        if boot < self.not_before {
            return Ok(None);
        }
        let leaf = identity.credentials.chain.first().ok_or("there is no certificate")?;
        let leaf = Leaf::parse(leaf).map_err(|error| chain(&error))?;
        let half =
            leaf.not_before.checked_add(leaf.not_after.since(leaf.not_before) / 2).unwrap_or(leaf.not_after);
        if now < half {
            self.not_before = boot + Duration::from_secs(60);
            return Ok(None);
        }
        self.not_before = boot + ANSWER;
        let key = TlsKey::generate().map_err(|error| chain(&error))?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| chain(&error))?;
        let csr = key.request(&nonce).map_err(|error| chain(&error))?;
        let pins = &identity.pins;
        let renewal = Renewal {
            type_: RenewalType,
            deployment: pins.deployment.clone(),
            endpoint: pins.endpoint.clone(),
            generation: pins.generation,
            csr_sha256: Digest::of(&csr),
            tls_spki_sha256: key.public().spki_sha256(),
            nonce: FixedBytes(nonce),
            at: now,
        };
        let signed = Signed::sign(&renewal, &[&identity.evidence_key]).map_err(|error| chain(&error))?;
        self.key = Some(key);
        let request = v1::RenewRequest { renewal: Some(signed.into()), csr: csr.into() };
        Ok(Some(Renew { request: Some(request), is_expired: now > leaf.not_after }))
    }

    /// A request, if there is no connection and the certificate has expired.
    pub(crate) fn due_expired(
        &mut self,
        identity: &Identity,
        now: Time,
        boot: Duration,
    ) -> Result<Option<Renew>, String> {
        let leaf = identity.credentials.chain.first().ok_or("there is no certificate")?;
        let leaf = Leaf::parse(leaf).map_err(|error| chain(&error))?;
        if now <= leaf.not_after { Ok(None) } else { self.due(identity, now, boot) }
    }

    /// What to put in force after a good answer.
    pub fn answer(
        &mut self,
        identity: &Identity,
        answer: v1::RenewResponse,
        boot: Duration,
    ) -> Result<Credentials, String> {
        self.not_before = boot + RETRY;
        let pins = &identity.pins;
        let key = self.key.take().ok_or("nothing was asked for")?;
        let first = answer
            .certificates
            .first()
            .ok_or("the collector did not renew the certificate; the link's log says why")?;
        let leaf = Leaf::parse(first).map_err(|error| chain(&error))?;
        let subject = Subject::Endpoint { id: pins.endpoint.clone(), generation: pins.generation };
        if leaf.identity != Name::new(pins.deployment.clone(), subject) || leaf.key != key.public() {
            return Err("the new certificate is not for this endpoint and key".to_owned());
        }
        if answer.certificates.len() > 4 {
            return Err("more than 4 certificates".to_owned());
        }
        // The other end has pinned the CA as well, so it need not be sent.
        let chain = answer
            .certificates
            .iter()
            .filter(|der| **der != identity.ca)
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        self.not_before = boot + Duration::from_secs(60);
        Ok(Credentials { key, chain })
    }
}
