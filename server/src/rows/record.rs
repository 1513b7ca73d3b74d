//! Rows as typed structs, and the few ways to read them.
//! Guarantee: a struct and its list of columns cannot differ, because one macro makes both.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, params_from_iter};

use super::DbError;
use super::column::{Column, Unfit};

/// Declares a row of a table: the struct, what SELECT reads into it, and by which columns an error names the row.
macro_rules! record {
    (
        $(#[$doc:meta])*
        $name:ident of $table:literal by $first:literal $(, $key:literal)* {
            $($(#[$why:meta])* $field:ident: $type:ty = $column:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$why])* pub(crate) $field: $type,)*
        }

        impl $crate::rows::record::Record for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$($column),*];
            const LIST: &'static str = concat!($($column, ", ",)* $first $(, ", ", $key)*);
            #[cfg(test)]
            const TYPES: &'static [&'static str] = &[$(stringify!($type)),*];

            fn read(cells: &mut $crate::rows::record::Cells<'_, '_>) -> Result<Self, $crate::rows::DbError> {
                Ok(Self { $($field: cells.next()?,)* })
            }

            fn write(&self) -> rusqlite::Result<Vec<rusqlite::types::ToSqlOutput<'_>>> {
                Ok(vec![$($crate::rows::column::Stored::write(&self.$field)?),*])
            }
        }
    };
}
pub(super) use record;

/// A row of a table. The macro `record` implements it.
pub(crate) trait Record: Sized {
    const TABLE: &'static str;
    /// What SELECT reads into the fields, in their order.
    const COLUMNS: &'static [&'static str];
    /// `COLUMNS`, then the columns by which an error names the row.
    const LIST: &'static str;
    /// The types of the fields, in their order.
    #[cfg(test)]
    const TYPES: &'static [&'static str];

    fn read(cells: &mut Cells<'_, '_>) -> Result<Self, DbError>;
    fn write(&self) -> rusqlite::Result<Vec<ToSqlOutput<'_>>>;
}

/// The cells of one row, from left to right. Those after the fields only name the row in an error.
pub(crate) struct Cells<'row, 'statement> {
    row: &'row Row<'statement>,
    table: &'static str,
    fields: usize,
    at: usize,
}

impl Cells<'_, '_> {
    pub(crate) fn next<T: Column>(&mut self) -> Result<T, DbError> {
        let at = self.at;
        self.at += 1;
        T::read(self.row.get_ref(at)?).map_err(|source| self.corrupt(at, source))
    }

    fn corrupt(&self, at: usize, source: Unfit) -> DbError {
        let statement = self.row.as_ref();
        let name = |at| statement.column_name(at).unwrap_or("without a name");
        let key = (self.fields..statement.column_count()).map(|at| {
            format!("{} {}", name(at), self.row.get_ref(at).map_or_else(|_| "?".to_owned(), shown))
        });
        let key = key.collect::<Vec<_>>().join(", ");
        DbError::Corrupt { table: self.table, column: name(at).to_owned(), key, source }
    }
}

/// A cell for an error's text, at most 80 characters of it.
fn shown(value: ValueRef<'_>) -> String {
    let text = match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => hex::encode(bytes),
    };
    text.chars().take(80).collect()
}

fn read_row<T: Record>(row: &Row<'_>) -> Result<T, DbError> {
    T::read(&mut Cells { row, table: T::TABLE, fields: T::COLUMNS.len(), at: 0 })
}

/// The first row that the statement finds. `rest` is the statement from FROM on.
pub(super) fn find<T: Record>(
    reader: &Connection,
    rest: &str,
    values: impl Params,
) -> Result<Option<T>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {} {rest}", T::LIST))?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(read_row).transpose()
}

/// All rows that the statement finds. `rest` is the statement from FROM on.
pub(super) fn list<T: Record>(
    reader: &Connection,
    rest: &str,
    values: impl Params,
) -> Result<Vec<T>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {} {rest}", T::LIST))?;
    statement.query_and_then(values, read_row)?.collect()
}

/// As [`list`], but at most `count_max` rows, without those that cannot be read: each of them is logged with table and key.
///
/// For tables that only say what is to be done and are filled again (LIVE). There one damaged row must not stop the work on all
/// others. `rest` has no LIMIT, so that damaged rows take no other row's place.
pub(super) fn list_readable<T: Record>(
    reader: &Connection,
    rest: &str,
    values: impl Params,
    count_max: usize,
) -> Result<Vec<T>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {} {rest}", T::LIST))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while found.len() < count_max
        && let Some(row) = rows.next()?
    {
        found.extend(readable(read_row(row))?);
    }
    Ok(found)
}

/// As [`find`]; a row that cannot be read is logged, and counts as not there. For LIVE tables, as [`list_readable`].
pub(super) fn find_readable<T: Record>(
    reader: &Connection,
    rest: &str,
    values: impl Params,
) -> Result<Option<T>, DbError> {
    Ok(readable(find(reader, rest, values))?.flatten())
}

/// `None`, logged, in place of a row that cannot be read. Other errors stay.
fn readable<T>(read: Result<T, DbError>) -> Result<Option<T>, DbError> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(DbError::Corrupt { table, column, key, source }) => {
            let error: &(dyn std::error::Error + 'static) = &*source;
            tracing::error!(
                table,
                key,
                column,
                error,
                "A row cannot be read and is left out; look at the disk"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Adds a row. Every column of the table must be a field.
pub(super) fn insert<T: Record>(tx: &Connection, row: &T) -> Result<(), DbError> {
    let places = (1..=T::COLUMNS.len()).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({places})", T::TABLE, T::COLUMNS.join(", "));
    tx.prepare_cached(&sql)?.execute(params_from_iter(row.write()?))?;
    Ok(())
}

/// The first column of the first row. Further columns only name the row in an error.
pub(super) fn find_value<T: Column>(
    reader: &Connection,
    table: &'static str,
    sql: &str,
    values: impl Params,
) -> Result<Option<T>, DbError> {
    let mut statement = reader.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(|row| Cells { row, table, fields: 1, at: 0 }.next()).transpose()
}

/// The first column of all rows. Further columns only name the row in an error.
pub(super) fn list_values<T: Column>(
    reader: &Connection,
    table: &'static str,
    sql: &str,
    values: impl Params,
) -> Result<Vec<T>, DbError> {
    let mut statement = reader.prepare_cached(sql)?;
    statement.query_and_then(values, |row| Cells { row, table, fields: 1, at: 0 }.next())?.collect()
}
