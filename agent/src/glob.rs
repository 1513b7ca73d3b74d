//! Globs over raw path bytes, compiled to states that a walk carries down the tree.
//! [`evidence::order::Pattern`] defines the grammar and parses it.
//!
//! Guarantee: a walk that follows the states enters only directories below which something can match. It
//! lists only directories in which a name is not known beforehand. Not here: the walk (`reader::files`).

use evidence::order::{self, PATTERNS_MAX, Pattern};
use globset::{GlobBuilder, GlobMatcher};

/// Why a glob cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// The text breaks the grammar.
    #[error("glob {glob:?}")]
    Grammar {
        /// The text.
        glob: String,
        /// The rule that it breaks.
        #[source]
        source: order::GlobError,
    },
    /// globset refused the pattern of a name.
    #[error("glob {glob:?} has a malformed component")]
    Globset {
        /// The text.
        glob: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// All globs of one list, together.
    #[error("globs stand for more than {PATTERNS_MAX} patterns")]
    TooMany,
}

/// One component of a pattern.
#[derive(Debug, Clone)]
enum Component {
    /// Exactly this name.
    Literal(Vec<u8>),
    /// Any single name.
    Any,
    /// A name that matches this pattern.
    Shape(Box<GlobMatcher>),
    /// Any number of names, also none.
    Deep(u32),
}

/// Compiled globs.
#[derive(Debug, Default)]
pub struct Globs {
    patterns: Vec<Vec<Component>>,
}

/// A position in one pattern: the components from `component` on are still to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    pattern: usize,
    component: usize,
    /// How many more names a [`Component::Deep`] at this position may take.
    left: u32,
}

/// All positions that a directory on the way has reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(Vec<State>);

impl Globs {
    /// Compiles globs.
    ///
    /// # Errors
    /// [`GlobError`] for the first that is no glob.
    pub(crate) fn compile<T: AsRef<str>>(globs: &[T]) -> Result<Self, GlobError> {
        let mut patterns = Vec::new();
        for glob in globs {
            let glob = glob.as_ref();
            let read = Pattern::read_all(glob);
            for pattern in read.map_err(|source| GlobError::Grammar { glob: glob.to_owned(), source })? {
                patterns.push(compile(glob, &pattern)?);
                if patterns.len() > PATTERNS_MAX {
                    return Err(GlobError::TooMany);
                }
            }
        }
        Ok(Self { patterns })
    }

    /// True if there is no glob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The states of `/`.
    #[must_use]
    pub fn root(&self) -> States {
        let mut states = Vec::new();
        for pattern in 0..self.patterns.len() {
            self.add(pattern, 0, &mut states);
        }
        States(states)
    }

    /// The states of `name` in a directory that has the states `states`.
    #[must_use]
    pub fn enter(&self, states: &States, name: &[u8]) -> States {
        let mut next = Vec::new();
        for state in &states.0 {
            match self.component(*state) {
                Some(Component::Literal(wanted)) if wanted == name => {
                    self.add(state.pattern, state.component + 1, &mut next);
                }
                Some(Component::Any) => self.add(state.pattern, state.component + 1, &mut next),
                Some(Component::Shape(shape)) if is_match(shape, name) => {
                    self.add(state.pattern, state.component + 1, &mut next);
                }
                Some(Component::Deep(_)) if state.left > 0 => {
                    next.push(State { left: state.left - 1, ..*state });
                    self.add(state.pattern, state.component + 1, &mut next);
                }
                Some(_) | None => {}
            }
        }
        next.sort_unstable();
        next.dedup();
        States(next)
    }

    /// True if the object itself is matched.
    #[must_use]
    pub(crate) fn is_matched(&self, states: &States) -> bool {
        states.0.iter().any(|state| self.component(*state).is_none())
    }

    /// True if something below it can match.
    #[must_use]
    pub(crate) fn can_match_below(&self, states: &States) -> bool {
        states.0.iter().any(|state| self.component(*state).is_some())
    }

    /// True if the walk must list names to find matches.
    #[must_use]
    pub(crate) fn needs_listing(&self, states: &States) -> bool {
        let is_open = |state: &State| {
            matches!(self.component(*state), Some(Component::Any | Component::Shape(_) | Component::Deep(_)))
        };
        states.0.iter().any(is_open)
    }

    /// The names that the patterns spell out for this directory, sorted.
    #[must_use]
    pub(crate) fn literal_names(&self, states: &States) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> = states
            .0
            .iter()
            .filter_map(|state| match self.component(*state) {
                Some(Component::Literal(name)) => Some(name.as_slice()),
                Some(_) | None => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// True if the plan names this place itself: some pattern has reached it over spelled-out names only.
    #[must_use]
    pub(crate) fn is_named(&self, states: &States) -> bool {
        states.0.iter().any(|state| {
            // A `**` that has taken names is already at its position. The names that it took are not spelled
            // out.
            let has_taken =
                matches!(self.component(*state), Some(Component::Deep(most)) if state.left < *most);
            !has_taken && self.behind(*state).is_some_and(all_literal)
        })
    }

    /// For a name that does not exist: the full paths that the plan spells out through it, sorted. For a
    /// pattern with wildcards, only its spelled-out beginning.
    #[must_use]
    pub(crate) fn named_through(&self, states: &States, name: &[u8]) -> Vec<Vec<u8>> {
        let mut paths = Vec::new();
        for state in &states.0 {
            let is_this =
                matches!(self.component(*state), Some(Component::Literal(wanted)) if wanted == name);
            if is_this && self.behind(*state).is_some_and(all_literal) {
                let mut path = Vec::new();
                for component in self.patterns.get(state.pattern).into_iter().flatten() {
                    let Component::Literal(part) = component else {
                        break;
                    };
                    path.push(b'/');
                    path.extend_from_slice(part);
                }
                paths.push(path);
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// True if `path` or a directory above it is matched. Exclusions and denials apply to whole trees in this
    /// way.
    #[must_use]
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        let mut states = self.root();
        if self.is_matched(&states) {
            return true;
        }
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            states = self.enter(&states, name);
            if self.is_matched(&states) {
                return true;
            }
        }
        false
    }

    fn component(&self, state: State) -> Option<&Component> {
        self.patterns.get(state.pattern)?.get(state.component)
    }

    fn behind(&self, state: State) -> Option<&[Component]> {
        self.patterns.get(state.pattern)?.get(..state.component)
    }

    /// Adds a position, and also the next one if a `**` may match no name.
    fn add(&self, pattern: usize, component: usize, states: &mut Vec<State>) {
        let state = State { pattern, component, left: 0 };
        match self.component(state) {
            Some(Component::Deep(most)) => {
                states.push(State { left: *most, ..state });
                self.add(pattern, component + 1, states);
            }
            Some(_) | None => states.push(state),
        }
    }
}

fn all_literal(components: &[Component]) -> bool {
    components.iter().all(|component| matches!(component, Component::Literal(_)))
}

fn is_match(shape: &GlobMatcher, name: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    shape.is_match(std::ffi::OsStr::from_bytes(name))
}

fn compile(glob: &str, pattern: &Pattern) -> Result<Vec<Component>, GlobError> {
    let one = |component: &order::Component| {
        Ok(match component {
            order::Component::Literal(name) => Component::Literal(name.as_bytes().to_vec()),
            order::Component::Any => Component::Any,
            order::Component::Deep(most) => Component::Deep(*most),
            order::Component::Shape(shape) => {
                let shape = GlobBuilder::new(shape)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|source| GlobError::Globset { glob: glob.to_owned(), source })?;
                Component::Shape(Box::new(shape.compile_matcher()))
            }
        })
    };
    pattern.components().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_matched(glob: &str, path: &[u8]) -> bool {
        let globs = Globs::compile(&[glob]).unwrap();
        let mut states = globs.root();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            assert!(globs.can_match_below(&states) || globs.enter(&states, name) == States::default());
            states = globs.enter(&states, name);
        }
        globs.is_matched(&states)
    }

    #[test]
    fn wildcards_stay_inside_their_component_and_match_raw_bytes() {
        assert!(is_matched("/var/log/*.log", b"/var/log/a\xff\nb.log"));
        assert!(is_matched("/var/log/?", b"/var/log/\xff"));
        assert!(!is_matched("/var/log/*.log", b"/var/log/a/b.log"));
        assert!(is_matched("/e[st]c", b"/etc"));
        assert!(is_matched("/home/*/.ssh", b"/home/.hidden/.ssh"));
        assert!(is_matched("/a\\*b", b"/a*b"));
        assert!(!is_matched("/a\\*b", b"/axb"));
        assert!(is_matched("/", b"/"));
    }

    #[test]
    fn double_stars_cross_directories_up_to_their_number() {
        assert!(is_matched("/var/**", b"/var/a/b/c"));
        assert!(!is_matched("/var/**", b"/var"));
        assert!(is_matched("/tmp/**3", b"/tmp/a"));
        assert!(is_matched("/tmp/**3", b"/tmp/a/b/c"));
        assert!(!is_matched("/tmp/**3", b"/tmp/a/b/c/d"));
        assert!(is_matched("/a/**/x", b"/a/x"));
        assert!(is_matched("/a/**2/x", b"/a/b/c/x"));
        assert!(!is_matched("/a/**2/x", b"/a/b/c/d/x"));
        assert!(is_matched("/**", b"/anything/at/all"));
    }

    #[test]
    fn alternatives_may_span_components_and_nest() {
        for path in [&b"/etc/x"[..], b"/var/log/x", b"/var/lib/x"] {
            assert!(is_matched("/{etc,var/{log,lib}}/x", path), "{path:?}");
        }
        assert!(!is_matched("/{etc,var/{log,lib}}/x", b"/var/x"));
        assert!(is_matched("/a/{b,}c", b"/a/c"));
        assert!(is_matched("/a/[{]", b"/a/{"));
    }

    #[test]
    fn only_literal_prefixes_are_walked_without_listing() {
        let globs = Globs::compile(&["/var/log/*.log", "/var/log/syslog", "/etc/passwd"]).unwrap();
        let root = globs.root();
        assert!(!globs.needs_listing(&root));
        assert_eq!(globs.literal_names(&root), [&b"etc"[..], b"var"]);
        let log = globs.enter(&globs.enter(&root, b"var"), b"log");
        assert!(globs.needs_listing(&log) && globs.is_named(&log));
        assert_eq!(globs.named_through(&log, b"syslog"), [b"/var/log/syslog".to_vec()]);
        assert_eq!(globs.named_through(&root, b"var"), [b"/var/log".to_vec(), b"/var/log/syslog".to_vec()]);
        assert_eq!(globs.enter(&root, b"usr"), States::default());
        let all = Globs::compile(&["/**"]).unwrap();
        assert!(all.is_named(&all.root()));
        assert!(!all.is_named(&all.enter(&all.root(), b"mnt")), "what `**` took is not named");
    }

    #[test]
    fn a_covering_glob_covers_the_whole_tree_below_its_match() {
        let globs = Globs::compile(&["/home/*/private", "/etc/shadow"]).unwrap();
        assert!(globs.covers(b"/home/a/private/deep/file"));
        assert!(globs.covers(b"/etc/shadow"));
        assert!(!globs.covers(b"/home/a/public"));
        assert!(!globs.covers(b"/etc"));
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for wrong in [
            "etc", "", "/a//b", "/a/", "/../x", "/./x", "/{a", "/a}", "/**0", "/**65", "/**x", "/a**/[",
            "/[a",
        ] {
            assert!(Globs::compile(&[wrong]).is_err(), "{wrong:?}");
        }
        let many = "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}";
        assert!(matches!(
            Globs::compile(&[many]),
            Err(GlobError::Grammar { source: order::GlobError::TooMany, .. })
        ));
    }
}
