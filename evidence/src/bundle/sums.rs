//! SHA256SUMS: the list of a bundle's files with their digests.
//! Guarantee: `parse` accepts exactly the bytes that `encode` writes, so one set of files has one SHA256SUMS.

use std::collections::BTreeMap;

use super::names::{BundleError, FILES_MAX, UNCOVERED, check_name};
use crate::digest::Digest;

/// Namespace of the signature over SHA256SUMS.
pub const SUMS_NAMESPACE: &str = "exhibit-bundle-v1";

/// The lines of SHA256SUMS: file name → digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Digest>);

impl Sums {
    /// A list without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file. Refuses a name that no bundle may hold, one of [`UNCOVERED`], and a name that is listed already.
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

    /// Reads the file, in the one spelling that [`Sums::encode`] writes; an error names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let text = str::from_utf8(bytes).map_err(|_not_text| BundleError::Line { line: 1 })?;
        let mut sums = Self::new();
        let mut last: Option<&str> = None;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let bad = BundleError::Line { line: number };
            let Some((digest, name)) = line.strip_suffix('\n').and_then(|line| line.split_once("  ")) else {
                return Err(bad);
            };
            let Ok(digest) = Digest::from_hex(digest) else {
                return Err(bad);
            };
            if last.is_some_and(|last| last >= name) || number > FILES_MAX {
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
}
