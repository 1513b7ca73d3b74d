//! The check `custody.acts`: the act of every entry is there, is the one that the entry names, and is signed as its type demands.

use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::entry::{ActObject, EntryType};
use evidence::json;

use crate::acts::{self, Judged};
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::mirrors;
use crate::report::Report;
use crate::rosters::Rosters;
use crate::trust::Trust;

/// Every entry's act is there, is the one the entry names, and is signed as its type demands; every detail is the one its act names.
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
            left_out = left_out.saturating_add(1);
            continue;
        }
        let judged = acts::act_of(files, proven).and_then(|act| {
            let judged = acts::check_act(proven, &act, rosters)?;
            mirrors::check(entries, proven, &act)?;
            let detail = detail(files, &act)?;
            genesis(proven, trust)?;
            Ok((judged, detail))
        });
        match judged {
            Ok((judged, detail)) => {
                count = count.saturating_add(1);
                erased = erased.saturating_add(u64::from(detail == Found::No));
                if judged == Judged::Unknown {
                    unknown = unknown.or(Some(proven));
                }
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
            format!("{type_} at {}: this version does not know who signs it; use a newer one", proven.index),
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

/// Whether the detail object that an act names is in the bundle.
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

/// The first entry of a log names the log's own key.
fn genesis(proven: &Proven, trust: &Trust) -> Result<(), String> {
    if proven.entry.envelope.type_ != EntryType::LogGenesis {
        return Ok(());
    }
    let named = proven.reference("log").unwrap_or_default();
    if proven.index != 0 || proven.entry.envelope.seq != 0 {
        return Err(format!("log.genesis stands at {}", proven.index));
    }
    if trust.policy.logs().iter().any(|log| log.key.to_string() == named) {
        Ok(())
    } else {
        Err("log.genesis names another log key than the pinned one".to_owned())
    }
}
