//! Patterns of file paths: their form, not their matching.
//! Guarantee: a glob that parses is an absolute path without `.`, `..` or empty components.
//! Not here: what the components mean ([`super::pattern`]), matching against a file system (the agent).

use std::fmt;
use std::str::FromStr;

use super::pattern::{GlobError, check_name, depth, parts};
use crate::text::serde_as_text;

/// Longest glob: 4096 bytes, Linux's longest path (PATH_MAX).
pub(crate) const GLOB_BYTES_MAX: usize = 4096;

/// An absolute path with wildcards: `*`, `?`, `**`, `**N`, `[…]`, `{a,b}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components between slashes; none for `/`.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// True when no component has a wildcard: the pattern names one object.
    pub fn is_literal(&self) -> bool {
        self.components().all(is_literal)
    }

    /// The components before the first that has a wildcard.
    pub fn literal_prefix(&self) -> impl Iterator<Item = &str> {
        self.components().take_while(|component| is_literal(component))
    }
}

/// Characters that make a component match more than itself; a backslash hides the one behind it.
pub(super) const WILDCARDS: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// True when a component matches only itself.
pub(super) fn is_literal(component: &str) -> bool {
    !component.contains(WILDCARDS)
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let path = text.strip_prefix('/').ok_or(GlobError::Relative)?;
        if text.len() > GLOB_BYTES_MAX || text.contains('\0') {
            return Err(GlobError::Long);
        }
        parts(path).try_for_each(check_name)?;
        // Inside braces a slash, dot or empty choice would make paths that no component shows.
        let mut braces = 0_usize;
        for byte in path.bytes() {
            match byte {
                b'{' => braces += 1,
                b'}' => braces = braces.checked_sub(1).ok_or(GlobError::Braces)?,
                b'/' if braces > 0 => return Err(GlobError::Braces),
                _ => {}
            }
        }
        if braces != 0 {
            return Err(GlobError::Braces);
        }
        parts(path).try_for_each(|part| depth(part).map(drop))?;
        Ok(Self(text.to_owned()))
    }
}
serde_as_text!(Glob);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_patterns_are_read() {
        for good in ["/", "/etc/passwd", "/var/log/**", "/home/*/.bash_history", "/a/**3/b?", "/{a,b}/[c-d]*"]
        {
            assert_eq!(good.parse::<Glob>().unwrap().as_str(), good);
        }
        for wrong in [
            "", "etc", "//", "/a//b", "/a/", "/a/../b", "/./a", "/a/..", "/**0", "/**65", "/**x", "/**/***",
            "/{a", "/a}", "/{a/b}", "/{a,b}}", "/a\0", "/**01",
        ] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong:?}");
        }
        assert!(format!("/{}", "a".repeat(4096)).parse::<Glob>().is_err());
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_wildcard_component() {
        let prefix =
            |text: &str| text.parse::<Glob>().unwrap().literal_prefix().collect::<Vec<_>>().join("/");
        assert_eq!(prefix("/etc/ssh/*_key"), "etc/ssh");
        assert_eq!(prefix("/{home,root}/x"), "");
        assert_eq!(prefix("/etc/passwd"), "etc/passwd");
        assert!("/etc/passwd".parse::<Glob>().unwrap().is_literal());
    }
}
