//! The few file-system calls of a directory store. The interface is narrow, so that a test double can make
//! each call fail or lose its effect.

use std::io;

/// Files and directories below one root. Paths are relative, `/`-separated, without `.` or `..`; `""` is the root.
///
/// Contract: nothing is durable until `DiskFile::sync` (content) and `sync_directory` (names) have returned
/// `Ok`.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Creates a file that must not exist yet, with mode 0444, and opens it for appending.
    fn create_new(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a regular file for reading.
    fn open(&self, path: &str) -> io::Result<Self::File>;

    /// Creates a directory, mode 0700.
    ///
    /// # Errors
    /// `AlreadyExists`, or of the operating system.
    fn make_directory(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Of the operating system. After an error, treat nothing in that directory as durable.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// Gives a file a second name. Never replaces an existing name.
    ///
    /// # Errors
    /// `AlreadyExists`, or of the operating system.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Renames a file, replacing the file that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    fn unlink(&self, path: &str) -> io::Result<()>;

    /// Names in a directory, in any order; `true` marks directories. The list leaves out symlinks and special
    /// files.
    fn list(&self, path: &str) -> io::Result<Vec<(String, bool)>>;

    /// Failure domain of the underlying device.
    fn device(&self) -> String;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send {
    /// Appends all bytes.
    ///
    /// # Errors
    /// Of the operating system. Part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Reads at `offset`. Returns 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length of the file.
    fn length(&self) -> io::Result<u64>;
}
