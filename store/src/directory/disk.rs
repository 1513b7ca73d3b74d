//! The few file-system calls of a directory store. The interface is narrow, so that a test double can lose and fail each call.

use std::io;

/// Files and directories below one root. Paths are relative, `/`-separated, without `.` or `..`; `""` is the root.
///
/// Contract: nothing is durable until `DiskFile::sync` (content) and `sync_directory` (names) returned `Ok`.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Creates a file that must not exist, mode 0444, open for appending.
    ///
    /// # Errors
    /// Of the operating system.
    fn create_new(&self, path: &str) -> io::Result<Self::File>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// Of the operating system.
    fn open(&self, path: &str) -> io::Result<Self::File>;

    /// Creates a directory, mode 0700.
    ///
    /// # Errors
    /// `AlreadyExists`, or of the operating system.
    fn make_directory(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Of the operating system. After an error nothing in that directory may be believed durable.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// Gives a file a second name; never replaces one.
    ///
    /// # Errors
    /// `AlreadyExists`, or of the operating system.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Moves a file over the one with the new name.
    ///
    /// # Errors
    /// Of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// Of the operating system.
    fn unlink(&self, path: &str) -> io::Result<()>;

    /// Names in a directory, in any order; `true` marks directories. Neither symlinks nor special files are listed.
    ///
    /// # Errors
    /// Of the operating system.
    fn list(&self, path: &str) -> io::Result<Vec<(String, bool)>>;

    /// Failure domain of the device below.
    fn device(&self) -> String;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send {
    /// Appends all bytes.
    ///
    /// # Errors
    /// Of the operating system; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// Of the operating system.
    fn sync(&self) -> io::Result<()>;

    /// Reads at `offset`; 0 only at the end.
    ///
    /// # Errors
    /// Of the operating system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length of the file.
    ///
    /// # Errors
    /// Of the operating system.
    fn length(&self) -> io::Result<u64>;
}
