//! A profile file as written, with the place of each value, and its translation into a plan.

use std::ops::Range;

use evidence::order::{FilesStep, Glob, JournalStep, Limits, OnLarger, Plan, ProcessesStep, Step};
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::settings::{Size, Span};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    schema: Spanned<u64>,
    name: Spanned<String>,
    version: Spanned<String>,
    os: Spanned<String>,
    description: String,
    pub(super) limits: Spanned<RawLimits>,
    #[serde(default)]
    pub(super) step: Vec<Spanned<RawStep>>,
}

/// `[limits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) wall: Span,
    pub(super) stored: Size,
    pub(super) plain: Size,
    pub(super) item: Size,
    pub(super) items: u64,
    pub(super) cpu_pct: u64,
}

/// One `[[step]]`, with every parameter of every collector, so that a misplaced parameter is reported with its line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) collector: Spanned<String>,
    pub(super) hash_exe: Option<Spanned<bool>>,
    pub(super) maps: Option<Spanned<bool>>,
    pub(super) environ: Option<Spanned<bool>>,
    pub(super) rows: Option<Spanned<bool>>,
    pub(super) item: Option<Spanned<Size>>,
    pub(super) one_filesystem: Option<Spanned<bool>>,
    pub(super) on_larger: Option<Spanned<String>>,
    paths: Option<Spanned<Vec<Spanned<String>>>>,
    exclude: Option<Spanned<Vec<Spanned<String>>>>,
}

/// The content of a profile file, once parsed.
pub(super) struct Compiled {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) limits: Limits,
    pub(super) plan: Plan,
}

impl RawProfile {
    /// Reads TOML of the right shape.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        toml::from_str(text).map_err(|error| Fault {
            line: error.span().map_or(1, |span| line_of(text, &span)),
            cause: error.message().lines().collect::<Vec<_>>().join(" "),
        })
    }

    /// Translates the file into a plan, or lists every fault.
    pub(super) fn compile(self, text: &str) -> Result<Compiled, Vec<Fault>> {
        let mut faults = Faults { text, found: Vec::new() };
        if *self.schema.get_ref() != 1 {
            faults.add(
                &self.schema.span(),
                format!("schema {} is unknown; this program knows 1", self.schema.get_ref()),
            );
        }
        let name = self.name.get_ref();
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
            faults.add(&self.name.span(), "name is not 1 to 100 of a-z 0-9 -".to_owned());
        }
        if self.version.get_ref().is_empty() || self.version.get_ref().len() > 100 {
            faults.add(&self.version.span(), "version is not 1 to 100 characters".to_owned());
        }
        if self.os.get_ref() != "linux" {
            faults.add(
                &self.os.span(),
                format!("os {} is unknown; this program knows linux", self.os.get_ref()),
            );
        }
        let raw = self.limits.get_ref();
        let limits = Limits {
            wall_s: raw.wall.0.as_secs(),
            stored_bytes: raw.stored.0,
            plain_bytes: raw.plain.0,
            item_bytes: raw.item.0,
            items: raw.items,
            cpu_pct: raw.cpu_pct,
        };
        if let Err(rule) = limits.validate() {
            faults.add(&self.limits.span(), rule.to_owned());
        }
        let mut steps = Vec::new();
        for step in self.step {
            let span = step.span();
            steps.extend(step.into_inner().compile(&span, &mut faults));
        }
        let plan = Plan::new(steps);
        // The plan's own rules concern all steps together. They run only if each step compiled, so that no fault is reported twice.
        if faults.found.is_empty()
            && let Err(rule) = plan.validate()
        {
            faults.found.push(Fault { line: 1, cause: rule.to_owned() });
        }
        if faults.found.is_empty() {
            let (name, version) = (self.name.into_inner(), self.version.into_inner());
            Ok(Compiled { name, version, description: self.description, limits, plan })
        } else {
            faults.found.sort_by_key(|fault| fault.line);
            Err(faults.found)
        }
    }
}

impl RawStep {
    fn compile(self, span: &Range<usize>, faults: &mut Faults<'_>) -> Option<Step> {
        let collector = self.collector.get_ref().clone();
        let known: &[&str] = match collector.as_str() {
            "host" | "sockets" | "routes" | "sessions" | "mounts" => &[],
            "processes" => &["hash_exe", "maps", "environ"],
            "journal" => &["rows"],
            "files" => &["item", "one_filesystem", "on_larger", "paths", "exclude"],
            _ => {
                let all = "host, sockets, routes, sessions, mounts, processes, journal, files";
                faults.add(
                    &self.collector.span(),
                    format!("collector {collector} is unknown; known are {all}"),
                );
                return None;
            }
        };
        for (name, place) in self.given() {
            match place {
                Some(place) if !known.contains(&name) => {
                    faults.add(&place, format!("{collector} has no parameter {name}"));
                }
                None if known.contains(&name) => {
                    faults.add(span, format!("{collector} needs the parameter {name}"))
                }
                _ => {}
            }
        }
        match collector.as_str() {
            "host" => Some(Step::Host {}),
            "sockets" => Some(Step::Sockets {}),
            "routes" => Some(Step::Routes {}),
            "sessions" => Some(Step::Sessions {}),
            "mounts" => Some(Step::Mounts {}),
            "processes" => Some(Step::Processes(ProcessesStep {
                hash_exe: self.hash_exe?.into_inner(),
                maps: self.maps?.into_inner(),
                environ: self.environ?.into_inner(),
            })),
            "journal" => Some(Step::Journal(JournalStep { rows: self.rows?.into_inner() })),
            _ => self.files(span, faults).map(Step::Files),
        }
    }

    /// Every parameter by name, with its place if the file has it.
    fn given(&self) -> [(&'static str, Option<Range<usize>>); 9] {
        fn place<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
            value.map(Spanned::span)
        }
        [
            ("hash_exe", place(self.hash_exe.as_ref())),
            ("maps", place(self.maps.as_ref())),
            ("environ", place(self.environ.as_ref())),
            ("rows", place(self.rows.as_ref())),
            ("item", place(self.item.as_ref())),
            ("one_filesystem", place(self.one_filesystem.as_ref())),
            ("on_larger", place(self.on_larger.as_ref())),
            ("paths", place(self.paths.as_ref())),
            ("exclude", place(self.exclude.as_ref())),
        ]
    }

    fn files(self, span: &Range<usize>, faults: &mut Faults<'_>) -> Option<FilesStep> {
        let (paths, exclude) = (self.paths?, self.exclude?);
        if paths.get_ref().is_empty() {
            faults.add(span, "paths is empty; a files step names at least one".to_owned());
        }
        let larger = self.on_larger?;
        let on_larger = match larger.get_ref().as_str() {
            "skip" => Some(OnLarger::Skip),
            "head" => Some(OnLarger::Head),
            other => {
                faults.add(&larger.span(), format!("on_larger is skip or head, not {other}"));
                None
            }
        };
        let paths = globs(paths.into_inner(), faults);
        let exclude = globs(exclude.into_inner(), faults);
        Some(FilesStep {
            paths,
            exclude,
            item_bytes: self.item?.into_inner().0,
            one_filesystem: self.one_filesystem?.into_inner(),
            on_larger: on_larger?,
        })
    }
}

fn globs(written: Vec<Spanned<String>>, faults: &mut Faults<'_>) -> Vec<Glob> {
    let mut globs = Vec::new();
    for glob in written {
        match glob.get_ref().parse() {
            Ok(parsed) => globs.push(parsed),
            Err(cause) => faults.add(&glob.span(), format!("{:?}: {cause}", glob.get_ref())),
        }
    }
    globs
}

struct Faults<'a> {
    text: &'a str,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, place: &Range<usize>, cause: String) {
        self.found.push(Fault { line: line_of(self.text, place), cause });
    }
}

/// The line in which a place starts, counted from 1.
fn line_of(text: &str, place: &Range<usize>) -> usize {
    1 + text.bytes().take(place.start).filter(|byte| *byte == b'\n').count()
}
