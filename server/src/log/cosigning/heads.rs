//! Heads of the log with the lines of their cosigners.
//! Guarantee: the log's own line comes first, then at most one line for each key, the earliest, in the order of the policy. The
//! number of heads is bounded.

use std::collections::BTreeMap;

use ledger::{Checkpoint, Note, NoteSignature, Policy};

use crate::log::ledger::Published;

/// Most heads in memory. The stores have all heads, and exports use the newest.
const HEADS_MAX: usize = 64;

/// A published head and its cosigners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedHead {
    /// The head; its note has the cosignature lines.
    pub published: Published,
    /// Names of the cosigners in the policy, each with the time of its line in seconds since 1970.
    pub cosigners: Vec<(String, u64)>,
    /// True if they meet the policy's quorum.
    pub quorum_met: bool,
}

/// Every known line, by the size of its head.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<u64, Vec<NoteSignature>>, BTreeMap<u64, CosignedHead>);

impl Heads {
    /// True if this very line is here.
    pub(super) fn has(&self, size: u64, line: &NoteSignature) -> bool {
        self.0.get(&size).is_some_and(|lines| lines.contains(line))
    }

    /// The newest head with a cosignature.
    pub(super) fn newest(&self) -> Option<CosignedHead> {
        self.1.last_key_value().map(|(_, head)| head.clone())
    }

    /// Adds verified lines and returns the head with them.
    pub(super) fn add(
        &mut self,
        note: &Note,
        checkpoint: &Checkpoint,
        policy: &Policy,
    ) -> Option<CosignedHead> {
        let lines = self.0.entry(checkpoint.size).or_default();
        for line in note.signatures() {
            if !lines.contains(line) {
                lines.push(line.clone());
            }
        }
        let head = head(note.text(), lines, checkpoint, policy)?;
        self.1.insert(checkpoint.size, head.clone());
        while self.0.len() > HEADS_MAX {
            self.0.pop_first();
        }
        while self.1.len() > HEADS_MAX {
            self.1.pop_first();
        }
        Some(head)
    }
}

/// Builds a head with one line for each key, the log's first.
fn head(
    text: &str,
    lines: &[NoteSignature],
    checkpoint: &Checkpoint,
    policy: &Policy,
) -> Option<CosignedHead> {
    let logs = policy.logs().iter().map(|log| &log.key);
    let of_log =
        logs.filter_map(|key| lines.iter().find(|line| line.name() == key.name() && line.id() == key.id()));
    let of_witnesses = policy.witnesses().iter().filter_map(|witness| {
        let key = &witness.key;
        let timed = lines.iter().filter_map(|line| {
            let time = ledger::cosignature::verify(key, text, line).ok()?;
            Some((time, line))
        });
        timed.min_by_key(|(time, _)| *time).map(|(_, line)| line)
    });
    let note = Note::new(text, of_log.chain(of_witnesses).cloned().collect()).ok()?;
    let verified = policy.verify_note(&note).ok()?;
    Some(CosignedHead {
        published: Published {
            size: checkpoint.size,
            root: checkpoint.root,
            note: note.to_string().into_bytes().into(),
        },
        cosigners: verified.cosigners,
        quorum_met: verified.quorum_met,
    })
}
