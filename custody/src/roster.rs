//! `roster-*`, `login-*`, and whether a key speaks for a person.

use evidence::digest::Digest;
use evidence::enrolment::Login;
use evidence::entry::{Entry, Signers};
use evidence::id::PersonId;
use evidence::keys::PublicKey;
use evidence::roster::{Role, Roster};

use crate::act::{Act, Opened};
use crate::rule::{Broken, RuleId, must, must_have, must_hold};
use crate::{At, Case, Effect, State};

/// The newest roster that the log published.
#[derive(Debug, Clone)]
pub struct Published {
    pub roster: Roster,
    pub digest: Digest,
}

impl State {
    /// The roster in force.
    #[must_use]
    pub const fn roster(&self) -> Option<&Published> {
        self.roster.as_ref()
    }

    /// Asks only whether the person who signed an act may sign it under the roster in force. For an entry whose place a bundle does not
    /// show: `bundle.exported`.
    ///
    /// # Errors
    /// `Broken`: no person signed it, or another than its type asks for.
    pub fn may_sign(&self, at: At, entry: &Entry, act: &Act) -> Result<(), Broken> {
        let case = Case { at, envelope: &entry.envelope };
        let signed = if let Act::Person(_, person, key) = act { Some((person, key)) } else { None };
        let (person, key) = must_have(RuleId::Entry17, signed, "no person signed it")?;
        self.speaks(RuleId::Entry17, &case, person, Some(key)).map(drop)
    }

    pub(crate) fn published(&self, case: &Case<'_>, opened: &Opened<Roster>) -> Result<Effect, Broken> {
        must_hold(RuleId::Roster2, self.pins.authority.check(&opened.signers))?;
        let roster = &opened.document;
        if let Some(before) = &self.roster {
            let (version, last) = (roster.version, before.roster.version);
            must(
                RuleId::Roster3,
                version > last,
                format_args!("roster {version} was published before, or a newer one"),
            )?;
            must(
                RuleId::Roster4,
                last.checked_add(1) == Some(version),
                format_args!("roster {version} where the one after {last} follows"),
            )?;
            must(
                RuleId::Roster5,
                roster.previous == Some(before.digest),
                format_args!("roster {version} does not name the roster before it"),
            )?;
        }
        Ok(Effect::Roster(Box::new(Published { roster: roster.clone(), digest: case.envelope.event })))
    }

    pub(crate) fn login(&self, opened: &Opened<Login>) -> Result<Effect, Broken> {
        let login = &opened.document;
        let published = must_have(RuleId::Login1, self.roster.as_ref(), NO_ROSTER)?;
        let is_of_person = |key: &PublicKey| {
            published.roster.person_of_key(key).is_some_and(|person| person.id == login.person)
        };
        let is_signed = matches!(opened.signers.as_slice(), [person] if is_of_person(person));
        let says = "login is not signed by a roster key of the person";
        must(RuleId::Login1, is_signed, says)?;
        Ok(Effect::Nothing)
    }

    /// The roster in force, if in it the key belongs to the person, who holds a role that the type asks for.
    pub(crate) fn speaks(
        &self,
        rule: RuleId,
        case: &Case<'_>,
        person: &PersonId,
        key: Option<&PublicKey>,
    ) -> Result<&Published, Broken> {
        let published = must_have(rule, self.roster.as_ref(), NO_ROSTER)?;
        let key = must_have(rule, key, "nobody signed it")?;
        let Signers::Person(words) = case.envelope.type_.rule().signers else {
            return must_have(rule, None, "no person signs this type");
        };
        let roles: Vec<Role> = words.iter().filter_map(|word| Role::from_word(word)).collect();
        must(
            rule,
            published.roster.speaks_for(key, person, &roles),
            format_args!(
                "signed by {}, no key of {person} as {} then",
                key.fingerprint(),
                words.join(" or ")
            ),
        )?;
        Ok(published)
    }
}

const NO_ROSTER: &str = "no roster was published before";
