//! The guarantees of a store, for people and for policy. If a guarantee can be measured, only the
//! measurement counts. Not here: how a bucket is measured (`s3::probe`).

use std::fmt;

use serde::Serialize;

/// The guarantees of one store (docs/spec/store.md, *What is guaranteed*).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarantees {
    /// What backs an acknowledgement.
    pub durable: Durable,
    /// What prevents the replacement of an object.
    pub write_once: WriteOnce,
    /// True if the earlier bytes can still be read after a replacement.
    pub versions: bool,
    /// True if the receiver refuses bytes that changed on the way, before it stores anything.
    pub checks_upload: bool,
    /// What prevents the deletion of an object.
    pub lock: Lock,
    /// True if detail objects can be erased now.
    pub erasable: bool,
}

/// What backs an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durable {
    /// The server acknowledged, and the object was read back.
    AnsweredAndReadBack,
    /// This program flushed the file and the directory.
    Flushed,
    /// Unknown: the store is away.
    Unknown,
}

/// What prevents the replacement of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteOnce {
    /// The server refuses a second create. Whoever holds the credentials can still replace an object by a
    /// request without that condition.
    ByServer,
    /// Only this program prevents it.
    ByThisProgram,
    /// Unknown: the store is away.
    Unknown,
}

/// What prevents the deletion of an object before its time. It binds clients of the store, not the people who
/// run its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "mode")]
pub enum Lock {
    /// Nothing prevents it.
    None,
    /// The server prevents it, except for holders of the bypass right.
    Governance {
        /// Days from the write.
        days: u32,
    },
    /// The server prevents it for everybody.
    Compliance {
        /// Days from the write.
        days: u32,
    },
}

impl Guarantees {
    /// A directory: its objects are flushed, and as safe from change as the machine is.
    pub const DIRECTORY: Self = Self {
        durable: Durable::Flushed,
        write_once: WriteOnce::ByThisProgram,
        versions: false,
        checks_upload: false,
        lock: Lock::None,
        erasable: true,
    };

    /// A store that is away.
    pub(crate) const UNKNOWN: Self = Self {
        durable: Durable::Unknown,
        write_once: WriteOnce::Unknown,
        versions: false,
        checks_upload: false,
        lock: Lock::None,
        erasable: false,
    };
}

/// One line for logs and tables.
impl fmt::Display for Guarantees {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.durable {
            Durable::AnsweredAndReadBack => "durable: the server says so, read back",
            Durable::Flushed => "durable: flushed",
            Durable::Unknown => "durable: unknown, the store is away",
        })?;
        out.write_str(match self.write_once {
            WriteOnce::ByServer => "; written once: the server refuses a second create",
            WriteOnce::ByThisProgram => "; written once: by this program only",
            WriteOnce::Unknown => "; written once: unknown",
        })?;
        out.write_str(if self.versions {
            "; replaced bytes stay as versions"
        } else {
            "; replaced bytes are gone"
        })?;
        match self.lock {
            Lock::None => out.write_str("; lock: none")?,
            Lock::Governance { days } => write!(out, "; lock: GOVERNANCE for {days} days")?,
            Lock::Compliance { days } => write!(out, "; lock: COMPLIANCE for {days} days")?,
        }
        out.write_str(if self.erasable {
            "; details can be erased"
        } else {
            "; details cannot be erased now"
        })
    }
}
