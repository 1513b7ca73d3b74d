//! The key that signs the ledger from some entry on: the authority's signed change, at the index where the
//! log records it.

use evidence::causes::chain;
use evidence::log_key::{LogKeyChange, LogKeyError};

use super::{Broken, Case, Change, Rules, Vouched, rule};

impl Rules {
    /// `key.rotated`, `log.succession`
    pub(super) fn log_key(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let broken = |error: LogKeyError| Broken::Rule(chain(&error));
        let signed = case.signed()?;
        let change =
            LogKeyChange::verify(&signed, &self.pins.deployment, &self.pins.authority).map_err(broken)?;
        if case.envelope.type_ != change.reason.entry_type() {
            return rule(format!("a key that is {} is recorded otherwise", change.reason));
        }
        case.refs(&[("log", change.new.to_string()), ("size", change.size.to_string())])?;
        let mut keys = self.pins.log_keys.keys();
        let vouched = Vouched { index: case.index, size: change.size, root: change.root.into() };
        let number = change.number;
        if number > keys.number() {
            keys.append(change, signed.digest(), Some(case.index)).map_err(broken)?;
        } else if !keys.place(number, &signed.digest(), case.index) {
            return rule(format!(
                "change {number} of the log key is another, or stands elsewhere than it must"
            ));
        }
        Ok(Change::LogKeys(Box::new(keys), vouched))
    }
}
