//! One collection: delegation, seals, manifest and every byte of the container.

use std::io::{BufReader, Read as _};

use evidence::container::{ContainerSummary, Expect, Limits, Verifier};
use evidence::delegation::Delegation;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::manifest::Manifest;
use evidence::order::Target;
use evidence::seal::{Identity, Seal};

use crate::custody::{Custody, Proven};
use crate::endpoints;
use crate::files::Files;
use crate::orders::{self, Orders};
use crate::report::{CollectionSummary, Report};
use crate::rosters::{Rosters, signed};
use crate::trust::chain;

/// What the custody chain says about one collection.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Its id.
    pub collection: Digest,
    /// `collection.started`.
    pub started: Proven,
    /// `collection.stored`, if it was.
    pub stored: Option<Proven>,
    /// The last `collection.interrupted`, if any.
    pub interrupted: Option<Proven>,
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
            list.push(Expected {
                collection,
                started: proven.clone(),
                stored: None,
                interrupted: None,
            });
            continue;
        }
        let found = list.iter_mut().find(|expected| expected.collection == collection);
        let found = found.ok_or_else(|| {
            format!(
                "{type_} at {} is about a collection that was never started",
                proven.index
            )
        })?;
        match type_ {
            EntryType::CollectionStored => found.stored = Some(proven.clone()),
            EntryType::CollectionInterrupted => found.interrupted = Some(proven.clone()),
            _ => {}
        }
    }
    Ok(list)
}

/// Verifies one collection; each part is a check of its own in the report.
pub(crate) fn check(
    files: &Files,
    expected: &Expected,
    custody: &Custody,
    rosters: &Rosters,
    orders: &Orders,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let id = expected.collection.to_string();
    let folder = format!("evidence/{id}");
    let delegated = delegation(files, &folder, expected, custody, rosters, orders, report);
    let (delegation, delegation_sha256, evidence_key) = match delegated {
        Ok(parts) => {
            report.ok(
                "delegation",
                &id,
                format!(
                    "attempt {} of {}#{}",
                    parts.0.attempt, parts.0.endpoint, parts.0.generation
                ),
            );
            parts
        }
        Err(why) => {
            report.failed("delegation", &id, why);
            for check in ["seals", "manifest", "container"] {
                report.not_checked(
                    check,
                    &id,
                    "without a valid delegation there is no key to check with",
                );
            }
            return;
        }
    };
    let manifest = if files.has(&format!("{folder}/manifest.json")) {
        let manifest = signed(files, &format!("{folder}/manifest")).and_then(|signed| {
            Manifest::verify(&signed, &delegation, &delegation_sha256, &evidence_key)
                .map(|manifest| (manifest, signed.digest()))
                .map_err(|cause| chain(&cause))
        });
        match manifest {
            Ok(found) => Some(found),
            Err(why) => {
                report.failed("manifest", &id, why);
                return;
            }
        }
    } else {
        None
    };
    let walked = walk(files, &folder, &delegation, progress);
    let (summary, last_seal, is_final) = match walked {
        Ok(done) => {
            report.ok("seals", &id, format!("{} segments, one chain", done.0.segments));
            report.ok(
                "container",
                &id,
                format!(
                    "{} items re-hashed, {} plain bytes regenerated",
                    done.0.items, done.0.plain_len
                ),
            );
            done
        }
        Err((check, why)) => {
            report.failed(check, &id, why);
            return;
        }
    };
    let state = bind(
        expected,
        manifest.as_ref(),
        &summary,
        &last_seal,
        is_final,
        &delegation,
    );
    match state {
        Ok(state) => {
            report.ok(
                "manifest",
                &id,
                if manifest.is_some() {
                    "describes this container".to_owned()
                } else {
                    "none: the collection was interrupted; its seals speak up to the last segment".to_owned()
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
                limitations: manifest
                    .map(|(manifest, _)| manifest.limitations)
                    .unwrap_or_default(),
            });
        }
        Err(why) => report.failed("manifest", &id, why),
    }
}

fn delegation(
    files: &Files,
    folder: &str,
    expected: &Expected,
    custody: &Custody,
    rosters: &Rosters,
    orders: &Orders,
    report: &mut Report,
) -> Result<(Delegation, Digest, evidence::keys::PublicKey), String> {
    let signed_delegation = signed(files, &format!("{folder}/delegation"))?;
    let unverified: Delegation = signed_delegation.read().map_err(|cause| chain(&cause))?;
    let subject = format!("{}#{}", unverified.endpoint, unverified.generation);
    let already = report
        .checks
        .iter()
        .find(|check| check.check == "endpoint" && check.subject == subject)
        .map(|check| check.verdict);
    let enrolment = endpoints::check(
        files,
        &unverified.endpoint,
        unverified.generation,
        custody,
        rosters,
    );
    if already.is_none() {
        report.settle(
            "endpoint",
            &subject,
            enrolment
                .as_ref()
                .map(|enrolment| format!("evidence key {}", enrolment.evidence_key.fingerprint()))
                .map_err(Clone::clone),
        );
    }
    let enrolment = enrolment?;
    let delegation =
        Delegation::verify(&signed_delegation, &enrolment.evidence_key).map_err(|cause| chain(&cause))?;
    if delegation.collection != expected.collection
        || signed_delegation.digest() != expected.started.entry.envelope.event
    {
        return Err("is not the one of collection.started".to_owned());
    }
    let refs = [
        ("order", delegation.order.to_string()),
        ("endpoint", delegation.endpoint.to_string()),
        ("attempt", delegation.attempt.to_string()),
    ];
    if let Some((name, _)) = refs
        .iter()
        .find(|(name, value)| expected.started.reference(name) != Some(value.as_str()))
    {
        return Err(format!("collection.started names another {name}"));
    }
    if endpoints::retired_at(custody, &delegation.endpoint, delegation.generation)
        .is_some_and(|index| index < expected.started.index)
    {
        return Err("the endpoint had been retired before".to_owned());
    }
    let order = orders
        .get(&delegation.order)
        .ok_or("its order is not among the verified ones")?;
    if delegation.deployment != order.deployment || delegation.attempt > order.attempts {
        return Err(format!(
            "attempt {} of an order that allows {}",
            delegation.attempt, order.attempts
        ));
    }
    let target = Target {
        endpoint: delegation.endpoint.clone(),
        generation: delegation.generation,
        evidence_key: enrolment.evidence_key.fingerprint(),
    };
    orders::check_target(files, &delegation.order, order, &target)?;
    Ok((delegation, signed_delegation.digest(), enrolment.evidence_key))
}

/// Runs the container through the verifier; on failure says which check failed.
fn walk(
    files: &Files,
    folder: &str,
    delegation: &Delegation,
    progress: &mut dyn FnMut(u64),
) -> Result<(ContainerSummary, Digest, bool), (&'static str, String)> {
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
    let mut verifier = Verifier::new(Expect {
        identity,
        sealer: delegation.sealer.clone(),
        limits: Limits::NONE,
    })
    .map_err(|cause| container(chain(&cause)))?;
    let name = format!("{folder}/container.tar.zst");
    let mut left = files
        .length(&name)
        .ok_or_else(|| container(format!("{name} is missing")))?;
    let mut reader = BufReader::with_capacity(
        1 << 20,
        files.reader(&name).map_err(|cause| container(chain(&cause)))?,
    );
    let mut last = Digest::ZERO;
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
        let report = verifier
            .segment(&bytes, &segment, &mut |_| {})
            .map_err(|cause| container(format!("segment {index}: {}", chain(&cause))))?;
        last = report.seal_digest;
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
    Ok((summary, last, is_final))
}

/// Holds manifest, seals and ledger against each other; returns the collection's state.
fn bind(
    expected: &Expected,
    manifest: Option<&(Manifest, Digest)>,
    summary: &ContainerSummary,
    last_seal: &Digest,
    is_final: bool,
    delegation: &Delegation,
) -> Result<String, String> {
    match (manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            if !is_final {
                return Err("is there, but the last segment is not final".to_owned());
            }
            manifest.check_container(summary).map_err(|cause| chain(&cause))?;
            if stored.entry.envelope.event != *digest
                || stored.reference("manifest") != Some(digest.to_string().as_str())
            {
                return Err("is not the one that collection.stored recorded".to_owned());
            }
            if stored.entry.envelope.incident.incident() != Some(&manifest.incident) {
                return Err(format!("is of incident {}", manifest.incident));
            }
            for (name, value) in [
                ("order", delegation.order.to_string()),
                ("endpoint", delegation.endpoint.to_string()),
            ] {
                if stored.reference(name) != Some(value.as_str()) {
                    return Err(format!("collection.stored names another {name}"));
                }
            }
            Ok(if stored.reference("degraded") == Some("yes") {
                "stored-degraded"
            } else {
                "stored"
            }
            .to_owned())
        }
        (Some(_), None) => Err("is there, but the ledger has no collection.stored".to_owned()),
        (None, Some(_)) => Err("is missing, though collection.stored recorded one".to_owned()),
        (None, None) => {
            // An interrupted collection: what the chain last recorded must be what is here.
            if let Some(interrupted) = &expected.interrupted
                && interrupted.reference("seal") != Some(last_seal.to_string().as_str())
            {
                return Err(
                    "is absent, and the last seal is not the one of collection.interrupted".to_owned(),
                );
            }
            Ok(if expected.interrupted.is_some() {
                "interrupted"
            } else {
                "unfinished at export"
            }
            .to_owned())
        }
    }
}
