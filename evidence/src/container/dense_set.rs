//! A set that only grows, and takes hardly more memory than its members.
//!
//! Guarantee: a million members of 8 bytes take 8 MiB and about 1 MiB more, even while the set grows. A hash table
//! doubles instead, and holds the old and the new table at that moment. Not here: the meaning of the members.

use std::collections::BTreeSet;

/// Most new members that are kept apart before they are merged: about 1 MiB.
const FRESH_MAX: usize = 1 << 15;

/// Room added at a time, in members.
const ROOM: usize = 1 << 16;

/// A sorted run and the newcomers that it does not hold yet.
#[derive(Debug, Default)]
pub struct DenseSet<T> {
    sorted: Vec<T>,
    fresh: BTreeSet<T>,
}

impl<T: Copy + Ord + Default> DenseSet<T> {
    /// True the first time.
    pub fn insert(&mut self, member: T) -> bool {
        if self.sorted.binary_search(&member).is_ok() || !self.fresh.insert(member) {
            return false;
        }
        if self.fresh.len() >= FRESH_MAX {
            self.merge();
        }
        true
    }

    /// Whether it was inserted.
    #[must_use]
    pub fn contains(&self, member: &T) -> bool {
        self.fresh.contains(member) || self.sorted.binary_search(member).is_ok()
    }

    /// Merges from the back, in place.
    fn merge(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let mut old = self.sorted.len();
        let mut place = old + fresh.len();
        if self.sorted.capacity() < place {
            self.sorted.reserve_exact(fresh.len().max(ROOM));
        }
        self.sorted.resize(place, T::default());
        for newcomer in fresh.into_iter().rev() {
            while let Some(largest) = old.checked_sub(1).and_then(|last| self.sorted.get(last).copied())
                && largest > newcomer
            {
                place -= 1;
                old -= 1;
                if let Some(slot) = self.sorted.get_mut(place) {
                    *slot = largest;
                }
            }
            place -= 1;
            if let Some(slot) = self.sorted.get_mut(place) {
                *slot = newcomer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_new_once_over_many_merges() {
        let mut set = DenseSet::default();
        // An odd factor visits the numbers out of order, each once.
        let member = |number: u32| number.wrapping_mul(2_654_435_761);
        for number in 0..200_000 {
            assert!(!set.contains(&member(number)), "{number}");
            assert!(set.insert(member(number)), "{number}");
            assert!(!set.insert(member(number / 2)), "{number}");
        }
        for number in 0..200_000 {
            assert!(set.contains(&member(number)) && !set.insert(member(number)), "{number}");
        }
        assert!(!set.contains(&member(200_000)));
        assert!(set.sorted.is_sorted() && set.sorted.len() + set.fresh.len() == 200_000);
        assert!(set.sorted.capacity() <= 200_000 + ROOM);
    }
}
