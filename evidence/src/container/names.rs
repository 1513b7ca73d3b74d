//! The member names in use, at 8 bytes for each name.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use crate::container::dense_set::DenseSet;
use crate::digest::Digest;

/// Why a name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// The name is a member already: two readers would show two contents.
    Duplicate,
    /// The name lies below a member that is not a directory: extraction would pass through a symlink.
    BelowOther,
}

/// A set of names, kept as SipHash under a key of this process. Two different names clash with probability 2^-64, and
/// nobody outside can aim for it.
#[derive(Default)]
pub(super) struct Names<S = RandomState> {
    key: S,
    seen: DenseSet<u64>,
}

impl<S: BuildHasher<Hasher: Clone>> Names<S> {
    /// Adds a member name. Directories, and only they, end in `/`. One pass over the name, however deep it is.
    pub(super) fn insert(&mut self, name: &[u8]) -> Result<(), Clash> {
        let (bare, own, other) = match name.split_last() {
            Some((b'/', bare)) => (bare, DIRECTORY, OTHER),
            _ => (name, OTHER, DIRECTORY),
        };
        let mut prefix = self.key.build_hasher();
        for (depth, component) in bare.split(|byte| *byte == b'/').enumerate() {
            if depth > 0 {
                if self.seen.contains(&tag(&prefix, OTHER)) {
                    return Err(Clash::BelowOther);
                }
                prefix.write_u8(b'/');
            }
            prefix.write(component);
        }
        if self.seen.contains(&tag(&prefix, other)) || !self.seen.insert(tag(&prefix, own)) {
            return Err(Clash::Duplicate);
        }
        Ok(())
    }
}

const OTHER: u8 = 0;
const DIRECTORY: u8 = 1;

/// The kind comes last, so that the hash state of a name continues as the state of the names below it.
fn tag<H: Hasher + Clone>(prefix: &H, kind: u8) -> u64 {
    let mut tag = prefix.clone();
    tag.write_u8(kind);
    tag.finish()
}

/// Members that a later hard link may name. Each is one keyed hash of everything that the link repeats.
#[derive(Default)]
pub(super) struct LinkTargets {
    key: RandomState,
    seen: DenseSet<u64>,
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
        let mut names = <Names>::default();
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

    thread_local! {
        /// Bytes that went into a [`Counting`] hasher on this thread.
        static HASHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// The standard hasher, which counts what it hashes.
    #[derive(Default, Clone)]
    struct Counting(std::hash::DefaultHasher);

    impl Hasher for Counting {
        fn write(&mut self, bytes: &[u8]) {
            HASHED.set(HASHED.get() + bytes.len());
            self.0.write(bytes);
        }

        fn finish(&self) -> u64 {
            self.0.finish()
        }
    }

    #[test]
    fn a_deep_name_is_hashed_once() {
        let mut names = Names::<std::hash::BuildHasherDefault<Counting>>::default();
        let mut given = 0;
        for i in 0..200_u32 {
            let name = [b"a/".repeat(32_000).as_slice(), i.to_string().as_bytes()].concat();
            given += name.len();
            names.insert(&name).unwrap();
        }
        // Each byte once, and a byte for the kind of each of 32,000 prefixes: 16,000 times more if each prefix were hashed anew.
        assert!((given..2 * given).contains(&HASHED.get()), "{} bytes hashed of {given}", HASHED.get());
    }
}
