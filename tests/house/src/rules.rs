//! The rules, and the names of the places that break them.

use std::collections::{BTreeMap, BTreeSet};

use crate::circles::{Graph, circles};
use crate::imports::{ModulePath, bound, imports, production};
use crate::tokens::{Token, tokens};
use crate::tree::Tree;
use crate::width::wide_lines;

/// Modules of the largest circle that is allowed.
const CIRCLE_MODULES_MAX: usize = 2;
/// Lines of the largest circle that is allowed, children included.
const CIRCLE_LINES_MAX: usize = 1500;
/// Rust files side by side in a folder.
const FOLDER_FILES_MAX: usize = 24;
/// Lines of a Rust file, tests included.
const FILE_LINES_MAX: usize = 600;
/// Characters of a wide line that name it.
const SHOWN: usize = 60;

/// Calls that let time pass and nothing else. `yield_now` is none: a loop around it waits for a condition.
const SLEEPS: [&str; 5] = ["park_timeout", "sleep", "sleep_ms", "sleep_until", "sleep_for"];
/// Test code that may sleep: waiters, which ask a condition between two sleeps, and lines that are slow on purpose.
const WAITERS: [&str; 3] =
    ["store/tests/it/servers/proxy.rs", "testkit/src/wait.rs", "tests/src/proxy/forward.rs"];

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Sibling modules that import each other, directly or round about.
    Circle {
        /// `crate` or `crate::module`: what the siblings hang below.
        below: String,
        /// Their names.
        members: BTreeSet<String>,
    },
    /// A folder with too many Rust files.
    Flat(String),
    /// A name that lib.rs or main.rs re-exports and the crate's own modules import from there: it hides who needs whom.
    Hidden(String),
    /// A file with too many lines.
    Long(String),
    /// Test code that sleeps, which decides what it tests: it has to wait for a condition.
    Sleeps(String),
    /// A line with too many columns outside string literals.
    Wide {
        /// Its file.
        file: String,
        /// How it begins.
        begin: String,
    },
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Circle { below, members } => {
                write!(f, "circle {below}:")?;
                members.iter().try_for_each(|member| write!(f, " {member}"))
            }
            Self::Flat(folder) => write!(f, "flat {folder}"),
            Self::Hidden(name) => write!(f, "hidden {name}"),
            Self::Long(file) => write!(f, "long {file}"),
            Self::Sleeps(file) => write!(f, "sleeps {file}"),
            Self::Wide { file, begin } => write!(f, "wide {file}: {begin}"),
        }
    }
}

/// Every place of the tree that breaks a rule.
pub fn violations(tree: &Tree) -> BTreeSet<Violation> {
    let mut found = BTreeSet::new();
    for (name, source) in &tree.crates {
        let modules = Modules::of(tree, source);
        modules.circles(name, &mut found);
        modules.hidden(tree, name, source, &mut found);
    }
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, text) in &tree.files {
        *folders.entry(path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
        if text.lines().count() > FILE_LINES_MAX {
            found.insert(Violation::Long(path.clone()));
        }
        let code = if is_test(path) { text.as_str() } else { tests_of(text) };
        if !WAITERS.contains(&path.as_str()) && calls(code, &SLEEPS) {
            found.insert(Violation::Sleeps(path.clone()));
        }
        found.extend(wide_lines(text).into_iter().map(|line| Violation::Wide {
            file: path.clone(),
            begin: line.trim_start().chars().take(SHOWN).collect(),
        }));
    }
    let crowded = folders.into_iter().filter(|(_, files)| *files > FOLDER_FILES_MAX);
    found.extend(crowded.map(|(folder, _)| Violation::Flat(folder.to_owned())));
    found
}

/// The production modules of one crate.
struct Modules<'a> {
    files: BTreeMap<ModulePath, &'a str>,
}

impl<'a> Modules<'a> {
    fn of(tree: &'a Tree, source: &str) -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in &tree.files {
            let Some(inside) = path.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let Some(module) = inside.strip_suffix(".rs") else {
                continue;
            };
            if module != "lib" && module != "main" && !is_test(path) {
                files.insert(module.split('/').map(str::to_owned).collect(), text.as_str());
            }
        }
        Self { files }
    }

    /// The module that a path leads to or into.
    fn reached(&self, path: &[String]) -> Option<ModulePath> {
        (1..=path.len())
            .rev()
            .filter_map(|len| path.get(..len))
            .find(|part| self.files.contains_key(*part))
            .map(<[_]>::to_vec)
    }

    fn circles(&self, name: &str, found: &mut BTreeSet<Violation>) {
        let mut targets: Vec<(&ModulePath, ModulePath)> = Vec::new();
        for (module, text) in &self.files {
            let paths = imports(module, production(text));
            targets.extend(paths.iter().filter_map(|path| Some((module, self.reached(path)?))));
        }
        let mut levels: BTreeMap<&[String], Graph<'_>> = BTreeMap::new();
        for (module, other) in &targets {
            // Siblings are where the two ways part.
            let depth = module.iter().zip(other).take_while(|(one, two)| one == two).count();
            if let (Some(one), Some(two), Some(parent)) =
                (module.get(depth), other.get(depth), module.get(..depth))
            {
                let graph = levels.entry(parent).or_default();
                graph.entry(one).or_default().insert(two);
                graph.entry(two).or_default();
            }
        }
        for (parent, graph) in levels {
            for members in circles(&graph) {
                let lines: usize = members.iter().map(|member| self.lines(parent, member)).sum();
                if members.len() > CIRCLE_MODULES_MAX || lines > CIRCLE_LINES_MAX {
                    let below = std::iter::once(name).chain(parent.iter().map(String::as_str));
                    let below = below.collect::<Vec<_>>().join("::");
                    found.insert(Violation::Circle { below, members });
                }
            }
        }
    }

    /// Lines of a module and of all below it.
    fn lines(&self, parent: &[String], member: &str) -> usize {
        let within = |path: &ModulePath| {
            path.starts_with(parent) && path.get(parent.len()).is_some_and(|name| name == member)
        };
        self.files.iter().filter(|(path, _)| within(path)).map(|(_, text)| text.lines().count()).sum()
    }

    fn hidden(&self, tree: &Tree, name: &str, source: &str, found: &mut BTreeSet<Violation>) {
        let roots = ["lib.rs", "main.rs"].map(|root| tree.files.get(&format!("{source}/{root}")));
        let mut names = BTreeSet::new();
        for text in roots.into_iter().flatten() {
            let own = |first: &String| {
                matches!(first.as_str(), "crate" | "self")
                    || self.files.keys().any(|module| module.first() == Some(first))
            };
            let passed_on =
                bound(production(text)).into_iter().filter(|one| one.parts.first().is_some_and(own));
            names.extend(passed_on.map(|one| one.name));
        }
        for (module, text) in &self.files {
            for path in imports(module, production(text)) {
                let first = path.first().filter(|first| {
                    names.contains(*first) && !self.files.contains_key(std::slice::from_ref(*first))
                });
                if let Some(first) = first {
                    found.insert(Violation::Hidden(format!("{name}: {first}")));
                }
            }
        }
    }
}

/// The test modules at the end of a file of production code.
fn tests_of(text: &str) -> &str {
    text.get(production(text).len()..).unwrap_or_default()
}

/// Whether the code calls or passes on a function with one of these names.
fn calls(code: &str, names: &[&str]) -> bool {
    let tokens = tokens(code);
    tokens.windows(2).any(|pair| match pair {
        [Token::Colons, Token::Word(word)] | [Token::Word(word), Token::Mark('(')] => {
            names.contains(&word.as_str())
        }
        _ => false,
    })
}

/// Test code has no module circles worth counting; its folders and files are judged like all others.
fn is_test(path: &str) -> bool {
    let is_tests = |part: &str| matches!(part, "tests" | "testkit" | "benches" | "examples");
    path.split('/').any(|part| is_tests(part.strip_suffix(".rs").unwrap_or(part)))
        || path.ends_with("tests.rs")
}

#[cfg(test)]
mod tests;
