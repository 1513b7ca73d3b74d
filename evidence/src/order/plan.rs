//! The steps of a collection, each naming its collector.
//! Guarantee: an unknown collector or parameter is refused by name, so an old agent never runs half an order.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::glob::Glob;
use crate::json::INTEGER_MAX;

/// Most steps of a plan.
pub(crate) const STEPS_MAX: usize = 256;

/// Most globs in each list of a `files` step.
pub const GLOBS_MAX: usize = 1024;

/// The steps, in the order to run them: most volatile first (RFC 3227).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan(Vec<Step>);

impl Plan {
    /// A plan of these steps. [`Plan::validate`] checks whether an order may contain it.
    pub fn new(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Checks the numbers of steps and globs, and the limits.
    pub fn validate(&self) -> Result<(), &'static str> {
        if !(1..=STEPS_MAX).contains(&self.0.len()) {
            return Err("a plan has 1 to 256 steps");
        }
        for step in &self.0 {
            if let Step::Files(files) = step {
                if !(1..=GLOBS_MAX).contains(&files.paths.len()) || files.exclude.len() > GLOBS_MAX {
                    return Err("a files step has 1 to 1024 paths and at most 1024 exclusions");
                }
                if files.item_bytes == 0 || files.item_bytes > INTEGER_MAX.unsigned_abs() {
                    return Err("item_bytes is 1 to 2^53 - 1");
                }
            }
        }
        Ok(())
    }
}

/// One step: a collector and its parameters. The braces of the first five make serde refuse unknown parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "collector", rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Identity of the machine.
    Host {},
    Sockets {},
    /// Routes and neighbours.
    Routes {},
    Sessions {},
    /// Mounted file systems.
    Mounts {},
    Processes(ProcessesStep),
    /// The systemd journal.
    Journal(JournalStep),
    Files(FilesStep),
}

/// Parameters of `processes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessesStep {
    /// Hash each executable.
    pub hash_exe: bool,
    /// Record memory maps.
    pub maps: bool,
    /// Record environments, which hold secrets.
    pub environ: bool,
}

/// Parameters of `journal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalStep {
    /// Decode rows beside the raw files.
    pub rows: bool,
}

/// Parameters of `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesStep {
    /// The paths to collect.
    pub paths: Vec<Glob>,
    /// The paths to leave out.
    pub exclude: Vec<Glob>,
    /// Largest file.
    pub item_bytes: u64,
    /// Do not cross into other file systems.
    pub one_filesystem: bool,
    /// What to do with a file above `item_bytes`.
    pub on_larger: OnLarger,
}

/// What happens to a file above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLarger {
    /// Record it without content.
    Skip,
    /// Collect its first `item_bytes`.
    Head,
}

impl Step {
    /// The collector's name, as it stands in the order.
    pub fn collector(&self) -> &'static str {
        match self {
            Self::Host {} => "host",
            Self::Sockets {} => "sockets",
            Self::Routes {} => "routes",
            Self::Sessions {} => "sessions",
            Self::Mounts {} => "mounts",
            Self::Processes(_) => "processes",
            Self::Journal(_) => "journal",
            Self::Files(_) => "files",
        }
    }
}

// The derived code is wrapped, because alone it would also read a step from a list: a second spelling.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with `collector`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Step, A::Error> {
        Step::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Holder {
        plan: Plan,
    }

    fn read(steps: &str) -> Result<Plan, json::JsonError> {
        json::parse_line::<Holder>(format!("{{\"plan\":{steps}}}").as_bytes()).map(|holder| holder.plan)
    }

    const ALL: &str = concat!(
        r#"[{"collector":"host"},{"collector":"sockets"},{"collector":"routes"},{"collector":"sessions"},"#,
        r#"{"collector":"mounts"},{"collector":"processes","hash_exe":true,"maps":false,"environ":false},"#,
        r#"{"collector":"journal","rows":true},{"collector":"files","paths":["/etc/passwd"],"exclude":[],"#,
        r#""item_bytes":10,"one_filesystem":true,"on_larger":"head"}]"#
    );

    #[test]
    fn every_step_round_trips_byte_for_byte() {
        let plan = read(ALL).unwrap();
        assert_eq!(serde_json::to_string(&plan).unwrap(), ALL);
        assert!(plan.validate().is_ok());
        for step in plan.steps() {
            assert!(ALL.contains(&format!("{{\"collector\":\"{}\"", step.collector())));
        }
    }

    #[test]
    fn unknown_missing_and_misspelt_parameters_are_refused() {
        for wrong in [
            r#"[{"collector":"host","more":1}]"#,
            r#"[{"collector":"memory"}]"#,
            r#"[{}]"#,
            r#"["host"]"#,
            r#"[["host"]]"#,
            r#"[["journal",true]]"#,
            r#"[{"host":{}}]"#,
            r#"[{"collector":"journal"}]"#,
            r#"[{"collector":"journal","rows":1}]"#,
            r#"[{"collector":"journal","rows":true,"x":null}]"#,
            r#"[{"collector":"journal","rows":null}]"#,
            r#"[{"collector":"processes","hash_exe":true,"maps":true}]"#,
            &ALL.replace("\"head\"", "\"tail\""),
            &ALL.replace("\"/etc/passwd\"", "\"etc/passwd\""),
            &ALL.replace(":10,", ":-10,"),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&ALL.replace(":10,", ":0,")).unwrap().validate().is_err());
        assert!(read(&ALL.replace("[\"/etc/passwd\"]", "[]")).unwrap().validate().is_err());
        assert!(read("[]").unwrap().validate().is_err());
    }
}
