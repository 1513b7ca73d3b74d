//! The grammar of path patterns (docs/spec/order.md, *Step*): from text to components.
//!
//! Signed orders carry the stricter [`super::Glob`], whose braces stay inside one component. An owner's policy may let
//! them span components; both are read here. Guarantee: reading is bounded by [`PATTERNS_MAX`]. Not here: the shape of
//! a single name (crate `globset`, in the agent) and matching against a file system.

use crate::text::decimal;

/// Most patterns that one text may stand for once its braces are multiplied out.
pub const PATTERNS_MAX: usize = 8192;

/// Largest depth of `**N`.
const DEPTH_MAX: u64 = 64;

/// One name on the way, or some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// Exactly this name.
    Literal(String),
    /// Any one name.
    Any,
    /// A name of this shape, in the syntax of `globset`.
    Shape(String),
    /// From none to this many names.
    Deep(u32),
}

/// A pattern without braces that span components: the names from `/` to what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Component>);

impl Pattern {
    /// Reads every pattern that `text` stands for.
    ///
    /// # Errors
    /// [`GlobError`] names the rule that is broken, in the text or in one of its alternatives.
    pub fn read_all(text: &str) -> Result<Vec<Self>, GlobError> {
        multiply_out(text)?.iter().map(|plain| Self::read(plain)).collect()
    }

    /// The components, from `/` on. None: the pattern is `/` itself.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.0
    }

    fn read(plain: &str) -> Result<Self, GlobError> {
        let below = plain.strip_prefix('/').ok_or(GlobError::Relative)?;
        let mut components = Vec::new();
        for part in parts(below) {
            check_name(part)?;
            if part.contains('\0') {
                return Err(GlobError::Long);
            }
            components.push(match depth(part)? {
                Some(depth) => Component::Deep(depth),
                None if part == "*" => Component::Any,
                None if part.contains(['*', '?', '[', '{', '\\']) => Component::Shape(part.to_owned()),
                None => Component::Literal(part.to_owned()),
            });
        }
        // At the end, `**` means what is below, not the directory itself: it takes at least one name.
        if let Some(Component::Deep(most)) = components.last() {
            let more = most - 1;
            components.pop();
            if more > 0 {
                components.push(Component::Deep(more));
            }
            components.push(Component::Any);
        }
        Ok(Self(components))
    }
}

/// The parts of a path between slashes; none of the empty path.
pub(super) fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').take(if path.is_empty() { 0 } else { usize::MAX })
}

/// Refuses names that no directory lists.
pub(super) fn check_name(part: &str) -> Result<(), GlobError> {
    if matches!(part, "" | "." | "..") { Err(GlobError::Component) } else { Ok(()) }
}

/// How many names a component may take: `**` any number, `**N` at most N, anything else exactly one (`None`).
pub(super) fn depth(part: &str) -> Result<Option<u32>, GlobError> {
    let Some(number) = part.strip_prefix("**") else {
        return Ok(None);
    };
    if number.is_empty() {
        return Ok(Some(u32::MAX));
    }
    let number = decimal(number).filter(|number| (1..=DEPTH_MAX).contains(number));
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or(GlobError::Depth)
}

/// Multiplies out `{a,b}`, because an alternative may span several components.
fn multiply_out(text: &str) -> Result<Vec<String>, GlobError> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(text) = open.pop() {
        if done.len() + open.len() > PATTERNS_MAX {
            return Err(GlobError::TooMany);
        }
        match first_braces(&text)? {
            None => done.push(text),
            Some(Braces { before, alternatives, after }) => {
                open.extend(alternatives.iter().rev().map(|choice| format!("{before}{choice}{after}")));
            }
        }
    }
    Ok(done)
}

struct Braces {
    before: String,
    alternatives: Vec<String>,
    after: String,
}

/// Finds the first `{…}` outside `[…]` and escapes.
fn first_braces(text: &str) -> Result<Option<Braces>, GlobError> {
    let (mut before, mut current, mut after) = (String::new(), String::new(), String::new());
    let mut alternatives = Vec::new();
    let (mut depth, mut in_class, mut is_closed) = (0_u32, false, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let place = match (is_closed, depth) {
            (true, _) => &mut after,
            (false, 0) => &mut before,
            (false, _) => &mut current,
        };
        match letter {
            '\\' => {
                place.push(letter);
                place.extend(letters.next());
            }
            _ if is_closed => place.push(letter),
            '[' | ']' => {
                in_class = letter == '[';
                place.push(letter);
            }
            '{' if !in_class => {
                depth += 1;
                if depth > 1 {
                    place.push(letter);
                }
            }
            '}' if !in_class => {
                depth = depth.checked_sub(1).ok_or(GlobError::Braces)?;
                if depth == 0 {
                    alternatives.push(std::mem::take(&mut current));
                    is_closed = true;
                } else {
                    place.push(letter);
                }
            }
            ',' if depth == 1 && !in_class => alternatives.push(std::mem::take(&mut current)),
            _ => place.push(letter),
        }
    }
    if depth > 0 {
        return Err(GlobError::Braces);
    }
    Ok(is_closed.then_some(Braces { before, alternatives, after }))
}

/// A text that is not a pattern of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// Braces that do not close, or hold a slash where they must not.
    #[error("braces of a glob do not close within one path component")]
    Braces,
    /// `//`, `.`, `..` or a trailing slash.
    #[error("glob has an empty component, `.` or `..`; write the path without them")]
    Component,
    /// `**N` with another N, or followed by more.
    #[error("`**` stands alone in its component, or with a depth: **1 to **64")]
    Depth,
    /// Over 4096 bytes, or with a NUL.
    #[error("glob is longer than 4096 bytes or has a NUL")]
    Long,
    /// The pattern is not absolute.
    #[error("glob is not an absolute path")]
    Relative,
    /// The text stands for more than [`PATTERNS_MAX`] patterns.
    #[error("braces of a glob stand for more than 8192 patterns")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::super::Glob;
    use super::*;

    fn read(text: &str) -> Result<Vec<Pattern>, GlobError> {
        Pattern::read_all(text)
    }

    fn one(text: &str) -> Vec<Component> {
        let [Pattern(components)] = read(text).unwrap().try_into().unwrap();
        components
    }

    #[test]
    fn components_are_told_apart() {
        use Component::{Any, Deep, Literal, Shape};
        assert_eq!(one("/"), []);
        assert_eq!(one("/etc/*/a?"), [Literal("etc".into()), Any, Shape("a?".into())]);
        assert_eq!(one("/a/**/x"), [Literal("a".into()), Deep(u32::MAX), Literal("x".into())]);
        assert_eq!(one("/a/**3/x"), [Literal("a".into()), Deep(3), Literal("x".into())]);
        assert_eq!(one("/a/**3"), [Literal("a".into()), Deep(2), Any], "what is below, not `a` itself");
        assert_eq!(one("/a/**1"), [Literal("a".into()), Any]);
        assert_eq!(one("/a\\*b"), [Shape("a\\*b".into())]);
    }

    #[test]
    fn braces_are_multiplied_out_in_order() {
        let names = |text: &str| -> Vec<String> {
            let name = |component: &Component| match component {
                Component::Literal(name) => name.clone(),
                other => format!("{other:?}"),
            };
            let join = |pattern: &Pattern| pattern.0.iter().map(name).collect::<Vec<_>>().join("/");
            read(text).unwrap().iter().map(join).collect()
        };
        assert_eq!(names("/{etc,var/{log,lib}}/x"), ["etc/x", "var/log/x", "var/lib/x"]);
        assert_eq!(names("/a/{b,}c"), ["a/bc", "a/c"]);
        assert_eq!(one("/[{]"), [Component::Shape("[{]".into())]);
        assert_eq!(read(&format!("/{}", "{a,b}".repeat(14))), Err(GlobError::TooMany));
    }

    /// What the two parsers accepted that this one replaces: that of signed orders, and the agent's.
    #[test]
    fn nothing_is_accepted_or_refused_that_was_not_before() {
        for (text, in_orders, as_pattern) in [
            ("/", true, true),
            ("/etc/passwd", true, true),
            ("/var/log/**", true, true),
            ("/home/*/.bash_history", true, true),
            ("/a/**3/b?", true, true),
            ("/{a,b}/[c-d]*", true, true),
            ("/{a,{b,c}}/x", true, true),
            ("/a/b{,c}", true, true),
            ("/a**b/x", true, true),
            ("/[}{]", false, true),
            ("", false, false),
            ("etc", false, false),
            ("//", false, false),
            ("/a//b", false, false),
            ("/a/", false, false),
            ("/a/../b", false, false),
            ("/./a", false, false),
            ("/**0", false, false),
            ("/**65", false, false),
            ("/**01", false, false),
            ("/**x", false, false),
            ("/**/***", false, false),
            ("/{a", false, false),
            ("/a}", false, false),
            ("/{a,b}}", false, false),
            ("/a\0", false, false),
            // Wider in an owner's policy: braces over components, in classes and behind escapes.
            ("/{a/b}", false, true),
            ("/{etc,var/{log,lib}}/x", false, true),
            ("/[{]", false, true),
            ("/a\\{", false, true),
            // Wider in an order: an alternative that no path can have. The step then says so in its outcome.
            ("/{**0,x}", true, false),
            ("/{.,a}/b", true, false),
            ("/{,a}/b", true, false),
            ("/a/{b,}", true, false),
        ] {
            assert_eq!(text.parse::<Glob>().is_ok(), in_orders, "order: {text:?}");
            assert_eq!(read(text).is_ok(), as_pattern, "pattern: {text:?}");
        }
    }
}
