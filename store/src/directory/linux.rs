//! [`Disk`] on Linux: openat2 resolves every path beneath the root and follows no symlink. Guarantee: no call
//! reaches a file outside the store, whatever the store contains.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, fsync, linkat, major, minor, mkdirat,
    openat2, renameat, statat, unlinkat,
};
use rustix::io::{pread, write};

use super::disk::{Disk, DiskFile};

/// A directory that is held open and locked against a second process.
#[derive(Debug)]
pub struct LinuxDisk {
    root: File,
    device: String,
}

impl LinuxDisk {
    /// Opens an existing directory and locks it for this process.
    ///
    /// # Errors
    /// Of the operating system; `WouldBlock` when another process holds the directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let disk = Self::open_shared(path)?;
        // Start-up removes temporary files, so no other live process may have any here.
        durable::lock_or_refuse(&disk.root)?;
        Ok(disk)
    }

    /// Opens an existing directory for reading. Another process may hold it and write.
    pub(crate) fn open_shared(path: &Path) -> io::Result<Self> {
        let root = openat2(
            CWD,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::empty(),
        )?;
        let device = fstat(&root)?.st_dev;
        Ok(Self { root: root.into(), device: format!("device {}:{}", major(device), minor(device)) })
    }

    fn resolve(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, inside)?)
    }

    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// The open parent directory and the last component. The call that follows uses that component without
    /// resolving it.
    fn parent<'path>(&self, path: &'path str) -> io::Result<(OwnedFd, &'path str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.directory(parent)?, name))
    }
}

impl Disk for LinuxDisk {
    type File = LinuxFile;

    fn create_new(&self, path: &str) -> io::Result<LinuxFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        // The mode is that of the finished object. This descriptor may still write.
        Ok(LinuxFile(self.resolve(path, flags, Mode::RUSR | Mode::RGRP | Mode::ROTH)?))
    }

    fn open(&self, path: &str) -> io::Result<LinuxFile> {
        // O_NONBLOCK: a FIFO planted in the store must not hang a reader.
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(LinuxFile(file)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
        }
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(mkdirat(parent, name, Mode::RWXU)?)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        Ok(fsync(self.directory(path)?)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        Ok(linkat(from_parent, from_name, to_parent, to_name, AtFlags::empty())?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        Ok(renameat(from_parent, from_name, to_parent, to_name)?)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(unlinkat(parent, name, AtFlags::empty())?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<(String, bool)>> {
        let directory = self.directory(path)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            // All our names are ASCII. Any other name cannot be a key.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    FileType::from_raw_mode(statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
                }
                known => known,
            };
            if matches!(kind, FileType::Directory | FileType::RegularFile) {
                names.push((name.to_owned(), kind == FileType::Directory));
            }
        }
        Ok(names)
    }

    fn device(&self) -> String {
        self.device.clone()
    }
}

/// An open file of a [`LinuxDisk`].
#[derive(Debug)]
pub struct LinuxFile(OwnedFd);

impl DiskFile for LinuxFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match write(&self.0, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).ok_or(io::ErrorKind::InvalidData)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Do not retry after EINTR: the first call may have reported an error and cleared it.
        Ok(fsync(&self.0)?)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match pread(&self.0, &mut *buffer, offset) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn length(&self) -> io::Result<u64> {
        u64::try_from(fstat(&self.0)?.st_size).map_err(io::Error::other)
    }
}
