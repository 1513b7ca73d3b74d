//! The bundle's files: every one is regular, has a permitted name, and is covered by SHA256SUMS or by the short uncovered list.
//! Guarantee: bytes are handed out only of files whose digest was compared, and are compared again while read, so that a file changed between is noticed.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use evidence::bundle::{self, Sums, UNCOVERED};
use evidence::digest::{Digest, Hasher};

/// Largest file read at once: documents and entries; containers are streamed.
pub(crate) const SMALL_BYTES_MAX: u64 = 72 << 20;

/// A bundle on disk.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// name → length, of every regular file.
    lengths: BTreeMap<String, u64>,
    sums: Sums,
    sums_bytes: Vec<u8>,
}

/// A bundle whose files cannot even be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The folder or a file cannot be read: could not check.
    #[error("cannot read the bundle")]
    Io {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder is no bundle.
    #[error("{path} has no SHA256SUMS: not a bundle")]
    NotABundle {
        /// Where.
        path: String,
    },
    /// Something in the folder makes it no bundle of ours: a symlink, a special file, a name, a malformed SHA256SUMS.
    #[error("{what}")]
    Malformed {
        /// What.
        what: String,
    },
}

impl Files {
    /// Lists the folder and reads SHA256SUMS.
    pub(crate) fn open(root: &Path) -> Result<Self, FilesError> {
        let io = |source| FilesError::Io { source };
        let meta = fs_err::symlink_metadata(root.join("SHA256SUMS"));
        if meta.is_err() {
            fs_err::read_dir(root).map_err(io)?;
            return Err(FilesError::NotABundle {
                path: root.display().to_string(),
            });
        }
        let mut lengths = BTreeMap::new();
        list(root, "", &mut lengths)?;
        let length = lengths.get("SHA256SUMS").copied().unwrap_or(0);
        let sums_bytes = read(&root.join("SHA256SUMS"), length, SMALL_BYTES_MAX * 8)?;
        let sums = Sums::parse(&sums_bytes).map_err(|cause| FilesError::Malformed {
            what: cause.to_string(),
        })?;
        Ok(Self {
            root: root.to_path_buf(),
            lengths,
            sums,
            sums_bytes,
        })
    }

    /// SHA256SUMS as it is.
    pub(crate) fn sums_bytes(&self) -> &[u8] {
        &self.sums_bytes
    }

    /// Total length of all files.
    pub(crate) fn total(&self) -> u64 {
        self.lengths.values().sum()
    }

    /// Hashes every covered file; returns everything that is missing, altered or extra. `progress` gets bytes as they are read.
    pub(crate) fn compare(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<String>, FilesError> {
        let mut wrong = Vec::new();
        for (name, expected) in self.sums.iter() {
            if !self.lengths.contains_key(name) {
                wrong.push(format!("{name} is missing"));
                continue;
            }
            let mut file = BufReader::with_capacity(1 << 20, self.reader(name)?);
            let mut hasher = Hasher::new();
            let mut buffer = vec![0; 1 << 20];
            loop {
                let count = file
                    .read(&mut buffer)
                    .map_err(|source| FilesError::Io { source })?;
                let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                hasher.update(bytes);
                progress(u64::try_from(count).unwrap_or(0));
            }
            let found = hasher.finish();
            if found != *expected {
                wrong.push(format!(
                    "{name} is altered: its SHA-256 is {found}, SHA256SUMS says {expected}"
                ));
            }
        }
        for name in self.lengths.keys() {
            if self.sums.digest(name).is_none() && !UNCOVERED.contains(&name.as_str()) {
                wrong.push(format!("{name} is not in SHA256SUMS: somebody put it there"));
            }
        }
        Ok(wrong)
    }

    /// A file's bytes; `None` when the bundle has no such file. A covered file is compared with its digest again.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(length) = self.lengths.get(name) else {
            return Ok(None);
        };
        let bytes = read(&self.root.join(name), *length, SMALL_BYTES_MAX)
            .map_err(|cause| crate::trust::chain(&cause))?;
        if let Some(expected) = self.sums.digest(name)
            && Digest::of(&bytes) != *expected
        {
            return Err(format!("{name} does not have the digest of SHA256SUMS"));
        }
        Ok(Some(bytes))
    }

    /// As [`Files::bytes`]; a missing file is an error.
    pub(crate) fn required(&self, name: &str) -> Result<Vec<u8>, String> {
        self.bytes(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// A file to stream.
    pub(crate) fn reader(&self, name: &str) -> Result<fs_err::File, FilesError> {
        fs_err::File::open(self.root.join(name)).map_err(|source| FilesError::Io { source })
    }

    /// Whether the bundle has the file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lengths.contains_key(name)
    }

    /// A file's length.
    pub(crate) fn length(&self, name: &str) -> Option<u64> {
        self.lengths.get(name).copied()
    }

    /// All names below a prefix such as `custody/`, sorted.
    pub(crate) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.lengths
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }
}

fn list(root: &Path, inside: &str, lengths: &mut BTreeMap<String, u64>) -> Result<(), FilesError> {
    let malformed = |what: String| FilesError::Malformed { what };
    for entry in fs_err::read_dir(root.join(inside)).map_err(|source| FilesError::Io { source })? {
        let entry = entry.map_err(|source| FilesError::Io { source })?;
        let meta = entry
            .path()
            .symlink_metadata()
            .map_err(|source| FilesError::Io { source })?;
        let part = entry
            .file_name()
            .into_string()
            .map_err(|name| malformed(format!("file name {name:?} is not allowed in a bundle")))?;
        let name = if inside.is_empty() {
            part
        } else {
            format!("{inside}/{part}")
        };
        bundle::check_name(&name).map_err(|cause| malformed(cause.to_string()))?;
        if meta.is_dir() {
            list(root, &name, lengths)?;
        } else if meta.is_file() {
            lengths.insert(name, meta.len());
        } else {
            return Err(malformed(format!(
                "{name} is neither file nor folder: a bundle holds no links and no special files"
            )));
        }
        if lengths.len() > bundle::FILES_MAX {
            return Err(malformed(format!("more than {} files", bundle::FILES_MAX)));
        }
    }
    Ok(())
}

fn read(path: &Path, length: u64, max: u64) -> Result<Vec<u8>, FilesError> {
    if length > max {
        return Err(FilesError::Malformed {
            what: format!("{} is over {max} bytes", path.display()),
        });
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)
        .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|source| FilesError::Io { source })?;
    Ok(bytes)
}
