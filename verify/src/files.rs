//! The bundle's files: each is a regular file with a permitted name, and SHA256SUMS or the short uncovered list names it.
//! Guarantee: each read compares the file's digest again, so a file that changes during verification is noticed. `Files` remembers
//! which files the checks read, so the report can name a file that no check read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use evidence::bundle::{self, Sums, UNCOVERED};
use evidence::digest::{Digest, Hasher};
use evidence::length::{len, to_u64};

/// Largest file that is read into memory: documents and entries. Containers are streamed.
pub(crate) const SMALL_BYTES_MAX: u64 = 72 << 20;

#[derive(Debug)]
enum Source<'a> {
    Folder(PathBuf),
    Memory(&'a BTreeMap<String, Vec<u8>>),
}

/// A bundle on disk or in memory.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    source: Source<'a>,
    /// The length of every regular file, by name.
    lengths: BTreeMap<String, u64>,
    sums: Sums,
    sums_bytes: Vec<u8>,
    /// The names that checks read.
    asked: RefCell<BTreeSet<String>>,
}

/// Largest SHA256SUMS. A bundle with as many files as allowed, all with the longest name, would need more; no bundle is like that.
const SUMS_BYTES_MAX: u64 = SMALL_BYTES_MAX * 8;

/// Bytes read at once when a file is hashed: 256 KiB stay in the second-level cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Why a bundle's files cannot even be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The folder or a file cannot be read, so nothing could be checked.
    #[error("cannot read the bundle")]
    Io {
        #[source]
        source: std::io::Error,
    },
    /// The path is a file instead of a folder: an archive, most likely.
    #[error("{path} is a file: a bundle is verified as a folder")]
    NotAFolder { path: String },
    /// The folder is no bundle.
    #[error("{path} has no SHA256SUMS: not a bundle")]
    NotABundle { path: String },
    /// Something in the folder shows that it is not a bundle of ours: a symlink, a special file, a name, a malformed SHA256SUMS.
    #[error("{what}")]
    Malformed { what: String },
}

impl FilesError {
    /// What to do now.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Self::NotAFolder { path } => format!("unpack it first: tar -xf {path}"),
            Self::NotABundle { .. } => "give the folder that holds SHA256SUMS".to_owned(),
            Self::Io { .. } | Self::Malformed { .. } => {
                "check the folder's permissions and the medium, then run again".to_owned()
            }
        }
    }
}

impl<'a> Files<'a> {
    /// Opens a bundle in a folder: lists its files and reads SHA256SUMS.
    pub(crate) fn open(root: &Path) -> Result<Self, FilesError> {
        let io = |source| FilesError::Io { source };
        let meta = fs_err::symlink_metadata(root.join("SHA256SUMS"));
        if meta.is_err() {
            if root.is_file() {
                return Err(FilesError::NotAFolder { path: root.display().to_string() });
            }
            fs_err::read_dir(root).map_err(io)?;
            return Err(FilesError::NotABundle { path: root.display().to_string() });
        }
        let mut lengths = BTreeMap::new();
        list(root, "", &mut lengths)?;
        Self::new(Source::Folder(root.to_path_buf()), lengths)
    }

    /// A bundle whose files are in memory, by name. A name that no bundle may hold needs no check here: SHA256SUMS cannot list it.
    pub(crate) fn in_memory(files: &'a BTreeMap<String, Vec<u8>>) -> Result<Self, FilesError> {
        let lengths: BTreeMap<String, u64> =
            files.iter().map(|(name, bytes)| (name.clone(), len(bytes))).collect();
        if lengths.contains_key("SHA256SUMS") {
            Self::new(Source::Memory(files), lengths)
        } else {
            Err(FilesError::NotABundle { path: "memory".to_owned() })
        }
    }

    fn new(source: Source<'a>, lengths: BTreeMap<String, u64>) -> Result<Self, FilesError> {
        let mut files =
            Self { source, lengths, sums: Sums::new(), sums_bytes: Vec::new(), asked: RefCell::default() };
        files.sums_bytes = files.read("SHA256SUMS", SUMS_BYTES_MAX)?;
        files.sums = Sums::parse(&files.sums_bytes)
            .map_err(|cause| FilesError::Malformed { what: cause.to_string() })?;
        Ok(files)
    }

    /// SHA256SUMS as it is.
    pub(crate) fn sums_bytes(&self) -> &[u8] {
        &self.sums_bytes
    }

    /// Total length of all files, at most `u64::MAX`: it is shown as progress and never judged.
    pub(crate) fn total(&self) -> u64 {
        self.lengths.values().copied().fold(0, u64::saturating_add)
    }

    /// Hashes every covered file and returns at most `most` lines about missing, altered and extra files. `progress` gets the number of
    /// bytes of each read.
    pub(crate) fn compare(
        &self,
        most: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<String>, FilesError> {
        let mut wrong = Vec::new();
        for name in self.lengths.keys() {
            if self.sums.digest(name).is_none() && !UNCOVERED.contains(&name.as_str()) {
                wrong.push(format!("{name} is not in SHA256SUMS: somebody put it there"));
            }
        }
        let mut buffer = Vec::new();
        for (name, expected) in self.sums.iter() {
            if wrong.len() >= most {
                break;
            }
            if !self.lengths.contains_key(name) {
                wrong.push(format!("{name} is missing"));
                continue;
            }
            let found = self.hash(name, &mut buffer, progress)?;
            if found != *expected {
                wrong.push(format!("{name} is altered: its SHA-256 is {found}, SHA256SUMS says {expected}"));
            }
        }
        wrong.truncate(most);
        Ok(wrong)
    }

    fn hash(
        &self,
        name: &str,
        buffer: &mut Vec<u8>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Digest, FilesError> {
        if let Source::Memory(files) = &self.source
            && let Some(bytes) = files.get(name)
        {
            return Ok(Digest::of(bytes));
        }
        buffer.resize(BUFFER_BYTES, 0);
        let mut file = self.reader(name)?;
        let mut hasher = Hasher::new();
        loop {
            let count = file.read(buffer).map_err(|source| FilesError::Io { source })?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(hasher.finish());
            };
            hasher.update(bytes);
            progress(to_u64(count));
        }
    }

    /// A file's bytes; `None` when the bundle has no such file. A covered file is compared with its digest again.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if !self.lengths.contains_key(name) {
            return Ok(None);
        }
        self.asked.borrow_mut().insert(name.to_owned());
        let bytes = self.read(name, SMALL_BYTES_MAX).map_err(|cause| evidence::causes::chain(&cause))?;
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

    /// A file to stream, for a check that judges its content.
    pub(crate) fn judged(&self, name: &str) -> Result<Box<dyn Read + '_>, FilesError> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.reader(name)
    }

    fn reader(&self, name: &str) -> Result<Box<dyn Read + '_>, FilesError> {
        match &self.source {
            Source::Folder(root) => fs_err::File::open(root.join(name))
                .map(|file| -> Box<dyn Read> { Box::new(file) })
                .map_err(|source| FilesError::Io { source }),
            Source::Memory(files) => match files.get(name) {
                Some(bytes) => Ok(Box::new(bytes.as_slice())),
                None => Err(FilesError::Io { source: std::io::ErrorKind::NotFound.into() }),
            },
        }
    }

    fn read(&self, name: &str, max: u64) -> Result<Vec<u8>, FilesError> {
        let mut bytes = Vec::new();
        self.reader(name)?
            .take(max + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| FilesError::Io { source })?;
        if len(&bytes) > max {
            return Err(FilesError::Malformed { what: format!("{name} is over {max} bytes") });
        }
        Ok(bytes)
    }

    /// Files that no check has asked for.
    pub(crate) fn unjudged(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        self.lengths.keys().filter(|name| !asked.contains(*name)).cloned().collect()
    }

    /// True if the bundle has the file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lengths.contains_key(name)
    }

    /// A file's length.
    pub(crate) fn length(&self, name: &str) -> Option<u64> {
        self.lengths.get(name).copied()
    }

    /// All names below a prefix such as `custody/`, sorted.
    pub(crate) fn below<'b>(&'b self, prefix: &'b str) -> impl Iterator<Item = &'b str> {
        self.lengths
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }
}

fn list(root: &Path, inside: &str, lengths: &mut BTreeMap<String, u64>) -> Result<(), FilesError> {
    let malformed = |what: String| FilesError::Malformed { what };
    let before = lengths.len();
    for entry in fs_err::read_dir(root.join(inside)).map_err(|source| FilesError::Io { source })? {
        let entry = entry.map_err(|source| FilesError::Io { source })?;
        let meta = entry.path().symlink_metadata().map_err(|source| FilesError::Io { source })?;
        let part = entry
            .file_name()
            .into_string()
            .map_err(|name| malformed(format!("file name {name:?} is not allowed in a bundle")))?;
        let name = if inside.is_empty() { part } else { format!("{inside}/{part}") };
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
    if lengths.len() == before {
        return Err(malformed(format!("{inside} is an empty folder: somebody put it there")));
    }
    Ok(())
}
