//! `logkey-*`: the keys that sign the ledger, one after the other, each by the authority's word and from the entry on that records it.

use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeyChange, LogKeys, Reason};

use crate::act::Opened;
use crate::rule::{Broken, RuleId, must, must_have, must_hold};
use crate::{Case, Effect, State};

/// A history for which somebody vouched: the authority in a change of the log key (`logkey-8`), a mirror in its statement
/// (`mirror-12`). Whoever has the tree compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The rule that is broken where the tree has another root.
    pub rule: RuleId,
    /// Index of the entry.
    pub index: u64,
    pub size: u64,
    pub root: ledger::Hash,
}

impl State {
    /// The line of log keys.
    #[must_use]
    pub const fn line(&self) -> &LogKeys {
        &self.pins.log_keys
    }

    /// Sets the line of log keys. It may hold changes that the log has not recorded yet: the reader has them by the authority's word.
    pub fn set_line(&mut self, keys: LogKeys) {
        self.pins.log_keys = keys;
    }

    /// `key.rotated`, `log.succession`
    pub(crate) fn log_key(&self, case: &Case<'_>, opened: &Opened<LogKeyChange>) -> Result<Effect, Broken> {
        let change = &opened.document;
        must_hold(RuleId::LogKey2, self.pins.authority.check(&opened.signers))?;
        let mut keys = self.pins.log_keys.clone();
        let (number, digest, index) = (change.number, case.envelope.event, case.at.index);
        if number > keys.number() {
            follows(&keys, change, index)?;
            must_hold(RuleId::LogKey3, keys.append(change.clone(), digest, Some(index)))?;
        } else {
            let known = keys.changes().iter().find(|placed| placed.change.number == number);
            let known = must_have(RuleId::LogKey3, known, format_args!("change {number} is not the next"))?;
            must(
                RuleId::LogKey12,
                known.digest == digest,
                format_args!("change {number} of the log key is another than the one accepted before"),
            )?;
            must(
                RuleId::LogKey6,
                keys.place(number, &digest, index),
                format_args!("change {number} of the log key stands elsewhere than it must"),
            )?;
        }
        let vouched = Vouched { rule: RuleId::LogKey8, index, size: change.size, root: change.root.into() };
        Ok(Effect::LogKeys(Box::new(keys), vouched))
    }
}

/// Asks whether a change may be the next one, recorded at an index.
fn follows(keys: &LogKeys, change: &LogKeyChange, index: u64) -> Result<(), Broken> {
    let number = change.number;
    must(
        RuleId::LogKey9,
        keys.changes().len() < LOG_KEY_CHANGES_MAX,
        format_args!("more than {LOG_KEY_CHANGES_MAX} changes of the log key"),
    )?;
    must(
        RuleId::LogKey3,
        number == keys.number() + 1,
        format_args!("change {number} where {} follows", keys.number() + 1),
    )?;
    let (old, new) = (change.old.key(), change.new.key());
    must(
        RuleId::LogKey4,
        old == keys.current(),
        format_args!("change {number} of the log key: its old key is not the one in force"),
    )?;
    must(
        RuleId::LogKey4,
        !keys.has(new),
        format_args!("change {number} of the log key: its new key was the log's before"),
    )?;
    let floor = keys.changes().last().map_or(0, |last| last.index.map_or(last.change.size, |last| last + 1));
    must(
        RuleId::LogKey5,
        change.size >= floor,
        format_args!("change {number} of the log key: its size is below the change before it"),
    )?;
    let may_stand = match change.reason {
        Reason::Compromised => index == change.size,
        Reason::Planned | Reason::Lost => index >= change.size,
    };
    must(
        RuleId::LogKey6,
        may_stand,
        format_args!("change {number} of the log key stands elsewhere than it must"),
    )
}
