//! Rosters and logins.

use evidence::digest::Digest;
use evidence::document::Document as _;
use evidence::entry::ActObject;
use evidence::id::PersonId;
use evidence::json;
use evidence::roster::Roster;
use evidence::time::Time;
use rusqlite::Connection;

use super::DbError;
use super::column::{Unfit, values};
use super::record::{find, insert as insert_row, record};

record! {
    /// One published roster.
    RosterRow of "rosters" by "version" {
        version: u64 = "version",
        /// Digest of the roster document.
        digest: Digest = "digest",
        /// Until when it is in force.
        not_after: Time = "not_after",
        signed: ActObject = "signed",
        /// The entry that published it.
        index: u64 = "idx",
    }
}

impl RosterRow {
    /// The document that the signed object carries.
    pub(crate) fn roster(&self) -> Result<Roster, DbError> {
        let corrupt = |source: Unfit| DbError::Corrupt {
            table: "rosters",
            column: "signed".to_owned(),
            key: format!("version {}", self.version),
            source,
        };
        let roster: Roster =
            json::parse_document(&self.signed.document).map_err(|source| corrupt(source.into()))?;
        roster.validate().map_err(|rule| corrupt(rule.into()))?;
        Ok(roster)
    }
}

/// Adds a roster.
pub(crate) fn insert(tx: &Connection, roster: &RosterRow) -> Result<(), DbError> {
    insert_row(tx, roster)
}

/// The roster in force when the entry at `index` was recorded.
pub(crate) fn in_force_at(reader: &Connection, index: u64) -> Result<Option<RosterRow>, DbError> {
    find(reader, "FROM rosters WHERE idx < ?1 ORDER BY version DESC LIMIT 1", values![index])
}

pub(crate) fn newest(reader: &Connection) -> Result<Option<RosterRow>, DbError> {
    find(reader, "FROM rosters ORDER BY version DESC LIMIT 1", [])
}

pub(crate) fn of_version(reader: &Connection, version: u64) -> Result<Option<RosterRow>, DbError> {
    find(reader, "FROM rosters WHERE version = ?1", values![version])
}

record! {
    /// One login. The collector only writes these rows; people and tools read them.
    LoginRow of "logins" by "idx" {
        /// The entry `login.issued`.
        index: u64 = "idx",
        person: PersonId = "person",
        /// Fingerprint of the roster key, as the entry says.
        key: String = "key",
        tls_spki_sha256: Digest = "tls_spki_sha256",
        time: Time = "time",
    }
}

/// Records a login.
pub(crate) fn insert_login(tx: &Connection, login: &LoginRow) -> Result<(), DbError> {
    insert_row(tx, login)
}
