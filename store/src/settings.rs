//! Settings files of a collector and of a mirror: how both read them, and what both write the same way.
//!
//! Guarantee: an unknown or missing setting is an error that names the file, never a default that nobody chose. Not here: what a
//! setting means, which each program says beside its own type.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::location::StoreLocation;
pub use crate::toml_text::quoted;

/// Reads the settings file `path`. `check` says what contradicts, for the user.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, SettingsError> {
    let text = fs_err::read_to_string(path).map_err(|source| SettingsError::Read { source })?;
    parse(&text, check).map_err(|reason| SettingsError::Content { path: path.to_owned(), reason })
}

/// Reads settings out of text. The error is for the user.
pub fn parse<T: DeserializeOwned>(
    text: &str,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, String> {
    let settings = toml::from_str(text).map_err(|error| error.to_string())?;
    check(&settings)?;
    Ok(settings)
}

/// Reads the id and the place of a `[[store]]` table. The caller has removed its own settings. The error is for the user.
pub fn store_of_table(mut table: toml::Table) -> Result<(String, StoreLocation), String> {
    let Some(toml::Value::String(id)) = table.remove("id") else {
        return Err("a [[store]] needs an id".to_owned());
    };
    let place = StoreLocation::of_table(table).map_err(|error| format!("store `{id}`: {error}"))?;
    Ok((id, place))
}

/// Writes a `[[store]]` table that [`store_of_table`] reads back.
#[must_use]
pub fn store_to_toml(id: &str, place: &StoreLocation) -> String {
    let settings = match place {
        StoreLocation::Bucket(settings) => settings.to_toml(),
        StoreLocation::Directory(path) => format!("path = {}\n", quoted(&path.display().to_string())),
    };
    format!("[[store]]\nid = {}\n{settings}", quoted(id))
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A setting is unknown or missing, or contradicts another.
    #[error("{}: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    /// The file cannot be read. The cause names it.
    #[error(
        "read the settings. Is this the directory of a collector or a mirror? `exhibit-server init` and \
         `exhibit-server mirror init` make one"
    )]
    Read {
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        days: u32,
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.days == 0 { Err("days must be at least 1".to_owned()) } else { Ok(()) }
    }

    #[test]
    fn an_unknown_a_missing_and_a_contradicting_setting_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some settings.toml");
        let missing = read(&path, check).unwrap_err();
        assert!(matches!(missing, SettingsError::Read { .. }), "{missing}");
        for (text, expected) in
            [("", "missing field"), ("days = 1\nhours = 2", "unknown field"), ("days = 0", "at least 1")]
        {
            fs_err::write(&path, text).unwrap();
            let error = read(&path, check).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("some settings.toml"), "{error}");
        }
        fs_err::write(&path, "days = 3").unwrap();
        assert_eq!(read(&path, check).unwrap(), Settings { days: 3 });
    }

    #[test]
    fn a_store_that_is_written_reads_back() {
        let place = StoreLocation::Directory("/disk \"1\"/ev\\".into());
        let text = store_to_toml("store-1", &place);
        let mut file: toml::Table = toml::from_str(&text).unwrap();
        let Some(toml::Value::Array(stores)) = file.remove("store") else { panic!("{text}") };
        let table = stores[0].as_table().unwrap().clone();
        assert_eq!(store_of_table(table.clone()), Ok(("store-1".to_owned(), place)));

        let without = |name: &str| {
            let mut table = table.clone();
            table.remove(name);
            store_of_table(table).unwrap_err()
        };
        assert!(without("id").contains("needs an id"));
        assert!(without("path").contains("store `store-1`"));
    }
}
