//! The words of the check `custody.acts`, and the detail objects that acts name.
//! Not here: the acts themselves ([`crate::fold`]).

use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::entry::ActObject;
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::json;

use crate::acts;
use crate::entries::Entries;
use crate::files::Files;
use crate::report::Report;

/// Checks that every detail object in the bundle is the one that an act names, and counts the acts.
pub(crate) fn check(files: &Files<'_>, overview: &Overview, entries: &Entries, report: &mut Report) {
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
        // An act that is missing, or that breaks a rule, is a fault of its entry: the fold has named it.
        let Ok(act) = acts::act_of(files, proven) else {
            continue;
        };
        match detail(files, &act) {
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
