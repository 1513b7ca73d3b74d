//! The abilities of a bucket that the probe saw (docs/spec/store.md, *Probe*). Not here: how the probe tests them
//! (`s3::probe`).

use serde::{Deserialize, Serialize};

use crate::s3_settings::{LockMode, Retention};

/// The capabilities that the probe saw in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// A new object reads back, appears in listings, and is gone after it was deleted.
    pub read_after_write: bool,
    /// A second `If-None-Match: *` is refused.
    pub create_only: bool,
    /// A wrong `x-amz-checksum-sha256` is refused and leaves nothing.
    pub sha256_refused: bool,
    /// HEAD returns the checksum.
    pub sha256_reported: bool,
    /// A wrong `Content-MD5` is refused and leaves nothing.
    pub md5_refused: bool,
    /// After an object is replaced, its earlier bytes can still be read as a version.
    pub versions: bool,
    /// The strictest lock that the probe saw refuse a deletion.
    pub lock: LockProof,
    /// The bucket's own retention.
    pub default_retention: Option<Retention>,
}

/// The strictest lock that the probe saw refuse a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockProof {
    /// No lock refused a deletion, or the bucket has no locks.
    None,
    /// GOVERNANCE.
    Governance,
    /// COMPLIANCE: it refuses holders of the bypass right as well.
    Compliance,
}

impl LockProof {
    /// True if the probe saw that the server keeps objects locked in that mode.
    pub fn proves(self, mode: LockMode) -> bool {
        match mode {
            LockMode::Governance => self >= Self::Governance,
            LockMode::Compliance => self >= Self::Compliance,
        }
    }
}

impl Capabilities {
    /// The probe did not run, so the store claims no capability.
    #[cfg(feature = "buckets")]
    pub(crate) const NONE: Self = Self {
        read_after_write: false,
        create_only: false,
        sha256_refused: false,
        sha256_reported: false,
        md5_refused: false,
        versions: false,
        lock: LockProof::None,
        default_retention: None,
    };

    /// The name and value of each capability, in the order of the specification.
    pub fn rows(&self) -> [(&'static str, String); 8] {
        let yes = |capability: bool| if capability { "yes" } else { "no" }.to_owned();
        let lock = match self.lock {
            LockProof::None => "none",
            LockProof::Governance => "governance",
            LockProof::Compliance => "compliance",
        };
        let retention = self.default_retention.map_or("none".to_owned(), |retention| {
            format!("{} {} days", retention.mode.as_str(), retention.days)
        });
        [
            ("read_after_write", yes(self.read_after_write)),
            ("create_only", yes(self.create_only)),
            ("sha256_refused", yes(self.sha256_refused)),
            ("sha256_reported", yes(self.sha256_reported)),
            ("md5_refused", yes(self.md5_refused)),
            ("versions", yes(self.versions)),
            ("lock", lock.to_owned()),
            ("default_retention", retention),
        ]
    }

    /// The capabilities that `self` has and `now` lacks.
    pub fn lost(&self, now: &Self) -> Vec<&'static str> {
        let retention_lost = match (self.default_retention, now.default_retention) {
            (Some(before), Some(after)) => after.mode < before.mode || after.days < before.days,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let pairs = [
            ("read_after_write", self.read_after_write && !now.read_after_write),
            ("create_only", self.create_only && !now.create_only),
            ("sha256_refused", self.sha256_refused && !now.sha256_refused),
            ("sha256_reported", self.sha256_reported && !now.sha256_reported),
            ("md5_refused", self.md5_refused && !now.md5_refused),
            ("versions", self.versions && !now.versions),
            ("lock", now.lock < self.lock),
            ("default_retention", retention_lost),
        ];
        pairs.into_iter().filter(|(_, is_lost)| *is_lost).map(|(name, _)| name).collect()
    }
}
