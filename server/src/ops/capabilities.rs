//! Records, beside the settings, what each bucket was last seen to do, and raises an alarm if a bucket can do
//! less. Guarantee: improvements are recorded automatically, but a lost capability is reported at every start
//! until an operator accepts the loss. Not here: how a bucket is measured (crate `store`).

use std::path::PathBuf;

use evidence::time::Time;
use serde::{Deserialize, Serialize};
use store::{Capabilities, Replicas};

use crate::config::layout::Layout;

/// `type` of a record.
const TYPE: &str = "exhibit-store-capabilities-v1";

/// Content of `stores/<id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[serde(rename = "type")]
    type_: String,
    /// Store id.
    pub store: String,
    /// When this was measured.
    pub probed: Time,
    /// What was measured.
    pub capabilities: Capabilities,
}

impl Record {
    /// A record of what was measured of a store at some time.
    pub fn new(store: &str, probed: Time, capabilities: Capabilities) -> Self {
        Self { type_: TYPE.to_owned(), store: store.to_owned(), probed, capabilities }
    }

    /// The record of a store, if there is one.
    ///
    /// # Errors
    /// If it cannot be read or is not a record.
    pub fn read(layout: &Layout, store: &str) -> Result<Option<Self>, RecordError> {
        let path = layout.capabilities(store);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| RecordError::Io { source })?,
        };
        let content = |reason: String| RecordError::Content { path: path.clone(), reason };
        let record: Self = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if record.type_ != TYPE || record.store != store {
            return Err(content(format!("it is {} of store {}", record.type_, record.store)));
        }
        Ok(Some(record))
    }

    /// Replaces the existing record with this one, durably.
    pub fn write(&self, layout: &Layout) -> Result<(), RecordError> {
        let failed = |source| RecordError::Io { source };
        let path = layout.capabilities(&self.store);
        if let Some(folder) = path.parent() {
            durable::create_private_folder(folder).map_err(failed)?;
        }
        #[expect(clippy::expect_used, reason = "two strings, a time and flags cannot fail to serialise")]
        let mut bytes = serde_json::to_vec_pretty(self).expect("strings and flags");
        bytes.push(b'\n');
        durable::replace(&path, &bytes, 0o644).map_err(failed)
    }
}

/// Logs what each store guarantees, and compares buckets with their records. Returns the number of lost
/// capabilities.
///
/// # Errors
/// If a record cannot be read or written.
pub(crate) fn record_at_start(layout: &Layout, replicas: &Replicas, now: Time) -> Result<usize, RecordError> {
    let mut count = 0;
    for store in replicas.stores() {
        let id = store.identity().store.as_str();
        tracing::info!(store = id, domain = store.domain(), guarantees = %store.guarantees(), "What a store guarantees");
        let Some(measured) = store.capabilities() else {
            continue;
        };
        let found = measured.rows().map(|(name, value)| format!("{name}={value}")).join(" ");
        tracing::info!(store = id, capabilities = found, "Bucket is measured");
        let lost = compare(layout, id, measured, now)?;
        if !lost.is_empty() {
            tracing::error!(
                store = id,
                lost = lost.join(", "),
                "The bucket can do less than it could. Find out why; `exhibit-server store probe --accept` takes it as it is"
            );
        }
        count += lost.len();
    }
    Ok(count)
}

/// What a bucket has lost since its record. Whatever improved or is new is recorded.
///
/// # Errors
/// If the record cannot be read or written.
pub fn compare(
    layout: &Layout,
    store: &str,
    measured: &Capabilities,
    now: Time,
) -> Result<Vec<&'static str>, RecordError> {
    let known = Record::read(layout, store)?;
    let lost = known.as_ref().map_or_else(Vec::new, |known| known.capabilities.lost(measured));
    if lost.is_empty() && known.is_none_or(|known| known.capabilities != *measured) {
        Record::new(store, now, *measured).write(layout)?;
    }
    Ok(lost)
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is damaged or belongs to another store.
    #[error("{} is no record of a store: {reason}. Move it away; the next start makes it anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("read or write what a store can do")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use store::LockProof;

    use super::*;
    use crate::ops::init::tests::day;

    const ALL: Capabilities = Capabilities {
        read_after_write: true,
        create_only: true,
        sha256_refused: false,
        sha256_reported: false,
        md5_refused: true,
        versions: true,
        lock: LockProof::Compliance,
        default_retention: None,
    };

    #[test]
    fn a_lost_capability_is_said_at_every_start_until_it_is_accepted() {
        let place = tempfile::tempdir().unwrap();
        let layout = Layout::new(place.path());
        let seen = |capabilities| compare(&layout, "store-2", &capabilities, day()).unwrap();
        assert!(seen(ALL).is_empty());
        let less = Capabilities { lock: LockProof::None, ..ALL };
        assert_eq!(seen(less), ["lock"]);
        assert_eq!(seen(less), ["lock"]);
        Record::new("store-2", day(), less).write(&layout).unwrap();
        assert!(seen(less).is_empty());
        // A capability that returns is recorded automatically.
        assert!(seen(ALL).is_empty());
        assert_eq!(seen(less), ["lock"]);
    }

    #[test]
    fn a_record_that_is_damaged_or_of_another_store_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let layout = Layout::new(place.path());
        Record::new("store-2", day(), ALL).write(&layout).unwrap();
        fs_err::rename(layout.capabilities("store-2"), layout.capabilities("store-3")).unwrap();
        assert!(Record::read(&layout, "store-3").is_err());
        fs_err::write(layout.capabilities("store-2"), "{").unwrap();
        assert!(Record::read(&layout, "store-2").err().unwrap().to_string().contains("Move it away"));
    }
}
