//! The bundle's own formats (docs/spec/bundle.md): SHA256SUMS, bundle.json, file names, the list of files that sums do not cover.
//! Guarantee: what parses prints back the same; a name that passes cannot leave the bundle's folder nor hide in it.
//! Not here: the checks of a bundle (crate `exhibit-verify`), reading files.

pub mod production;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::document_type;
use crate::id::{Actor, DeploymentId, IncidentId};
use crate::time::Time;

/// Namespace of the signature over SHA256SUMS.
pub const SUMS_NAMESPACE: &str = "exhibit-bundle-v1";

/// Most time stamps over one thing: each is of another authority.
pub const STAMPS_MAX: usize = 4;

/// Stamps over SHA256SUMS, in this order and without a gap.
pub const SUMS_STAMPS: [&str; STAMPS_MAX] =
    ["SHA256SUMS.tsr", "SHA256SUMS.2.tsr", "SHA256SUMS.3.tsr", "SHA256SUMS.4.tsr"];

/// Stamps over `ledger/checkpoint`, in this order and without a gap.
pub const CHECKPOINT_STAMPS: [&str; STAMPS_MAX] = [
    "ledger/checkpoint.tsr",
    "ledger/checkpoint.2.tsr",
    "ledger/checkpoint.3.tsr",
    "ledger/checkpoint.4.tsr",
];

/// Files that SHA256SUMS does not cover, because they are made from it.
pub const UNCOVERED: [&str; 10] = [
    "SHA256SUMS",
    "SHA256SUMS.sig",
    SUMS_STAMPS[0],
    SUMS_STAMPS[1],
    SUMS_STAMPS[2],
    SUMS_STAMPS[3],
    "export/checkpoint",
    "export/consistency",
    "export/entry",
    "export/entry.tlog-proof",
];

/// Most files of one bundle: a million custody entries with their proofs and then some; bounds a verifier's memory.
pub const FILES_MAX: usize = 4 << 20;

document_type!(
    /// `exhibit-bundle-v1`
    BundleVersion, "exhibit-bundle-v1"
);

/// `bundle.json`: what the exporter says is inside. Nothing is believed because it stands here; each field is checked against signed bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overview {
    /// Always `exhibit-bundle-v1`.
    pub format: BundleVersion,
    /// Deployment.
    pub deployment: DeploymentId,
    /// The incident whose evidence and custody this is.
    pub incident: IncidentId,
    /// Origin of the ledger.
    pub origin: String,
    /// When, by the collector's clock.
    pub exported: Time,
    /// Who exports and signs SHA256SUMS.
    pub by: Actor,
    /// Sequence number of the incident's last entry in here.
    pub head_seq: u64,
    /// Its leaf hash.
    pub head: Digest,
    /// Size of the tree under `ledger/checkpoint`.
    pub entries: u64,
    /// Collections in here, sorted.
    pub collections: Vec<Digest>,
    /// True for a selective production: some of the evidence is left out on purpose.
    pub partial: bool,
    /// Whether `ledger/checkpoint` had the quorum of cosigners that the collector's policy asks for; false where it asks for none.
    pub quorum: bool,
    /// The exporter took it without the quorum that was asked for. Left out unless it is so.
    #[serde(default, skip_serializing_if = "is_not", deserialize_with = "only_true")]
    pub without_quorum: bool,
}

/// Field of the act of `bundle.exported` that says what [`Overview::without_quorum`] says.
pub const WITHOUT_QUORUM_FIELD: (&str, &str) = ("without_quorum", "yes");

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

/// An optional flag has one spelling: `true`.
fn only_true<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(true),
        false => Err(serde::de::Error::custom("without_quorum is left out unless it is true")),
    }
}

/// The lines of SHA256SUMS: file name → digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Digest>);

impl Sums {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the name is not one that a bundle may hold, is uncovered by definition, or is there already.
    pub fn insert(&mut self, name: &str, digest: Digest) -> Result<(), BundleError> {
        check_name(name)?;
        if UNCOVERED.contains(&name) {
            return Err(BundleError::Uncovered { name: name.to_owned() });
        }
        match self.0.insert(name.to_owned(), digest) {
            None => Ok(()),
            Some(_) => Err(BundleError::Twice { name: name.to_owned() }),
        }
    }

    /// Reads the file; only the one spelling that [`Sums::encode`] writes.
    ///
    /// # Errors
    /// `BundleError` names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let text = str::from_utf8(bytes).map_err(|_not_text| BundleError::Line { line: 1 })?;
        let mut sums = Self::new();
        let mut last: Option<&str> = None;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let bad = BundleError::Line { line: index.saturating_add(1) };
            let Some((digest, name)) = line.strip_suffix('\n').and_then(|line| line.split_once("  ")) else {
                return Err(bad);
            };
            let Ok(digest) = Digest::from_hex(digest) else {
                return Err(bad);
            };
            if last.is_some_and(|last| last >= name) || index >= FILES_MAX {
                return Err(bad);
            }
            sums.insert(name, digest)?;
            last = Some(name);
        }
        if sums.0.is_empty() { Err(BundleError::Line { line: 1 }) } else { Ok(sums) }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.0
            .iter()
            .fold(String::new(), |text, (name, digest)| text + &format!("{digest}  {name}\n"))
            .into_bytes()
    }

    /// A file's digest.
    pub fn digest(&self, name: &str) -> Option<&Digest> {
        self.0.get(name)
    }

    /// All files, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.0.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks a file name: relative, at most six components of `A-Z a-z 0-9 . _ # -`, none empty or beginning with a dot, at most 200 bytes.
///
/// # Errors
/// When it is another.
pub fn check_name(name: &str) -> Result<(), BundleError> {
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'#' | b'-'))
    };
    if name.len() <= 200 && name.split('/').count() <= 6 && name.split('/').all(component) {
        Ok(())
    } else {
        Err(BundleError::Name { name: name.chars().take(200).collect() })
    }
}

/// Bytes that are no bundle file of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A line of SHA256SUMS that is not `<hex>  <name>` in sorted order.
    #[error("line {line} of SHA256SUMS is malformed or out of order")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A name that no bundle may hold.
    #[error("file name {name:?} is not allowed in a bundle")]
    Name {
        /// The name, cut.
        name: String,
    },
    /// A file listed twice.
    #[error("{name} is listed twice")]
    Twice {
        /// Name.
        name: String,
    },
    /// A file that cannot be covered.
    #[error("{name} is made from SHA256SUMS and cannot be listed in it")]
    Uncovered {
        /// Name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_print_back_what_they_parse() {
        let mut sums = Sums::new();
        sums.insert("README.txt", Digest::of(b"a")).unwrap();
        sums.insert("custody/000000.entry", Digest::of(b"b")).unwrap();
        let bytes = sums.encode();
        assert_eq!(Sums::parse(&bytes).unwrap(), sums);
        assert!(
            bytes.starts_with(
                b"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  README.txt\n"
            )
        );
    }

    #[test]
    fn sums_have_one_spelling() {
        let a = Digest::of(b"a");
        for wrong in [
            String::new(),
            format!("{a}  b"),
            format!("{a} *b\n"),
            format!("{a}  b\n{a}  a\n"),
            format!("{a}  b\n{a}  b\n"),
            format!("{a}  b\n\n"),
            format!("{}  b\n", a.to_string().to_uppercase()),
            format!("{a}  ../b\n"),
            format!("{a}  /b\n"),
            format!("{a}  b\r\n"),
            format!("{a}  SHA256SUMS.sig\n"),
            format!("\\{a}  b\n"),
        ] {
            assert!(Sums::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_stay_inside_the_bundle() {
        for good in ["a", "evidence/0f/seals/000000.seal", "deployment/enrolment-web-03-1.json.2.sig"] {
            check_name(good).unwrap();
        }
        for wrong in
            ["", "/a", "a//b", "a/", "./a", "a/../b", ".hidden", "a b", "a\nb", "a\\b", "é", "a/b/c/d/e/f/g"]
        {
            check_name(wrong).unwrap_err();
        }
    }
}
