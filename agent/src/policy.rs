//! The owner's `policy.toml`: what this endpoint never gives to anybody, and how much it gives of everything else.
//!
//! Guarantee: a policy that cannot be understood whole is an error, never a looser policy. A file that others
//! may write is refused. Without a file, the built-in text (`packaging/policy.toml`, the owner's example) is
//! in force. The digest in manifests is that of the text in force. Not here: matching paths while collecting
//! (`matcher`).

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::log_key::LogKeys;
use evidence::order::{Glob, Order, Sensitivity, Step};
use serde::Deserialize;

use crate::glob::Globs;

/// Where the agent looks for the owner's policy if the command line names none.
pub(crate) const DEFAULT_PATH: &str = "/etc/exhibit/policy.toml";

/// The text that is in force if there is no file: the commented example that packages install.
pub(crate) const BUILT_IN: &str = include_str!("../../packaging/policy.toml");

/// Longest policy. A real one is a page of text. The limit bounds what the warden reads into memory.
const POLICY_BYTES_MAX: u64 = 256 * 1024;

/// Most globs in one list. The matcher compiles them all into one automaton.
const GLOBS_MAX: usize = 1024;

/// Collectors that a policy can name (docs/spec/order.md, *Step*).
const COLLECTORS: [&str; 8] =
    ["host", "sockets", "routes", "sessions", "mounts", "processes", "journal", "files"];

/// The policy in force, with the digest of its text.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The parsed rules.
    pub rules: Rules,
    /// SHA-256 of the text, as `sha256sum policy.toml` prints it.
    pub digest: Digest,
    /// The file; `None` if the built-in text is in force.
    pub file: Option<PathBuf>,
}

/// The rules, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// While true, the agent collects nothing.
    pub pause: bool,
    /// Whether the agent obeys orders of sensitivity `sensitive`.
    pub allow_sensitive: bool,
    /// How many distinct persons must have approved an order, whatever the roster's rules ask.
    pub min_approvals: u32,
    /// The only collectors that run here. If absent, all run.
    pub allowed_collectors: Option<BTreeSet<String>>,
    /// Collectors that never run here. Wins over `allowed_collectors`.
    pub denied_collectors: BTreeSet<String>,
    /// Which paths may be read.
    pub paths: Paths,
    /// What one collection may not exceed. The smaller of this and the order's limit holds.
    pub limits: Limits,
    /// Mirrors that must have co-signed the checkpoint an order comes with.
    pub cosigners: CosignerRule,
}

/// Which paths an order may name, and which are never given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// Globs; every path that a `files` step names must lie within one, or the order is refused.
    pub allow: Vec<String>,
    /// Globs; a path that matches one is never given. Wins over `allow`.
    pub deny: Vec<String>,
}

/// Upper bounds for one collection. Units as in docs/spec/order.md, *limits*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall time, seconds.
    pub wall_s: u64,
    /// Stored (compressed) bytes.
    pub stored_bytes: u64,
    /// Bytes of the plain tar stream.
    pub plain_bytes: u64,
    /// Logical size of a single file.
    pub item_bytes: u64,
    /// Items.
    pub items: u64,
    /// Share of one processor, 1 to 100.
    pub cpu_pct: u64,
}

/// Mirrors whose cosignature an order's checkpoint must carry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CosignerRule {
    /// How many of `keys` must have co-signed; 0 asks for none.
    pub quorum: u32,
    /// C2SP verifier keys.
    pub keys: Vec<String>,
}

impl Limits {
    /// The limits in the form that orders use.
    #[must_use]
    pub(crate) fn as_order(&self) -> evidence::order::Limits {
        evidence::order::Limits {
            wall_s: self.wall_s,
            stored_bytes: self.stored_bytes,
            plain_bytes: self.plain_bytes,
            item_bytes: self.item_bytes,
            items: self.items,
            cpu_pct: self.cpu_pct,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pause: false,
            allow_sensitive: true,
            min_approvals: 0,
            allowed_collectors: None,
            denied_collectors: BTreeSet::new(),
            paths: Paths::default(),
            limits: Limits::default(),
            cosigners: CosignerRule::default(),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { allow: vec!["/**".to_owned()], deny: Vec::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_s: 6 * 3600,
            stored_bytes: 64 << 30,
            plain_bytes: 256 << 30,
            item_bytes: 64 << 30,
            items: 5_000_000,
            cpu_pct: 100,
        }
    }
}

impl Policy {
    /// Loads the policy that is in force now. A file that `named` gives must exist; the default place may be
    /// empty.
    ///
    /// # Errors
    /// [`PolicyError`] if there is a file that cannot be trusted, read or understood whole.
    pub fn load(named: Option<&Path>) -> Result<Self, PolicyError> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let file = match fs_err::File::open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Self::parse(BUILT_IN, None);
            }
            Err(source) => {
                return Err(PolicyError::Read { path: path.to_owned(), source });
            }
        };
        let metadata =
            file.metadata().map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != 0 && metadata.uid() != us {
            return Err(PolicyError::Owner { path: path.to_owned(), uid: metadata.uid() });
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(PolicyError::Writable { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        let mut text = String::new();
        file.take(POLICY_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, Some(path.to_owned()))
    }

    /// Which checkpoints this endpoint believes: those that the pinned log signed and that enough of the
    /// owner's mirrors co-signed.
    ///
    /// # Errors
    /// [`PolicyError::Value`] for a malformed key.
    pub(crate) fn trust(&self, log_keys: &LogKeys) -> Result<ledger::Policy, PolicyError> {
        let cosigners = &self.rules.cosigners;
        let mut text = format!("log {}\n", log_keys.current());
        for (number, key) in cosigners.keys.iter().enumerate() {
            text.push_str(&format!("witness w{number} {key}\n"));
        }
        if cosigners.quorum == 0 {
            text.push_str("quorum none\n");
        } else {
            let names: String = (0..cosigners.keys.len()).map(|number| format!(" w{number}")).collect();
            text.push_str(&format!("group owner {}{names}\nquorum owner\n", cosigners.quorum));
        }
        let value = |what: String| PolicyError::Value {
            path: self.file.clone().unwrap_or_else(|| PathBuf::from("built-in policy")),
            what: format!("cosigners.keys: {what}"),
        };
        let policy = ledger::Policy::parse(text.as_bytes()).map_err(|source| value(source.to_string()))?;
        log_keys.extend(policy).map_err(|source| value(source.to_string()))
    }

    /// Why the owner does not want `order` obeyed, given how many distinct persons approved it. `None` if the
    /// owner permits it.
    #[must_use]
    pub(crate) fn objection(&self, order: &Order, approvals: usize) -> Option<String> {
        let rules = &self.rules;
        if rules.pause {
            return Some("the owner paused all collecting".to_owned());
        }
        if !rules.allow_sensitive && order.plan.sensitivity() == Sensitivity::Sensitive {
            return Some("the owner gives nothing sensitive".to_owned());
        }
        if let Some(denied) =
            order.plan.steps().iter().find(|step| rules.denied_collectors.contains(step.collector()))
        {
            return Some(format!("the owner denies the collector `{}`", denied.collector()));
        }
        if let Some(allowed) = &rules.allowed_collectors
            && let Some(other) = order.plan.steps().iter().find(|step| !allowed.contains(step.collector()))
        {
            return Some(format!(
                "the collector `{}` is not among those the owner allows",
                other.collector()
            ));
        }
        if let Some(outside) = self.outside(order) {
            return Some(format!("`{outside}` is not within what the owner allows (paths.allow)"));
        }
        let wanted = rules.min_approvals;
        ((approvals as u64) < u64::from(wanted))
            .then(|| format!("the owner asks for {wanted} approvals, there are {approvals}"))
    }

    /// The first pattern of a `files` step that could match something outside `paths.allow`.
    fn outside<'order>(&self, order: &'order Order) -> Option<&'order Glob> {
        let allow = &self.rules.paths.allow;
        let asked = order.plan.steps().iter().filter_map(|step| match step {
            Step::Files(files) => Some(&files.paths),
            _ => None,
        });
        // Both were checked when the policy was read. A glob that does not compile allows nothing.
        let Ok(allowed) = Globs::compile(allow) else { return asked.flatten().next() };
        // `/a/**` and `/a` allow the tree below `/a`, whatever pattern an order uses inside it.
        let trees: Vec<Glob> = allow
            .iter()
            .map(|allowed| allowed.strip_suffix("/**").unwrap_or(allowed))
            .filter_map(|base| if base.is_empty() { "/".parse() } else { base.parse() }.ok())
            .filter(Glob::is_literal)
            .collect();
        asked.flatten().find(|glob| {
            let begins = |tree: &Glob| {
                let mut prefix = glob.literal_prefix();
                tree.components().all(|component| prefix.next() == Some(component))
            };
            let is_in_tree = trees.iter().any(begins);
            let is_named = glob.is_literal() && allowed.covers(glob.as_str().as_bytes());
            !is_in_tree && !is_named && !allow.iter().any(|allowed| allowed == glob.as_str())
        })
    }

    /// Parses `text` completely.
    ///
    /// # Errors
    /// [`PolicyError`] for a syntax error, an unknown name, or a value out of its range.
    pub fn parse(text: &str, file: Option<PathBuf>) -> Result<Self, PolicyError> {
        let shown = file.clone().unwrap_or_else(|| PathBuf::from("built-in policy"));
        if text.len() as u64 > POLICY_BYTES_MAX {
            return Err(PolicyError::Value { path: shown, what: "the file is over 256 KiB".to_owned() });
        }
        let rules: Rules = match toml::from_str(text) {
            Ok(rules) => rules,
            Err(source) => {
                return Err(PolicyError::Syntax { path: shown, source: Box::new(source) });
            }
        };
        rules.check().map_err(|what| PolicyError::Value { path: shown, what })?;
        Ok(Self { rules, digest: Digest::of(text.as_bytes()), file })
    }
}

impl Rules {
    fn check(&self) -> Result<(), String> {
        for (list, names) in [
            ("allowed_collectors", self.allowed_collectors.as_ref()),
            ("denied_collectors", Some(&self.denied_collectors)),
        ] {
            let unknown = names.into_iter().flatten().find(|name| !COLLECTORS.contains(&name.as_str()));
            if let Some(name) = unknown {
                return Err(format!("{list} names `{name}`; known are {}", COLLECTORS.join(", ")));
            }
        }
        for (list, globs) in [("paths.allow", &self.paths.allow), ("paths.deny", &self.paths.deny)] {
            if globs.len() > GLOBS_MAX {
                return Err(format!("{list} has {} globs; at most {GLOBS_MAX}", globs.len()));
            }
            if let Some(glob) = globs.iter().find(|glob| !glob.starts_with('/')) {
                return Err(format!("{list}: `{glob}` is not an absolute path"));
            }
            if let Err(error) = Globs::compile(globs) {
                return Err(format!("{list}: {}", chain(&error)));
            }
        }
        let limits = self.limits;
        let all = [
            ("wall_s", limits.wall_s),
            ("stored_bytes", limits.stored_bytes),
            ("plain_bytes", limits.plain_bytes),
            ("item_bytes", limits.item_bytes),
            ("items", limits.items),
            ("cpu_pct", limits.cpu_pct),
        ];
        if let Some((name, _)) = all.iter().find(|(_, value)| *value == 0) {
            return Err(format!("limits.{name} is 0; to give nothing set `pause = true`"));
        }
        if limits.cpu_pct > 100 {
            return Err(format!("limits.cpu_pct is {}; at most 100", limits.cpu_pct));
        }
        // The same bound as for every integer in a signed document, because the effective limits are written
        // into manifests.
        if let Some((name, _)) = all.iter().find(|(_, value)| *value >= 1 << 53) {
            return Err(format!("limits.{name} is not below 2^53"));
        }
        if usize::try_from(self.cosigners.quorum).is_ok_and(|quorum| quorum > self.cosigners.keys.len()) {
            let (quorum, keys) = (self.cosigners.quorum, self.cosigners.keys.len());
            return Err(format!("cosigners.quorum is {quorum}, but cosigners.keys has {keys}"));
        }
        Ok(())
    }
}

/// Why there is no policy to act under. The agent then collects nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy `{}`. Check that it exists and that the agent's user may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It belongs to someone who is neither root nor the agent.
    #[error("the policy `{}` belongs to user {uid}, who could change it. Run `chown root` on it", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Someone other than its owner may change it.
    #[error("the policy `{}` has mode {mode:04o}, so others can change it. Run `chmod go-w` on it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The file is not TOML of the known form.
    #[error("the policy `{}` is not understood, so nothing will be collected. Correct it or remove the line", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("the policy `{}`: {what}. Correct it", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which value, and why.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_packaged_example_is_the_built_in_default() {
        assert_eq!(Policy::parse(BUILT_IN, None).unwrap().rules, Rules::default());
    }

    #[test]
    fn what_is_not_understood_whole_is_refused() {
        for (text, why) in [
            ("pase = true", "unknown field"),
            ("[limits]\nwall = 3", "unknown field"),
            ("[paths]\ndenied = []", "unknown field"),
            ("[cosigners]\nkey = []", "unknown field"),
            ("pause = \"yes\"", "invalid type"),
            ("min_approvals = -1", "invalid value"),
            ("pause = true\npause = false", "duplicate key"),
            ("denied_collectors = [\"procesess\"]", "known are host"),
            ("allowed_collectors = [\"fils\"]", "allowed_collectors names `fils`"),
            ("[paths]\ndeny = [\"home/**\"]", "not an absolute path"),
            ("[paths]\ndeny = [\"/home/[\"]", "paths.deny"),
            ("[limits]\nitems = 0", "pause = true"),
            ("[limits]\ncpu_pct = 101", "at most 100"),
            ("[limits]\nstored_bytes = 9007199254740992", "below 2^53"),
            ("[cosigners]\nquorum = 1", "cosigners.keys has 0"),
        ] {
            let error = Policy::parse(text, None).unwrap_err();
            let chain = format!(
                "{error}: {}",
                std::error::Error::source(&error).map_or(String::new(), ToString::to_string)
            );
            assert!(chain.contains(why), "{text:?}: {chain}");
        }
    }

    #[test]
    fn every_setting_is_read() {
        let text = "pause = true\nallow_sensitive = false\nmin_approvals = 2\ndenied_collectors = [\"journal\"]\n\
            [paths]\nallow = [\"/etc/**\"]\ndeny = [\"/etc/ssl/private/**\"]\n[limits]\nwall_s = 1\nstored_bytes = 2\n\
            plain_bytes = 3\nitem_bytes = 4\nitems = 5\ncpu_pct = 6\n[cosigners]\nquorum = 1\nkeys = [\"a\"]\n";
        let policy = Policy::parse(text, None).unwrap();
        let rules = policy.rules;
        assert!(rules.pause && !rules.allow_sensitive && rules.min_approvals == 2);
        assert!(rules.denied_collectors.contains("journal"));
        assert_eq!(rules.paths.deny, ["/etc/ssl/private/**"]);
        let limits =
            Limits { wall_s: 1, stored_bytes: 2, plain_bytes: 3, item_bytes: 4, items: 5, cpu_pct: 6 };
        assert_eq!(rules.limits, limits);
        assert_eq!(rules.cosigners, CosignerRule { quorum: 1, keys: vec!["a".to_owned()] });
        assert_eq!(policy.digest, Digest::of(text.as_bytes()));
    }

    #[test]
    fn what_an_order_names_must_lie_within_what_is_allowed() {
        let policy =
            Policy::parse("[paths]\nallow = [\"/etc/**\", \"/var/log/*.log\", \"/srv/one\"]\n", None)
                .unwrap();
        for (glob, is_within) in [
            ("/etc/passwd", true),
            ("/etc", true),
            ("/etc/*/x", true),
            ("/var/log/*.log", true),
            ("/var/log/syslog.log", true),
            ("/srv/one", true),
            ("/srv/one/below", true),
            ("/var/log/*", false),
            ("/var/log/syslog", false),
            ("/srv/*", false),
            ("/**", false),
            ("/", false),
            ("/etcetera/x", false),
        ] {
            assert_eq!(policy.outside(&order(glob)).is_none(), is_within, "{glob}");
            assert!(Policy::parse(BUILT_IN, None).unwrap().outside(&order(glob)).is_none(), "{glob}");
        }
    }

    #[test]
    fn only_allowed_collectors_run_and_denied_ones_never() {
        let objection = |text: &str| Policy::parse(text, None).unwrap().objection(&order("/etc"), 0);
        assert_eq!(objection("allowed_collectors = [\"files\"]"), None);
        assert!(objection("allowed_collectors = [\"host\"]").unwrap().contains("not among those"));
        assert!(objection("allowed_collectors = []").is_some());
        let both = "allowed_collectors = [\"files\"]\ndenied_collectors = [\"files\"]";
        assert!(objection(both).unwrap().contains("denies"));
    }

    /// An order for one pattern. The tests do not look at its other fields.
    fn order(glob: &str) -> Order {
        let digest = Digest::ZERO;
        let text = format!(
            "{{\"type\":\"exhibit-order-v1\",\"deployment\":\"acme\",\"incident\":\"INC-2026-0007\",\
             \"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"issuer\":\"ada\",\"issued\":\"2026-11-21T11:50:00.000Z\",\
             \"expires\":\"2026-11-22T11:50:00.000Z\",\"attempts\":3,\"roster_version\":1,\"roster_sha256\":\"{digest}\",\
             \"targets_count\":1,\"targets_root\":\"{digest}\",\
             \"profile\":{{\"name\":\"p\",\"version\":\"1\",\"sha256\":\"{digest}\"}},\"purpose\":\"\",\
             \"sensitivity\":\"normal\",\"limits\":{{\"wall_s\":1,\"stored_bytes\":1,\"plain_bytes\":1,\
             \"item_bytes\":1,\"items\":1,\"cpu_pct\":1}},\"plan\":[{{\"collector\":\"files\",\
             \"paths\":[\"{glob}\"],\"exclude\":[],\"item_bytes\":1,\"one_filesystem\":false,\
             \"on_larger\":\"skip\"}}]}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        fs_err::write(&path, "pause = true\n").unwrap();
        for (mode, trusted) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Policy::load(Some(&path)).is_ok(), trusted, "{mode:o}");
        }
        assert!(matches!(Policy::load(Some(&dir.path().join("none"))), Err(PolicyError::Read { .. })));
    }
}
