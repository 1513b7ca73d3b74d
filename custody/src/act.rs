//! What an act must be by itself: its form, its signatures, and what it repeats of its envelope.
//! Guarantee: [`Act::read`] needs no past. It does everything that costs time, so that [`crate::State::step`] only compares.
//! Not here: whether the signers are the right ones.

use evidence::document::Document;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal, Token};
use evidence::entry::act::Act as ActV1;
use evidence::entry::fields::{self, FieldsError};
use evidence::entry::{ActDocument, ActObject, Entry, EntryType, Envelope, Signers};
use evidence::id::{Actor, DeploymentId, MirrorId, PersonId};
use evidence::keys::PublicKey;
use evidence::log_key::LogKeyChange;
use evidence::manifest::Manifest;
use evidence::order::{Approval, Decision, Order, Target, TargetProof};
use evidence::roster::Roster;
use evidence::seal::delegation::Delegation;
use evidence::signed::SignedError;

use crate::entry::{refs, value};
use crate::rule::{Broken, RuleId, must, must_have, must_hold};

/// What the caller found beside an entry. State cannot keep it.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The place of a delegation's endpoint among the targets of its order.
    pub target: Option<TargetProof>,
    /// Instead of a proof: what the caller's own list of the order's targets says of that endpoint. The caller compared the list with
    /// the order's root when it recorded the order.
    pub listed: Option<Target>,
}

/// An act that was read. Each signature on it holds.
#[derive(Debug, Clone)]
pub enum Act {
    /// An `exhibit-act-v1` that nobody signs.
    Own(Box<ActV1>),
    Person(Box<ActV1>, PersonId, PublicKey),
    Mirror(Box<ActV1>, MirrorId, PublicKey),
    Approval(Box<Opened<Approval>>),
    Delegation(Box<Opened<Delegation>>, Beside),
    Enrolment(Box<Opened<EnrolmentRequest>>),
    LogKey(Box<Opened<LogKeyChange>>),
    Login(Box<Opened<Login>>),
    Manifest(Box<Opened<Manifest>>),
    Order(Box<Opened<Order>>),
    Renewal(Box<Opened<Renewal>>),
    Roster(Box<Opened<Roster>>),
    Token(Box<Opened<Token>>),
    /// A partial production leaves out what the entry leans on: only its place among the others is judged. With the delegation
    /// where a collection began.
    LeftOut(Option<Box<Opened<Delegation>>>),
}

/// A document with the keys that signed it, in order.
#[derive(Debug, Clone)]
pub struct Opened<T> {
    pub document: T,
    pub signers: Vec<PublicKey>,
}

impl<T> Opened<T> {
    /// The signer of a document that one key signs. [`Act::read`] has counted.
    pub(crate) fn signer(&self) -> Option<&PublicKey> {
        self.signers.first()
    }
}

impl Act {
    /// The `exhibit-act-v1`, if it is one.
    #[must_use]
    pub const fn plain(&self) -> Option<&ActV1> {
        match self {
            Self::Own(act) | Self::Person(act, ..) | Self::Mirror(act, ..) => Some(act),
            _ => None,
        }
    }

    /// Reads the act of an entry.
    ///
    /// # Errors
    /// If its form, a signature, or what it repeats of the envelope breaks a rule.
    pub fn read(entry: &Entry, object: &ActObject, beside: Beside) -> Result<Self, Broken> {
        let envelope = &entry.envelope;
        let row = envelope.type_.rule();
        let rule =
            if matches!(envelope.type_, EntryType::Unknown(_)) { RuleId::Entry2 } else { RuleId::Entry21 };
        must(rule, envelope.type_.is_known(), "this version does not know this type")?;
        must(RuleId::Entry6, object.event() == envelope.event, "event is not the digest of its act")?;
        let found = object.signatures.len();
        match row.signers.count() {
            Some(wanted) => must(
                RuleId::Entry7,
                found == wanted,
                format_args!("its act has {found} signatures, its type asks for {wanted}"),
            )?,
            None => must(RuleId::Entry7, found > 0, "nobody signed it")?,
        }
        let case = Case { envelope, object };
        match row.document {
            ActDocument::Act => case.plain(row.signers),
            ActDocument::Approval => case.approval(),
            ActDocument::Delegation => case.delegation(beside),
            ActDocument::Enrolment => case.enrolment(),
            ActDocument::LogKey => case.log_key(),
            ActDocument::Login => case.login(),
            ActDocument::Manifest => case.manifest(),
            ActDocument::Order => case.order(),
            ActDocument::Renewal => case.renewal(),
            ActDocument::Roster => case.roster(),
            ActDocument::Token => case.token(),
        }
    }
}

/// Asks whether an act has the fields of its type (`entry-22`, `incident-3`).
///
/// # Errors
/// If it has others, or a value is in another form.
pub fn has_its_fields(act: &ActV1) -> Result<(), Broken> {
    let checked = fields::check(act);
    let rule = match &checked {
        Err(FieldsError::Word { .. }) => RuleId::Incident3,
        _ => RuleId::Entry22,
    };
    must_hold(rule, checked)
}

/// The act that is being read, with its envelope.
struct Case<'a> {
    envelope: &'a Envelope,
    object: &'a ActObject,
}

impl Case<'_> {
    /// Opens a signed document: `form` asks for its form, `signed` for its signatures.
    fn open<T: Document>(&self, form: RuleId, signed: RuleId) -> Result<Box<Opened<T>>, Broken> {
        let opened = self.object.signed().and_then(|object| object.open());
        let rule = match &opened {
            Err(SignedError::Signature { .. }) => signed,
            _ => form,
        };
        let (document, signers) = must_hold(rule, opened)?;
        Ok(Box::new(Opened { document, signers }))
    }

    fn deployment(&self, found: &DeploymentId) -> Result<(), Broken> {
        let says = format_args!("its act is of deployment {found}").to_string();
        must(RuleId::Entry8, *found == self.envelope.deployment, says)
    }

    fn refs(&self, rule: RuleId, wanted: &[(&str, String)]) -> Result<(), Broken> {
        refs(self.envelope, rule, wanted)
    }

    fn plain(&self, signers: Signers) -> Result<Act, Broken> {
        match signers {
            Signers::Person(_) => {
                let mut opened = self.open::<ActV1>(RuleId::Entry1, RuleId::Entry17)?;
                self.repeats(&opened.document)?;
                let by = &opened.document.by;
                let person = if let Actor::Person(person) = by { Some(person.clone()) } else { None };
                let says = format_args!("a person signed in the name of {by}").to_string();
                let person = must_have(RuleId::Entry17, person, says)?;
                let key = must_have(RuleId::Entry7, opened.signers.pop(), "nobody signed it")?;
                Ok(Act::Person(Box::new(opened.document), person, key))
            }
            Signers::Mirror => {
                let mut opened = self.open::<ActV1>(RuleId::Entry1, RuleId::Mirror7)?;
                self.repeats(&opened.document)?;
                let mirror: MirrorId = value(self.envelope, "mirror")?;
                let by = &opened.document.by;
                must(
                    RuleId::Mirror6,
                    *by == Actor::Mirror(mirror.clone()),
                    format_args!("a mirror's statement in the name of {by}"),
                )?;
                let key = must_have(RuleId::Entry7, opened.signers.pop(), "nobody signed it")?;
                Ok(Act::Mirror(Box::new(opened.document), mirror, key))
            }
            // The other signers sign other documents.
            _ => {
                let act: ActV1 = must_hold(RuleId::Entry1, self.object.read())?;
                self.repeats(&act)?;
                // Nobody signed the act, so it speaks only for the collector whose log holds it.
                must(
                    RuleId::Entry16,
                    matches!(act.by, Actor::Collector(_)),
                    format_args!("recorded without a signature in the name of {}", act.by),
                )?;
                Ok(Act::Own(Box::new(act)))
            }
        }
    }

    fn repeats(&self, act: &ActV1) -> Result<(), Broken> {
        let envelope = self.envelope;
        let is_same = act.act == envelope.type_
            && act.incident == envelope.incident
            && act.deployment == envelope.deployment;
        must(RuleId::Entry15, is_same, "its act is about something else")?;
        must(RuleId::Entry15, act.refs == envelope.refs, "its refs are not those of its act")?;
        has_its_fields(act)
    }

    fn approval(&self) -> Result<Act, Broken> {
        let opened = self.open::<Approval>(RuleId::Order15, RuleId::Order15)?;
        let approval = &opened.document;
        self.deployment(&approval.deployment)?;
        self.refs(RuleId::Order17, &[("order", approval.order.to_string())])?;
        let decided = match approval.decision {
            Decision::Approve => EntryType::OrderApproved,
            Decision::Reject => EntryType::OrderRejected,
        };
        let says = "it says the opposite of what was decided";
        must(RuleId::Order17, self.envelope.type_ == decided, says)?;
        Ok(Act::Approval(opened))
    }

    fn delegation(&self, beside: Beside) -> Result<Act, Broken> {
        let opened = self.open::<Delegation>(RuleId::Collection1, RuleId::Collection2)?;
        let delegation = &opened.document;
        self.deployment(&delegation.deployment)?;
        self.refs(
            RuleId::Collection6,
            &[
                ("collection", delegation.collection.to_string()),
                ("order", delegation.order.to_string()),
                ("endpoint", delegation.endpoint.to_string()),
                ("attempt", delegation.attempt.to_string()),
            ],
        )?;
        Ok(Act::Delegation(opened, beside))
    }

    fn enrolment(&self) -> Result<Act, Broken> {
        let opened = self.open::<EnrolmentRequest>(RuleId::Endpoint13, RuleId::Endpoint13)?;
        let request = &opened.document;
        self.deployment(&request.deployment)?;
        self.refs(
            RuleId::Endpoint14,
            &[
                ("endpoint", request.endpoint.to_string()),
                ("generation", request.generation.to_string()),
                ("evidence_key", request.evidence_key.fingerprint().to_string()),
                ("token", request.token.to_string()),
            ],
        )?;
        Ok(Act::Enrolment(opened))
    }

    fn log_key(&self) -> Result<Act, Broken> {
        let opened = self.open::<LogKeyChange>(RuleId::LogKey1, RuleId::LogKey2)?;
        let change = &opened.document;
        self.deployment(&change.deployment)?;
        must(
            RuleId::LogKey7,
            self.envelope.type_ == change.reason.entry_type(),
            format_args!("a key that is {} is recorded otherwise", change.reason),
        )?;
        self.refs(RuleId::LogKey7, &[("log", change.new.to_string()), ("size", change.size.to_string())])?;
        Ok(Act::LogKey(opened))
    }

    fn login(&self) -> Result<Act, Broken> {
        let opened = self.open::<Login>(RuleId::Login1, RuleId::Login1)?;
        let login = &opened.document;
        self.deployment(&login.deployment)?;
        let key = opened.signer().map(|key| key.fingerprint().to_string()).unwrap_or_default();
        self.refs(RuleId::Login2, &[("person", login.person.to_string()), ("key", key)])?;
        Ok(Act::Login(opened))
    }

    fn manifest(&self) -> Result<Act, Broken> {
        let opened = self.open::<Manifest>(RuleId::Collection18, RuleId::Collection18)?;
        self.deployment(&opened.document.deployment)?;
        self.refs(RuleId::Collection20, &[("manifest", self.envelope.event.to_string())])?;
        Ok(Act::Manifest(opened))
    }

    fn order(&self) -> Result<Act, Broken> {
        let opened = self.open::<Order>(RuleId::Order1, RuleId::Order2)?;
        let order = &opened.document;
        self.deployment(&order.deployment)?;
        self.refs(
            RuleId::Order6,
            &[("order", self.envelope.event.to_string()), ("roster", order.roster_sha256.to_string())],
        )?;
        must(
            RuleId::Order5,
            self.envelope.incident.incident() == Some(&order.incident),
            format_args!("its order is for {}", order.incident),
        )?;
        must(
            RuleId::Order8,
            order.plan.sensitivity() == order.sensitivity,
            "its order is labelled with another sensitivity than its plan has",
        )?;
        Ok(Act::Order(opened))
    }

    fn renewal(&self) -> Result<Act, Broken> {
        let opened = self.open::<Renewal>(RuleId::Endpoint18, RuleId::Endpoint18)?;
        let renewal = &opened.document;
        self.deployment(&renewal.deployment)?;
        self.refs(
            RuleId::Endpoint19,
            &[("endpoint", renewal.endpoint.to_string()), ("generation", renewal.generation.to_string())],
        )?;
        Ok(Act::Renewal(opened))
    }

    fn roster(&self) -> Result<Act, Broken> {
        let opened = self.open::<Roster>(RuleId::Roster1, RuleId::Roster2)?;
        let roster = &opened.document;
        self.deployment(&roster.deployment)?;
        self.refs(
            RuleId::Roster6,
            &[("roster", self.envelope.event.to_string()), ("version", roster.version.to_string())],
        )?;
        Ok(Act::Roster(opened))
    }

    fn token(&self) -> Result<Act, Broken> {
        let opened = self.open::<Token>(RuleId::Endpoint1, RuleId::Endpoint2)?;
        let token = &opened.document;
        self.deployment(&token.deployment)?;
        self.refs(
            RuleId::Endpoint3,
            &[
                ("token", self.envelope.event.to_string()),
                ("endpoint", token.endpoint.to_string()),
                ("generation", token.generation.to_string()),
            ],
        )?;
        Ok(Act::Token(opened))
    }
}
