//! The root the reader works from: a private, detached, read-only and noatime clone of the mount tree.
//!
//! Guarantee: through a [`RootView`] with method `ro_view` no access time of a file, directory or symbolic
//! link changes and no write succeeds, whatever capability the reader has. The clone is a snapshot of the
//! mount table: make one for each collection.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use evidence::item::AtimeMethod;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::CallError;

/// A root directory, and how it protects access times.
#[derive(Debug)]
pub struct RootView {
    /// The directory where all resolution starts.
    pub directory: OwnedFd,
    /// `ro_view`, or `none` if only the mounts as they are could be used. Then files are opened with
    /// `O_NOATIME`.
    pub method: AtimeMethod,
    /// Why there is no view, for the manifest's footprint.
    pub refused: Option<CallError>,
}

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOATIME: u64 = 0x10;
const MOUNT_ATTR_ATIME_MASK: u64 = 0x70;

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes the view of the tree under `path` (`/` in service). Needs CAP_SYS_ADMIN and Linux 5.12; without them
/// it returns the plain directory and the reason.
///
/// # Errors
/// If not even the plain directory opens.
pub fn root_view(path: &std::path::Path) -> Result<RootView, CallError> {
    match cloned(path) {
        Ok(directory) => Ok(RootView { directory, method: AtimeMethod::RoView, refused: None }),
        Err(refused) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(CWD, path, flags, Mode::empty()).map_err(CallError::of("openat"))?;
            Ok(RootView { directory, method: AtimeMethod::None, refused: Some(refused) })
        }
    }
}

fn cloned(path: &std::path::Path) -> Result<OwnedFd, CallError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(CallError::of("open_tree"))?;
    set_attributes(tree.as_fd())?;
    Ok(tree)
}

fn set_attributes(tree: BorrowedFd<'_>) -> Result<(), CallError> {
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME,
        // The access-time choices are one field: clear the old value to set a new one.
        attr_clr: MOUNT_ATTR_ATIME_MASK,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is an empty C string, the structure has the kernel's layout (uapi/linux/mount.h), its exact
    // size is passed, and both outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(CallError { op: "mount_setattr", errno: last_errno() }) }
}

fn last_errno() -> rustix::io::Errno {
    let error = std::io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}
