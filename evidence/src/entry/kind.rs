//! The table of all entry types (docs/spec/ledger.md, Entry types): chain, act, signers, refs.
//! Guarantee: a type without a row does not compile; an unknown type keeps its name, and this version says nothing else of it.

use std::fmt;
use std::str::FromStr;

use crate::id::Chain;
use crate::text::serde_as_text;

/// Which chain a type belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainKind {
    Deployment,
    Incident,
    /// Reserved types: either.
    Any,
}

/// Whether the act travels in the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActForm {
    /// In the leaf when it fits.
    Inline,
    /// Never: it may hold text or paths.
    Digest,
}

/// Which document the act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActDocument {
    /// `exhibit-act-v1`
    Act,
    /// `exhibit-approval-v1`
    Approval,
    /// `exhibit-delegation-v1`
    Delegation,
    /// `exhibit-enrolment-v1`
    Enrolment,
    /// `exhibit-log-key-v1`
    LogKey,
    /// `exhibit-login-v1`
    Login,
    /// `exhibit-manifest-v1`
    Manifest,
    /// `exhibit-order-v1`
    Order,
    /// `exhibit-renewal-v1`
    Renewal,
    /// `exhibit-roster-v1`
    Roster,
    /// `exhibit-token-v1`
    Token,
}

/// Who must have signed the act, in the order of its signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signers {
    /// The authority, with as many keys as its threshold asks for.
    Authority,
    /// The endpoint's evidence key.
    Evidence,
    /// The act key of the mirror that the act names, as `mirror.admitted` binds it.
    Mirror,
    /// Nobody: the collector recorded it, and the log vouches for that.
    Nobody,
    /// One person who holds any of these roles.
    Person(&'static [&'static str]),
    /// The person whose login it is, in whatever role.
    PersonLogin,
    /// The collection's sealer, then the evidence key.
    SealerEvidence,
    /// The token's one-time key, then the evidence key.
    TokenEvidence,
    /// Reserved types: their later version decides.
    Unspecified,
}

impl Signers {
    /// Number of signatures; `None` if it varies.
    pub fn count(self) -> Option<usize> {
        match self {
            Self::Authority | Self::Unspecified => None,
            Self::Nobody => Some(0),
            Self::Evidence | Self::Mirror | Self::Person(_) | Self::PersonLogin => Some(1),
            Self::SealerEvidence | Self::TokenEvidence => Some(2),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    pub type_: EntryType,
    pub(super) chain: ChainKind,
    pub document: ActDocument,
    /// Where the act is.
    pub form: ActForm,
    /// Who signs it.
    pub signers: Signers,
    /// The refs of its envelope: all of these, and no others.
    pub refs: &'static [&'static str],
    /// False for reserved types, which readers accept and this version does not write.
    pub written: bool,
}

impl Rule {
    /// Checks that the type belongs to this kind of chain.
    pub fn check_chain(&self, chain: &Chain) -> Result<(), &'static str> {
        match (self.chain, chain) {
            (ChainKind::Deployment, Chain::Deployment)
            | (ChainKind::Incident, Chain::Incident(_))
            | (ChainKind::Any, _) => Ok(()),
            (ChainKind::Deployment, Chain::Incident(_)) => Err("it belongs to the deployment's chain"),
            (ChainKind::Incident, Chain::Deployment) => Err("it belongs to an incident's chain"),
        }
    }
}

const RESPONDER: Signers = Signers::Person(&["responder"]);
const APPROVER: Signers = Signers::Person(&["approver"]);
const ENDPOINT_ADMIN: Signers = Signers::Person(&["endpoint-admin"]);

macro_rules! table {
    ($($variant:ident $name:literal $chain:ident $document:ident $form:ident $signers:expr, [$($ref_:literal)*] $written:literal;)*) => {
        /// The kind of event that an entry records.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EntryType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A type of a later version. A reader can place it in its chain, and not judge it.
            Unknown(TypeName),
        }

        impl EntryType {
            /// All types, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The type's row.
            pub fn rule(self) -> Rule {
                match self {
                    $(Self::$variant => Rule {
                        type_: self, chain: ChainKind::$chain, document: ActDocument::$document, form: ActForm::$form,
                        signers: $signers, refs: &[$($ref_,)*], written: $written,
                    },)*
                    Self::Unknown(_) => Rule {
                        type_: self, chain: ChainKind::Any, document: ActDocument::Act, form: ActForm::Inline,
                        signers: Signers::Unspecified, refs: &[], written: false,
                    },
                }
            }

            /// The type's name in the ledger.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown(name) => name.as_str(),
                }
            }
        }
    };
}

table! {
    LogGenesis            "log.genesis"            Deployment Act        Inline Signers::Nobody, ["authority" "ca" "log"] true;
    RosterPublished       "roster.published"       Deployment Roster     Digest Signers::Authority, ["roster" "version"] true;
    EndpointAdmitted      "endpoint.admitted"      Deployment Token      Digest ENDPOINT_ADMIN, ["endpoint" "generation" "token"] true;
    AgentEnrolled         "agent.enrolled"         Deployment Enrolment  Inline Signers::TokenEvidence, ["endpoint" "evidence_key" "generation" "token"] true;
    AgentRenewed          "agent.renewed"          Deployment Renewal    Inline Signers::Evidence, ["endpoint" "generation"] true;
    EndpointRetired       "endpoint.retired"       Deployment Act        Inline ENDPOINT_ADMIN, ["endpoint" "generation"] true;
    LoginIssued           "login.issued"           Deployment Login      Inline Signers::PersonLogin, ["key" "person"] true;
    IncidentOpened        "incident.opened"        Incident   Act        Inline RESPONDER, ["incident"] true;
    IncidentNoted         "incident.noted"         Incident   Act        Inline Signers::Person(&["analyst", "responder"]), [] true;
    IncidentClosed        "incident.closed"        Incident   Act        Inline RESPONDER, [] true;
    IncidentReopened      "incident.reopened"      Incident   Act        Inline RESPONDER, [] true;
    OrderIssued           "order.issued"           Incident   Order      Digest RESPONDER, ["order" "roster"] true;
    OrderApproved         "order.approved"         Incident   Approval   Inline APPROVER, ["order"] true;
    OrderRejected         "order.rejected"         Incident   Approval   Inline APPROVER, ["order"] true;
    OrderCancelled        "order.cancelled"        Incident   Act        Inline RESPONDER, ["order"] true;
    OrderRefused          "order.refused"          Incident   Act        Inline Signers::Nobody, ["endpoint" "order" "reason"] true;
    CollectionStarted     "collection.started"     Incident   Delegation Inline Signers::Evidence, ["attempt" "collection" "endpoint" "order"] true;
    CollectionProgress    "collection.progress"    Incident   Act        Inline Signers::Nobody, ["collection" "index" "seal"] true;
    CollectionInterrupted "collection.interrupted" Incident   Act        Inline Signers::Nobody, ["collection" "seal" "segments"] true;
    CollectionMalformed   "collection.malformed"   Incident   Act        Inline Signers::Nobody, ["collection" "seal"] true;
    CollectionContradicted "collection.contradicted" Incident Act        Inline Signers::Nobody, ["collection" "index" "sha256"] true;
    CollectionStored      "collection.stored"      Incident   Manifest   Digest Signers::SealerEvidence,
        ["collection" "copies" "degraded" "endpoint" "independent" "manifest" "order"] true;
    EvidenceAccessed      "evidence.accessed"      Incident   Act        Inline Signers::Nobody, ["object" "person"] true;
    BundleExported        "bundle.exported"        Incident   Act        Inline RESPONDER, ["count" "head" "sums"] true;
    TsaStamped            "tsa.stamped"            Deployment Act        Inline Signers::Nobody, ["size" "stamp"] true;
    EvidenceFixityFailed  "evidence.fixity_failed" Incident   Act        Inline Signers::Nobody, ["collection" "object" "store"] true;
    EvidenceRepaired      "evidence.repaired"      Incident   Act        Inline Signers::Nobody, ["collection" "object" "store"] true;
    HoldPlaced            "hold.placed"            Incident   Act        Inline Signers::Person(&["approver", "responder"]), [] true;
    HoldReleased          "hold.released"          Incident   Act        Inline APPROVER, ["hold"] true;
    RetentionChanged      "retention.changed"      Incident   Act        Inline APPROVER, ["until"] true;
    DispositionApproved   "disposition.approved"   Incident   Act        Inline Signers::Person(&["approver", "responder"]), ["count" "plan"] true;
    DispositionExecuted   "disposition.executed"   Incident   Act        Inline Signers::Nobody, ["count" "object" "plan" "store"] true;
    DispositionConfirmed  "disposition.confirmed"  Incident   Act        Inline Signers::Mirror, ["count" "mirror" "object" "plan"] true;
    RecoveryPerformed     "recovery.performed"     Deployment Act        Inline Signers::Nobody, ["size"] true;
    MirrorAdmitted        "mirror.admitted"        Deployment Act        Inline ENDPOINT_ADMIN,
        ["key" "mirror" "mirror_key" "tls_spki_sha256" "witness_key"] true;
    MirrorRetired         "mirror.retired"         Deployment Act        Inline ENDPOINT_ADMIN, ["mirror"] true;
    EvidenceReplicated    "evidence.replicated"    Incident   Act        Inline Signers::Mirror,
        ["collection" "manifest" "mirror" "root" "size"] true;
    KeyRotated            "key.rotated"            Deployment LogKey     Inline Signers::Authority, ["log" "size"] true;
    LogSuccession         "log.succession"         Deployment LogKey     Inline Signers::Authority, ["log" "size"] true;
    EvidenceDerived       "evidence.derived"       Any Act Inline Signers::Unspecified, [] false;
    CustodyOffered        "custody.offered"        Any Act Inline Signers::Unspecified, [] false;
    CustodyAccepted       "custody.accepted"       Any Act Inline Signers::Unspecified, [] false;
    CustodyRejected       "custody.rejected"       Any Act Inline Signers::Unspecified, [] false;
    KeyRevoked            "key.revoked"            Any Act Inline Signers::Unspecified, [] false;
    PolicyChanged         "policy.changed"         Any Act Inline Signers::Unspecified, [] false;
    ClockAnomaly          "clock.anomaly"          Any Act Inline Signers::Unspecified, [] false;
    IncidentTriaged       "incident.triaged"       Any Act Inline Signers::Unspecified, [] false;
    IntakeReceived        "intake.received"        Any Act Inline Signers::Unspecified, [] false;
    NoticeSent            "notice.sent"            Any Act Inline Signers::Unspecified, [] false;
    Correction            "correction"             Any Act Inline Signers::Unspecified, [] false;
}

impl EntryType {
    /// False for types that this version cannot judge: unknown ones, and those that are reserved for later versions.
    pub fn is_known(self) -> bool {
        self.rule().signers != Signers::Unspecified
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for EntryType {
    type Err = UnknownEntryType;

    fn from_str(text: &str) -> Result<Self, UnknownEntryType> {
        let known = Self::ALL.iter().copied().find(|type_| type_.as_str() == text);
        known.or_else(|| TypeName::new(text).map(Self::Unknown)).ok_or(UnknownEntryType)
    }
}
serde_as_text!(EntryType);

/// Longest name of a type.
const TYPE_NAME_BYTES_MAX: usize = 40;

/// The name of a type that is in no row: 1 to 40 bytes of `a-z`, `0-9`, `.` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName {
    /// Filled up with zeros.
    bytes: [u8; TYPE_NAME_BYTES_MAX],
}

impl TypeName {
    fn new(text: &str) -> Option<Self> {
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
        let mut bytes = [0; TYPE_NAME_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (!text.is_empty() && text.bytes().all(is_name)).then_some(Self { bytes })
    }

    #[expect(clippy::expect_used, reason = "new takes nothing but ASCII")]
    fn as_str(&self) -> &str {
        let name = self.bytes.split(|byte| *byte == 0).next();
        str::from_utf8(name.unwrap_or_default()).expect("a name is ASCII")
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A text that is no name of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown entry type")]
pub struct UnknownEntryType;
