//! The home of a responder: settings, pins, session, receipts, and the newest checkpoint that it accepted.
//! Guarantee: only the owner can change what is pinned here. A home with other modes or owners is refused, not repaired. Each file is
//! replaced as a whole, and durably. Not here: what the files mean (`pins`, `session`, `checkpoints`).
//!
//! ```text
//! config.toml                    deployment, collector, person, key, addresses
//! trust/authority policy ca.der  the pins; tsa.pem and roster_version_min where known
//! session/credentials.pem        TLS key and certificate of the last login
//! roster.signed                  the newest roster admitted
//! checkpoint                     the newest checkpoint that this home accepted
//! contradictions/                two notes that cannot both be true; never removed
//! receipts/<collection>.tlog-proof, .entry
//! directory.json                 enrolments read from the ledger, proven
//! tokens/<digest>.signed         tokens made here, without their secret
//! profiles/<name>.toml           own profiles
//! ```

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use durable::Lock;
use evidence::id::{CollectorId, DeploymentId, PersonId};
use serde::{Deserialize, Serialize};

use crate::failure::{because, could_not};
use crate::signer::Signer;

/// `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The deployment this home belongs to.
    pub deployment: DeploymentId,
    /// Its collector.
    pub collector: CollectorId,
    /// The person who owns this home.
    pub person: PersonId,
    /// The person's SSH key: private, or public with the secret half in an agent.
    pub key: PathBuf,
    /// `host:port` of the main listener.
    pub address: String,
    /// `host:port` of the enrolment listener, which also answers logins.
    pub enrol_address: String,
}

/// An existing home whose modes were checked.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder named on the command line or in the environment, otherwise `~/.config/exhibit`.
    /// Fails if none is named and there is no home directory.
    pub fn locate(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
        if let Some(path) = named {
            return Ok(std::path::absolute(path)?);
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let base = base.ok_or_else(|| could_not("there is no home directory", "name one: --home DIR"))?;
        Ok(base.join("exhibit"))
    }

    /// Opens a home that `exhibit setup` made.
    /// Fails if there is none, or if others may change it.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        if !root.join("config.toml").exists() {
            return Err(could_not(
                format!("{} is not set up", root.display()),
                "pin a deployment: exhibit setup --card … --authority … --person … --key …",
            ));
        }
        let home = Self { root: root.to_owned() };
        home.check()?;
        Ok(home)
    }

    /// Creates a home that holds only empty folders.
    /// Fails if there is one already: pins are never overwritten.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        if root.join("config.toml").exists() {
            return Err(could_not(
                format!("{} is set up already; pins are never overwritten", root.display()),
                "use another --home DIR, or remove this one yourself",
            ));
        }
        for folder in ["trust", "session", "receipts", "profiles", "tokens"] {
            let path = root.join(folder);
            durable::create_private_folder(&path).map_err(|cause| {
                could_not(format!("cannot make {}: {cause}", path.display()), "check the folder above")
            })?;
        }
        let home = Self { root: root.to_owned() };
        home.check()?;
        Ok(home)
    }

    /// Refuses a home that others could have changed.
    fn check(&self) -> anyhow::Result<()> {
        let user = rustix::process::geteuid().as_raw();
        for name in ["", "trust", "session", "config.toml", "trust/authority", "trust/policy", "trust/ca.der"]
        {
            let path = self.root.join(name);
            let Ok(metadata) = fs_err::symlink_metadata(&path) else {
                continue;
            };
            let mode = metadata.mode() & 0o777;
            let wrong = if metadata.is_dir() { mode & 0o077 } else { mode & 0o022 };
            if metadata.uid() != user && metadata.uid() != 0 {
                return Err(could_not(
                    format!("{} belongs to user {}, not to {user}", path.display(), metadata.uid()),
                    "run as its owner, or set up a home of your own",
                ));
            }
            if wrong != 0 || metadata.is_symlink() {
                return Err(could_not(
                    format!("others may change {} (mode {mode:04o})", path.display()),
                    format!("compare the pins with their source, then: chmod -R go= {}", self.root.display()),
                ));
            }
        }
        Ok(())
    }

    /// The settings.
    /// Fails when they cannot be read; the line is named.
    pub fn config(&self) -> anyhow::Result<Config> {
        let path = self.root.join("config.toml");
        let text = fs_err::read_to_string(&path)?;
        toml::from_str(&text).map_err(|error| {
            could_not(
                format!("{}: {}", path.display(), error.to_string().trim_end()),
                "correct it, or set up again",
            )
        })
    }

    /// Writes the settings.
    pub fn write_config(&self, config: &Config) -> anyhow::Result<()> {
        let key = config.key.to_str().ok_or_else(|| {
            could_not(format!("{} is not UTF-8", config.key.display()), "move the key to a path that is")
        })?;
        let mut text = String::from("# Written by `exhibit setup`.\n");
        for (name, value) in [
            ("deployment", config.deployment.as_str()),
            ("collector", config.collector.as_str()),
            ("person", config.person.as_str()),
            ("key", key),
            ("address", &config.address),
            ("enrol_address", &config.enrol_address),
        ] {
            // JSON's escapes are also those of a basic TOML string.
            text.push_str(&format!("{name} = {}\n", serde_json::to_string(value)?));
        }
        self.write("config.toml", text.as_bytes())
    }

    /// Replaces a file of the home: whole, durable, for its owner alone.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            durable::create_private_folder(folder)?;
        }
        write_durably(&path, bytes)
    }

    /// Reads a file of the home; `None` when it is not there.
    pub fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match fs_err::read(self.root.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(could_not(because(&cause), "check the home's files")),
        }
    }

    /// Holds the home for one process while the guard lives.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        Ok(Lock::wait(&self.root.join(".lock"))?)
    }

    /// The path of a file of the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The path of an own profile, whether it exists or not.
    pub fn profile_path(&self, name: &str) -> PathBuf {
        self.root.join("profiles").join(format!("{name}.toml"))
    }
}

impl Config {
    /// The person's key.
    pub fn signer(&self) -> Signer {
        Signer::new(&self.key)
    }
}

/// Replaces a file whole and durably, for its owner alone.
pub fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(durable::replace(path, bytes, 0o600)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config() -> Config {
        Config {
            deployment: "acme".parse().unwrap(),
            collector: "c1".parse().unwrap(),
            person: "alice".parse().unwrap(),
            key: "/keys/with \"quote\" and \\ä".into(),
            address: "[::1]:1".to_owned(),
            enrol_address: "collector.example:2".to_owned(),
        }
    }

    #[test]
    fn a_home_is_its_owners_alone_and_keeps_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("home");
        let home = Home::create(&root).unwrap();
        home.write_config(&config()).unwrap();
        assert_eq!(Home::open(&root).unwrap().config().unwrap(), config());
        for (name, mode) in [("", 0o700), ("trust", 0o700), ("session", 0o700), ("config.toml", 0o600)] {
            assert_eq!(fs_err::metadata(root.join(name)).unwrap().mode() & 0o777, mode, "{name}");
        }
        assert!(Home::create(&root).is_err(), "pins are never overwritten");
    }

    #[test]
    fn a_home_that_others_may_change_is_refused() {
        for (name, mode) in [("", 0o750), ("trust", 0o770), ("config.toml", 0o620), ("trust/policy", 0o602)] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("home");
            let home = Home::create(&root).unwrap();
            home.write_config(&config()).unwrap();
            home.write("trust/policy", b"").unwrap();
            fs_err::set_permissions(root.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = Home::open(&root).unwrap_err().to_string();
            assert!(refused.contains("others may change"), "{name}: {refused}");
        }
        let folder = tempfile::tempdir().unwrap();
        let missing = Home::open(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("exhibit setup"), "{missing}");
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(&folder.path().join("home")).unwrap();
        home.write_config(&config()).unwrap();
        let mut text = fs_err::read_to_string(home.path("config.toml")).unwrap();
        text.push_str("colour = \"red\"\n");
        home.write("config.toml", text.as_bytes()).unwrap();
        assert!(home.config().unwrap_err().to_string().contains("colour"));
    }
}
