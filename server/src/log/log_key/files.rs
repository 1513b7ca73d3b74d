//! Writes a change of the log key into the collector's directory. Each call is durable when it returns, and safe to repeat.

use std::io;

use evidence::log_key::LogKeyChange;
use evidence::signed::Signed;

use super::file_name;
use crate::config::layout::Layout;

/// `log-keys/<number>.signed`
pub(crate) fn write_change(layout: &Layout, number: u64, signed: &Signed) -> io::Result<()> {
    let folder = layout.log_keys();
    durable::create_private_folder(&folder)?;
    durable::replace(&folder.join(file_name(number)), &signed.encode(), 0o644)
}

/// Replaces the old verifier key with the new one in card and `ledger.policy`.
pub(crate) fn rename_key(layout: &Layout, change: &LogKeyChange) -> io::Result<()> {
    for path in [layout.card(), layout.policy()] {
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // A verifier key is one word, and belongs to this log alone.
        let changed = text.replace(change.old.as_str(), change.new.as_str());
        if changed != text {
            durable::replace(&path, changed.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}
