//! A profile is the text in which people write what a collection takes. It compiles to the plan that an order signs.
//! Guarantee: a profile that compiles makes a valid plan. Every fault is reported with its line, and an unknown field is a fault.
//! Not here: whether the plan makes the order sensitive (`evidence::order`); the endpoint's own policy.

mod raw;
mod set;

use std::path::Path;

use evidence::digest::Digest;
use evidence::order::{Limits, Plan, ProfileRef, Sensitivity};

use crate::failure::{could_not, usage};
use crate::home::Home;

pub use set::Setting;

/// Profiles that come with the program: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[("linux-triage", include_str!("../profiles/linux-triage.toml"))];

/// Longest profile file: 1 MiB; the plan of an order must fit 4 MiB with everything else.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// A compiled profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Where it came from, as the order names it.
    pub reference: ProfileRef,
    /// One line for people.
    pub description: String,
    /// The limits that a collection must not exceed.
    pub limits: Limits,
    /// The steps.
    pub plan: Plan,
    /// The file.
    pub text: String,
}

/// One fault of a profile.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Line of the file, from 1.
    pub line: usize,
    /// The cause.
    pub cause: String,
}

impl Profile {
    /// Reads and compiles `text`, with single values replaced by `settings`.
    /// The error lists every fault, in the order of lines.
    pub fn compile(text: &str, settings: &[Setting]) -> Result<Self, Vec<Fault>> {
        let mut file = raw::RawProfile::read(text).map_err(|fault| vec![fault])?;
        let refused: Vec<Fault> = settings
            .iter()
            .filter_map(|setting| set::apply(&mut file, setting).err())
            .map(|cause| Fault { line: 0, cause })
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        let compiled = file.compile(text)?;
        Ok(Self {
            reference: ProfileRef {
                name: compiled.name,
                version: compiled.version,
                sha256: Digest::of(text.as_bytes()),
            },
            description: compiled.description,
            limits: compiled.limits,
            plan: compiled.plan,
            text: text.to_owned(),
        })
    }

    /// Finds a profile by name (built in, then the home's `profiles/`) or by path, and compiles it.
    /// Fails when there is none of that name, or it has faults.
    pub fn find(name: &str, home: Option<&Home>, settings: &[Setting]) -> anyhow::Result<Self> {
        let text = find_text(name, home)?;
        Self::compile(&text, settings).map_err(|faults| {
            let faults: Vec<String> =
                faults.iter().map(|fault| format!("\n  {}", fault.to_text(name))).collect();
            usage(
                format!("profile {name} cannot be used:{}", faults.concat()),
                "correct it; `exhibit profile lint FILE` checks again",
            )
        })
    }

    /// The sensitivity that the plan's steps give an order.
    pub fn sensitivity(&self) -> Sensitivity {
        self.plan.sensitivity()
    }
}

impl Fault {
    /// Formats a fault as `FILE:LINE: cause`. A fault in `--set` has no line.
    pub fn to_text(&self, file: &str) -> String {
        match self.line {
            0 => format!("--set: {}", self.cause),
            line => format!("{file}:{line}: {}", self.cause),
        }
    }
}

/// The text of the profile called `name`.
pub fn find_text(name: &str, home: Option<&Home>) -> anyhow::Result<String> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return Ok((*text).to_owned());
    }
    if name.contains('/') || name.ends_with(".toml") {
        return read_file(Path::new(name));
    }
    if let Some(path) = home.map(|home| home.profile_path(name)).filter(|path| path.exists()) {
        return read_file(&path);
    }
    Err(usage(
        format!("there is no profile called {name}"),
        "`exhibit profile list` shows those there are; a file is named by its path, such as ./mine.toml",
    ))
}

/// Reads a profile file of bounded length.
/// Fails when it cannot be read, is too large or is not text.
pub fn read_file(path: &Path) -> anyhow::Result<String> {
    let length =
        fs_err::metadata(path).map_err(|cause| could_not(cause.to_string(), "check the path"))?.len();
    if length > PROFILE_BYTES_MAX {
        return Err(usage(format!("{} is over 1 MiB", path.display()), "split it into several profiles"));
    }
    fs_err::read_to_string(path)
        .map_err(|cause| could_not(cause.to_string(), "check that it is a text file you may read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::order::{OnLarger, Step};

    const GOOD: &str = r#"schema = 1
name = "mine"
version = "2"
os = "linux"
description = "Mine"

[limits]
wall = "10m"
stored = "1GiB"
plain = "2GiB"
item = "1MiB"
items = 10
cpu_pct = 50

[[step]]
collector = "processes"
hash_exe = true
maps = false
environ = false

[[step]]
collector = "journal"
rows = true

[[step]]
collector = "files"
item = "64KiB"
one_filesystem = true
on_larger = "head"
paths = ["/etc/*"]
exclude = ["/etc/x"]
"#;

    fn faults(text: &str) -> Vec<(usize, String)> {
        let faults = Profile::compile(text, &[]).expect_err("a fault");
        faults.into_iter().map(|fault| (fault.line, fault.cause)).collect()
    }

    fn setting(text: &str) -> Setting {
        text.parse().unwrap()
    }

    #[test]
    fn every_built_in_profile_makes_a_valid_plan_that_needs_no_second_person() {
        for (name, text) in BUILT_IN {
            let profile = Profile::compile(text, &[]).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
            assert_eq!(profile.reference.name, *name);
            profile.plan.validate().unwrap();
            profile.limits.validate().unwrap();
            assert_eq!(profile.sensitivity(), Sensitivity::Normal, "{name}");
        }
    }

    #[test]
    fn a_profile_becomes_its_plan() {
        let profile = Profile::compile(GOOD, &[]).unwrap();
        assert_eq!(
            (profile.limits.wall_s, profile.limits.stored_bytes, profile.limits.cpu_pct),
            (600, 1 << 30, 50)
        );
        let [Step::Processes(processes), Step::Journal(journal), Step::Files(files)] = profile.plan.steps()
        else {
            panic!("{:?}", profile.plan)
        };
        assert!(processes.hash_exe && !processes.maps && journal.rows && files.one_filesystem);
        assert_eq!((files.item_bytes, files.on_larger), (1 << 16, OnLarger::Head));
        assert_eq!(profile.reference.sha256, Digest::of(GOOD.as_bytes()));
    }

    #[test]
    fn each_fault_names_its_line_and_cause() {
        for (from, to, line, cause) in [
            ("schema = 1", "schema = 2", 1, "schema 2"),
            ("name = \"mine\"", "name = \"Mine!\"", 2, "name"),
            ("version = \"2\"", "version = \"\"", 3, "version"),
            ("os = \"linux\"", "os = \"plan9\"", 4, "plan9"),
            ("description = \"Mine\"\n", "", 1, "description"),
            ("wall = \"10m\"", "wall = \"10\"", 8, "duration"),
            ("stored = \"1GiB\"", "stored = \"1GB\"", 9, "size"),
            ("items = 10", "items = 0", 7, "limit"),
            ("cpu_pct = 50", "cpu_pct = 101", 7, "cpu_pct"),
            ("cpu_pct = 50", "cpu = 50", 13, "unknown field"),
            ("collector = \"journal\"", "collector = \"jurnal\"", 22, "jurnal"),
            ("rows = true", "rows = true\nmaps = true", 24, "maps"),
            ("rows = true\n", "", 21, "rows"),
            ("environ = false", "environ = 1", 19, "boolean"),
            ("on_larger = \"head\"", "on_larger = \"tail\"", 29, "tail"),
            ("paths = [\"/etc/*\"]", "paths = []", 25, "paths"),
            ("\"/etc/*\"", "\"etc/*\"", 30, "absolute"),
            ("\"/etc/*\"", "\"/etc/../*\"", 30, "component"),
            ("\"/etc/x\"", "\"/etc/**99\"", 31, "depth"),
            ("exclude = [\"/etc/x\"]", "exclude = [\"/etc/x\"", 31, "unclosed"),
        ] {
            let changed = GOOD.replacen(from, to, 1);
            assert_ne!(changed, GOOD, "{from}");
            let found = faults(&changed);
            assert_eq!(found.len(), 1, "{to}: {found:?}");
            assert_eq!(found[0].0, line, "{to}: {found:?}");
            assert!(found[0].1.contains(cause), "{to}: {found:?}");
        }
    }

    #[test]
    fn several_faults_are_told_at_once_in_the_order_of_lines() {
        let changed =
            GOOD.replace("schema = 1", "schema = 3").replace("\"/etc/*\"", "\"etc\"").replace("head", "tail");
        assert_eq!(faults(&changed).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 29, 30]);
    }

    #[test]
    fn a_setting_replaces_one_value_everywhere_it_applies() {
        let settings =
            [setting("processes.environ=true"), setting("limits.item=4MiB"), setting("files.on_larger=skip")];
        let profile = Profile::compile(GOOD, &settings).unwrap();
        assert_eq!(profile.limits.item_bytes, 4 << 20);
        assert_eq!(profile.sensitivity(), Sensitivity::Sensitive);
        for wrong in
            ["limits.item=big", "limits.x=1", "sockets.rows=true", "journal.rows=yes", "files.paths=/etc"]
        {
            let faults = Profile::compile(GOOD, &[setting(wrong)]).expect_err(wrong);
            assert_eq!(faults[0].line, 0, "{wrong}");
        }
        assert!("no-equals".parse::<Setting>().is_err());
    }
}
