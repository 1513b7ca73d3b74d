//! The outcome of one item. Format: docs/spec/container.md, *Outcomes*.
//! Guarantee: the list is frozen. A value that this version does not know is kept as written and is never ok.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Outcome of one item. Ordered and compared by its text form, so that maps keyed by it are sorted as manifests are.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Every byte was read, and nothing changed between first and last look.
    Ok,
    /// The object was longer after the read; the bytes up to the size at open were read.
    Grew,
    /// The object was shorter than at open before the read ended.
    Truncated,
    /// The path now names another object; the content is that of the opened one.
    Replaced,
    /// Times, links or content changed during the read.
    Modified,
    /// Modified within the clock's resolution of the read.
    PossiblyChanged,
    /// Gone between listing and opening, or unlinked during the read.
    Vanished,
    /// A range could not be read.
    IoError,
    /// The deadline passed.
    Timeout,
    /// The kernel refused.
    Denied,
    /// Named by the plan, not there.
    Absent,
    /// This kernel or build cannot.
    Unsupported,
    /// The endpoint's owner does not permit reading it.
    SkippedPolicy,
    /// A limit of order or policy.
    SkippedLimit,
    /// Not opened because of its type.
    SkippedType,
    /// Already collected, or a cycle.
    SkippedLoop,
    /// A filter of the plan excluded it, and asked for that to be recorded.
    SkippedFilter,
    /// The collection ended while it was being read.
    Interrupted,
    /// A value of a later version, as written.
    Other(String),
}

impl Outcome {
    /// Text form, as records and manifests spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ok => "ok",
            Self::Grew => "grew",
            Self::Truncated => "truncated",
            Self::Replaced => "replaced",
            Self::Modified => "modified",
            Self::PossiblyChanged => "possibly_changed",
            Self::Vanished => "vanished",
            Self::IoError => "io_error",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::Absent => "absent",
            Self::Unsupported => "unsupported",
            Self::SkippedPolicy => "skipped_policy",
            Self::SkippedLimit => "skipped_limit",
            Self::SkippedType => "skipped_type",
            Self::SkippedLoop => "skipped_loop",
            Self::SkippedFilter => "skipped_filter",
            Self::Interrupted => "interrupted",
            Self::Other(text) => text,
        }
    }

    /// True only for `ok`: an unknown outcome is not ok.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// True if the frozen table says that there is no content. A file with such an outcome has no member.
    #[must_use]
    pub fn is_without_content(&self) -> bool {
        matches!(
            self,
            Self::Denied
                | Self::Absent
                | Self::Unsupported
                | Self::SkippedPolicy
                | Self::SkippedType
                | Self::SkippedLoop
                | Self::SkippedFilter
        )
    }

    fn from_text(text: &str) -> Self {
        match text {
            "ok" => Self::Ok,
            "grew" => Self::Grew,
            "truncated" => Self::Truncated,
            "replaced" => Self::Replaced,
            "modified" => Self::Modified,
            "possibly_changed" => Self::PossiblyChanged,
            "vanished" => Self::Vanished,
            "io_error" => Self::IoError,
            "timeout" => Self::Timeout,
            "denied" => Self::Denied,
            "absent" => Self::Absent,
            "unsupported" => Self::Unsupported,
            "skipped_policy" => Self::SkippedPolicy,
            "skipped_limit" => Self::SkippedLimit,
            "skipped_type" => Self::SkippedType,
            "skipped_loop" => Self::SkippedLoop,
            "skipped_filter" => Self::SkippedFilter,
            "interrupted" => Self::Interrupted,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl FromStr for Outcome {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from_text(text))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Outcome {}

impl PartialOrd for Outcome {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Outcome {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Outcome {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::from_text(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_of_the_specification_is_known_and_keeps_its_text() {
        let spec = include_str!("../../../docs/spec/container.md");
        let table = spec.split("## Outcomes").nth(1).unwrap();
        let names: Vec<&str> =
            table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(names.len(), 18, "{names:?}");
        for name in names {
            let outcome: Outcome = name.parse().unwrap();
            assert!(!matches!(outcome, Outcome::Other(_)), "{name}");
            assert_eq!(outcome.as_str(), name);
            assert_eq!(outcome.is_ok(), name == "ok");
        }
    }

    #[test]
    fn an_unknown_outcome_is_kept_and_is_not_ok() {
        let outcome: Outcome = serde_json::from_str("\"melted\"").unwrap();
        assert_eq!(outcome, Outcome::Other("melted".into()));
        assert!(!outcome.is_ok());
        assert_eq!(serde_json::to_string(&outcome).unwrap(), "\"melted\"");
    }
}
