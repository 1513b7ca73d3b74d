//! The checks `checkpoint.stamp` and `sums.stamp`: the time stamps over the ledger's head and over SHA256SUMS.
//!
//! Guarantee: if authorities are pinned, at least one stamp of a stamped bundle is from a pinned authority. A stamp that is damaged or
//! about other data fails, whoever made it and whoever is pinned (stamp-4 to stamp-7). The report names a stamp of an authority that
//! nobody pinned; it counts for nothing.
//! Not here: the verification of one stamp (`evidence::bundle::stamp`).

use evidence::bundle::stamp;
use evidence::bundle::{CHECKPOINT_STAMPS, SUMS_STAMPS};
use evidence::causes::chain;

use crate::files::Files;
use crate::report::Report;
use crate::trust::Trust;

/// Stamps over `ledger/checkpoint`; returns the times of those that count.
pub(crate) fn checkpoint(files: &Files<'_>, note: &[u8], trust: &Trust, report: &mut Report) -> Vec<String> {
    judge(files, "checkpoint.stamp", &CHECKPOINT_STAMPS, note, trust, report)
}

/// Stamps over SHA256SUMS. No signature covers them, so somebody could take them away. If authorities are pinned and the head has a stamp,
/// SHA256SUMS must have one.
pub(crate) fn sums(files: &Files<'_>, trust: &Trust, report: &mut Report) {
    let has_one = |names: &[&str]| names.iter().any(|name| files.has(name));
    if !trust.tsa.is_empty() && has_one(&CHECKPOINT_STAMPS) && !has_one(&SUMS_STAMPS) {
        report.not_checked(
            "sums.stamp",
            "",
            "SHA256SUMS.tsr is missing, though an authority stamped the checkpoint: compare with another copy, or ask for a new export",
        );
        return;
    }
    judge(files, "sums.stamp", &SUMS_STAMPS, files.sums_bytes(), trust, report);
}

fn judge(
    files: &Files<'_>,
    check: &'static str,
    names: &[&str],
    data: &[u8],
    trust: &Trust,
    report: &mut Report,
) -> Vec<String> {
    let there = names.iter().take_while(|name| files.has(name)).count();
    if let Some(name) = names.iter().skip(there).find(|name| files.has(name)) {
        report.failed(check, "", format!("{name} is there, and one before it is not"));
        return Vec::new();
    }
    if there == 0 {
        report.not_asked(check, "", "there is no stamp");
        return Vec::new();
    }
    let is_pinned = !trust.tsa.is_empty();
    let (mut times, mut strangers, mut unjudged) = (Vec::new(), Vec::new(), false);
    for name in names.iter().take(there) {
        // Read the file in any case: asking for it here marks it as judged.
        let verified = files.bytes(name).and_then(|response| {
            let response = response.ok_or("it is missing")?;
            stamp::verify(&response, data, &trust.tsa).map_err(|cause| chain(&cause))
        });
        match verified {
            Ok(_) if !is_pinned => unjudged = true,
            Ok(stamp) => match stamp.unpinned {
                None => {
                    report.ok(check, subject(name), format!("existed at {}", stamp.time));
                    times.push(stamp.time);
                }
                Some(why) => strangers.push((*name, why)),
            },
            Err(why) => report.failed(check, subject(name), why),
        }
    }
    if unjudged {
        let says = "about these bytes; no time-stamping authority is pinned (tsa.pem), so nobody's signature was judged";
        report.not_asked(check, "", says);
    }
    for (name, why) in strangers {
        if times.is_empty() {
            report.failed(check, subject(name), why);
        } else {
            report.not_asked(check, subject(name), why);
        }
    }
    times
}

/// The subject in the report. Most bundles have one stamp, which needs no name.
fn subject(name: &str) -> &str {
    match name {
        _ if SUMS_STAMPS.first() == Some(&name) || CHECKPOINT_STAMPS.first() == Some(&name) => "",
        _ => name,
    }
}
