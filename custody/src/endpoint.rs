//! `endpoint-*`: an endpoint admin's token admits a slot, and two keys enrol it. Later the endpoint renews, and retires.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Renewal, Token};
use evidence::id::{EndpointId, Generation};
use evidence::keys::PublicKey;
use evidence::text::Nonce;

use crate::act::Opened;
use crate::entry::value;
use crate::rule::{Broken, RuleId, must, must_have};
use crate::{Case, Effect, State};

/// An endpoint, and which enrolment of it.
pub type Slot = (EndpointId, Generation);

/// A token that was admitted.
#[derive(Debug, Clone)]
pub(crate) enum Admitted {
    Open(Box<Token>),
    Used,
}

/// An endpoint that enrolled.
#[derive(Debug, Clone)]
pub struct Enrolled {
    pub evidence_key: PublicKey,
    /// Nonces of its enrolment and of its renewals.
    pub(crate) nonces: BTreeSet<Nonce>,
    pub is_retired: bool,
}

impl State {
    /// The endpoint that enrolled in a slot.
    #[must_use]
    pub fn endpoint(&self, slot: &Slot) -> Option<&Enrolled> {
        self.endpoints.get(slot)
    }

    pub(crate) fn admitted(&self, case: &Case<'_>, opened: &Opened<Token>) -> Result<Effect, Broken> {
        let token = &opened.document;
        self.speaks(RuleId::Endpoint2, case, &token.issuer, opened.signer())?;
        for (what, is_pinned) in [
            ("authority set", token.authority == self.pins.authority.id()),
            ("CA certificate", token.ca_sha256 == self.pins.ca_sha256),
            ("log key", self.pins.log_keys.has(token.log_key.key())),
        ] {
            must(RuleId::Endpoint4, is_pinned, format_args!("its {what} is not that of the deployment"))?;
        }
        Ok(Effect::Token(case.envelope.event, Box::new(token.clone())))
    }

    pub(crate) fn enrolment(
        &self,
        case: &Case<'_>,
        opened: &Opened<EnrolmentRequest>,
    ) -> Result<Effect, Broken> {
        let request = &opened.document;
        let admitted = self.tokens.get(&request.token);
        let admitted = must_have(RuleId::Endpoint8, admitted, "its token was never admitted")?;
        let open = if let Admitted::Open(token) = admitted { Some(token) } else { None };
        let token = must_have(RuleId::Endpoint9, open, "its token was used before")?;
        for (what, is_same) in [
            ("endpoint", request.endpoint == token.endpoint),
            ("generation", request.generation == token.generation),
        ] {
            must(RuleId::Endpoint12, is_same, format_args!("its {what} is not that of its token"))?;
        }
        must(
            RuleId::Endpoint13,
            request.evidence_key != token.key,
            "the one-time key is also its evidence key",
        )?;
        must(
            RuleId::Endpoint13,
            opened.signers == [token.key.clone(), request.evidence_key.clone()],
            "enrolment is not signed by one-time key and evidence key, in this order",
        )?;
        must(RuleId::Endpoint11, case.envelope.time < token.not_after, "its token had expired")?;
        let slot = (request.endpoint.clone(), request.generation);
        must(
            RuleId::Endpoint15,
            !self.endpoints.contains_key(&slot),
            format_args!("{}#{} was enrolled before", slot.0, slot.1),
        )?;
        let evidence_key = request.evidence_key.clone();
        let enrolled = Enrolled { evidence_key, nonces: [request.nonce].into(), is_retired: false };
        Ok(Effect::Enrolled(slot, Box::new(enrolled), request.token))
    }

    pub(crate) fn renewal(&self, opened: &Opened<Renewal>) -> Result<Effect, Broken> {
        let renewal = &opened.document;
        let slot = (renewal.endpoint.clone(), renewal.generation);
        let endpoint = self.live(&slot, [RuleId::Endpoint20; 2])?;
        must(
            RuleId::Endpoint18,
            opened.signers == [endpoint.evidence_key.clone()],
            "renewal is not signed by the endpoint's evidence key",
        )?;
        must(
            RuleId::Endpoint25,
            !endpoint.nonces.contains(&renewal.nonce),
            "its nonce is that of an enrolment or renewal before",
        )?;
        Ok(Effect::Renewed(slot, renewal.nonce))
    }

    pub(crate) fn retired(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        // A slot may be retired before anyone enrolled in it. Then there is nothing to take away.
        Ok(Effect::Retired((value(case.envelope, "endpoint")?, value(case.envelope, "generation")?)))
    }

    /// An endpoint that is enrolled and not retired, or the first or second rule is broken.
    pub(crate) fn live(&self, slot: &Slot, rules: [RuleId; 2]) -> Result<&Enrolled, Broken> {
        let (endpoint, generation) = slot;
        let [enrolled, retired] = rules;
        let says = format_args!("{endpoint}#{generation} was never enrolled").to_string();
        let found = must_have(enrolled, self.endpoints.get(slot), says)?;
        must(retired, !found.is_retired, format_args!("{endpoint}#{generation} was retired before"))?;
        Ok(found)
    }
}

/// A token's digest names it until an enrolment used it; a used one keeps only the name.
pub(crate) type Tokens = std::collections::BTreeMap<Digest, Admitted>;
