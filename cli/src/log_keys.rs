//! The line of log keys, from the key that this home pinned to the key that signs now (docs/spec/ledger.md, *Change of the log key*).
//! Guarantee: a key follows the pinned one only if the pinned authority signed the change and the ledger records it. The change is durable
//! in this home before the home believes anything under the new key. Not here: which cosigners a policy demands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::log_key::LogKeys;
use evidence::roster::AuthoritySet;
use ledger::{Policy, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::failure::{because, could_not};
use crate::home::Home;

/// File of the changes in a home.
const FILE: &str = "trust/log-keys.json";

/// One change: its entry and the proof of that entry, as the collector sent them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredChange {
    entry: String,
    proof: String,
}

/// The line of keys that this home has, starting with the key that its policy pins.
pub fn load(home: &Home, authority: &AuthoritySet, policy: &Policy) -> anyhow::Result<LogKeys> {
    let pinned = policy.logs().first().map(|log| log.key.clone());
    let pinned =
        pinned.ok_or_else(|| could_not("trust/policy names no log", "set up again in another --home DIR"))?;
    let Some(bytes) = home.read(FILE)? else {
        return Ok(LogKeys::unchanged(pinned));
    };
    let broken = |why: String| could_not(format!("{FILE}: {why}"), "restore the home from a backup");
    let kept: Vec<StoredChange> =
        serde_json::from_slice(&bytes).map_err(|cause| broken(cause.to_string()))?;
    let decoded: Vec<(Vec<u8>, Vec<u8>)> = kept
        .iter()
        .map(|one| Ok((STANDARD.decode(&one.entry)?, STANDARD.decode(&one.proof)?)))
        .collect::<Result<_, base64::DecodeError>>()
        .map_err(|cause| broken(cause.to_string()))?;
    prove(authority, &pinned, &decoded).map_err(broken)
}

/// The line of `changes` from `pinned` on, each change signed by `authority` and proven in the ledger.
pub fn prove(
    authority: &AuthoritySet,
    pinned: &VerifierKey,
    changes: &[(Vec<u8>, Vec<u8>)],
) -> Result<LogKeys, String> {
    let deployment = pinned.name().strip_prefix("exhibit/").and_then(|id| id.parse().ok());
    let deployment = deployment.ok_or_else(|| format!("{} is the key of no deployment", pinned.name()))?;
    let entries: Vec<(&[u8], &[u8])> =
        changes.iter().map(|(entry, proof)| (entry.as_slice(), proof.as_slice())).collect();
    LogKeys::proven(&deployment, authority, pinned, &entries).map_err(|cause| because(&cause))
}

/// Makes the line durable, and pins its newest key in the policy.
pub fn store(home: &Home, keys: &LogKeys, changes: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
    let _guard = home.lock()?;
    let kept: Vec<StoredChange> = changes
        .iter()
        .map(|(entry, proof)| StoredChange { entry: STANDARD.encode(entry), proof: STANDARD.encode(proof) })
        .collect();
    home.write(FILE, &serde_json::to_vec(&kept)?)?;
    // A crash before the next write leaves the older key pinned; the line that was just written leads from it to the newest.
    let Some(policy) = home.read("trust/policy")? else {
        return Ok(());
    };
    let mut text = String::from_utf8(policy)?;
    let older = std::iter::once(keys.first()).chain(keys.changes().iter().map(|one| one.change.old.key()));
    for key in older {
        text = text.replace(&key.to_string(), &keys.current().to_string());
    }
    home.write("trust/policy", text.as_bytes())
}
