//! Writes what a change of the log key leaves in the collector's directory. Each call is durable when it returns, and may be repeated.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use evidence::log_key::LogKeyChange;
use evidence::signed::Signed;

use super::file_name;
use crate::config::layout::Layout;

/// `log-keys/<number>.signed`
pub(crate) fn write_change(layout: &Layout, number: u64, signed: &Signed) -> io::Result<()> {
    let folder = layout.log_keys();
    private_folder(&folder)?;
    replace(&folder, &file_name(number), &signed.encode())?;
    sync(&layout.directory)
}

/// The new verifier key instead of the old in card and `ledger.policy`.
pub(crate) fn rename_key(layout: &Layout, change: &LogKeyChange) -> io::Result<()> {
    for path in [layout.card(), layout.policy()] {
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // A verifier key is one word, and of this log alone.
        let changed = text.replace(change.old.as_str(), change.new.as_str());
        if changed != text {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            replace(&layout.directory, name, changed.as_bytes())?;
        }
    }
    Ok(())
}

pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}

/// A file by temporary name, durable before it has its own.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(&fresh, folder.join(name))?;
    sync(folder)
}
