//! The endpoint's side of enrolment: decides what it believes of the collector's answer.
//! Guarantee: authority, CA, log key and roster are those that the token names, and the enrolment is in the log.
//! Otherwise the endpoint accepts nothing and writes no state.

use ledger::ProofFile;

use super::{EnrolmentError, Token, TokenString};
use crate::digest::Digest;
use crate::entry::{Entry, EntryType};
use crate::log_key::LogKeys;
use crate::roster::{AdmittedRoster, AuthoritySet, Roster, RosterFloor};
use crate::signed::Signed;
use crate::time::Time;

/// The collector's answer, without the certificate chain.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The CA certificate (DER).
    pub ca: &'a [u8],
    /// The roster: document and signatures.
    pub roster: &'a [u8],
    /// The authority's keys and threshold.
    pub authority: &'a AuthoritySet,
    /// The entry `agent.enrolled`.
    pub entry: &'a [u8],
    /// Its `.tlog-proof`.
    pub proof: &'a [u8],
    /// Changes of the log key, each an entry with its proof. None if the token names the only key that there ever was.
    pub log_keys: &'a [(&'a [u8], &'a [u8])],
}

/// The values that the endpoint pins.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The roster in force.
    pub roster: AdmittedRoster,
    /// The first checkpoint it knows.
    pub checkpoint: ledger::Checkpoint,
    /// The keys that sign the ledger.
    pub log_keys: LogKeys,
}

/// Checks an offer against the token and the request that was sent.
pub fn accept(
    token: &TokenString,
    request: &Signed,
    offer: &Offer<'_>,
    now: Time,
) -> Result<Accepted, EnrolmentError> {
    let pinned = token.token();
    if Digest::of(offer.ca) != pinned.ca_sha256 {
        return Err(EnrolmentError::Differs { what: "the CA certificate" });
    }
    offer.authority.validate().or(Err(EnrolmentError::Differs { what: "the authority set" }))?;
    if offer.authority.id() != pinned.authority {
        return Err(EnrolmentError::Differs { what: "the authority set" });
    }
    let roster = Signed::parse(offer.roster).map_err(|source| EnrolmentError::Document { source })?;
    let floor = RosterFloor { version: pinned.roster_version_min, digest: None };
    let roster = Roster::admit(&roster, &pinned.deployment, offer.authority, Some(&floor), now)
        .map_err(|source| EnrolmentError::Roster { source })?;
    // Only now do we know whose signature the token should carry.
    Token::verify(token.signed(), roster.roster())?;
    let entry = Entry::parse(offer.entry).map_err(|source| EnrolmentError::Entry { source })?;
    let envelope = &entry.envelope;
    let records_it = envelope.type_ == EntryType::AgentEnrolled && envelope.event == request.digest();
    if !records_it || envelope.deployment != pinned.deployment {
        return Err(EnrolmentError::Differs { what: "the enrolment that the log records" });
    }
    let log_keys = LogKeys::proven(&pinned.deployment, offer.authority, pinned.log_key.key(), offer.log_keys)
        .map_err(|source| EnrolmentError::LogKeys { source })?;
    let policy =
        log_keys.extend(pinned.log_key.policy().map_err(|source| EnrolmentError::LogKey { source })?);
    let policy = policy.map_err(|source| EnrolmentError::LogKeys { source })?;
    let verified = ProofFile::parse(offer.proof)
        .and_then(|proof| proof.verify(&ledger::leaf_hash(offer.entry), &policy))
        .map_err(|source| EnrolmentError::Proof { source })?;
    Ok(Accepted { roster, checkpoint: verified.checkpoint, log_keys })
}
