//! The default store: a directory (docs/spec/store.md, *Directory store*).
//!
//! ```text
//! create: tmp/<random> → write → fsync(file) → link(final name) → fsync(directory of the name,
//!         then every directory created on the way, deepest first) → unlink(tmp/<random>)
//! ```
//! Guarantee: the bytes behind a readable name were flushed before the name existed.
//! After a failed fsync the kernel may drop the dirty pages and report success the next time (Rebello et al., ATC '20). So after
//! such an error the store refuses to write until the process restarts.

pub(crate) mod disk;
pub(crate) mod linux;
mod temporary;
mod volume;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use evidence::disposal::Warrant;

use self::disk::{Disk, DiskFile as _};
use self::linux::LinuxDisk;
use self::temporary::read_exactly;
use self::volume::{TEMPORARY, Volume, parent};
use crate::contract::{ObjectWriter, READ_BYTES_MAX, Store};
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;
use crate::guarantees::Guarantees;
use crate::identity::{DOMAIN_OF_DEVICE, MARKER_BYTES_MAX, StoreIdentity};
use crate::key::{ContentCheck, Key, KeyKind};

/// Objects in a directory.
pub struct DirectoryStore<D: Disk = LinuxDisk> {
    volume: Arc<Volume<D>>,
    identity: StoreIdentity,
    domain: String,
}

impl DirectoryStore {
    /// Makes a store out of a directory that is empty or does not exist yet.
    ///
    /// # Errors
    /// `Marker` if the directory has content, otherwise an error of the operating system.
    pub fn initialise(path: &Path, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let failed = |operation, source| StoreError::from_io(&identity.store, operation, &place, source);
        if let Err(source) = durable::create_private_folder(path) {
            return Err(failed("create directory", source));
        }
        let disk = LinuxDisk::open(path).map_err(|source| failed("open", source))?;
        Self::initialise_on(disk, &place, identity)
    }

    /// Opens a store that `initialise` made. Never creates one.
    ///
    /// # Errors
    /// `Marker` without a valid `store.json` (an unmounted disk looks like this), `Transient` if another
    /// process holds the store, otherwise an error of the operating system.
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

    /// Opens a store for reading while another process may be writing to it. Locks, removes and writes
    /// nothing.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let disk = LinuxDisk::open_shared(path)
            .map_err(|source| StoreError::from_io(&place, "open", &place, source))?;
        let mut volume = Volume::new(disk, place.clone());
        let identity = read_marker(&volume, &place)?;
        volume.name.clone_from(&identity.store);
        // A store that was opened for reading must refuse every write.
        volume.failed.store(true, Ordering::SeqCst);
        Ok(Self::assemble(Arc::new(volume), identity))
    }
}

fn read_marker<D: Disk>(volume: &Volume<D>, place: &str) -> Result<StoreIdentity, StoreError> {
    let marker = |reason: String| StoreError::Marker { path: place.to_owned(), reason };
    match volume.read(&Key::marker(), MARKER_BYTES_MAX) {
        Ok(bytes) => StoreIdentity::from_bytes(&bytes).map_err(marker),
        Err(StoreError::NotFound { .. }) => Err(marker(
            "it has no `store.json`. Mount the disk, or make a store with `exhibit-server init`".to_owned(),
        )),
        Err(other) => Err(other),
    }
}

impl<D: Disk> DirectoryStore<D> {
    /// As [`DirectoryStore::initialise`], on any disk.
    pub fn initialise_on(disk: D, place: &str, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let volume = Arc::new(Volume::new(disk, identity.store.clone()));
        let names = volume.disk.list("").map_err(|source| volume.error("list", "", source))?;
        // A directory with nothing but `tmp` comes from an init that was cut off before it wrote the marker.
        // It is safe to continue.
        if names.iter().any(|(name, _)| name != TEMPORARY) {
            let reason = "the directory is not empty. Give an empty one".to_owned();
            return Err(StoreError::Marker { path: place.to_owned(), reason });
        }
        volume.make_directories(TEMPORARY)?;
        volume.create(&Key::marker(), &identity.to_bytes())?;
        Ok(Self::assemble(volume, identity.clone()))
    }

    /// As [`DirectoryStore::open`], on any disk.
    pub fn open_on(disk: D, place: &str) -> Result<Self, StoreError> {
        let mut volume = Volume::new(disk, place.to_owned());
        let identity = read_marker(&volume, place)?;
        volume.name.clone_from(&identity.store);
        volume.remove_temporaries()?;
        Ok(Self::assemble(Arc::new(volume), identity))
    }

    fn assemble(volume: Arc<Volume<D>>, identity: StoreIdentity) -> Self {
        let domain =
            if identity.domain == DOMAIN_OF_DEVICE { volume.disk.device() } else { identity.domain.clone() };
        Self { volume, identity, domain }
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
        self.volume.failed.load(Ordering::SeqCst)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::DIRECTORY
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.volume.create(key, bytes)
    }

    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(self.volume.open_temporary()?))
    }

    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let key = Key::checkpoint();
        let mut temporary = self.volume.open_temporary()?;
        temporary.append(bytes)?;
        temporary.sync()?;
        let directory = parent(key.as_str());
        self.volume.make_directories(directory)?;
        let volume = &self.volume;
        volume
            .disk
            .rename(&temporary.path, key.as_str())
            .map_err(|source| volume.error("rename", key.as_str(), source))?;
        // Crash now: the old or the new checkpoint is there, whole.
        volume.sync_names(directory)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.volume.read(key, READ_BYTES_MAX)
    }

    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let volume = &self.volume;
        let file =
            volume.disk.open(key.as_str()).map_err(|source| volume.error("open", key.as_str(), source))?;
        let end = file.length().map_err(|source| volume.error("stat", key.as_str(), source))?;
        // Saturating is correct here: there are no bytes past the end.
        let length = length.min(end.saturating_sub(offset)).min(READ_BYTES_MAX);
        read_exactly(&file, offset, length).map_err(|source| volume.error("read", key.as_str(), source))
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        let length = self.volume.disk.open(key.as_str()).and_then(|file| file.length());
        length.map_err(|source| self.volume.error("stat", key.as_str(), source))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        self.volume.list_into(prefix.trim_end_matches('/'), &mut keys)?;
        keys.sort();
        Ok(keys)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let volume = &self.volume;
        if key.kind() != KeyKind::Detail {
            let reason = "only detail objects can be erased";
            return Err(StoreError::Refused { store: volume.name.clone(), key: key.to_string(), reason });
        }
        volume.check_writable()?;
        // Flush the directory even if another call removed the name. So the directory must exist.
        volume.make_directories(parent(key.as_str()))?;
        match volume.disk.unlink(key.as_str()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(volume.error("unlink", key.as_str(), error))
            }
            _ => volume.sync_names(parent(key.as_str())),
        }
    }

    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError> {
        object.check(warrant, &self.identity)?;
        self.volume.dispose(object, go_on)
    }

    fn displace(&self, key: &Key) -> Result<(), StoreError> {
        self.volume.move_aside(key, |bytes| key.check(bytes) == ContentCheck::Wrong)
    }

    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError> {
        self.volume.move_aside(key, |bytes| bytes != right)
    }
}
