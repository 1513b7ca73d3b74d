//! The numbers of the rules (docs/spec/rules.md), and the only doors through which a rule refuses something.
//! Guarantee: whoever holds a [`Broken`] knows which rule was broken, and the text begins with its id.
//! Not here: the rules themselves, which the modules of their families ask.

use std::fmt;

use evidence::causes::chain;

/// Who asks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// This crate: [`crate::entry::read`], [`crate::act::Act::read`] or [`crate::State::step`].
    Fold,
    /// Only others: they have a clock, a store, a tree or a bundle.
    Others,
}

macro_rules! rules {
    ($($variant:ident $id:literal $asked_by:ident;)*) => {
        /// A rule of docs/spec/rules.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RuleId {
            $(#[doc = concat!("`", $id, "`")] $variant,)*
        }

        impl RuleId {
            /// All rules, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The id, as documents and reports write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// Who asks the rule.
            #[must_use]
            pub const fn asked_by(self) -> AskedBy {
                match self {
                    $(Self::$variant => AskedBy::$asked_by,)*
                }
            }
        }
    };
}

rules! {
    Entry1 "entry-1" Fold;
    Entry2 "entry-2" Fold;
    Entry3 "entry-3" Fold;
    Entry4 "entry-4" Fold;
    Entry5 "entry-5" Fold;
    Entry6 "entry-6" Fold;
    Entry7 "entry-7" Fold;
    Entry8 "entry-8" Fold;
    Entry9 "entry-9" Fold;
    Entry10 "entry-10" Fold;
    Entry11 "entry-11" Fold;
    Entry12 "entry-12" Fold;
    Entry13 "entry-13" Fold;
    Entry14 "entry-14" Fold;
    Entry15 "entry-15" Fold;
    Entry16 "entry-16" Fold;
    Entry17 "entry-17" Fold;
    Entry18 "entry-18" Others;
    Entry19 "entry-19" Others;
    Entry20 "entry-20" Others;
    Entry21 "entry-21" Fold;
    Entry22 "entry-22" Fold;

    Log1 "log-1" Fold;
    Log2 "log-2" Fold;
    Log3 "log-3" Fold;
    Log4 "log-4" Fold;
    Log5 "log-5" Fold;
    Recovery1 "recovery-1" Fold;

    Note1 "note-1" Others;
    Note2 "note-2" Others;
    Note3 "note-3" Others;

    Stamp1 "stamp-1" Others;
    Stamp2 "stamp-2" Others;
    Stamp3 "stamp-3" Others;
    Stamp4 "stamp-4" Others;
    Stamp5 "stamp-5" Others;
    Stamp6 "stamp-6" Others;
    Stamp7 "stamp-7" Others;

    Roster1 "roster-1" Fold;
    Roster2 "roster-2" Fold;
    Roster3 "roster-3" Fold;
    Roster4 "roster-4" Fold;
    Roster5 "roster-5" Fold;
    Roster6 "roster-6" Fold;
    Roster7 "roster-7" Others;
    Roster8 "roster-8" Others;
    Roster9 "roster-9" Others;
    Roster10 "roster-10" Others;

    Login1 "login-1" Fold;
    Login2 "login-2" Fold;
    Login3 "login-3" Others;
    Login4 "login-4" Others;

    Endpoint1 "endpoint-1" Fold;
    Endpoint2 "endpoint-2" Fold;
    Endpoint3 "endpoint-3" Fold;
    Endpoint4 "endpoint-4" Fold;
    Endpoint5 "endpoint-5" Others;
    Endpoint6 "endpoint-6" Others;
    Endpoint7 "endpoint-7" Others;
    Endpoint8 "endpoint-8" Fold;
    Endpoint9 "endpoint-9" Fold;
    Endpoint10 "endpoint-10" Others;
    Endpoint11 "endpoint-11" Fold;
    Endpoint12 "endpoint-12" Fold;
    Endpoint13 "endpoint-13" Fold;
    Endpoint14 "endpoint-14" Fold;
    Endpoint15 "endpoint-15" Fold;
    Endpoint16 "endpoint-16" Others;
    Endpoint17 "endpoint-17" Others;
    Endpoint18 "endpoint-18" Fold;
    Endpoint19 "endpoint-19" Fold;
    Endpoint20 "endpoint-20" Fold;
    Endpoint21 "endpoint-21" Others;
    Endpoint22 "endpoint-22" Others;
    Endpoint23 "endpoint-23" Others;
    Endpoint24 "endpoint-24" Others;
    Endpoint25 "endpoint-25" Fold;

    Incident1 "incident-1" Fold;
    Incident2 "incident-2" Fold;
    Incident3 "incident-3" Fold;
    Incident4 "incident-4" Fold;
    Incident5 "incident-5" Fold;

    Order1 "order-1" Fold;
    Order2 "order-2" Fold;
    Order3 "order-3" Fold;
    Order4 "order-4" Others;
    Order5 "order-5" Fold;
    Order6 "order-6" Fold;
    Order7 "order-7" Fold;
    Order8 "order-8" Fold;
    Order9 "order-9" Fold;
    Order10 "order-10" Others;
    Order11 "order-11" Fold;
    Order12 "order-12" Others;
    Order13 "order-13" Others;
    Order14 "order-14" Others;
    Order15 "order-15" Fold;
    Order16 "order-16" Fold;
    Order17 "order-17" Fold;
    Order18 "order-18" Fold;
    Order19 "order-19" Fold;
    Order20 "order-20" Fold;
    Order21 "order-21" Others;
    Order22 "order-22" Fold;
    Order23 "order-23" Fold;
    Order24 "order-24" Fold;
    Order25 "order-25" Fold;
    Order26 "order-26" Others;
    Order27 "order-27" Others;
    Order28 "order-28" Others;
    Order29 "order-29" Others;
    Order30 "order-30" Others;

    Collection1 "collection-1" Fold;
    Collection2 "collection-2" Fold;
    Collection3 "collection-3" Fold;
    Collection4 "collection-4" Fold;
    Collection5 "collection-5" Others;
    Collection6 "collection-6" Fold;
    Collection7 "collection-7" Fold;
    Collection8 "collection-8" Fold;
    Collection9 "collection-9" Fold;
    Collection10 "collection-10" Fold;
    Collection11 "collection-11" Fold;
    Collection12 "collection-12" Fold;
    Collection13 "collection-13" Fold;
    Collection14 "collection-14" Fold;
    Collection15 "collection-15" Fold;
    Collection16 "collection-16" Fold;
    Collection17 "collection-17" Fold;
    Collection18 "collection-18" Fold;
    Collection19 "collection-19" Fold;
    Collection20 "collection-20" Fold;
    Collection21 "collection-21" Fold;
    Collection22 "collection-22" Fold;
    Collection23 "collection-23" Others;
    Collection24 "collection-24" Others;
    Collection25 "collection-25" Others;
    Collection26 "collection-26" Fold;
    Collection27 "collection-27" Others;
    Collection30 "collection-30" Others;

    Access1 "access-1" Others;
    Access2 "access-2" Others;
    Access3 "access-3" Fold;
    Access4 "access-4" Others;
    Access5 "access-5" Others;

    Hold1 "hold-1" Fold;
    Hold2 "hold-2" Fold;
    Hold3 "hold-3" Others;
    Hold4 "hold-4" Others;
    Hold5 "hold-5" Others;

    Disposal1 "disposal-1" Fold;
    Disposal2 "disposal-2" Fold;
    Disposal3 "disposal-3" Fold;
    Disposal4 "disposal-4" Fold;
    Disposal5 "disposal-5" Fold;
    Disposal6 "disposal-6" Fold;
    Disposal7 "disposal-7" Fold;
    Disposal8 "disposal-8" Fold;
    Disposal9 "disposal-9" Fold;
    Disposal10 "disposal-10" Fold;
    Disposal11 "disposal-11" Fold;
    Disposal12 "disposal-12" Others;
    Disposal13 "disposal-13" Others;
    Disposal14 "disposal-14" Others;
    Disposal15 "disposal-15" Others;

    Mirror1 "mirror-1" Fold;
    Mirror2 "mirror-2" Fold;
    Mirror3 "mirror-3" Others;
    Mirror4 "mirror-4" Fold;
    Mirror5 "mirror-5" Fold;
    Mirror6 "mirror-6" Fold;
    Mirror7 "mirror-7" Fold;
    Mirror8 "mirror-8" Fold;
    Mirror9 "mirror-9" Fold;
    Mirror10 "mirror-10" Fold;
    Mirror11 "mirror-11" Fold;
    Mirror12 "mirror-12" Others;
    Mirror13 "mirror-13" Others;
    Mirror14 "mirror-14" Others;

    LogKey1 "logkey-1" Fold;
    LogKey2 "logkey-2" Fold;
    LogKey3 "logkey-3" Fold;
    LogKey4 "logkey-4" Fold;
    LogKey5 "logkey-5" Fold;
    LogKey6 "logkey-6" Fold;
    LogKey7 "logkey-7" Fold;
    LogKey8 "logkey-8" Others;
    LogKey9 "logkey-9" Fold;
    LogKey10 "logkey-10" Others;
    LogKey11 "logkey-11" Others;
    LogKey12 "logkey-12" Fold;

    Export1 "export-1" Others;
    Export2 "export-2" Others;
    Export3 "export-3" Others;
    Export4 "export-4" Others;
    Export5 "export-5" Others;
    Export6 "export-6" Others;
    Export7 "export-7" Others;
    Export8 "export-8" Others;
    Export9 "export-9" Others;
}

impl fmt::Display for RuleId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A rule does not hold. Its text begins with the id of the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {says}")]
#[non_exhaustive]
pub struct Broken {
    pub rule: RuleId,
    /// What is wrong, with the values.
    pub says: String,
}

/// Refuses unless the rule holds.
pub fn must(rule: RuleId, holds: bool, says: impl fmt::Display) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { rule, says: says.to_string() }) }
}

/// Refuses unless what the rule asks for is there.
pub fn must_have<T>(rule: RuleId, found: Option<T>, says: impl fmt::Display) -> Result<T, Broken> {
    found.ok_or_else(|| Broken { rule, says: says.to_string() })
}

/// Refuses with the error's own text, and its causes, unless the rule holds.
pub fn must_hold<T, E: std::error::Error>(rule: RuleId, result: Result<T, E>) -> Result<T, Broken> {
    result.map_err(|error| Broken { rule, says: chain(&error) })
}
