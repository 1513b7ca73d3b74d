//! A file below `tmp/` before it gets its name, and the comparison with the object that already has that name.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::volume::{Volume, parent};
use crate::contract::ObjectWriter;
use crate::error::StoreError;
use crate::key::Key;

/// Two files are compared in pieces of this size: 128 KiB. It bounds the memory of an idempotent create.
const COMPARE_BYTES: u64 = 128 << 10;

/// A file that has no object name yet. It is unlinked when dropped.
pub(super) struct Temporary<D: Disk> {
    pub(super) volume: Arc<Volume<D>>,
    pub(super) path: String,
    pub(super) file: D::File,
}

impl<D: Disk> Temporary<D> {
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.append(bytes).map_err(|source| self.volume.error("write", &self.path, source))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().map_err(|source| self.volume.sync_error(&self.path, source))
    }

    pub(super) fn publish(&self, key: &Key) -> Result<(), StoreError> {
        let volume = &self.volume;
        volume.check_writable()?;
        self.sync()?;
        let directory = parent(key.as_str());
        volume.make_directories(directory)?;
        match volume.disk.link(&self.path, key.as_str()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_same(key)?,
            Err(source) => return Err(volume.error("link", key.as_str(), source)),
        }
        // Crash now: the object is whole under its name, or there is no name.
        volume.sync_names(directory)
    }

    /// The key exists. If the bytes are the same, this is success once those bytes are known to be flushed.
    pub(super) fn check_same(&self, key: &Key) -> Result<(), StoreError> {
        let volume = &self.volume;
        let failed = |source| volume.error("compare", key.as_str(), source);
        let stored = volume.disk.open(key.as_str()).map_err(failed)?;
        if !same_content(&stored, &self.file).map_err(failed)? {
            return Err(StoreError::Conflict { store: volume.name.clone(), key: key.to_string() });
        }
        // The process that linked it may have died before its fsync of the directory. The file was flushed
        // before the link, but in a restored or copied store even that is not certain.
        stored.sync().map_err(|source| volume.sync_error(key.as_str(), source))
    }
}

impl<D: Disk> Drop for Temporary<D> {
    fn drop(&mut self) {
        // Best effort: after a rename the file is already gone, and the next start removes any left-over.
        drop(self.volume.disk.unlink(&self.path));
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

pub(super) fn read_exactly<F: DiskFile>(file: &F, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let read = file.read_at(rest, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += read;
    }
    Ok(bytes)
}

pub(super) fn same_content<F: DiskFile>(one: &F, other: &F) -> io::Result<bool> {
    let length = one.length()?;
    if length != other.length()? {
        return Ok(false);
    }
    let mut offset = 0;
    while offset < length {
        let piece = (length - offset).min(COMPARE_BYTES);
        if read_exactly(one, offset, piece)? != read_exactly(other, offset, piece)? {
            return Ok(false);
        }
        offset += piece;
    }
    Ok(true)
}
