//! A disk, and what this process knows about it: which names are durable, and whether a flush failed.
//! Guarantee: after a failed flush this process writes nothing more.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile as _};
use super::temporary::{Temporary, read_exactly};
use crate::contract::READ_BYTES_MAX;
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;
use crate::key::{Key, KeyKind};

/// Where objects are written before they get their name.
pub(super) const TEMPORARY: &str = "tmp";
/// Where damaged objects go: their bytes are not the ones that their keys name.
const DAMAGED: &str = "damaged";
pub(super) struct Volume<D> {
    pub(super) disk: D,
    pub(super) name: String,
    /// Set by an fsync error, cleared only by a restart.
    pub(super) failed: AtomicBool,
    /// Directories whose own name is known to be durable since this process started. Existence alone proves
    /// nothing: a process may have made the directory and died before it flushed the parent.
    durable: Mutex<BTreeSet<String>>,
}

impl<D: Disk> Volume<D> {
    pub(super) fn new(disk: D, name: String) -> Self {
        Self { disk, name, failed: AtomicBool::new(false), durable: Mutex::default() }
    }

    pub(super) fn error(&self, operation: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError::from_io(&self.name, operation, key, source)
    }

    /// Handles an fsync error: from now on the store counts as failed.
    pub(super) fn sync_error(&self, key: &str, source: io::Error) -> StoreError {
        self.failed.store(true, Ordering::SeqCst);
        self.error("fsync", key, source)
    }

    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::SeqCst) {
            Err(StoreError::Failed { store: self.name.clone() })
        } else {
            Ok(())
        }
    }

    pub(super) fn durable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_temporary(self: &Arc<Self>) -> Result<Temporary<D>, StoreError> {
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
        Ok(Temporary { volume: Arc::clone(self), path, file })
    }

    pub(super) fn create(self: &Arc<Self>, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let mut temporary = self.open_temporary()?;
        temporary.append(bytes)?;
        temporary.publish(key)
    }

    /// Creates every missing directory of a path. `sync_names` makes their names durable.
    pub(super) fn make_directories(&self, path: &str) -> Result<(), StoreError> {
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

    /// Makes a name in `directory` durable. It flushes the directory itself, then every parent whose own name
    /// is not known to be durable, deepest first.
    pub(super) fn sync_names(&self, directory: &str) -> Result<(), StoreError> {
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
        // Only after the whole chain is flushed: with half of it, the path can still be lost.
        self.durable().extend(newly);
        Ok(())
    }

    pub(super) fn read(&self, key: &Key, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.disk.open(key.as_str()).map_err(|source| self.error("open", key.as_str(), source))?;
        let length = file.length().map_err(|source| self.error("stat", key.as_str(), source))?;
        if length > bytes_max {
            let reason = "the object is longer than any such object may be";
            return Err(StoreError::Refused { store: self.name.clone(), key: key.to_string(), reason });
        }
        read_exactly(&file, 0, length).map_err(|source| self.error("read", key.as_str(), source))
    }

    /// Removes the temporary files that a dead process left. None of them was acknowledged.
    pub(super) fn remove_temporaries(&self) -> Result<(), StoreError> {
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

    /// Unlinks every file of an object and makes that durable, one directory at a time. A crash in between
    /// leaves some names gone; the next call continues.
    pub(super) fn dispose(
        &self,
        object: &Disposable,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError> {
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
                    Ok(()) => destroyed.count += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.error("unlink", path, error)),
                }
            }
            let directory = match object {
                Disposable::Detail(_) if !is_damaged => parent(&place),
                _ => place.as_str(),
            };
            // Flush even if nothing was left: the process that unlinked the file may have died before its
            // fsync.
            self.make_directories(directory)?;
            self.sync_names(directory)?;
        }
        destroyed.is_all = true;
        Ok(destroyed)
    }

    pub(super) fn list_into(&self, directory: &str, keys: &mut Vec<Key>) -> Result<(), StoreError> {
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

impl<D: Disk> Volume<D> {
    /// Moves a damaged object to `damaged/`. An object that is longer than the limit counts as damaged.
    pub(super) fn move_aside(&self, key: &Key, is_damaged: impl Fn(&[u8]) -> bool) -> Result<(), StoreError> {
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

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
