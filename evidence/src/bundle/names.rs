//! Names of a bundle's files: the permitted ones, and those that SHA256SUMS does not cover.
//! Guarantee: a name that passes [`check_name`] cannot leave the bundle's folder and cannot hide in it.

/// Most time stamps over one file. Each is from another authority.
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

/// Most files of one bundle: enough for a million custody entries with their proofs and more. It bounds a verifier's memory.
pub const FILES_MAX: usize = 4 << 20;

/// Checks a file name: relative, at most six components of `A-Z a-z 0-9 . _ # -`, none empty or beginning with a dot, at most 200 bytes.
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

/// Why bytes cannot be a file of a bundle.
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
    Twice { name: String },
    /// A file that cannot be covered.
    #[error("{name} is made from SHA256SUMS and cannot be listed in it")]
    Uncovered { name: String },
}

#[cfg(test)]
mod tests {
    use super::*;

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
