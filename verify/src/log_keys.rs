//! The line of log keys, from the pinned key to the key that signed the bundle's head (docs/spec/ledger.md, *Change of the log key*).
//! Guarantee: a key counts only if the pinned authority signed every change that leads to it, and if the bundle's tree records each.

use evidence::entry::{Entry, EntryType};
use evidence::id::DeploymentId;
use evidence::log_key::LogKeys;
use ledger::{Checkpoint, Note, VerifierKey};

use crate::files::Files;
use crate::trust::Trust;
use evidence::causes::chain;

const FOLDER: &str = "custody/deployment/";

/// The number of entries below the bundle's head. The note says so; nobody verified the note yet.
fn head_size(files: &Files<'_>) -> Result<u64, String> {
    let bytes = files.required("ledger/checkpoint")?;
    let note = Note::parse(&bytes).map_err(|cause| chain(&cause))?;
    let checkpoint = Checkpoint::from_text(note.text()).map_err(|cause| chain(&cause))?;
    Ok(checkpoint.size)
}

/// The log's keys as pins and bundle show them.
pub(crate) struct Followed {
    /// The trust with its policy extended to all keys of the log.
    pub trust: Trust,
    pub keys: LogKeys,
    /// The words that say which key signed the head.
    pub said: String,
}

/// Follows the changes from the pinned key.
pub(crate) fn follow(
    files: &Files<'_>,
    deployment: &DeploymentId,
    trust: &Trust,
) -> Result<Followed, String> {
    let mut shown = Vec::new();
    for name in files.below(FOLDER) {
        let Some(base) = name.strip_suffix(".entry") else {
            continue;
        };
        let entry = files.required(name)?;
        // `custody.inclusion` refuses an entry that cannot be read.
        let is_change = Entry::parse(&entry).is_ok_and(|entry| {
            matches!(entry.envelope.type_, EntryType::KeyRotated | EntryType::LogSuccession)
        });
        if is_change {
            // `custody.inclusion` refuses an entry that is not named by its place in the log.
            let Some(index) = base.strip_prefix(FOLDER).and_then(|index| index.parse::<u64>().ok()) else {
                continue;
            };
            shown.push((index, entry, files.required(&format!("{base}.tlog-proof"))?));
        }
    }
    let origin = format!("exhibit/{deployment}");
    let mut pinned = trust.policy.logs().iter().map(|log| &log.key);
    let pinned =
        pinned.find(|key| key.name() == origin).ok_or_else(|| format!("no log key of {origin} is pinned"))?;
    if shown.is_empty() && trust.log_keys.is_empty() {
        let (trust, keys) = (trust.clone(), LogKeys::unchanged(pinned.clone()));
        return Ok(Followed { trust, keys, said: "the pinned log key".to_owned() });
    }
    shown.sort_by_key(|(index, _, _)| *index);
    let line = |from: &VerifierKey, entries: &[(&[u8], &[u8])]| {
        LogKeys::proven(deployment, &trust.authority, from, entries).map_err(|cause| chain(&cause))
    };
    let known: Vec<(&[u8], &[u8])> =
        trust.log_keys.iter().map(|(entry, proof)| (entry.as_slice(), proof.as_slice())).collect();
    let known = line(pinned, &known).map_err(|why| format!("log-keys.json of the trust directory: {why}"))?;
    let entries: Vec<(&[u8], &[u8])> =
        shown.iter().map(|(_, entry, proof)| (entry.as_slice(), proof.as_slice())).collect();
    // A bundle that is older than the newest change ends at a key before the pinned one. Both lines begin at the same key.
    let shown = line(known.first(), &entries)?;
    let (keys, other) = if shown.number() >= known.number() { (&shown, &known) } else { (&known, &shown) };
    keys.continues(other).map_err(|cause| chain(&cause))?;
    // Every bundle holds the changes below its head.
    let next = known.changes().get(shown.changes().len());
    if let Some(index) = next.and_then(|change| change.index)
        && head_size(files)? > index
    {
        return Err(format!(
            "it does not show change {} of the log key, which is entry {index}",
            shown.number() + 1
        ));
    }
    let policy = keys.extend(trust.policy.clone()).map_err(|cause| chain(&cause))?;
    let said = if shown.current() == pinned {
        format!("the pinned log key, in force since change {}", shown.number())
    } else if shown.number() < known.number() {
        format!("{}, which was the log's key before change {}", shown.current(), shown.number() + 1)
    } else {
        format!(
            "{}, which the pinned authority let follow the pinned log key (change {}): pin it",
            shown.current(),
            shown.number()
        )
    };
    Ok(Followed { trust: Trust { policy, ..trust.clone() }, keys: keys.clone(), said })
}
