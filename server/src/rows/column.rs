//! The one place where SQLite's values become evidence's types, and back.
//! Guarantee: a value that is not of its column's type is an error; nothing is replaced by a default.

use std::error::Error;

use evidence::entry::state::{AttemptState, CollectionState, EndpointState, IncidentState, OrderState};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// A type that a column can hold.
pub(crate) trait Column: Sized {
    /// Reads a stored value.
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit>;
    /// The value to store.
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>>;
}

/// Why a stored value is not of its column's type.
pub(crate) type Unfit = Box<dyn Error + Send + Sync>;

/// A value on its way into a statement.
pub(crate) struct Sql<'value, T>(pub(crate) &'value T);

impl<T: Column> ToSql for Sql<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.write()
    }
}

/// The value of a column of a row.
pub(crate) fn get<T: Column>(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<T> {
    let value = row.get_ref(at)?;
    T::read(value).map_err(|source| rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), source))
}

/// Types that are stored as the text that they display and parse.
macro_rules! text {
    ($($type:ty),* $(,)?) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
                Ok(value.as_str()?.parse()?)
            }

            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }
    )*};
}

text!(AttemptState, CollectionState, EndpointState, IncidentState, OrderState);
