//! The collector's SQLite database: one writer, group commit, several readers.
//! Guarantee: when a write returns `Ok`, it survives power loss (WAL, `synchronous=FULL`). A reader sees one committed state
//! throughout its closure. The database is a projection: `rebuild` recreates it from ledger and stores. Not here: the queries
//! (one module below for each subject); who may call them.
//!
//! Trust: the database proves nothing. Every proof that leaves the collector comes from ledger and stores.

pub(crate) mod collections;
pub(crate) mod column;
pub(crate) mod condition;
pub(crate) mod disposals;
pub(crate) mod endpoints;
pub(crate) mod entries;
pub(crate) mod fence;
pub(crate) mod hold_marks;
pub(crate) mod holds;
pub(crate) mod incidents;
pub(crate) mod log;
pub(crate) mod mirrors;
pub(crate) mod orders;
pub(crate) mod projection;
mod record;
mod repair;
pub(crate) mod retention;
pub(crate) mod rosters;
pub(crate) mod scrubs;
pub(crate) mod stamps;
pub(crate) mod texts;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::failure::Failure;

pub(crate) use projection::ProjectionError;
pub(crate) use repair::{
    QueueSink, RepairTask, hurry, is_wanting, keep_only, lacking, lost, repair_done, repair_failed,
    repairs_due, repairs_waiting, want, wanting_on,
};
use writer::Writer;

/// Version of `schema.sql`. A database of another version is refused, and `rebuild` makes a new one.
const SCHEMA_VERSION: i64 = 4;
/// `application_id` of the file: "EXHB", so that a foreign database is not taken for ours.
const APPLICATION_ID: i64 = 0x4558_4842;
/// How long a statement waits for another connection's lock: 10 s. Only a second process makes it wait.
const BUSY: Duration = Duration::from_secs(10);

/// A handle on the database; clones share it. The file closes when the last handle is dropped.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    // Dropped before the writer. The writer's close is then the last one and folds the WAL into the file.
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
    returned: Condvar,
    path: PathBuf,
}

impl Db {
    /// Creates the file (0600) with an empty schema. For `init` and `rebuild` only: a collector that cannot find its
    /// database must not start with an empty one.
    ///
    /// # Errors
    /// `Exists` if there is a file, otherwise an error of SQLite or the operating system.
    pub fn create(path: &Path) -> Result<(), DbError> {
        durable::create(path, b"", 0o600).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => DbError::Exists { path: path.to_owned() },
            _ => DbError::File { source },
        })?;
        // Crash before COMMIT: an empty file, which `open` refuses as a database of version 0.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&connection)?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        connection.execute_batch(include_str!("rows/schema.sql"))?;
        log::insert_empty(&connection)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        connection.execute_batch("COMMIT")?;
        Ok(())
    }

    /// Opens an existing database with `readers` read connections.
    ///
    /// # Errors
    /// `Missing` without a file, `Schema` for another version, otherwise an error of SQLite.
    pub fn open(path: &Path, readers: usize) -> Result<Self, DbError> {
        if !path.is_file() {
            return Err(DbError::Missing { path: path.to_owned() });
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&connection)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        if (application, version) != (APPLICATION_ID, SCHEMA_VERSION) {
            return Err(DbError::Schema { path: path.to_owned(), version, expected: SCHEMA_VERSION });
        }
        let writer = Writer::start(connection)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..readers.max(1))
            .map(|_| {
                let connection = Connection::open_with_flags(path, flags)?;
                connection.busy_timeout(BUSY)?;
                Ok(connection)
            })
            .collect::<Result<Vec<_>, rusqlite::Error>>()?;
        let shared =
            Shared { writer, readers: Mutex::new(readers), returned: Condvar::new(), path: path.to_owned() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads one committed state. Blocks while all readers are busy: call it only from blocking threads.
    ///
    /// # Errors
    /// What the closure returns, or `DbError` of the surrounding transaction.
    pub fn read<T, E: From<DbError>>(&self, act: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let lease = Lease::borrow_reader(&self.shared);
        let Some(connection) = &lease.connection else {
            return Err(DbError::Closed.into());
        };
        let sql = |source| E::from(DbError::Sqlite(source));
        connection.execute_batch("BEGIN DEFERRED").map_err(sql)?;
        let result = act(connection);
        connection.execute_batch("COMMIT").map_err(sql)?;
        result
    }

    /// Runs a write of its own, which is committed together with its neighbours. Returns when it is durable.
    /// An `Err` of the closure undoes only its own writes. Blocks: call it only from blocking threads.
    ///
    /// # Errors
    /// What the closure returns; `DbError::Commit` if nobody knows whether the writes are in the database.
    pub fn write<T, E>(&self, act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.shared.writer.submit(act, move |result| drop(sender.send(result)))?;
        receiver.recv().unwrap_or_else(|_| Err(DbError::Closed.into()))
    }

    /// As `read`, for asynchronous callers.
    pub async fn read_async<T, E>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let db = self.clone();
        let result = tokio::task::spawn_blocking(move || db.read(act)).await;
        result.unwrap_or_else(|_| Err(DbError::Closed.into()))
    }

    /// As `write`, for asynchronous callers.
    pub async fn write_async<T, E>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let db = self.clone();
        let result = tokio::task::spawn_blocking(move || db.write(act)).await;
        result.unwrap_or_else(|_| Err(DbError::Closed.into()))
    }
}

fn configure(connection: &Connection) -> Result<(), DbError> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // A burst of a million items must not leave a large WAL behind: 64 MiB.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A reader on loan. It is returned when dropped, even after a panic.
struct Lease<'db> {
    shared: &'db Shared,
    connection: Option<Connection>,
}

impl<'db> Lease<'db> {
    fn borrow_reader(shared: &'db Shared) -> Self {
        let mut free = shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = free.pop() {
                return Self { shared, connection: Some(connection) };
            }
            free = shared.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if !connection.is_autocommit() {
            // The closure panicked or COMMIT failed. A read transaction has nothing to lose.
            drop(connection.execute_batch("ROLLBACK"));
        }
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        self.shared.returned.notify_one();
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::unavailable("reach its database", error)
    }
}

/// Why the database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The writer has ended.
    #[error("the database is closed")]
    Closed,
    /// COMMIT failed. Nobody knows whether the writes are in the database.
    #[error("commit to the database; whether it took effect is unknown")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// A row that another row needs is missing.
    #[error(
        "table {table} has no row {key}; run `exhibit-server fsck`, then recreate the database with `exhibit-server rebuild`"
    )]
    Absent {
        /// The table that lacks the row.
        table: &'static str,
        /// Columns and values of the row's key.
        key: String,
    },
    /// A stored value does not fit its column's type.
    #[error(
        "table {table}, row {key}: column {column} holds what it cannot; run `exhibit-server fsck`, then recreate the database with `exhibit-server rebuild`"
    )]
    Corrupt {
        /// The table of the row.
        table: &'static str,
        /// The column that cannot be read.
        column: String,
        /// Columns and values of the row's key.
        key: String,
        /// What is wrong with the value.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `create` found an existing file.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be created.
    #[error("create the database file")]
    File {
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// `open` found no database.
    #[error("no database at {}; restore it, or recreate it with `exhibit-server rebuild`", path.display())]
    Missing {
        /// Where the database should be.
        path: PathBuf,
    },
    /// The file has another version or is foreign.
    #[error("{} has schema {version}, this build needs {expected}; run `exhibit-server rebuild`", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Version found.
        version: i64,
        /// Version needed.
        expected: i64,
    },
    /// SQLite refused a statement.
    #[error("query the database")]
    Sqlite(#[from] rusqlite::Error),
}

#[cfg(test)]
mod tests;
