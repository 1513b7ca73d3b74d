//! Verifies a bundle offline against pinned keys: docs/spec/bundle.md, every check of it.
//! Guarantee: no network code; nothing inside the bundle is believed but what pinned keys lead to; what was not checked is said.

#![forbid(unsafe_code)]

mod collections;
mod custody;
mod endpoints;
mod export;
mod files;
mod orders;
mod report;
mod rosters;
mod stamp;
mod trust;

use std::path::Path;

use evidence::bundle::Overview;
use evidence::detail::Detail;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::json;
use ledger::Checkpoint;

pub use files::FilesError;
pub use report::{Check, CollectionSummary, Report, Verdict};
pub use trust::{Trust, TrustError};

use custody::Custody;
use files::Files;
use orders::Orders;
use rosters::Rosters;
use trust::chain;

/// How far a verification is: bytes read of the bytes there are to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// In all; every container is read twice, once for its digest and once for its contents.
    pub total: u64,
}

/// Verifies the bundle in `folder`.
///
/// # Errors
/// [`FilesError::Io`] and [`FilesError::NotABundle`] when there is nothing to judge (exit 2); everything else is in the report.
pub fn verify(
    folder: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    let mut report = Report::default();
    let files = match Files::open(folder) {
        Ok(files) => files,
        Err(FilesError::Malformed { what }) => {
            report.failed("sums", "", what);
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    let containers: u64 = files
        .below("evidence/")
        .filter(|name| name.ends_with(".zst"))
        .filter_map(|name| files.length(name))
        .sum();
    let mut state = Progress {
        done: 0,
        total: files.total().saturating_add(containers),
    };
    let mut step = |bytes: u64| {
        state.done = state.done.saturating_add(bytes);
        progress(state);
    };
    let wrong = files.compare(&mut step)?;
    match wrong.split_first() {
        None => report.ok(
            "sums",
            "",
            "every file has its digest; none is missing, none is extra",
        ),
        Some((first, rest)) => {
            report.failed("sums", "", first.clone());
            for one in rest.iter().take(31) {
                report.failed("sums", "", one.clone());
            }
        }
    }
    if let Err(why) = contents(&files, trust, &mut report, &mut step) {
        report.failed("bundle", "", why);
    }
    Ok(report)
}

fn contents(
    files: &Files,
    trust: &Trust,
    report: &mut Report,
    step: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let overview: Overview = json::parse_document(&files.required("bundle.json")?)
        .map_err(|cause| format!("bundle.json: {}", chain(&cause)))?;
    report.incident = overview.incident.to_string();
    report.deployment = overview.deployment.to_string();
    let mut rosters = match Rosters::load(files, &overview.deployment, trust) {
        Ok(rosters) => rosters,
        Err(why) => {
            report.failed("roster", "", why);
            return Ok(());
        }
    };
    let Some(head) = checkpoint(files, &overview, trust, report) else {
        return Ok(());
    };
    let custody = match Custody::load(files, &head) {
        Ok(custody) => custody,
        Err(why) => {
            report.failed("custody.inclusion", "", why);
            return Ok(());
        }
    };
    report.ok(
        "custody.inclusion",
        "",
        format!(
            "{} entries are in the tree of size {}",
            custody.incident.len().saturating_add(custody.deployment.len()),
            head.size
        ),
    );
    let placed = custody
        .deployment
        .values()
        .filter(|proven| proven.entry.envelope.type_ == EntryType::RosterPublished)
        .try_for_each(|proven| rosters.place(&proven.entry.envelope.event, proven.index))
        .and_then(|()| rosters.check_all_published());
    report.settle(
        "roster",
        "",
        placed.map(|()| format!("{} versions, signed by the pinned authority", rosters.len())),
    );
    report.settle(
        "custody.chain",
        "",
        custody.check_chain(
            &overview.deployment,
            &overview.incident,
            overview.head_seq,
            &overview.head,
        ),
    );
    report.settle("custody.acts", "", acts(files, &custody, &rosters));
    if report.vouched_by.is_empty() || trust.policy.needs_cosigners() {
        report.not_asked(
            "custody.complete",
            "",
            "no cosigner checked the entry rules: completeness is vouched for by the collector",
        );
    } else {
        report.not_asked(
            "custody.complete",
            "",
            "this version of the policy does not say which cosigners check entry rules",
        );
    }
    report.settle(
        "sums.signature",
        "",
        export::sums_signature(files, &overview, &rosters).map(|who| format!("signed by {who}, a responder")),
    );
    stamp_of(
        files,
        "sums.stamp",
        "SHA256SUMS.tsr",
        files.sums_bytes(),
        trust,
        report,
    );
    let expected = match collections::expected(&custody) {
        Ok(expected) => expected,
        Err(why) => {
            report.failed("coverage", "", why);
            return Ok(());
        }
    };
    let orders = orders(files, &custody, &rosters, report);
    for one in &expected {
        if files
            .below(&format!("evidence/{}/", one.collection))
            .next()
            .is_some()
        {
            collections::check(files, one, &custody, &rosters, &orders, report, step);
        }
    }
    report.settle("coverage", "", coverage(files, &overview, &expected));
    report.settle(
        "export",
        "",
        export::check(files, &overview, &head, &custody, &rosters, trust),
    );
    Ok(())
}

/// The ledger's head under the pinned log key.
fn checkpoint(files: &Files, overview: &Overview, trust: &Trust, report: &mut Report) -> Option<Checkpoint> {
    let verified = files.required("ledger/checkpoint").and_then(|note| {
        let verified = trust
            .policy
            .verify_checkpoint(&note)
            .map_err(|cause| chain(&cause))?;
        let same =
            verified.checkpoint.origin == overview.origin && verified.checkpoint.size == overview.entries;
        if same {
            Ok((note, verified))
        } else {
            Err(format!(
                "is of {} with {} entries, bundle.json says otherwise",
                verified.checkpoint.origin, verified.checkpoint.size
            ))
        }
    });
    match verified {
        Ok((note, verified)) => {
            report.ok(
                "checkpoint",
                "",
                format!(
                    "{} at size {}, signed by the pinned log key",
                    verified.checkpoint.origin, verified.checkpoint.size
                ),
            );
            report.vouched_by.extend(
                verified
                    .cosigners
                    .iter()
                    .map(|(name, time)| format!("cosigner {name}, since {time} (seconds since 1970)")),
            );
            if verified.quorum_met && trust.policy.needs_cosigners() {
                report.ok("quorum", "", "the pinned policy's cosigners signed the head");
            } else if trust.policy.needs_cosigners() {
                report.failed(
                    "quorum",
                    "",
                    format!(
                        "{} cosigners are fewer than the pinned policy asks",
                        verified.cosigners.len()
                    ),
                );
            } else {
                report.not_asked("quorum", "", "the pinned policy asks for no cosigners");
            }
            if let Some(time) = stamp_of(
                files,
                "checkpoint.stamp",
                "ledger/checkpoint.tsr",
                &note,
                trust,
                report,
            ) {
                report.vouched_by.push(format!("time-stamping authority, {time}"));
            }
            Some(verified.checkpoint)
        }
        Err(why) => {
            report.failed("checkpoint", "", why);
            None
        }
    }
}

/// Checks a stamp if there is one and if certificates are pinned.
fn stamp_of(
    files: &Files,
    check: &'static str,
    name: &str,
    data: &[u8],
    trust: &Trust,
    report: &mut Report,
) -> Option<String> {
    let response = match files.bytes(name) {
        Ok(Some(response)) => response,
        Ok(None) => {
            report.not_asked(check, "", "there is no stamp");
            return None;
        }
        Err(why) => {
            report.failed(check, "", why);
            return None;
        }
    };
    if trust.tsa.is_empty() {
        report.not_asked(check, "", "no time-stamping authority is pinned (tsa.pem)");
        return None;
    }
    match stamp::verify(&response, data, &trust.tsa) {
        Ok(time) => {
            report.ok(check, "", format!("existed at {time}"));
            Some(time)
        }
        Err(why) => {
            report.failed(check, "", why);
            None
        }
    }
}

/// Every entry's act is there, is the one the entry names, and is signed as its type demands; every detail is the one its act names.
fn acts(files: &Files, custody: &Custody, rosters: &Rosters) -> Result<String, String> {
    let (mut count, mut erased) = (0_u64, 0_u64);
    for proven in custody.all() {
        let act = custody::act_of(files, proven)?;
        custody::check_act(proven, &act, rosters)?;
        count = count.saturating_add(1);
        let Ok(parsed) = json::parse_document::<evidence::act::Act>(&act.document) else {
            continue;
        };
        let Some(detail) = parsed.detail else { continue };
        match files.bytes(&format!("details/{detail}.json"))? {
            Some(bytes) => {
                Detail::open(&bytes, &detail)
                    .map_err(|cause| format!("details/{detail}.json: {}", chain(&cause)))?;
            }
            None => erased = erased.saturating_add(1),
        }
    }
    for name in files.below("details/") {
        let digest = name
            .strip_prefix("details/")
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|hex| Digest::from_hex(hex).ok());
        if digest != Some(Digest::of(&files.required(name)?)) {
            return Err(format!("{name} does not have the digest of its name"));
        }
    }
    Ok(format!(
        "{count} acts present and signed as their types demand; {erased} details not in the bundle"
    ))
}

/// All orders that the chain names.
fn orders(files: &Files, custody: &Custody, rosters: &Rosters, report: &mut Report) -> Orders {
    let mut orders = Orders::new();
    for proven in custody
        .incident
        .iter()
        .filter(|proven| proven.entry.envelope.type_ == EntryType::OrderIssued)
    {
        let id = proven.entry.envelope.event;
        match orders::check(files, &id, custody, rosters) {
            Ok(order) => {
                report.ok(
                    "order",
                    &id.to_string(),
                    format!("issued by {}, {} targets", order.issuer, order.targets_count),
                );
                orders.insert(id, order);
            }
            Err(why) => report.failed("order", &id.to_string(), why),
        }
    }
    orders
}

/// What the chain names is here, and nothing else.
fn coverage(
    files: &Files,
    overview: &Overview,
    expected: &[collections::Expected],
) -> Result<String, String> {
    let mut missing = 0_u64;
    for one in expected {
        let present = files.has(&format!("evidence/{}/container.tar.zst", one.collection));
        let needed = one.stored.is_some()
            || one
                .interrupted
                .as_ref()
                .is_some_and(|proven| proven.reference("segments") != Some("0"));
        if needed && !present {
            if !overview.partial {
                return Err(format!(
                    "collection {} is in the ledger but not in the bundle",
                    one.collection
                ));
            }
            missing = missing.saturating_add(1);
        }
    }
    for name in files.below("evidence/") {
        let known = expected
            .iter()
            .any(|one| name.starts_with(&format!("evidence/{}/", one.collection)));
        if !known {
            return Err(format!("{name} is evidence that the ledger does not name"));
        }
    }
    let listed: Vec<Digest> = {
        let mut listed: Vec<Digest> = expected
            .iter()
            .map(|one| one.collection)
            .filter(|id| files.has(&format!("evidence/{id}/container.tar.zst")))
            .collect();
        listed.sort_unstable();
        listed
    };
    if listed != overview.collections {
        return Err("bundle.json lists other collections".to_owned());
    }
    Ok(if missing > 0 {
        format!("partial production: {missing} collections are left out on purpose")
    } else {
        format!("{} collections, all that the ledger names", listed.len())
    })
}
