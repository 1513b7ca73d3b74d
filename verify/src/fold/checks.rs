//! Which check of docs/spec/bundle.md fails by a rule of docs/spec/rules.md.
//! Guarantee: no rule is without a check, because the match names them all.

use custody::rule::RuleId;
use evidence::entry::EntryType;

use crate::entries::Proven;

/// The check that a rule fails. An entry about one object fails the check of that object too ([`of_object`]).
pub(crate) const fn check_of(rule: RuleId) -> &'static str {
    use RuleId as R;
    match rule {
        R::Entry2 | R::Entry3 | R::Entry5 => "custody.inclusion",
        R::Entry9 | R::Entry10 | R::Entry11 | R::Entry12 | R::Entry13 | R::Entry14 | R::Incident2 => {
            "custody.chain"
        }
        R::Entry1
        | R::Entry4
        | R::Entry6
        | R::Entry7
        | R::Entry8
        | R::Entry15
        | R::Entry16
        | R::Entry17
        | R::Entry18
        | R::Entry19
        | R::Entry20
        | R::Entry21
        | R::Entry22
        | R::Recovery1
        | R::Log1
        | R::Log2
        | R::Log3
        | R::Log4
        | R::Log5
        | R::Login1
        | R::Login2
        | R::Login3
        | R::Login4
        | R::Endpoint2
        | R::Endpoint3
        | R::Incident1
        | R::Incident3
        | R::Incident4
        | R::Order1
        | R::Order2
        | R::Order6
        | R::Order15
        | R::Order16
        | R::Order17
        | R::Order18
        | R::Order19
        | R::Order20
        | R::Order21
        | R::Order23
        | R::Order24
        | R::Order25
        | R::Access1
        | R::Access2
        | R::Access3
        | R::Access4
        | R::Access5
        | R::Hold2
        | R::Hold3
        | R::Hold4
        | R::Hold5
        | R::Mirror1
        | R::Mirror2
        | R::Mirror3
        | R::Mirror4
        | R::Mirror5
        | R::Mirror6
        | R::Mirror7
        | R::Mirror8
        | R::Mirror9
        | R::Mirror10
        | R::Mirror11
        | R::Mirror12
        | R::Mirror13 => "custody.acts",
        R::Mirror14 => "custody.replicated",
        R::Stamp1 | R::Stamp2 | R::Stamp3 | R::Stamp4 | R::Stamp5 | R::Stamp6 | R::Stamp7 => {
            "checkpoint.stamp"
        }
        R::Roster1
        | R::Roster2
        | R::Roster3
        | R::Roster4
        | R::Roster5
        | R::Roster6
        | R::Roster7
        | R::Roster8
        | R::Roster9
        | R::Roster10 => "roster",
        R::Endpoint1
        | R::Endpoint4
        | R::Endpoint5
        | R::Endpoint6
        | R::Endpoint7
        | R::Endpoint8
        | R::Endpoint9
        | R::Endpoint10
        | R::Endpoint11
        | R::Endpoint12
        | R::Endpoint13
        | R::Endpoint14
        | R::Endpoint15
        | R::Endpoint16
        | R::Endpoint17
        | R::Endpoint18
        | R::Endpoint19
        | R::Endpoint20
        | R::Endpoint21
        | R::Endpoint22
        | R::Endpoint23
        | R::Endpoint24
        | R::Endpoint25 => "endpoint",
        R::Incident5
        | R::Order3
        | R::Order4
        | R::Order5
        | R::Order7
        | R::Order8
        | R::Order9
        | R::Order10
        | R::Order11
        | R::Order12
        | R::Order13
        | R::Order14
        | R::Order22
        | R::Order26
        | R::Order27
        | R::Order28
        | R::Order29
        | R::Order30 => "order",
        R::Collection1
        | R::Collection2
        | R::Collection3
        | R::Collection4
        | R::Collection5
        | R::Collection6
        | R::Collection7
        | R::Collection8
        | R::Collection9
        | R::Collection10
        | R::Collection11
        | R::Collection13
        | R::Collection14
        | R::Collection27 => "delegation",
        R::Collection12 | R::Collection15 | R::Collection16 | R::Collection17 | R::Collection26 => "coverage",
        R::Collection18 | R::Collection19 | R::Collection20 | R::Collection21 | R::Collection22 => "manifest",
        R::Collection23 | R::Collection30 => "container",
        R::Collection24 | R::Collection25 => "seals",
        R::Hold1
        | R::Disposal1
        | R::Disposal2
        | R::Disposal3
        | R::Disposal4
        | R::Disposal5
        | R::Disposal6
        | R::Disposal7
        | R::Disposal8
        | R::Disposal9
        | R::Disposal10
        | R::Disposal11
        | R::Disposal12
        | R::Disposal13
        | R::Disposal14
        | R::Disposal15 => "disposition",
        R::LogKey1
        | R::LogKey2
        | R::LogKey3
        | R::LogKey4
        | R::LogKey5
        | R::LogKey6
        | R::LogKey7
        | R::LogKey8
        | R::LogKey9
        | R::LogKey10
        | R::LogKey11
        | R::LogKey12
        | R::Note1
        | R::Note2
        | R::Note3 => "checkpoint",
        R::Export1
        | R::Export2
        | R::Export3
        | R::Export4
        | R::Export5
        | R::Export6
        | R::Export7
        | R::Export8
        | R::Export9 => "export",
    }
}

/// The check of the one object that an entry is about, which fails with the entry.
pub(crate) fn of_object(proven: &Proven) -> Option<(&'static str, String)> {
    let named = |name| proven.reference(name).unwrap_or_default().to_owned();
    match proven.entry.envelope.type_ {
        EntryType::OrderIssued => Some(("order", proven.entry.envelope.event.to_string())),
        EntryType::EndpointAdmitted | EntryType::AgentEnrolled | EntryType::AgentRenewed => {
            Some(("endpoint", format!("{}#{}", named("endpoint"), named("generation"))))
        }
        EntryType::CollectionStarted => Some(("delegation", named("collection"))),
        EntryType::CollectionStored => Some(("manifest", named("collection"))),
        EntryType::RosterPublished => Some(("roster", String::new())),
        _ => None,
    }
}
