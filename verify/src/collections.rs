//! One collection: delegation, seals, manifest and every byte of the container.

use std::io::{BufReader, Read as _};

use evidence::container::{ContainerSummary, Expect, Limits, Malformed, Verifier};
use evidence::digest::Digest;
use evidence::disposal::Course;
use evidence::entry::EntryType;
use evidence::keys::PublicKey;
use evidence::manifest::Manifest;
use evidence::order::{Order, Step, Target};
use evidence::seal::delegation::Delegation;
use evidence::seal::{Identity, Seal};

use crate::custody::{Custody, Proven, act_of};
use crate::disposal;
use crate::endpoints::{self, Endpoints};
use crate::files::Files;
use crate::items;
use crate::orders::{self, Fate, Orders};
use crate::report::{CollectionSummary, Report};
use crate::rosters::signed;
use evidence::causes::chain;

/// What the custody chain says about one collection.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Its id.
    pub collection: Digest,
    /// `collection.started`.
    pub started: Proven,
    /// `collection.stored`, if it was.
    pub stored: Option<Proven>,
    /// Each `collection.interrupted`, in order; the endpoint may have come back after it.
    pub interrupted: Vec<Proven>,
    /// Each `collection.progress`.
    pub progress: Vec<Proven>,
}

/// The collections that the chain names.
pub(crate) fn expected(custody: &Custody) -> Result<Vec<Expected>, String> {
    let mut list: Vec<Expected> = Vec::new();
    for proven in &custody.incident {
        let type_ = proven.entry.envelope.type_;
        let Some(text) = proven.reference("collection") else {
            continue;
        };
        let collection = Digest::from_hex(text)
            .map_err(|_not_hex| format!("entry {} names no collection id", proven.index))?;
        if type_ == EntryType::CollectionStarted {
            if list.iter().any(|expected| expected.collection == collection) {
                return Err(format!("collection {collection} was started twice"));
            }
            list.push(Expected {
                collection,
                started: proven.clone(),
                stored: None,
                interrupted: Vec::new(),
                progress: Vec::new(),
            });
            continue;
        }
        let found = list.iter_mut().find(|expected| expected.collection == collection);
        let found = found.ok_or_else(|| {
            format!("{type_} at {} is about a collection that was never started", proven.index)
        })?;
        match type_ {
            EntryType::CollectionStored if found.stored.is_some() => {
                return Err(format!("collection {collection} was stored twice"));
            }
            EntryType::CollectionStored => found.stored = Some(proven.clone()),
            EntryType::CollectionInterrupted => found.interrupted.push(proven.clone()),
            EntryType::CollectionProgress => found.progress.push(proven.clone()),
            _ => {}
        }
    }
    Ok(list)
}

/// What verifying a collection needs beside its own files.
pub(crate) struct Context<'a> {
    /// The bundle.
    pub files: &'a Files<'a>,
    /// Its entries.
    pub custody: &'a Custody,
    /// Verified enrolments.
    pub endpoints: &'a Endpoints,
    /// What became of the evidence.
    pub course: &'a Course,
    /// Verified orders.
    pub orders: &'a Orders,
    /// Whether the exporter says that evidence is left out on purpose.
    pub partial: bool,
}

/// What the delegation settles.
struct Delegated {
    delegation: Delegation,
    digest: Digest,
    evidence_key: PublicKey,
    order: Order,
}

/// Verifies one collection; each part is a check of its own in the report.
pub(crate) fn check(
    context: &Context<'_>,
    expected: &Expected,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let id = expected.collection.to_string();
    let folder = format!("evidence/{id}");
    let delegated = match delegation(context, expected) {
        Ok(delegated) => delegated,
        Err(why) => {
            report.failed("delegation", &id, why);
            return skip(report, &id, &["seals", "container", "manifest"]);
        }
    };
    let delegation = &delegated.delegation;
    report.ok(
        "delegation",
        &id,
        format!("attempt {} of {}#{}", delegation.attempt, delegation.endpoint, delegation.generation),
    );
    if context.files.below(&format!("{folder}/")).next().is_none() {
        // Started, and nothing here: whether that may be is for `coverage` to say. What stays of disposed evidence has to be here.
        if !context.partial && disposal::stores(context.course, &expected.collection) > 0 {
            report.failed("manifest", &id, "is missing: of disposed evidence delegation and manifest stay");
        }
        return;
    }
    let manifest = match manifest(context.files, &folder, &delegated) {
        Ok(manifest) => manifest,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["seals", "container"]);
        }
    };
    if context.partial {
        return production(context, expected, &delegated, manifest, report, progress);
    }
    let walked =
        match walk(context.files, &folder, delegation, Limits::of_order(&delegated.order.limits), progress) {
            Ok(walked) => walked,
            Err((check, why)) => {
                report.failed(check, &id, why);
                let other = if check == "seals" { "container" } else { "seals" };
                return skip(report, &id, &[other, "manifest"]);
            }
        };
    let Some(walked) = walked else {
        if let Some(places) = disposal::places(context.course, &expected.collection) {
            return disposed(context, expected, &delegated, manifest.as_ref(), &places, report);
        }
        return without_segments(expected, manifest.as_ref(), report, &id);
    };
    let summary = &walked.summary;
    let anchored = anchors(expected, &walked.seals);
    report.settle("seals", &id, anchored.map(|()| format!("{} segments, one chain", summary.segments)));
    report.ok(
        "container",
        &id,
        format!("{} items re-hashed, {} plain bytes regenerated", summary.items, summary.plain_len),
    );
    let state = match bind(expected, manifest.as_ref(), &walked, &delegated) {
        Ok(state) => state,
        Err(why) => {
            report.failed("manifest", &id, why);
            return;
        }
    };
    report.ok(
        "manifest",
        &id,
        if manifest.is_some() {
            "describes this container"
        } else {
            "none: the collection was interrupted; its seals speak up to the last segment"
        },
    );
    report.collections.push(CollectionSummary {
        collection: id,
        endpoint: format!("{}#{}", delegation.endpoint, delegation.generation),
        state,
        items: summary.items,
        content_bytes: summary.content_bytes,
        stored_bytes: summary.stored_len,
        outcomes: summary
            .counts_by_outcome
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), *count))
            .collect(),
        limitations: manifest.map(|(manifest, _)| manifest.limitations).unwrap_or_default(),
    });
}

/// Chosen items of a collection, in place of its container: they must hang from the manifest that the ledger recorded.
fn production(
    context: &Context<'_>,
    expected: &Expected,
    delegated: &Delegated,
    manifest: Option<(Manifest, Digest)>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let id = expected.collection.to_string();
    let bound = match (&manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            recorded(manifest, digest, stored, delegated).map(|state| (manifest, state))
        }
        (None, _) => Err("is missing: without it no item can be proven".to_owned()),
        (Some(_), None) => Err("is there, but the ledger has no collection.stored".to_owned()),
    };
    let (manifest, state) = match bound {
        Ok(bound) => bound,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["items"]);
        }
    };
    report.ok(
        "manifest",
        &id,
        "is the one that collection.stored recorded; what it says of the whole container is not checked here",
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: a partial production, the container stays sealed");
    }
    match items::check(context.files, &expected.collection, manifest, progress) {
        Ok(produced) => {
            report.ok(
                "items",
                &id,
                format!(
                    "{} of {} items: record, proof and content of each hold",
                    produced.len(),
                    manifest.items
                ),
            );
            let delegation = &delegated.delegation;
            let endpoint = format!("{}#{}", delegation.endpoint, delegation.generation);
            report.produced(&id, endpoint, state, manifest, produced);
        }
        Err(why) => report.failed("items", &id, why),
    }
}

/// A collection of which two persons said that it goes: its custody stays, up to the manifest.
fn disposed(
    context: &Context<'_>,
    expected: &Expected,
    delegated: &Delegated,
    manifest: Option<&(Manifest, Digest)>,
    places: &str,
    report: &mut Report,
) {
    let id = expected.collection.to_string();
    let bound = match (manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            recorded(manifest, digest, stored, delegated).map(|_state| Some(manifest))
        }
        (None, None) => Ok(None),
        _ => Err("the ledger and this folder disagree on whether evidence was stored".to_owned()),
    };
    let manifest = match bound {
        Ok(manifest) => manifest,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["seals", "container"]);
        }
    };
    report.ok(
        "manifest",
        &id,
        if manifest.is_some() {
            "is the one that collection.stored recorded; what it describes is destroyed"
        } else {
            "none: the collection was interrupted"
        },
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: the evidence was disposed of");
    }
    let copies = expected.stored.as_ref().and_then(|stored| number(stored, "copies").ok());
    let stores = disposal::stores(context.course, &expected.collection);
    let state = match copies {
        Some(copies) if stores < copies => {
            format!("disposed of in {stores} of {copies} copies (gone from {places})")
        }
        _ => format!("disposed (gone from {places})"),
    };
    report.disposed.push(id.clone());
    report.collections.push(CollectionSummary {
        collection: id,
        endpoint: format!("{}#{}", delegated.delegation.endpoint, delegated.delegation.generation),
        state,
        items: 0,
        content_bytes: 0,
        stored_bytes: 0,
        outcomes: Vec::new(),
        limitations: Vec::new(),
    });
}

/// A collection of which not one segment is here, because none arrived.
fn without_segments(
    expected: &Expected,
    manifest: Option<&(Manifest, Digest)>,
    report: &mut Report,
    id: &str,
) {
    let says = "interrupted before its first segment";
    match (manifest, &expected.stored, anchors(expected, &[])) {
        (None, None, Ok(())) => {
            for check in ["seals", "container", "manifest"] {
                report.ok(check, id, says);
            }
        }
        (None, None, Err(why)) => report.failed("seals", id, why),
        _ => report.failed(
            "manifest",
            id,
            "the ledger and this folder disagree on whether evidence was stored",
        ),
    }
}

fn skip(report: &mut Report, id: &str, checks: &[&'static str]) {
    for check in checks {
        report.not_checked(check, id, "an earlier check of this collection failed");
    }
}

/// The manifest and its digest, if there is one.
fn manifest(
    files: &Files<'_>,
    folder: &str,
    delegated: &Delegated,
) -> Result<Option<(Manifest, Digest)>, String> {
    if !files.has(&format!("{folder}/manifest.json")) {
        return Ok(None);
    }
    let signed = signed(files, &format!("{folder}/manifest"))?;
    let manifest =
        Manifest::verify(&signed, &delegated.delegation, &delegated.digest, &delegated.evidence_key)
            .map_err(|cause| chain(&cause))?;
    let planned = delegated.order.plan.steps().iter().map(Step::collector);
    if !planned.eq(manifest.steps.iter().map(|step| step.collector.as_str())) {
        return Err("its steps are not those of the order's plan".to_owned());
    }
    if manifest.limits != manifest.limits.min(&delegated.order.limits) {
        return Err("its limits are wider than the order's".to_owned());
    }
    Ok(Some((manifest, signed.digest())))
}

fn delegation(context: &Context<'_>, expected: &Expected) -> Result<Delegated, String> {
    let started = &expected.started;
    let signed_delegation = act_of(context.files, started)?.signed().map_err(|cause| chain(&cause))?;
    let unverified: Delegation = signed_delegation.read().map_err(|cause| chain(&cause))?;
    let enrolment = context.endpoints.get(&unverified.endpoint, unverified.generation).ok_or_else(|| {
        format!("{}#{} is not among the verified enrolments", unverified.endpoint, unverified.generation)
    })?;
    let delegation =
        Delegation::verify(&signed_delegation, &enrolment.evidence_key).map_err(|cause| chain(&cause))?;
    let refs = [
        ("collection", delegation.collection.to_string()),
        ("order", delegation.order.to_string()),
        ("endpoint", delegation.endpoint.to_string()),
        ("attempt", delegation.attempt.to_string()),
    ];
    if let Some((name, _)) = refs.iter().find(|(name, value)| started.reference(name) != Some(value.as_str()))
    {
        return Err(format!("collection.started names another {name}"));
    }
    if endpoints::retired_at(context.custody, &delegation.endpoint, delegation.generation)
        .is_some_and(|index| index < started.index)
    {
        return Err("the endpoint had been retired before".to_owned());
    }
    let verified = context.orders.get(&delegation.order).ok_or("its order is not among the verified ones")?;
    let order = &verified.order;
    match verified.fate {
        Fate::InForce(since) if since < started.index => {}
        Fate::InForce(_) => return Err("it was started before its order was logged and approved".to_owned()),
        Fate::NotApproved(_) => return Err("its order was never approved".to_owned()),
    }
    if delegation.deployment != order.deployment || delegation.attempt > order.attempts {
        return Err(format!("attempt {} of an order that allows {}", delegation.attempt, order.attempts));
    }
    let target = Target {
        endpoint: delegation.endpoint.clone(),
        generation: delegation.generation,
        evidence_key: enrolment.evidence_key.fingerprint(),
    };
    orders::check_target(context.files, &delegation.order, order, &target)?;
    Ok(Delegated {
        digest: signed_delegation.digest(),
        evidence_key: enrolment.evidence_key.clone(),
        order: order.clone(),
        delegation,
    })
}

/// A container that the verifier went through.
struct Walked {
    summary: ContainerSummary,
    /// Digests of the seals, in order.
    seals: Vec<Digest>,
    is_final: bool,
}

/// Runs the container through the verifier; on failure says which check failed. `None`: not even one segment.
fn walk(
    files: &Files<'_>,
    folder: &str,
    delegation: &Delegation,
    limits: Limits,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<Walked>, (&'static str, String)> {
    let prefix = format!("{folder}/seals/");
    let seals: Vec<&str> = files.below(&prefix).collect();
    let container = |why: String| ("container", why);
    let seal_error = |why: String| ("seals", why);
    let identity = Identity {
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: u64::from(delegation.attempt),
    };
    let name = format!("{folder}/container.tar.zst");
    if seals.is_empty() && !files.has(&name) {
        return Ok(None);
    }
    let mut verifier = Verifier::new(Expect { identity, sealer: delegation.sealer.clone(), limits })
        .map_err(|cause| container(chain(&cause)))?;
    let mut left = files.length(&name).ok_or_else(|| container(format!("{name} is missing")))?;
    let mut reader =
        BufReader::with_capacity(1 << 20, files.judged(&name).map_err(|cause| container(chain(&cause)))?);
    let mut digests = Vec::new();
    let mut is_final = false;
    for (index, seal_name) in seals.iter().enumerate() {
        if *seal_name != format!("{folder}/seals/{index:06}.seal") {
            return Err(seal_error(format!("{seal_name} where seal {index} follows")));
        }
        let bytes = files.required(seal_name).map_err(seal_error)?;
        let seal =
            Seal::parse(&bytes).map_err(|cause| seal_error(format!("{seal_name}: {}", chain(&cause))))?;
        let length = seal.header.stored_len;
        if length > left || length > evidence::container::SEGMENT_STORED_MAX {
            return Err(container(format!("ends inside segment {index}")));
        }
        let mut segment = Vec::new();
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut segment)
            .map_err(|cause| container(cause.to_string()))?;
        left = left.saturating_sub(length);
        let report = verifier.segment(&bytes, &segment, &mut |_| {}).map_err(|cause| {
            let check = match cause {
                Malformed::Seal { .. } | Malformed::Chain(_) => "seals",
                _ => "container",
            };
            (check, format!("segment {index}: {}", chain(&cause)))
        })?;
        digests.push(report.seal_digest);
        is_final = report.header.is_final;
        progress(length);
    }
    if left > 0 {
        return Err(container(format!("{left} bytes behind the last segment")));
    }
    if seals.is_empty() {
        return Err(seal_error("there are none".to_owned()));
    }
    let summary = if is_final {
        verifier.finish().map_err(|cause| container(chain(&cause)))?
    } else {
        verifier.interrupted().summary
    };
    Ok(Some(Walked { summary, seals: digests, is_final }))
}

/// What the ledger recorded of the seal chain while it grew must be in it: so nobody cuts off what had arrived.
fn anchors(expected: &Expected, seals: &[Digest]) -> Result<(), String> {
    let at = |count: u64| usize::try_from(count).ok().and_then(|index| seals.get(index)).copied();
    for proven in &expected.progress {
        let index = number(proven, "index")?;
        if at(index).map(|seal| seal.to_string()).as_deref() != proven.reference("seal") {
            return Err(format!("seal {index} is not the one of collection.progress"));
        }
    }
    for proven in &expected.interrupted {
        let segments = number(proven, "segments")?;
        let last = match segments.checked_sub(1) {
            None => Some(Digest::ZERO),
            Some(index) => at(index),
        };
        if last.map(|seal| seal.to_string()).as_deref() != proven.reference("seal") {
            return Err(format!("seal {segments} of collection.interrupted is not the one here"));
        }
    }
    match expected.interrupted.last() {
        Some(last)
            if expected.stored.is_none()
                && number(last, "segments")? != u64::try_from(seals.len()).unwrap_or(u64::MAX) =>
        {
            Err("there are more segments than collection.interrupted counted".to_owned())
        }
        _ => Ok(()),
    }
}

fn number(proven: &Proven, name: &str) -> Result<u64, String> {
    let text = proven.reference(name).unwrap_or_default();
    text.parse()
        .ok()
        .filter(|number: &u64| number.to_string() == text)
        .ok_or_else(|| format!("{} at {} has no number {name}", proven.entry.envelope.type_, proven.index))
}

/// Holds a manifest against its `collection.stored`; returns the collection's state.
fn recorded(
    manifest: &Manifest,
    digest: &Digest,
    stored: &Proven,
    delegated: &Delegated,
) -> Result<&'static str, String> {
    for (name, value) in [
        ("manifest", digest.to_string()),
        ("order", delegated.delegation.order.to_string()),
        ("endpoint", delegated.delegation.endpoint.to_string()),
    ] {
        if stored.reference(name) != Some(value.as_str()) {
            return Err(format!("collection.stored names another {name}"));
        }
    }
    if stored.entry.envelope.event != *digest {
        return Err("is not the one that collection.stored recorded".to_owned());
    }
    if stored.entry.envelope.incident.incident() != Some(&manifest.incident)
        || manifest.incident != delegated.order.incident
    {
        return Err(format!("is of incident {}", manifest.incident));
    }
    match (stored.reference("degraded"), stored.reference("independent")) {
        (Some("yes"), Some("yes" | "no")) => Ok("stored-degraded"),
        (Some("no"), Some("yes" | "no")) => Ok("stored"),
        _ => Err("collection.stored does not say whether it is degraded".to_owned()),
    }
}

/// Holds manifest, seals and ledger against each other; returns the collection's state.
fn bind(
    expected: &Expected,
    manifest: Option<&(Manifest, Digest)>,
    walked: &Walked,
    delegated: &Delegated,
) -> Result<String, String> {
    let state = match (manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            if !walked.is_final {
                return Err("is there, but the last segment is not final".to_owned());
            }
            manifest.check_container(&walked.summary).map_err(|cause| chain(&cause))?;
            recorded(manifest, digest, stored, delegated)?
        }
        (Some(_), None) => return Err("is there, but the ledger has no collection.stored".to_owned()),
        (None, Some(_)) => return Err("is missing, though collection.stored recorded one".to_owned()),
        (None, None) if expected.interrupted.is_empty() => "unfinished at export",
        (None, None) => "interrupted",
    };
    Ok(state.to_owned())
}
