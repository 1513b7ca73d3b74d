//! The cosigners of the newest cosigned checkpoint: the collector's statement, and the part of it that this home verified.
//! Guarantee: a line counts as verified only under a key of the pinned policy, over a checkpoint that continues the last one seen here.

use ledger::note::KeyType;
use ledger::{Note, VerifierKey};
use proto::v1;
use serde_json::{Value, json};

use crate::failure::{because, failed};
use crate::output::shown;
use crate::session::Session;

/// Cosigners of one answer.
#[derive(Debug)]
pub struct Cosigners {
    size: u64,
    quorum: bool,
    /// True if the policy that is pinned here has its quorum; `None` if it asks for none.
    pinned_quorum: Option<bool>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    said: v1::Cosigner,
    /// Since when it vouches, if its line verifies under the key that the collector names.
    time: Option<u64>,
    /// True if the key is pinned here.
    is_pinned: bool,
}

impl Cosigners {
    /// Verifies the cosigned head of an answer.
    /// Fails if the pinned log did not sign it, or it does not continue the last checkpoint seen here.
    pub async fn verify(session: &Session, answer: &v1::CheckpointResponse) -> anyhow::Result<Self> {
        let mut cosigners = Self { size: 0, quorum: answer.quorum, pinned_quorum: None, rows: Vec::new() };
        let mut head = None;
        if !answer.cosigned.is_empty() {
            let broken = |why: String| failed(format!("cosigned head: {why}"), "tell the operator");
            let note = Note::parse(&answer.cosigned).map_err(|cause| broken(because(&cause)))?;
            cosigners.size = session.accept_checkpoint(&note).await?.size;
            let verified = session.pins.policy.verify_note(&note);
            let verified = verified.map_err(|cause| broken(because(&cause)))?;
            if session.pins.policy.needs_cosigners() {
                cosigners.pinned_quorum = Some(verified.quorum_met);
            }
            head = Some(note);
        }
        for said in &answer.cosigners {
            let key = VerifierKey::parse(&said.key).ok();
            let key = key.filter(|key| key.kind() == KeyType::CosignatureV1);
            let time = key.as_ref().zip(head.as_ref()).and_then(|(key, note)| {
                let lines = note.signatures().iter();
                let times = lines.filter_map(|line| ledger::cosignature::verify(key, note.text(), line).ok());
                times.min()
            });
            let pinned = session.pins.policy.witnesses();
            cosigners.rows.push(Row {
                said: said.clone(),
                time,
                is_pinned: key.is_some_and(|key| pinned.iter().any(|witness| witness.key == key)),
            });
        }
        Ok(cosigners)
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.said.name, "key": row.said.key, "pinned": row.is_pinned, "since": row.time,
                    "trouble": row.said.trouble, "contradicts": row.said.contradicts,
                })
            })
            .collect();
        json!({"size": self.size, "quorum": self.quorum, "pinned_quorum": self.pinned_quorum, "cosigners": rows})
    }

    /// The text for people. `newest`: size of the newest checkpoint; `now`: seconds since 1970.
    pub fn text(&self, newest: u64, now: u64) -> String {
        // Display only. The two heads are read at different times: the older one may come second.
        let behind = newest.saturating_sub(self.size);
        let mut lines = vec![match (self.size, self.rows.is_empty()) {
            (_, true) => "  nobody is asked to cosign (`ledger.policy` of the collector)".to_owned(),
            (0, false) => "  nobody has cosigned since the collector started".to_owned(),
            (size, false) => format!(
                "  cosigned at size {size}, {behind} entries behind; the collector's quorum is {}",
                if self.quorum { "met" } else { "NOT met" }
            ),
        }];
        for row in &self.rows {
            let name = shown(&row.said.name);
            let pinned = if row.is_pinned { "pinned here" } else { "not pinned here" };
            // Display only: a cosigner's clock may be ahead of this one.
            let what = match row.time {
                Some(time) => format!("cosigned {} ago ({pinned})", age(now.saturating_sub(time))),
                None if row.said.contradicts => {
                    format!("CONTRADICTS this ledger: {}", shown(&row.said.trouble))
                }
                None if row.said.trouble.is_empty() => "has not cosigned this head".to_owned(),
                None => format!("has not cosigned this head: {}", shown(&row.said.trouble)),
            };
            lines.push(format!("  {name:16} {what}"));
        }
        if self.pinned_quorum == Some(false) {
            lines.push("  the policy pinned here asks for more cosigners than these".to_owned());
        }
        lines.join("\n")
    }
}

/// A length of time in words.
fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_cosign_is_said_with_the_reason() {
        let said = |name: &str, trouble: &str, contradicts: bool| v1::Cosigner {
            name: name.to_owned(),
            trouble: trouble.to_owned(),
            contradicts,
            ..v1::Cosigner::default()
        };
        let row = |said, time| Row { said, time, is_pinned: true };
        let cosigners = Cosigners {
            size: 90,
            quorum: false,
            pinned_quorum: Some(false),
            rows: vec![
                row(said("m1", "", false), Some(1000)),
                row(said("m2", "not reached", false), None),
                row(said("m3", "it holds size 99", true), None),
            ],
        };
        let text = cosigners.text(100, 1090);
        for expected in [
            "at size 90, 10 entries behind; the collector's quorum is NOT met",
            "m1               cosigned 90 s ago (pinned here)",
            "m2               has not cosigned this head: not reached",
            "m3               CONTRADICTS this ledger: it holds size 99",
            "asks for more cosigners",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert_eq!(cosigners.to_json()["cosigners"][2]["contradicts"], true);
    }
}
