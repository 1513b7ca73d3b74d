//! The order of the checks behind `sums`: each stands behind the checks whose results it uses.
//! Guarantee: if a check fails, the checks that use its result are not made, and the report names them.

use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::entry::EntryType;
use evidence::json;
use evidence::time::Time;

use crate::endpoints::Endpoints;
use crate::entries::Entries;
use crate::files::Files;
use crate::report::{Report, Verdict};
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
    let enough = |report: &Report| effort == Effort::UntilFailure && report.exit_code() == 1;
    if enough(report) {
        return;
    }
    let overview = files
        .required("bundle.json")
        .and_then(|bytes| json::parse_document::<Overview>(&bytes).map_err(|cause| chain(&cause)));
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
    let mut rosters = match Rosters::load(files, &overview.deployment, trust) {
        Ok(rosters) => rosters,
        Err(why) => {
            report.failed("roster", "", why);
            return;
        }
    };
    let (trust, said) = match log_keys::follow(files, &overview.deployment, trust) {
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
    let placed = entries
        .of_deployment(EntryType::RosterPublished)
        .try_for_each(|proven| rosters.place(proven))
        .and_then(|()| rosters.check_all_published());
    report.record(
        "roster",
        "",
        placed.map(|()| format!("{} versions, signed by the pinned authority", rosters.len())),
    );
    report.record(
        "custody.chain",
        "",
        entries.check_chain(&overview.deployment, &overview.incident, overview.head_seq, &overview.head),
    );
    every_act::check(files, &overview, &entries, &rosters, trust, report);
    report.record(
        "sums.signature",
        "",
        export::sums_signature(files, &overview, &rosters).map(|who| format!("signed by {who}, a responder")),
    );
    stamps::sums(files, trust, report);
    let exported = export::check(files, &overview, &head, &entries, &rosters, trust, report);
    report.record("export", "", exported);
    if enough(report) {
        return;
    }
    let endpoints = Endpoints::load(files, &entries, &rosters, report);
    let orders = orders::check(files, &overview, &entries, &rosters, report);
    let expected = match collections::expected(&entries) {
        Ok(expected) => expected,
        Err(why) => {
            report.failed("coverage", "", why);
            return;
        }
    };
    let course = match disposal::course(files, &overview, &entries, &rosters) {
        Ok(course) => course,
        Err(why) => {
            report.failed("disposition", "", why);
            return;
        }
    };
    disposal::check(files, &overview, &entries, &course, report);
    let is_gone = |id: &str| disposal::is_gone(files, &overview, &course, id);
    mirrors::replicated(&entries, is_gone, trust, &overview, report);
    let context = collections::Context {
        course: &course,
        files,
        entries: &entries,
        endpoints: &endpoints,
        orders: &orders,
        partial: overview.partial,
    };
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
    report.record("coverage", "", coverage::collections(files, &overview, &expected, &course, last));
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
    if all_ran(report)
        && let Err(why) = coverage::nothing_else(files)
    {
        report.failed("coverage", "", why);
    }
}
