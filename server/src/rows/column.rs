//! The one place that turns SQLite's values into evidence's types, and back.
//! Guarantee: if a value does not fit its column's type, the error names table, column and row. Nothing
//! is replaced by a default.
//!
//! An absent value is `''` in a column whose text has a grammar (a time, a key, an actor), and NULL in every other.

use std::error::Error;

use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::incident::{RsitClass, Severity, Tlp};
use evidence::entry::state::{AttemptState, CollectionState, EndpointState, IncidentState, OrderState};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain, EndpointId, Generation, IncidentId, PersonId};
use evidence::item::Kind;
use evidence::item::outcome::Outcome;
use evidence::keys::{Fingerprint, PublicKey};
use evidence::order::{Decision, Sensitivity};
use evidence::time::Time;
use ledger::Hash;
use rusqlite::types::{FromSql, ToSql, ToSqlOutput, ValueRef};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{Deserialize as _, IntoDeserializer as _};
use store::{Key, Wanting};

/// A value that can be written into a column.
pub(crate) trait Stored {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>>;
}

/// A type that a column can have.
pub(crate) trait Column: Stored + Sized {
    /// The value of a column that has none.
    const NONE: ValueRef<'static> = ValueRef::Null;

    fn read(value: ValueRef<'_>) -> Result<Self, Unfit>;
}

/// Why a stored value does not fit its column's type.
pub(crate) type Unfit = Box<dyn Error + Send + Sync>;

/// The parameters of a statement: each value in the form that its column stores.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        $crate::rows::column::bound([$($crate::rows::column::Stored::write(&$value)?),*])
    };
}
pub(super) use values;

pub(super) fn bound<const N: usize>(
    values: [ToSqlOutput<'_>; N],
) -> rusqlite::ParamsFromIter<[ToSqlOutput<'_>; N]> {
    rusqlite::params_from_iter(values)
}

impl<T: Stored + ?Sized> Stored for &T {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        T::write(self)
    }
}

impl<T: Column> Stored for Option<T> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_ref().map_or(Ok(ToSqlOutput::Borrowed(T::NONE)), T::write)
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        if value == T::NONE { Ok(None) } else { T::read(value).map(Some) }
    }
}

/// Types that SQLite knows. A number outside the type's range is an error.
macro_rules! native {
    ($($type:ty),*) => {$(
        impl Stored for $type {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.to_sql()
            }
        }

        impl Column for $type {
            fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
                Ok(Self::column_result(value)?)
            }
        }
    )*};
}

native!(String, Vec<u8>, i64, u32, u64);

impl Stored for str {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.to_sql()
    }
}

impl Stored for [u8] {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.to_sql()
    }
}

impl Stored for bool {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.to_sql()
    }
}

impl Column for bool {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        match value.as_i64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("neither 0 nor 1".into()),
        }
    }
}

/// Types of 32 bytes, stored as a blob.
macro_rules! blob {
    ($($type:ident),*) => {$(
        impl Stored for $type {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl Column for $type {
            fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
                Ok(Self(FromSql::column_result(value)?))
            }
        }
    )*};
}

blob!(Digest, Hash);

/// Types that are stored as their display text.
macro_rules! text {
    ($($type:ty),* $(,)?) => {$(
        impl Stored for $type {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }

        impl Column for $type {
            const NONE: ValueRef<'static> = ValueRef::Text(b"");

            fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
                Ok(value.as_str()?.parse()?)
            }
        }
    )*};
}

text!(Actor, AttemptState, Chain, CollectionState, EndpointId, EndpointState, EntryType, Fingerprint);
text!(
    IncidentId,
    IncidentState,
    Object,
    OrderState,
    Outcome,
    PersonId,
    PublicKey,
    RsitClass,
    Severity,
    Time,
    Tlp
);

/// Enumerations that are stored as their word in JSON.
macro_rules! word {
    ($($type:ty),*) => {$(
        impl Stored for $type {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                match serde_json::to_value(self) {
                    Ok(serde_json::Value::String(word)) => Ok(word.into()),
                    Ok(_) => Err(rusqlite::Error::ToSqlConversionFailure("no word of JSON".into())),
                    Err(source) => Err(rusqlite::Error::ToSqlConversionFailure(source.into())),
                }
            }
        }

        impl Column for $type {
            const NONE: ValueRef<'static> = ValueRef::Text(b"");

            fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
                let word: StrDeserializer<'_, WordError> = value.as_str()?.into_deserializer();
                Ok(Self::deserialize(word)?)
            }
        }
    )*};
}

word!(Decision, Kind, Sensitivity);

impl Stored for ActObject {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.encode().into())
    }
}

impl Column for ActObject {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        Ok(Self::parse(value.as_blob()?)?)
    }
}

/// A time in a column of milliseconds since 1970, where 0 stands for no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) Time);

impl Stored for Millis {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let ms = i64::try_from(self.0.unix_ms())
            .map_err(|source| rusqlite::Error::ToSqlConversionFailure(source.into()))?;
        Ok(ms.into())
    }
}

impl Column for Millis {
    const NONE: ValueRef<'static> = ValueRef::Integer(0);

    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        let ms = u64::column_result(value)?;
        Ok(Self(Time::from_unix_ms(ms).ok_or("a time after the year 9999")?))
    }
}

impl Stored for Generation {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl Column for Generation {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        Self::new(u32::column_result(value)?).ok_or_else(|| "a generation is at least 1".into())
    }
}

impl Stored for Key {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl Column for Key {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        Ok(Self::parse(value.as_str()?)?)
    }
}

impl Stored for Wanting {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let word = match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
        };
        Ok(word.into())
    }
}

impl Column for Wanting {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        match value.as_str()? {
            "damaged" => Ok(Self::Damaged),
            "missing" => Ok(Self::Missing),
            _ => Err("neither damaged nor missing".into()),
        }
    }
}

/// The refs of an entry: a JSON list of `[name, value]`.
impl Stored for Vec<(String, String)> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(self)
            .map_err(|source| rusqlite::Error::ToSqlConversionFailure(source.into()))?;
        Ok(text.into())
    }
}

impl Column for Vec<(String, String)> {
    fn read(value: ValueRef<'_>) -> Result<Self, Unfit> {
        Ok(serde_json::from_str(value.as_str()?)?)
    }
}
