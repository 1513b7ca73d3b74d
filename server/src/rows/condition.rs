//! A condition for an entry. The transaction that records the entry also judges the condition, so that nothing can change in between.

use proto::status::Class;
use rusqlite::Connection;

use crate::failure::Failure;
use crate::rows::DbError;

/// A condition for an entry.
pub(crate) type Condition = Box<dyn FnOnce(&Connection) -> Result<(), Denied> + Send>;

/// Why a condition does not hold.
#[derive(Debug)]
pub(crate) enum Denied {
    /// The database failed.
    Db(DbError),
    /// It does not hold.
    No(Failure),
}

impl Denied {
    /// The condition does not hold. `text` is for the caller.
    pub(crate) fn no(class: Class, text: impl Into<String>) -> Self {
        Self::No(Failure::new(class, text))
    }
}

impl From<DbError> for Denied {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
