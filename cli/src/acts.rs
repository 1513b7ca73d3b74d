//! The acts of this person. An act is written, signed with the person's key and verified before it leaves this machine.
//! Guarantee: every act that is sent verifies under a key that the roster gives this person. Free text goes into a salted detail.
//! Not here: recording an act (server); the table of acts (`evidence::entry`).

use evidence::document::Document;
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::detail::Detail;
use evidence::id::{Actor, Chain};
use evidence::json;
use evidence::roster::{AdmittedRoster, Role};
use evidence::signed::Signed;
use evidence::text::Nonce;
use proto::v1;

use crate::clock;
use crate::failure::{because, could_not};
use crate::session::Session;

/// The parts of an act that differ from one act to the next.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The entry it makes.
    pub act: EntryType,
    /// The chain it belongs to.
    pub chain: Chain,
    /// Ids.
    pub refs: Vec<(String, String)>,
    /// Enumerations and numbers.
    pub fields: Vec<(String, String)>,
    /// Free text.
    pub text: Option<String>,
}

/// 16 random bytes.
pub fn nonce() -> anyhow::Result<Nonce> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|cause| could_not(format!("no random bytes: {cause}"), "try again"))?;
    Ok(evidence::text::FixedBytes(bytes))
}

/// Salts a free text. Returns the bytes of the detail object, and their digest.
pub fn detail(text: &str) -> anyhow::Result<(Vec<u8>, evidence::digest::Digest)> {
    let detail = Detail { salt: nonce()?, text: text.to_owned() };
    detail.encode().map_err(|cause| could_not(because(&cause), "write a shorter text"))
}

impl Session {
    /// Signs an act. Returns the message for `OpenIncident` or `RecordAct`, and the signed act.
    /// Fails if the key does not sign, or the roster does not give this person one of `roles`.
    pub fn act(
        &self,
        draft: Draft,
        roster: &AdmittedRoster,
        roles: &[Role],
    ) -> anyhow::Result<(v1::ActRequest, Signed)> {
        let detail = draft.text.as_deref().map(detail).transpose()?;
        let act = Act {
            type_: ActType,
            deployment: self.config.deployment.clone(),
            act: draft.act,
            incident: draft.chain,
            at: clock::now()?,
            by: Actor::Person(self.config.person.clone()),
            refs: draft.refs,
            fields: draft.fields,
            detail: detail.as_ref().map(|(_, digest)| *digest),
            nonce: ActNonce::Once(nonce()?),
        };
        let signed = self.sign(&act, roster, roles)?;
        // On the wire an act without a text has an empty one.
        let detail = detail.map(|(bytes, _)| bytes).unwrap_or_default();
        Ok((v1::ActRequest { act: Some(v1::SignedDocument::from(&signed)), detail: detail.into() }, signed))
    }

    /// Signs a document as this person, and checks the signature as every later reader will.
    /// Fails if the key does not sign, or the roster does not give this person one of `roles`.
    pub fn sign<T: Document>(
        &self,
        document: &T,
        roster: &AdmittedRoster,
        roles: &[Role],
    ) -> anyhow::Result<Signed> {
        document
            .validate()
            .map_err(|rule| could_not(format!("this would not be valid: {rule}"), "correct the arguments"))?;
        let bytes = json::to_document(document)?;
        let armour = self.config.signer().sign(T::TYPE, &bytes)?;
        let next = "use an Ed25519 key, or touch the security key when it asks";
        let signed =
            Signed::from_parts(bytes, vec![armour]).map_err(|cause| could_not(because(&cause), next))?;
        let signers = signed.verify_all(T::TYPE).map_err(|cause| could_not(because(&cause), next))?;
        let person = &self.config.person;
        if !signers.iter().all(|key| roster.roster().speaks_for(key, person, roles)) {
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            return Err(could_not(
                format!(
                    "roster {} does not let {person} do this with {}: it needs the role {}",
                    roster.roster().version,
                    self.config.key.display(),
                    names.join(" or ")
                ),
                "ask the admins: exhibit authority roster DIR --add NAME=ROLE:KEY.pub",
            ));
        }
        Ok(signed)
    }
}
