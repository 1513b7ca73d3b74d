//! The line of log keys from the pinned one to the one that signs now, as this home was shown it (docs/spec/ledger.md, *Change of
//! the log key*).
//! Guarantee: a key follows the pinned one only by the pinned authority's signed word, recorded in the ledger; it is durable here
//! before anything is believed under it. Not here: what a policy demands of cosigners.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeys};
use evidence::roster::AuthoritySet;
use ledger::{Policy, VerifierKey};
use proto::{convert, v1};
use serde::{Deserialize, Serialize};

use crate::failure::{because, could_not, failed};
use crate::home::Home;
use crate::pins::Pins;
use crate::session::{Session, refused};

/// File of the changes in a home.
const FILE: &str = "trust/log-keys.json";

/// One change: its entry and the proof of it, as they came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    entry: String,
    proof: String,
}

/// The keys that this home has, from the one that its policy pins.
///
/// # Errors
/// When the file was changed.
pub fn load(home: &Home, authority: &AuthoritySet, policy: &Policy) -> anyhow::Result<LogKeys> {
    let pinned = policy.logs().first().map(|log| log.key.clone());
    let pinned =
        pinned.ok_or_else(|| could_not("trust/policy names no log", "set up again in another --home DIR"))?;
    let Some(bytes) = home.read(FILE)? else {
        return Ok(LogKeys::unchanged(pinned));
    };
    let broken = |why: String| could_not(format!("{FILE}: {why}"), "restore the home from a backup");
    let kept: Vec<Kept> = serde_json::from_slice(&bytes).map_err(|cause| broken(cause.to_string()))?;
    let decoded: Vec<(Vec<u8>, Vec<u8>)> = kept
        .iter()
        .map(|one| Ok((STANDARD.decode(&one.entry)?, STANDARD.decode(&one.proof)?)))
        .collect::<Result<_, base64::DecodeError>>()
        .map_err(|cause| broken(cause.to_string()))?;
    proven(authority, &pinned, &decoded).map_err(broken)
}

fn proven(
    authority: &AuthoritySet,
    pinned: &VerifierKey,
    changes: &[(Vec<u8>, Vec<u8>)],
) -> Result<LogKeys, String> {
    let deployment = pinned.name().strip_prefix("exhibit/").unwrap_or_default();
    let deployment =
        deployment.parse().map_err(|_no_id| format!("{} is the key of no deployment", pinned.name()))?;
    let entries: Vec<(&[u8], &[u8])> =
        changes.iter().map(|(entry, proof)| (entry.as_slice(), proof.as_slice())).collect();
    LogKeys::proven(&deployment, authority, pinned, &entries).map_err(|cause| because(&cause))
}

impl Session {
    /// Asks who signs the ledger, and follows; the pins are then about the newest key.
    ///
    /// # Errors
    /// When the line that is shown does not hold, or is not the one accepted before.
    pub async fn follow_log_keys(&mut self) -> anyhow::Result<()> {
        let mut client = proto::service::ledger_client(self.channel());
        let shown = match client.log_keys(v1::LogKeysRequest {}).await {
            Ok(answer) => answer.into_inner().changes,
            // A collector of before: its log has one key.
            Err(status) if status.code() == tonic::Code::Unimplemented => Vec::new(),
            Err(status) => return Err(refused(status)),
        };
        let known = self.pins.log_keys.number();
        if shown.is_empty() && known == 0 {
            return Ok(());
        }
        let lied = |why: String| {
            failed(
                format!("the collector shows changes of the log key that do not hold: {why}"),
                "nothing it says is believed: keep this home as it is and tell the admins, who alone can let another key follow",
            )
        };
        let shown = convert::proven_list("changes", shown, LOG_KEY_CHANGES_MAX)?;
        let changes: Vec<(Vec<u8>, Vec<u8>)> =
            shown.iter().map(|one| (one.entry.to_vec(), one.proof.to_vec())).collect();
        let pinned = self.pins.log_keys.current().clone();
        let keys = proven(&self.pins.authority, &pinned, &changes).map_err(lied)?;
        keys.continues(&self.pins.log_keys).map_err(|cause| lied(because(&cause)))?;
        if keys.number() == known {
            return Ok(());
        }
        self.keep_log_keys(&keys, &changes)?;
        self.pins = Pins::load(&self.home)?;
        self.output.say(&format!(
            "the ledger has a new log key, signed by the authority and pinned from now on: {}",
            keys.current()
        ));
        Ok(())
    }

    fn keep_log_keys(&self, keys: &LogKeys, changes: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
        let _guard = self.home.lock()?;
        let kept: Vec<Kept> = changes
            .iter()
            .map(|(entry, proof)| Kept { entry: STANDARD.encode(entry), proof: STANDARD.encode(proof) })
            .collect();
        self.home.write(FILE, &serde_json::to_vec(&kept)?)?;
        // The line leads from either key: a crash in between leaves the older one pinned.
        let Some(policy) = self.home.read("trust/policy")? else {
            return Ok(());
        };
        let mut text = String::from_utf8(policy)?;
        let older =
            std::iter::once(keys.first()).chain(keys.changes().iter().map(|one| one.change.old.key()));
        for key in older {
            text = text.replace(&key.to_string(), &keys.current().to_string());
        }
        self.home.write("trust/policy", text.as_bytes())
    }
}
