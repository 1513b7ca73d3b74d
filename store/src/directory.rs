//! The default store: a directory (docs/spec/store.md, *Directory store*).
//!
//! ```text
//! create: tmp/<random> → write → fsync(file) → link(final name) → fsync(directory of the name,
//!         then every directory created on the way, deepest first) → unlink(tmp/<random>)
//! ```
//! Guarantee: a name under which anything can be read leads to bytes that were flushed before the name existed.
//! After an fsync *error* the kernel may have dropped the dirty pages and report success next time (Rebello et al.,
//! ATC '20), so the store refuses to write until restart.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::identity::{DOMAIN_OF_DEVICE, MARKER_BYTES_MAX, StoreIdentity};
use crate::key::{ContentCheck, Key, KeyKind};
use crate::linux::LinuxDisk;
use crate::{Destroyed, Disposable, Guarantees, ObjectWriter, READ_BYTES_MAX, Store, StoreError, Warrant};

/// Where objects are written before they have a name.
const TEMPORARY: &str = "tmp";
/// Where objects go whose bytes are not those their key names.
const DAMAGED: &str = "damaged";
/// Piece in which two files are compared: 128 KiB, bounds memory of an idempotent create.
const COMPARE_BYTES: usize = 128 << 10;

/// Objects in a directory.
pub struct DirectoryStore<D: Disk = LinuxDisk> {
    shared: Arc<Shared<D>>,
    identity: StoreIdentity,
    domain: String,
}

struct Shared<D> {
    disk: D,
    name: String,
    /// Set by an fsync error, cleared only by a restart.
    failed: AtomicBool,
    /// Directories whose own name is known to be durable since this process started. One found on the disk may have
    /// been made by a process that died before it flushed the parent, so existence alone proves nothing.
    durable: Mutex<BTreeSet<String>>,
}

impl DirectoryStore {
    /// Makes a store out of a directory that is empty or does not exist yet.
    ///
    /// # Errors
    /// `Marker` when the directory has content, otherwise of the operating system.
    pub fn initialise(path: &Path, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let failed = |operation, source| StoreError::from_io(&identity.store, operation, &place, source);
        if let Err(source) = make_root(path) {
            return Err(failed("create directory", source));
        }
        let disk = LinuxDisk::open(path).map_err(|source| failed("open", source))?;
        Self::initialise_on(disk, &place, identity)
    }

    /// Opens a store that `initialise` made. Never creates one.
    ///
    /// # Errors
    /// `Marker` without a valid `store.json` (a disk that is not mounted looks like this), `Transient` when another
    /// process holds the store, otherwise of the operating system.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let disk = match LinuxDisk::open(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let reason =
                    "there is no such directory. Mount the disk, or correct the path in `server.toml`"
                        .to_owned();
                return Err(StoreError::Marker { path: place, reason });
            }
            Err(source) => return Err(StoreError::from_io(&place, "open and lock", &place, source)),
        };
        Self::open_on(disk, &place)
    }

    /// Opens a store that another process may be writing, to read it: nothing is locked, removed or ever written.
    ///
    /// # Errors
    /// As `open`, but for the lock.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let disk = LinuxDisk::open_shared(path)
            .map_err(|source| StoreError::from_io(&place, "open", &place, source))?;
        let mut shared = Shared::new(disk, place.clone());
        let identity = read_marker(&shared, &place)?;
        shared.name.clone_from(&identity.store);
        // What must not be written refuses every write.
        shared.failed.store(true, Ordering::SeqCst);
        Ok(Self::assemble(Arc::new(shared), identity))
    }
}

fn read_marker<D: Disk>(shared: &Shared<D>, place: &str) -> Result<StoreIdentity, StoreError> {
    let marker = |reason: String| StoreError::Marker { path: place.to_owned(), reason };
    match shared.read(&Key::marker(), MARKER_BYTES_MAX) {
        Ok(bytes) => StoreIdentity::from_bytes(&bytes).map_err(marker),
        Err(StoreError::NotFound { .. }) => Err(marker(
            "it has no `store.json`. Mount the disk, or make a store with `exhibit-server init`".to_owned(),
        )),
        Err(other) => Err(other),
    }
}

/// Creates the root, 0700, and makes its name durable.
fn make_root(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs_err::File::open(parent)?.sync_all(),
        _ => fs_err::File::open(".")?.sync_all(),
    }
}

impl<D: Disk> DirectoryStore<D> {
    /// As [`DirectoryStore::initialise`], on any disk.
    ///
    /// # Errors
    /// As [`DirectoryStore::initialise`].
    pub fn initialise_on(disk: D, place: &str, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(disk, identity.store.clone()));
        let names = shared.disk.list("").map_err(|source| shared.error("list", "", source))?;
        // `tmp` alone is an init that was cut before it wrote the marker: going on is right.
        if names.iter().any(|(name, _)| name != TEMPORARY) {
            let reason = "the directory is not empty. Give an empty one".to_owned();
            return Err(StoreError::Marker { path: place.to_owned(), reason });
        }
        shared.make_directories(TEMPORARY)?;
        shared.create(&Key::marker(), &identity.to_bytes())?;
        Ok(Self::assemble(shared, identity.clone()))
    }

    /// As [`DirectoryStore::open`], on any disk.
    ///
    /// # Errors
    /// As [`DirectoryStore::open`].
    pub fn open_on(disk: D, place: &str) -> Result<Self, StoreError> {
        let mut shared = Shared::new(disk, place.to_owned());
        let identity = read_marker(&shared, place)?;
        shared.name.clone_from(&identity.store);
        shared.remove_temporaries()?;
        Ok(Self::assemble(Arc::new(shared), identity))
    }

    fn assemble(shared: Arc<Shared<D>>, identity: StoreIdentity) -> Self {
        let domain =
            if identity.domain == DOMAIN_OF_DEVICE { shared.disk.device() } else { identity.domain.clone() };
        Self { shared, identity, domain }
    }
}

impl<D: Disk> Shared<D> {
    fn new(disk: D, name: String) -> Self {
        Self { disk, name, failed: AtomicBool::new(false), durable: Mutex::default() }
    }

    fn error(&self, operation: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError::from_io(&self.name, operation, key, source)
    }

    /// An fsync error: the store is failed from now on.
    fn sync_error(&self, key: &str, source: io::Error) -> StoreError {
        self.failed.store(true, Ordering::SeqCst);
        self.error("fsync", key, source)
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::SeqCst) {
            Err(StoreError::Failed { store: self.name.clone() })
        } else {
            Ok(())
        }
    }

    fn durable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_temporary(self: &Arc<Self>) -> Result<Temporary<D>, StoreError> {
        self.check_writable()?;
        let mut name = [0; 16];
        getrandom::fill(&mut name)
            .map_err(|error| self.error("draw a name", TEMPORARY, io::Error::other(error.to_string())))?;
        let path = format!("{TEMPORARY}/{}", hex::encode(name));
        let file = match self.disk.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directories(TEMPORARY)?;
                self.disk.create_new(&path)
            }
            result => result,
        };
        let file = file.map_err(|source| self.error("create", &path, source))?;
        Ok(Temporary { shared: Arc::clone(self), path, file })
    }

    fn create(self: &Arc<Self>, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let mut temporary = self.open_temporary()?;
        temporary.append(bytes)?;
        temporary.publish(key)
    }

    /// Creates every missing directory of a path. Their names become durable with `sync_names`.
    fn make_directories(&self, path: &str) -> Result<(), StoreError> {
        if path.is_empty() || self.durable().contains(path) {
            return Ok(());
        }
        self.make_directories(parent(path))?;
        match self.disk.make_directory(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.error("mkdir", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Makes a name in `directory` durable: the directory itself, then every one above whose own name is not known
    /// to be, deepest first.
    fn sync_names(&self, directory: &str) -> Result<(), StoreError> {
        let sync =
            |path: &str| self.disk.sync_directory(path).map_err(|source| self.sync_error(path, source));
        sync(directory)?;
        let mut made = directory;
        let mut newly = Vec::new();
        while !made.is_empty() && !self.durable().contains(made) {
            sync(parent(made))?;
            newly.push(made.to_owned());
            made = parent(made);
        }
        // Only when the whole chain is flushed: half a chain is no path.
        self.durable().extend(newly);
        Ok(())
    }

    fn read(&self, key: &Key, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.disk.open(key.as_str()).map_err(|source| self.error("open", key.as_str(), source))?;
        let length = file.length().map_err(|source| self.error("stat", key.as_str(), source))?;
        if length > bytes_max {
            let reason = "the object is longer than any such object may be";
            return Err(StoreError::Refused { store: self.name.clone(), key: key.to_string(), reason });
        }
        read_exactly(&file, 0, length).map_err(|source| self.error("read", key.as_str(), source))
    }

    /// What a dead process left: none of it was acknowledged.
    fn remove_temporaries(&self) -> Result<(), StoreError> {
        let names = match self.disk.list(TEMPORARY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(|source| self.error("list", TEMPORARY, source))?,
        };
        for (name, _) in names.into_iter().filter(|(_, is_directory)| !is_directory) {
            let path = format!("{TEMPORARY}/{name}");
            self.disk.unlink(&path).map_err(|source| self.error("unlink", &path, source))?;
        }
        Ok(())
    }

    /// Unlinks every file of an object, then makes that durable, a directory at a time. Crash in between: some names are gone,
    /// the next call goes on.
    fn dispose(&self, object: &Disposable, go_on: &dyn Fn() -> bool) -> Result<Destroyed, StoreError> {
        self.check_writable()?;
        let mut destroyed = Destroyed::default();
        let damaged = (DAMAGED.to_owned(), true);
        let places = object.prefixes().into_iter().map(|prefix| match prefix.strip_suffix('/') {
            Some(directory) => (directory.to_owned(), false),
            None => (prefix, false),
        });
        for (place, is_damaged) in places.chain([damaged]) {
            let paths = match (object, is_damaged) {
                (Disposable::Detail(_), false) => vec![place.clone()],
                _ => match self.disk.list(&place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    result => result
                        .map_err(|source| self.error("list", &place, source))?
                        .into_iter()
                        .filter(|(name, is_directory)| !is_directory && (!is_damaged || object.was(name)))
                        .map(|(name, _)| format!("{place}/{name}"))
                        .collect(),
                },
            };
            for path in &paths {
                if !go_on() {
                    return Ok(destroyed);
                }
                match self.disk.unlink(path) {
                    Ok(()) => destroyed.count = destroyed.count.saturating_add(1),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.error("unlink", path, error)),
                }
            }
            let directory = match object {
                Disposable::Detail(_) if !is_damaged => parent(&place),
                _ => place.as_str(),
            };
            // Also when nothing was left: who unlinked it may have died before its fsync.
            self.make_directories(directory)?;
            self.sync_names(directory)?;
        }
        destroyed.is_all = true;
        Ok(destroyed)
    }

    fn list_into(&self, directory: &str, keys: &mut Vec<Key>) -> Result<(), StoreError> {
        let names = match self.disk.list(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(|source| self.error("list", directory, source))?,
        };
        for (name, is_directory) in names {
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if !is_directory {
                keys.extend(Key::parse(&path).ok());
            } else if path != TEMPORARY && path != DAMAGED {
                self.list_into(&path, keys)?;
            }
        }
        Ok(())
    }
}

impl<D: Disk> Store for DirectoryStore<D> {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn domain(&self) -> &str {
        &self.domain
    }

    fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::SeqCst)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::DIRECTORY
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared.create(key, bytes)
    }

    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(self.shared.open_temporary()?))
    }

    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let key = Key::checkpoint();
        let mut temporary = self.shared.open_temporary()?;
        temporary.append(bytes)?;
        temporary.sync()?;
        let directory = parent(key.as_str());
        self.shared.make_directories(directory)?;
        let shared = &self.shared;
        shared
            .disk
            .rename(&temporary.path, key.as_str())
            .map_err(|source| shared.error("rename", key.as_str(), source))?;
        // Crash now: the old or the new checkpoint is there, each whole.
        shared.sync_names(directory)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.shared.read(key, READ_BYTES_MAX)
    }

    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let shared = &self.shared;
        let file =
            shared.disk.open(key.as_str()).map_err(|source| shared.error("open", key.as_str(), source))?;
        let end = file.length().map_err(|source| shared.error("stat", key.as_str(), source))?;
        let length = length.min(end.saturating_sub(offset)).min(READ_BYTES_MAX);
        read_exactly(&file, offset, length).map_err(|source| shared.error("read", key.as_str(), source))
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        let length = self.shared.disk.open(key.as_str()).and_then(|file| file.length());
        length.map_err(|source| self.shared.error("stat", key.as_str(), source))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        self.shared.list_into(prefix.trim_end_matches('/'), &mut keys)?;
        keys.sort();
        Ok(keys)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        if key.kind() != KeyKind::Detail {
            let reason = "only detail objects can be erased";
            return Err(StoreError::Refused { store: shared.name.clone(), key: key.to_string(), reason });
        }
        shared.check_writable()?;
        // So that there is a directory to flush, whoever removed the name.
        shared.make_directories(parent(key.as_str()))?;
        match shared.disk.unlink(key.as_str()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(shared.error("unlink", key.as_str(), error))
            }
            _ => shared.sync_names(parent(key.as_str())),
        }
    }

    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError> {
        object.check(warrant, &self.identity)?;
        self.shared.dispose(object, go_on)
    }

    fn displace(&self, key: &Key) -> Result<(), StoreError> {
        self.shared.move_aside(key, |bytes| key.check(bytes) == ContentCheck::Wrong)
    }

    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError> {
        self.shared.move_aside(key, |bytes| bytes != right)
    }
}

impl<D: Disk> Shared<D> {
    /// To `damaged/`, if that is what it is. What is longer than any object may be is damaged.
    fn move_aside(&self, key: &Key, is_damaged: impl Fn(&[u8]) -> bool) -> Result<(), StoreError> {
        self.check_writable()?;
        let goes = match self.read(key, READ_BYTES_MAX) {
            Err(StoreError::Refused { .. }) => true,
            result => is_damaged(&result?),
        };
        if !goes || matches!(key.kind(), KeyKind::Marker | KeyKind::Checkpoint) {
            return Err(StoreError::Conflict { store: self.name.clone(), key: key.to_string() });
        }
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix)
            .map_err(|error| self.error("draw a name", DAMAGED, io::Error::other(error.to_string())))?;
        let kept = format!("{DAMAGED}/{}.{}", key.as_str().replace('/', "_"), hex::encode(suffix));
        self.make_directories(DAMAGED)?;
        self.disk.rename(key.as_str(), &kept).map_err(|source| self.error("rename", key.as_str(), source))?;
        self.sync_names(DAMAGED)?;
        self.sync_names(parent(key.as_str()))
    }
}

/// A file without a name yet; unlinked when dropped.
struct Temporary<D: Disk> {
    shared: Arc<Shared<D>>,
    path: String,
    file: D::File,
}

impl<D: Disk> Temporary<D> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.append(bytes).map_err(|source| self.shared.error("write", &self.path, source))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().map_err(|source| self.shared.sync_error(&self.path, source))
    }

    fn publish(&self, key: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.check_writable()?;
        self.sync()?;
        let directory = parent(key.as_str());
        shared.make_directories(directory)?;
        match shared.disk.link(&self.path, key.as_str()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_same(key)?,
            Err(source) => return Err(shared.error("link", key.as_str(), source)),
        }
        // Crash now: the object is whole under its name, or there is no name.
        shared.sync_names(directory)
    }

    /// The key exists: same bytes are success, once they are known to be flushed.
    fn check_same(&self, key: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        let failed = |source| shared.error("compare", key.as_str(), source);
        let stored = shared.disk.open(key.as_str()).map_err(failed)?;
        if !same_content(&stored, &self.file).map_err(failed)? {
            return Err(StoreError::Conflict { store: shared.name.clone(), key: key.to_string() });
        }
        // Who linked it may have died before its fsync of the directory; the file was flushed before the link, but a
        // restored or copied store makes no such promise.
        stored.sync().map_err(|source| shared.sync_error(key.as_str(), source))
    }
}

impl<D: Disk> Drop for Temporary<D> {
    fn drop(&mut self) {
        // Best effort: after a rename it is gone, and start-up removes the rest.
        drop(self.shared.disk.unlink(&self.path));
    }
}

impl<D: Disk> ObjectWriter for Temporary<D>
where
    D::File: 'static,
{
    fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.append(chunk)
    }

    fn commit(self: Box<Self>, key: &Key) -> Result<(), StoreError> {
        self.publish(key)
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn read_exactly<F: DiskFile>(file: &F, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let read = file.read_at(rest, offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX)))?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += read;
    }
    Ok(bytes)
}

fn same_content<F: DiskFile>(one: &F, other: &F) -> io::Result<bool> {
    let length = one.length()?;
    if length != other.length()? {
        return Ok(false);
    }
    let mut offset = 0;
    while offset < length {
        let piece = (length - offset).min(u64::try_from(COMPARE_BYTES).unwrap_or(u64::MAX));
        if read_exactly(one, offset, piece)? != read_exactly(other, offset, piece)? {
            return Ok(false);
        }
        offset += piece;
    }
    Ok(true)
}
