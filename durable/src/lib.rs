//! Files that survive power loss: write a new file, replace one, private folders, key files, line files, locks.
//!
//! Guarantee: when a call returns `Ok`, its effect survives power loss. When the machine stops during a call, the next
//! start finds the state before the call or the state after it, never a piece of a file under the file's name.
//! Not here: objects of a store (`store::directory` has the same order of calls below a descriptor), databases.
//!
//! A replacement (`replace`, and `create` with `renameat2` in place of `rename`) makes these calls, in this order:
//!
//! | call | why, and its source | what a crash right after it leaves |
//! |---|---|---|
//! | `open(.NAME.next, O_CREAT\|O_EXCL)` | bytes lie under a name that nobody reads, in a file that nobody else has open (POSIX open) | the old file; an empty `.NAME.next` |
//! | `flock(LOCK_EX)`, `fstat`, `lstat` | two writers of one file take turns (flock(2)); the kernel releases the lock of a dead writer. A file system without locks is refused (ENOLCK, EOPNOTSUPP, ENOSYS) | as above |
//! | `write` | may be short, so it is repeated (POSIX write) | the old file; any piece in `.NAME.next` |
//! | `fsync(file)` | content and length reach the disk before the name does (POSIX fsync). Without it ext4 and xfs may show an empty file after a crash (Pillai et al., OSDI '14) | the old file; a whole `.NAME.next` |
//! | `rename` | takes the place of the old file at once (POSIX rename) | the old file or the new one |
//! | `renameat2(RENAME_NOREPLACE)` | as `rename`, but fails with `EEXIST` (rename(2)). A file system without the flag says `EINVAL`. Then `link`, which never replaces (POSIX link), names the file, and `unlink` removes `.NAME.next` | no file or the new one; after `link` the new one under both names |
//! | `fsync(folder)` | a name is data of its folder, and the `fsync` of the file does not cover it (fsync(2), NOTES) | the new file |
//!
//! The next writer of the same file removes a `.NAME.next` that a crash left. Such a file was never acknowledged.
//!
//! After a *failed* `fsync` the kernel may mark the lost pages clean and report success the next time (Rebello et al.,
//! ATC '20; PostgreSQL wiki, *Fsync Errors*). No function here calls `fsync` a second time on the same content: the bytes are
//! written again, or the error goes to the caller.

mod folder;
mod key_file;
mod line_file;
mod lock;
mod write;

pub use folder::{create_private_folder, require_private_folder, sync_folder, sync_folders};
pub use key_file::{KeyFile, KeyFileError, Links, create_seed, read_key_file, read_seed};
pub use line_file::LineFile;
pub use lock::{Lock, lock_or_refuse};
pub use write::{create, file_in_new_folder, read_at_most, remove, rename, replace, write_in_new_folder};
