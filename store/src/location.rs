//! The location of a store in the settings of a collector or mirror: `kind = "directory"` (the default) or `kind = "s3"`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::contract::Store;
use crate::directory::DirectoryStore;
use crate::error::StoreError;
use crate::identity::{DOMAIN_OF_DEVICE, StoreIdentity};
#[cfg(feature = "buckets")]
use crate::s3::S3Store;
use crate::s3_settings::S3Settings;

/// A directory of this machine, or a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A bucket, or a part of one.
    Bucket(S3Settings),
    /// A directory of this machine.
    Directory(PathBuf),
}

/// Refuses a bucket in a program that was built without the code for buckets.
fn require_buckets() -> Result<(), String> {
    if cfg!(feature = "buckets") {
        return Ok(());
    }
    Err("this program was built without bucket stores. Give a directory, or use a program built with the cargo feature `buckets`, \
         such as that of the packages"
        .to_owned())
}

impl From<PathBuf> for StoreLocation {
    fn from(path: PathBuf) -> Self {
        Self::Directory(path)
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bucket(settings) => out.write_str(&settings.place()),
            Self::Directory(path) => path.display().fmt(out),
        }
    }
}

impl StoreLocation {
    /// Parses a place: a directory, or `s3:` and the file with the settings of a bucket (`./s3:…` is a
    /// directory).
    ///
    /// # Errors
    /// If the file cannot be read or does not hold such settings.
    pub fn given(text: &Path) -> Result<Self, String> {
        let Some(file) = text.to_str().and_then(|text| text.strip_prefix("s3:")) else {
            return Ok(Self::Directory(text.to_path_buf()));
        };
        require_buckets()?;
        let content = fs_err::read_to_string(file).map_err(|error| error.to_string())?;
        S3Settings::parse(&content).map(Self::Bucket).map_err(|reason| format!("{file}: {reason}"))
    }

    /// Makes relative paths absolute, so that they mean the same from any directory.
    ///
    /// # Errors
    /// If there is no working directory.
    pub fn absolute(self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Directory(path) => Self::Directory(std::path::absolute(path)?),
            Self::Bucket(mut settings) => {
                settings.credentials = settings.credentials.map(std::path::absolute).transpose()?;
                settings.ca_file = settings.ca_file.map(std::path::absolute).transpose()?;
                Self::Bucket(settings)
            }
        })
    }

    /// Reads a place from a settings table. The caller has already removed every key that is not about the
    /// place.
    ///
    /// # Errors
    /// The error text is for the user.
    pub fn of_table(mut table: toml::Table) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct DirectorySettings {
            path: PathBuf,
        }
        let kind = match table.remove("kind") {
            None => "directory".to_owned(),
            Some(toml::Value::String(kind)) => kind,
            Some(_) => return Err("kind is \"directory\" or \"s3\"".to_owned()),
        };
        let wrong = |error: toml::de::Error| error.to_string().trim().to_owned();
        match kind.as_str() {
            "directory" => {
                let settings: DirectorySettings = table.try_into().map_err(wrong)?;
                Ok(Self::Directory(settings.path))
            }
            "s3" => {
                require_buckets()?;
                let settings: S3Settings = table.try_into().map_err(wrong)?;
                settings.check()?;
                Ok(Self::Bucket(settings))
            }
            other => Err(format!("kind is \"directory\" or \"s3\", not {other}")),
        }
    }

    /// True if stores at both places would be the same store.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bucket(one), Self::Bucket(two)) => {
                (&one.endpoint, &one.bucket, &one.prefix) == (&two.endpoint, &two.bucket, &two.prefix)
            }
            _ => self == other,
        }
    }

    /// The failure domain that a new store's marker gets.
    #[must_use]
    pub fn domain(&self) -> String {
        match self {
            Self::Bucket(settings) => settings.failure_domain(),
            Self::Directory(_) => DOMAIN_OF_DEVICE.to_owned(),
        }
    }

    /// Makes an empty store here.
    ///
    /// # Errors
    /// If something is there already, or the place accepts nothing.
    pub fn initialise(&self, identity: &StoreIdentity) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "buckets")]
            Self::Bucket(settings) => S3Store::initialise(settings, identity).map(drop),
            #[cfg(not(feature = "buckets"))]
            Self::Bucket(settings) => Err(without_buckets(settings)),
            Self::Directory(path) => DirectoryStore::initialise(path, identity).map(drop),
        }
    }

    /// Opens the store at this place for service. A bucket is measured.
    pub fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            #[cfg(feature = "buckets")]
            Self::Bucket(settings) => Arc::new(S3Store::open(settings)?),
            #[cfg(not(feature = "buckets"))]
            Self::Bucket(settings) => return Err(without_buckets(settings)),
            Self::Directory(path) => Arc::new(DirectoryStore::open(path)?),
        })
    }

    /// Opens the store at this place for reading while another process writes. Locks, removes and writes
    /// nothing.
    pub fn open_to_read(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            #[cfg(feature = "buckets")]
            Self::Bucket(settings) => Arc::new(S3Store::open_unmeasured(settings)?),
            #[cfg(not(feature = "buckets"))]
            Self::Bucket(settings) => return Err(without_buckets(settings)),
            Self::Directory(path) => Arc::new(DirectoryStore::open_to_read(path)?),
        })
    }
}

/// The settings parser already refuses a bucket. Only code that builds a place by itself gets here.
#[cfg(not(feature = "buckets"))]
fn without_buckets(settings: &S3Settings) -> StoreError {
    let reason = "this program was built without bucket stores";
    StoreError::Refused { store: settings.bucket.clone(), key: settings.place(), reason }
}

#[cfg(all(test, not(feature = "buckets")))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_refused_by_a_program_without_buckets() {
        let given = StoreLocation::given(Path::new("s3:/etc/exhibit/bucket.toml")).unwrap_err();
        assert!(given.contains("built without bucket stores"), "{given}");
        let table =
            toml::from_str("kind = \"s3\"\nendpoint = \"https://s3\"\nbucket = \"evidence\"").unwrap();
        let table = StoreLocation::of_table(table).unwrap_err();
        assert!(table.contains("cargo feature `buckets`"), "{table}");
        assert!(StoreLocation::given(Path::new("./s3:directory")).is_ok());
    }
}
