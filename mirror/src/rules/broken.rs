//! The rules that an entry can break, each with what its sentence names (docs/spec/mirror.md, *Entry rules*).
//! Guarantee: the text follows "entry N breaks the rules:", and an alarm shows it to an operator. It does not tell which entry.

use std::fmt;

use evidence::disposal::Refusal;
use evidence::enrolment::EnrolmentError;
use evidence::entry::{ActDocument, ChainError, EntryError};
use evidence::id::{Actor, DeploymentId, EndpointId, Generation, IdError, IncidentId, MirrorId, PersonId};
use evidence::json::JsonError;
use evidence::keys::Fingerprint;
use evidence::log_key::{LogKeyError, Reason};
use evidence::manifest::ManifestError;
use evidence::roster::RosterError;
use evidence::seal::delegation::DelegationError;
use evidence::signed::SignedError;
use ledger::note::NoteError;

use crate::note::NoteRefused;

/// The rule that an entry breaks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenRule {
    /// The bytes of the act are not an act.
    #[error("read its act")]
    Act(#[source] SignedError),
    /// The act names another deployment than the envelope.
    #[error("its act is of deployment {found}")]
    ActDeployment { found: DeploymentId },
    #[error("the same act was recorded before")]
    ActRepeated,
    /// Type, chain or deployment differ between act and envelope.
    #[error("its act is about something else")]
    ActSubject,
    #[error("the issuer approved the own order")]
    ApprovedOwnOrder,
    #[error("attempt {attempt} of an order for {allowed}")]
    Attempt { attempt: u32, allowed: u32 },
    #[error(transparent)]
    Chain(ChainError),
    #[error("the collection belongs to another incident")]
    CollectionIncident,
    #[error("it is about a collection that was never started")]
    CollectionNeverStarted,
    #[error("the collection was not stored before")]
    CollectionNotStored,
    #[error("the collection was started before")]
    CollectionStartedBefore,
    #[error("the collection was stored before")]
    CollectionStoredBefore,
    #[error("{name}")]
    CosignerKey {
        /// The ref that should hold the key.
        name: &'static str,
        #[source]
        source: NoteError,
    },
    #[error("{name} is no cosigner key named {mirror}/{role}")]
    CosignerKeyName { name: &'static str, mirror: MirrorId, role: &'static str },
    /// The entry says approved and the document rejected, or the other way round.
    #[error("it says the opposite of what was decided")]
    Decision,
    #[error(transparent)]
    Delegation(DelegationError),
    /// The entry is of another deployment than this mirror.
    #[error("it is of deployment {found}")]
    Deployment { found: DeploymentId },
    #[error("it has no digest {name}")]
    DigestMissing { name: &'static str },
    #[error(transparent)]
    Disposal(Refusal),
    /// The document is no JSON of its type.
    #[error(transparent)]
    Document(JsonError),
    /// The document's fields contradict its rules.
    #[error("{why}")]
    DocumentInvalid { why: &'static str },
    #[error("{endpoint}#{generation} was enrolled before")]
    EndpointEnrolledBefore { endpoint: EndpointId, generation: Generation },
    #[error("it names no endpoint")]
    EndpointMissing,
    #[error("{endpoint}#{generation} was never enrolled")]
    EndpointNeverEnrolled { endpoint: EndpointId, generation: Generation },
    #[error("{endpoint}#{generation} was retired before")]
    EndpointRetired { endpoint: EndpointId, generation: Generation },
    /// An enrolment, a renewal or a login.
    #[error(transparent)]
    Enrolment(EnrolmentError),
    #[error(transparent)]
    Entry(EntryError),
    #[error("key is no fingerprint")]
    Fingerprint,
    #[error("log.genesis is the first entry, and no other")]
    Genesis,
    #[error(transparent)]
    LogKey(LogKeyError),
    #[error("change {number} of the log key is another, or stands elsewhere than it must")]
    LogKeyChange { number: u64 },
    #[error("the authority let the key follow upon another history of {size} entries")]
    LogKeyHistory { size: u64 },
    #[error("a key that is {reason} is recorded otherwise")]
    LogKeyReason { reason: Reason },
    #[error("the note is signed by {key}, and no entry below it records the change to that key")]
    LogKeyUnrecorded { key: String },
    #[error(transparent)]
    Manifest(ManifestError),
    #[error("its manifest is of incident {found}")]
    ManifestIncident { found: IncidentId },
    #[error("the manifest's limits are wider than the order's")]
    ManifestLimits,
    #[error("the manifest's steps are not those of the order's plan")]
    ManifestSteps,
    #[error("mirror {mirror} was admitted before")]
    MirrorAdmittedBefore { mirror: MirrorId },
    /// The ref `mirror` is no id.
    #[error("mirror")]
    MirrorId(#[source] IdError),
    #[error("signed by {key}, not the act key of {mirror}")]
    MirrorKey { key: Fingerprint, mirror: MirrorId },
    /// A mirror speaks, and nobody admitted it.
    #[error("no mirror {mirror} was admitted before")]
    MirrorNeverAdmitted { mirror: MirrorId },
    #[error("mirror {mirror} was retired before")]
    MirrorRetired { mirror: MirrorId },
    #[error("a mirror's statement in the name of {by}")]
    MirrorSpeaker { by: Actor },
    /// Somebody retires a mirror that does not exist.
    #[error("there is no mirror {mirror}")]
    MirrorUnknown { mirror: MirrorId },
    /// A person's act in the name of somebody who is no person.
    #[error("a person signed in the name of {by}")]
    NoPerson { by: Actor },
    /// The document is none that a person signs.
    #[error("a person does not sign {document:?}")]
    NotForPersons { document: ActDocument },
    #[error("its order {end} before")]
    OrderEnded { end: OrderEnd },
    #[error("its order or the roster had expired")]
    OrderExpired,
    /// A collection begins in another incident than its order's.
    #[error("its order is for another incident")]
    OrderForAnotherIncident,
    /// The document of the order names another incident than the entry.
    #[error("its order is for {found}")]
    OrderIncident { found: IncidentId },
    #[error("its order lives longer than the roster allows")]
    OrderLifetime,
    /// A collection begins under it.
    #[error("its order was never issued")]
    OrderMissing,
    #[error("it names another roster than the one in force")]
    OrderRoster,
    #[error("its order is labelled with another sensitivity than its plan has")]
    OrderSensitivity,
    /// A decision or a cancellation stands elsewhere than its order.
    #[error("it stands in another incident than its order")]
    OrderStandsElsewhere,
    #[error("{endpoint}#{generation} is no target of its order")]
    OrderTarget { endpoint: EndpointId, generation: Generation },
    /// A decision or a cancellation is about it.
    #[error("it is about an order that was never issued")]
    OrderUnknown,
    #[error("its order waits for approval")]
    OrderWaits,
    #[error("signed by {key}, no key of {person} as {} then", .roles.join(" or "))]
    PersonKey { key: Fingerprint, person: PersonId, roles: &'static [&'static str] },
    #[error("it names another {name} than its act")]
    Ref { name: &'static str },
    #[error("it has no ref {name}")]
    RefMissing { name: &'static str },
    #[error("its refs are not those of its act")]
    Refs,
    #[error(transparent)]
    Roster(RosterError),
    #[error("no roster was published before")]
    RosterMissing,
    #[error("roster {version} was published before")]
    RosterPublishedBefore { version: u64 },
    /// The number of segments.
    #[error("segments is no number")]
    Segments,
    #[error("its act has {found} signatures, its type asks for {wanted}")]
    SignatureCount { found: usize, wanted: usize },
    #[error("nobody signed it")]
    SignatureMissing,
    #[error("not exactly one signature")]
    SignatureNotOne,
    /// The act is no signed document of its type, or a signature does not hold.
    #[error(transparent)]
    Signed(SignedError),
    /// No version writes this type yet, so nobody knows who must sign it.
    #[error("who signs this type is not known to this version; update the mirror")]
    SignersUnknown,
    /// The collector recorded an unsigned act as somebody else's.
    #[error("recorded without a signature in the name of {by}")]
    Speaker { by: Actor },
    #[error("the stamped checkpoint")]
    StampedCheckpoint(#[source] NoteRefused),
    #[error("the stamped checkpoint is of another size")]
    StampedCheckpointSize,
    /// A mirror states about a collection once.
    #[error("the mirror stated it before")]
    StatedBefore,
    /// The tree that the mirror held lies between `collection.stored` and its statement.
    #[error("it names a size that the log did not have between")]
    StatementSize,
    #[error("its token had expired")]
    TokenExpired,
    #[error("its token was never admitted, or was used before")]
    TokenUnknown,
}

/// How an order ended before its time. No attempt may begin under it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEnd {
    Cancelled,
    Rejected,
}

impl fmt::Display for OrderEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Cancelled => "was cancelled",
            Self::Rejected => "was rejected",
        })
    }
}

#[cfg(test)]
mod tests {
    use evidence::causes::chain;
    use evidence::signed::Signed;

    use super::*;

    #[test]
    fn an_alarm_names_what_the_entry_says_and_what_the_rules_ask() {
        let (key, mirror) = (Fingerprint([7; 32]), || "backup-1".parse::<MirrorId>().unwrap());
        let (endpoint, generation) = (|| "web-03".parse::<EndpointId>().unwrap(), Generation::FIRST);
        let by = || "mirror:backup-1".parse::<Actor>().unwrap();
        let (incident, foreign) = (IncidentId::new(2026, 7).unwrap(), || "acne".parse().unwrap());
        let rows = [
            (BrokenRule::ActDeployment { found: foreign() }, "its act is of deployment acne"),
            (BrokenRule::Attempt { attempt: 3, allowed: 2 }, "attempt 3 of an order for 2"),
            (
                BrokenRule::Chain(ChainError::Sequence { expected: 4, found: 5 }),
                "sequence number 5 where 4 follows",
            ),
            (
                BrokenRule::CosignerKey { name: "witness_key", source: NoteError::Name },
                "witness_key: key name is empty, too long or holds a forbidden character",
            ),
            (
                BrokenRule::CosignerKeyName { name: "mirror_key", mirror: mirror(), role: "mirror" },
                "mirror_key is no cosigner key named backup-1/mirror",
            ),
            (BrokenRule::Deployment { found: foreign() }, "it is of deployment acne"),
            (BrokenRule::DigestMissing { name: "seal" }, "it has no digest seal"),
            (BrokenRule::Disposal(Refusal::Open), "the incident is open"),
            (BrokenRule::DocumentInvalid { why: "attempts are 1 to 10" }, "attempts are 1 to 10"),
            (
                BrokenRule::EndpointEnrolledBefore { endpoint: endpoint(), generation },
                "web-03#1 was enrolled before",
            ),
            (
                BrokenRule::EndpointNeverEnrolled { endpoint: endpoint(), generation },
                "web-03#1 was never enrolled",
            ),
            (BrokenRule::EndpointRetired { endpoint: endpoint(), generation }, "web-03#1 was retired before"),
            (
                BrokenRule::LogKeyChange { number: 2 },
                "change 2 of the log key is another, or stands elsewhere than it must",
            ),
            (
                BrokenRule::LogKeyHistory { size: 40 },
                "the authority let the key follow upon another history of 40 entries",
            ),
            (BrokenRule::LogKeyReason { reason: Reason::Lost }, "a key that is lost is recorded otherwise"),
            (
                BrokenRule::LogKeyUnrecorded { key: "exhibit/acme+1".to_owned() },
                "the note is signed by exhibit/acme+1, and no entry below it records the change to that key",
            ),
            (
                BrokenRule::ManifestIncident { found: incident.clone() },
                "its manifest is of incident INC-2026-0007",
            ),
            (BrokenRule::MirrorAdmittedBefore { mirror: mirror() }, "mirror backup-1 was admitted before"),
            (
                BrokenRule::MirrorId(IdError::Name),
                "mirror: not a name: 1 to 63 of a-z 0-9 . - that begin and end with a letter or digit",
            ),
            (
                BrokenRule::MirrorKey { key, mirror: mirror() },
                "signed by SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc, not the act key of backup-1",
            ),
            (BrokenRule::MirrorNeverAdmitted { mirror: mirror() }, "no mirror backup-1 was admitted before"),
            (BrokenRule::MirrorRetired { mirror: mirror() }, "mirror backup-1 was retired before"),
            (BrokenRule::MirrorSpeaker { by: by() }, "a mirror's statement in the name of mirror:backup-1"),
            (BrokenRule::MirrorUnknown { mirror: mirror() }, "there is no mirror backup-1"),
            (BrokenRule::NoPerson { by: by() }, "a person signed in the name of mirror:backup-1"),
            (BrokenRule::NotForPersons { document: ActDocument::Roster }, "a person does not sign Roster"),
            (BrokenRule::OrderEnded { end: OrderEnd::Cancelled }, "its order was cancelled before"),
            (BrokenRule::OrderEnded { end: OrderEnd::Rejected }, "its order was rejected before"),
            (BrokenRule::OrderIncident { found: incident }, "its order is for INC-2026-0007"),
            (
                BrokenRule::OrderTarget { endpoint: endpoint(), generation },
                "web-03#1 is no target of its order",
            ),
            (
                BrokenRule::PersonKey {
                    key,
                    person: "ada".parse().unwrap(),
                    roles: &["responder", "approver"],
                },
                "signed by SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc, no key of ada as responder or approver then",
            ),
            (BrokenRule::Ref { name: "order" }, "it names another order than its act"),
            (BrokenRule::RefMissing { name: "key" }, "it has no ref key"),
            (BrokenRule::RosterPublishedBefore { version: 3 }, "roster 3 was published before"),
            (
                BrokenRule::SignatureCount { found: 2, wanted: 1 },
                "its act has 2 signatures, its type asks for 1",
            ),
            (BrokenRule::Speaker { by: by() }, "recorded without a signature in the name of mirror:backup-1"),
            (
                BrokenRule::StampedCheckpoint(NoteRefused::Unsigned),
                "the stamped checkpoint: no signature of the log's key holds",
            ),
        ];
        for (broken, text) in rows {
            assert_eq!(chain(&broken), text, "{broken:?}");
        }
    }

    #[test]
    fn what_a_parser_refused_stands_behind_what_was_read() {
        let parsed = Signed::parse(b"no document\n").unwrap_err();
        let (alone, of_act) = (chain(&parsed), Signed::parse(b"no document\n").unwrap_err());
        assert_eq!(chain(&BrokenRule::Signed(parsed)), alone);
        assert_eq!(chain(&BrokenRule::Act(of_act)), format!("read its act: {alone}"));
    }
}
