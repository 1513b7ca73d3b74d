//! The line of log keys that a bundle shows, from the pinned one to the one that signed its head (docs/spec/ledger.md, *Change of
//! the log key*).
//! Guarantee: a key counts only at the end of changes that the pinned authority signed and that the bundle's own tree records.

use evidence::entry::{Entry, EntryType};
use evidence::id::DeploymentId;
use evidence::log_key::LogKeys;

use crate::files::Files;
use crate::trust::{Trust, chain};

const FOLDER: &str = "custody/deployment/";

/// The trust with its policy extended to all keys of the log, and words for who signed the head.
pub(crate) fn follow(
    files: &Files<'_>,
    deployment: &DeploymentId,
    trust: &Trust,
) -> Result<(Trust, String), String> {
    let mut shown = Vec::new();
    for name in files.below(FOLDER) {
        let Some(base) = name.strip_suffix(".entry") else {
            continue;
        };
        let entry = files.required(name)?;
        // What cannot be read is for the check of custody to name.
        let is_change = Entry::parse(&entry).is_ok_and(|entry| {
            matches!(
                entry.envelope.type_,
                EntryType::KeyRotated | EntryType::LogSuccession
            )
        });
        if is_change {
            let index: u64 = base
                .strip_prefix(FOLDER)
                .and_then(|index| index.parse().ok())
                .unwrap_or(u64::MAX);
            shown.push((index, entry, files.required(&format!("{base}.tlog-proof"))?));
        }
    }
    if shown.is_empty() {
        return Ok((trust.clone(), "the pinned log key".to_owned()));
    }
    shown.sort_by_key(|(index, _, _)| *index);
    let origin = format!("exhibit/{deployment}");
    let mut pinned = trust.policy.logs().iter().map(|log| &log.key);
    let pinned = pinned
        .find(|key| key.name() == origin)
        .ok_or_else(|| format!("no log key of {origin} is pinned"))?;
    let entries: Vec<(&[u8], &[u8])> = shown
        .iter()
        .map(|(_, entry, proof)| (entry.as_slice(), proof.as_slice()))
        .collect();
    let keys =
        LogKeys::proven(deployment, &trust.authority, pinned, &entries).map_err(|cause| chain(&cause))?;
    let policy = keys.extend(trust.policy.clone()).map_err(|cause| chain(&cause))?;
    let said = if keys.current() == pinned {
        format!("the pinned log key, in force since change {}", keys.number())
    } else {
        format!(
            "{}, which the pinned authority let follow the pinned log key (change {}): pin it",
            keys.current(),
            keys.number()
        )
    };
    Ok((
        Trust {
            policy,
            ..trust.clone()
        },
        said,
    ))
}
