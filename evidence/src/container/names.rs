//! Member names already used, at 8 bytes a name.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::digest::Digest;

/// Why a name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// It is a member already: two readers would show two contents.
    Duplicate,
    /// It lies below a member that is no directory: extraction would pass through a symlink.
    BelowOther,
}

/// A set of names, kept as SipHash under a key of this process. Two different names clash with probability 2^-64, and
/// nobody outside can aim for it.
#[derive(Default)]
pub(super) struct Names {
    key: RandomState,
    seen: HashSet<u64>,
}

impl Names {
    /// Adds a member name. Directories, and only they, end in `/`.
    pub(super) fn insert(&mut self, name: &[u8]) -> Result<(), Clash> {
        let (bare, other) = match name.split_last() {
            Some((b'/', bare)) => (bare, self.other(bare)),
            _ => (name, self.directory(name)),
        };
        let own = if bare.len() == name.len() { self.other(name) } else { self.directory(bare) };
        if self.seen.contains(&own) || self.seen.contains(&other) {
            return Err(Clash::Duplicate);
        }
        for (at, byte) in bare.iter().enumerate() {
            if *byte == b'/' && self.seen.contains(&self.other(bare.get(..at).unwrap_or_default())) {
                return Err(Clash::BelowOther);
            }
        }
        self.seen.insert(own);
        Ok(())
    }

    fn directory(&self, bare: &[u8]) -> u64 {
        self.key.hash_one((1_u8, bare))
    }

    fn other(&self, bare: &[u8]) -> u64 {
        self.key.hash_one((0_u8, bare))
    }
}

/// Members that a later hard link may name, as one keyed hash each of all that the link repeats.
#[derive(Default)]
pub(super) struct LinkTargets {
    key: RandomState,
    seen: HashSet<u64>,
}

impl LinkTargets {
    pub(super) fn insert(&mut self, n: u64, member: &[u8], size: u64, sha256: Option<Digest>) {
        let tag = self.key.hash_one((n, member, size, sha256));
        self.seen.insert(tag);
    }

    pub(super) fn contains(&self, n: u64, member: &[u8], size: u64, sha256: Option<Digest>) -> bool {
        self.seen.contains(&self.key.hash_one((n, member, size, sha256)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_used_once_as_whatever_kind() {
        let mut names = Names::default();
        names.insert(b"[root]/a").unwrap();
        names.insert(b"[root]/d/").unwrap();
        names.insert(b"[root]/d/x").unwrap();
        assert_eq!(names.insert(b"[root]/a"), Err(Clash::Duplicate));
        assert_eq!(names.insert(b"[root]/a/"), Err(Clash::Duplicate));
        assert_eq!(names.insert(b"[root]/d"), Err(Clash::Duplicate));
        assert_eq!(names.insert(b"[root]/a/b"), Err(Clash::BelowOther));
        assert_eq!(names.insert(b"[root]/a/b/c/"), Err(Clash::BelowOther));
        names.insert(b"[root]/ab").unwrap();
        names.insert(b"[root]/").unwrap();
    }
}
