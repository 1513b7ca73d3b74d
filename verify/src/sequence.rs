//! The order of the checks behind `sums`: each stands behind the checks whose results it uses.
//! Guarantee: if a check fails, the checks that use its result are not made, and the report names them.

use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::json;
use evidence::time::Time;

use crate::entries::Entries;
use crate::files::Files;
use crate::fold;
use crate::fold::endpoints::Endpoints;
use crate::log_keys::Followed;
use crate::report::{Fault, Report, Verdict};
use crate::rosters::Rosters;
use crate::trust::Trust;
use crate::{
    collections, conveniences, coverage, disposal, every_act, export, head, log_keys, mirrors, orders, stamps,
};

/// How many checks to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    Whole,
    /// Stop at the first failure. This tells whether the bundle is valid, but not everything that is wrong with it.
    UntilFailure,
}

/// Makes all checks behind `sums`. [`Report::complete`] names those that could not be made.
pub(crate) fn run(
    files: &Files<'_>,
    trust: &Trust,
    effort: Effort,
    report: &mut Report,
    step: &mut dyn FnMut(u64),
) {
    // An entry that breaks a rule may fail a check of its own and a later one, whether that one runs or not.
    let mut faults = Vec::new();
    checks(files, trust, effort, report, step, &mut faults);
    for fault in faults {
        report.broken(fault);
    }
}

fn checks(
    files: &Files<'_>,
    trust: &Trust,
    effort: Effort,
    report: &mut Report,
    step: &mut dyn FnMut(u64),
    faults: &mut Vec<Fault>,
) {
    let enough = |report: &Report| effort == Effort::UntilFailure && report.exit_code() == 1;
    if enough(report) {
        return;
    }
    let overview = files.required("bundle.json");
    if let Some(format) = overview.as_ref().ok().and_then(|bytes| Overview::earlier_format(bytes)) {
        let says = format!(
            "bundle.json: the format {format} is no longer read; verify it with the version of exhibit-verify that was current when it was exported"
        );
        report.not_checked("coverage", "", says);
        return;
    }
    let overview =
        overview.and_then(|bytes| json::parse_document::<Overview>(&bytes).map_err(|cause| chain(&cause)));
    let overview = match overview {
        Ok(overview) => overview,
        Err(why) => {
            report.failed("coverage", "", format!("bundle.json: {why}"));
            return;
        }
    };
    report.incident = overview.incident.to_string();
    report.deployment = overview.deployment.to_string();
    report.partial = overview.partial;
    let rosters = match Rosters::load(files, &overview.deployment, trust) {
        Ok(rosters) => rosters,
        Err(why) => {
            report.failed("roster", "", why);
            return;
        }
    };
    let Followed { trust, keys, said } = match log_keys::follow(files, &overview.deployment, trust) {
        Ok(followed) => followed,
        Err(why) => {
            report.failed("checkpoint", "", why);
            return;
        }
    };
    let trust = &trust;
    let Some(head) = head::checkpoint(files, &overview, trust, &said, report) else {
        return;
    };
    let entries = match Entries::load(files, &head) {
        Ok(entries) => entries,
        Err(why) => {
            report.failed("custody.inclusion", "", why);
            return;
        }
    };
    report.ok(
        "custody.inclusion",
        "",
        format!(
            "{} entries are in the tree of size {}",
            entries.incident.len() + entries.deployment.len(),
            head.checkpoint.size
        ),
    );
    let mut folded = match fold::fold(files, &overview, &entries, trust, keys) {
        Ok(folded) => folded,
        Err(fault) => {
            faults.push(fault);
            return;
        }
    };
    faults.append(&mut folded.faults);
    if effort == Effort::UntilFailure && !faults.is_empty() {
        return;
    }
    report.record(
        "roster",
        "",
        rosters
            .check_all_published(&entries)
            .map(|()| format!("{} versions, signed by the pinned authority", rosters.len())),
    );
    report.record(
        "custody.chain",
        "",
        entries.check_chain(&overview.incident, overview.head_seq, &overview.head),
    );
    every_act::check(files, &overview, &entries, report);
    report.record(
        "sums.signature",
        "",
        export::sums_signature(files, &overview, &rosters).map(|who| format!("signed by {who}, a responder")),
    );
    stamps::sums(files, trust, report);
    let exported = export::check(files, &overview, &head, &entries, &folded.state, trust, report);
    report.record("export", "", exported);
    if enough(report) {
        return;
    }
    let endpoints = Endpoints::of(std::mem::take(&mut folded.enrolments), report);
    let state = &folded.state;
    orders::check(&entries, state, report);
    let expected = collections::expected(&entries);
    let Some(course) = state.courses().get(&overview.incident) else {
        // The incident has no entries: `custody.chain` says so.
        return;
    };
    disposal::check(files, &overview, &entries, course, report);
    let is_gone = |id: &Digest| disposal::is_gone(files, &overview, course, id);
    mirrors::replicated(state.collections(), is_gone, trust, &overview, report);
    let context = collections::Context { course, files, folded: &folded, partial: overview.partial };
    let here = |one: &&collections::Expected| {
        let folder = format!("evidence/{}/", one.collection);
        !overview.partial || files.below(&folder).next().is_some()
    };
    for one in expected.iter().filter(here) {
        collections::check(&context, one, report, step);
        if enough(report) {
            return;
        }
    }
    let last = entries.incident.last().map_or(Time::EPOCH, |proven| proven.entry.envelope.time);
    report.record("coverage", "", coverage::collections(files, &overview, &expected, course, last));
    report.record(
        "conveniences",
        "",
        conveniences::check(files, &rosters, &endpoints, trust, &entries, head.checkpoint.size),
    );
    // If a check was not made because another failed, nobody read its files: they would be named here without reason.
    let all_ran = |report: &Report| {
        let late =
            ["sums", "sums.signature", "sums.stamp", "quorum", "checkpoint.stamp", "export", "conveniences"];
        report.checks.iter().all(|check| check.verdict != Verdict::Failed || late.contains(&check.check))
    };
    if faults.is_empty()
        && all_ran(report)
        && let Err(why) = coverage::nothing_else(files)
    {
        report.failed("coverage", "", why);
    }
}
