//! The cosigners of the ledger's head: the report names each and the time since which it vouches, and says whether they meet the quorum.
//! Guarantee: only cosignatures of pinned keys over `ledger/checkpoint` count. A bundle that was exported without the quorum never
//! passes for one that has it.

use evidence::bundle::Overview;
use evidence::time::Time;
use ledger::Verified;

use crate::report::Report;
use crate::trust::Trust;

/// The end of a mirror's key name. A cosignature by such a key says that the mirror checked every entry below (docs/spec/ledger.md).
pub(crate) const CHECKS_ENTRIES: &str = "/mirror";

/// The checks `quorum` and `custody.complete`.
pub(crate) fn judge(overview: &Overview, trust: &Trust, verified: &Verified, report: &mut Report) {
    let policy = &trust.policy;
    let key_name = |name: &str| {
        let witness = policy.witnesses().iter().find(|witness| witness.name == name);
        witness.map_or("", |witness| witness.key.name())
    };
    for (name, seconds) in &verified.cosigners {
        let says = if key_name(name).ends_with(CHECKS_ENTRIES) {
            "holds and checked every entry"
        } else {
            "saw this ledger grow without a break"
        };
        report.vouched_by.push(format!("{name} ({}), since {}: {says}", key_name(name), time(*seconds)));
    }
    let count = verified.cosigners.len();
    let of = policy.witnesses().len();
    let stamped = if overview.without_quorum { "; exported WITHOUT QUORUM" } else { "" };
    let is_accepted = overview.without_quorum && trust.accept_without_quorum;
    if !policy.needs_cosigners() {
        report.not_asked("quorum", "", format!("the pinned policy asks for no cosigners{stamped}"));
    } else if verified.quorum_met {
        report.ok("quorum", "", format!("{count} of the {of} pinned cosigners signed this head"));
    } else if is_accepted {
        let says = format!("exported WITHOUT QUORUM, and you accept that: {count} of {of} pinned cosigners");
        report.not_asked("quorum", "", says);
    } else if overview.without_quorum {
        let says = format!(
            "exported WITHOUT QUORUM: {count} of {of} pinned cosigners; ask for a new export, or accept it with --without-quorum"
        );
        report.not_checked("quorum", "", says);
    } else {
        let says =
            format!("{count} of {of} pinned cosigners signed this head: fewer than the pinned policy asks");
        report.failed("quorum", "", says);
    }
    complete(policy.needs_cosigners() && !is_accepted, trust, verified, report);
}

/// The check `custody.complete`.
fn complete(is_asked: bool, trust: &Trust, verified: &Verified, report: &mut Report) {
    let witnesses = trust.policy.witnesses().iter();
    let mirrors: Vec<&str> = witnesses
        .filter(|witness| witness.key.name().ends_with(CHECKS_ENTRIES))
        .map(|witness| witness.name.as_str())
        .collect();
    let said: Vec<&str> = verified
        .cosigners
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| mirrors.contains(name))
        .collect();
    let check = "custody.complete";
    if !said.is_empty() {
        let says = format!("{} checked every entry below {}", said.join(", "), verified.checkpoint.size);
        report.ok(check, "", says);
    } else if mirrors.is_empty() {
        let says =
            "no mirror is pinned that checks entry rules: completeness is vouched for by the collector";
        report.not_asked(check, "", says);
    } else if is_asked {
        let says = format!(
            "{} did not cosign: completeness is vouched for by the collector alone",
            mirrors.join(", ")
        );
        report.not_checked(check, "", says);
    } else {
        report.not_asked(
            check,
            "",
            "no pinned mirror cosigned: completeness is vouched for by the collector",
        );
    }
}

/// Seconds since 1970 as a date; a number that is no date is shown as it is.
fn time(seconds: u64) -> String {
    seconds
        .checked_mul(1000)
        .and_then(Time::from_unix_ms)
        .map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}
