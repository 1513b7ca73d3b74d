//! The limits of a collection. The order sets some and the endpoint's owner sets some; the smaller one counts.

use serde::{Deserialize, Serialize};

use crate::json::INTEGER_MAX;

/// Limits of one collection, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds from begin to end.
    pub wall_s: u64,
    /// Compressed bytes of all segments.
    pub stored_bytes: u64,
    /// Bytes of the plain tar stream.
    pub plain_bytes: u64,
    /// Logical bytes of one file; a larger one is `skipped_limit`.
    pub item_bytes: u64,
    /// Number of items.
    pub items: u64,
    /// Share of one processor, 1 to 100.
    pub cpu_pct: u64,
}

impl Limits {
    /// The smaller of each limit.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            wall_s: self.wall_s.min(other.wall_s),
            stored_bytes: self.stored_bytes.min(other.stored_bytes),
            plain_bytes: self.plain_bytes.min(other.plain_bytes),
            item_bytes: self.item_bytes.min(other.item_bytes),
            items: self.items.min(other.items),
            cpu_pct: self.cpu_pct.min(other.cpu_pct),
        }
    }

    /// Checks that every limit is at least 1, within JSON's integers, and `cpu_pct` at most 100.
    pub fn validate(&self) -> Result<(), &'static str> {
        let all =
            [self.wall_s, self.stored_bytes, self.plain_bytes, self.item_bytes, self.items, self.cpu_pct];
        if all.iter().any(|limit| *limit == 0 || *limit > INTEGER_MAX.unsigned_abs()) {
            return Err("a limit is 1 to 2^53 - 1");
        }
        if self.cpu_pct > 100 { Err("cpu_pct is 1 to 100") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_each_limit_counts() {
        let order =
            Limits { wall_s: 1, stored_bytes: 20, plain_bytes: 3, item_bytes: 40, items: 5, cpu_pct: 60 };
        let owner =
            Limits { wall_s: 10, stored_bytes: 2, plain_bytes: 30, item_bytes: 4, items: 50, cpu_pct: 6 };
        let both = Limits { wall_s: 1, stored_bytes: 2, plain_bytes: 3, item_bytes: 4, items: 5, cpu_pct: 6 };
        assert_eq!((order.min(&owner), owner.min(&order)), (both, both));
        assert!(both.validate().is_ok());
        assert!(Limits { items: 0, ..both }.validate().is_err());
        assert!(Limits { cpu_pct: 101, ..both }.validate().is_err());
        assert!(Limits { wall_s: 1 << 53, ..both }.validate().is_err());
    }
}
