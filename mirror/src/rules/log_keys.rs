//! The key that signs the ledger from some entry on: the authority's signed change, at the index where the
//! log records it.

use evidence::log_key::LogKeyChange;

use super::{Broken, BrokenRule, Case, Change, Rules, Vouched};

impl Rules {
    /// `key.rotated`, `log.succession`
    pub(super) fn log_key(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let change = LogKeyChange::verify(&signed, &self.pins.deployment, &self.pins.authority)
            .map_err(BrokenRule::LogKey)?;
        if case.envelope.type_ != change.reason.entry_type() {
            return Err(BrokenRule::LogKeyReason { reason: change.reason }.into());
        }
        case.refs(&[("log", change.new.to_string()), ("size", change.size.to_string())])?;
        let mut keys = self.pins.log_keys.keys();
        let vouched = Vouched { index: case.index, size: change.size, root: change.root.into() };
        let number = change.number;
        if number > keys.number() {
            keys.append(change, signed.digest(), Some(case.index)).map_err(BrokenRule::LogKey)?;
        } else if !keys.place(number, &signed.digest(), case.index) {
            return Err(BrokenRule::LogKeyChange { number }.into());
        }
        Ok(Change::LogKeys(Box::new(keys), vouched))
    }
}
