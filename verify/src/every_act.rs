//! The check `custody.acts`: the bundle holds the act of every entry, the entry names that act, and the right persons signed it.

use custody::rule::{Broken, RuleId, must};
use evidence::admission::Reason;
use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::entry::fields;
use evidence::entry::{ActObject, EntryType};
use evidence::json;

use crate::acts;
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::mirrors;
use crate::report::Report;
use crate::rosters::Rosters;
use crate::trust::Trust;

/// Checks every entry's act, and that every detail object in the bundle is the one that an act names.
pub(crate) fn check(
    files: &Files<'_>,
    overview: &Overview,
    entries: &Entries,
    rosters: &Rosters,
    trust: &Trust,
    report: &mut Report,
) {
    let (mut count, mut erased, mut left_out) = (0_u64, 0_u64, 0_u64);
    let mut unknown = None;
    for proven in entries.all() {
        if overview.partial && acts::is_left_out(files, proven) {
            left_out += 1;
            continue;
        }
        if !proven.entry.envelope.type_.is_known() {
            unknown = unknown.or(Some(proven));
            continue;
        }
        let judged = acts::act_of(files, proven).and_then(|act| {
            acts::check_act(proven, &act, rosters)?;
            mirrors::check(entries, proven, &act)?;
            let detail = detail(files, &act)?;
            genesis(proven, trust)?;
            Ok(detail)
        });
        match judged {
            Ok(detail) => {
                count += 1;
                erased += u64::from(detail == Found::No);
            }
            Err(why) => {
                report.failed("custody.acts", "", why);
                return;
            }
        }
    }
    if let Some(proven) = unknown {
        let type_ = proven.entry.envelope.type_;
        report.not_checked(
            "custody.acts",
            "",
            format!("{type_} at {}: this version does not know this type; use a newer one", proven.index),
        );
        return;
    }
    report.ok(
        "custody.acts",
        "",
        format!(
            "{count} acts present and signed as their types demand; {erased} details not in the bundle{}",
            if left_out > 0 {
                format!("; {left_out} orders and manifests of what is not produced are left out")
            } else {
                String::new()
            }
        ),
    );
}

/// Whether the bundle holds the detail object that an act names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Yes,
    No,
    NotNamed,
}

fn detail(files: &Files<'_>, act: &ActObject) -> Result<Found, String> {
    let Ok(parsed) = json::parse_document::<Act>(&act.document) else {
        return Ok(Found::NotNamed);
    };
    let Some(detail) = parsed.detail else {
        return Ok(Found::NotNamed);
    };
    let name = format!("details/{detail}.json");
    let Some(bytes) = files.bytes(&name)? else {
        return Ok(Found::No);
    };
    Detail::open(&bytes, &detail).map_err(|cause| format!("{name}: {}", chain(&cause)))?;
    Ok(Found::Yes)
}

/// Checks what the refs of an unsigned act name (`access-3`, `order-25`).
fn names(entries: &Entries, proven: &Proven) -> Result<(), Broken> {
    let envelope = &proven.entry.envelope;
    match envelope.type_ {
        EntryType::EvidenceAccessed => must(
            RuleId::Access3,
            fields::is_object(&envelope.refs, &envelope.incident),
            format_args!("entry {} names an object that nobody can be given", proven.index),
        ),
        EntryType::OrderRefused => {
            let mut before = entries.incident.iter().take_while(|before| before.index < proven.index);
            let is_issued = before.any(|before| {
                before.entry.envelope.type_ == EntryType::OrderIssued
                    && before.reference("order") == proven.reference("order")
            });
            must(
                RuleId::Order25,
                is_issued && proven.reference("reason").is_some_and(Reason::is_recorded),
                format_args!("entry {} refuses an order that was not issued, or for no reason", proven.index),
            )
        }
        _ => Ok(()),
    }
}

/// Checks that `log.genesis` is the log's first entry and names a key of the pinned log.
fn genesis(proven: &Proven, trust: &Trust) -> Result<(), String> {
    if proven.entry.envelope.type_ != EntryType::LogGenesis {
        return Ok(());
    }
    let named = proven.reference("log");
    if proven.index != 0 || proven.entry.envelope.seq != 0 {
        return Err(format!("log.genesis stands at {}", proven.index));
    }
    if trust.policy.logs().iter().any(|log| Some(log.key.to_string().as_str()) == named) {
        Ok(())
    } else {
        Err("log.genesis names another log key than the pinned one".to_owned())
    }
}
