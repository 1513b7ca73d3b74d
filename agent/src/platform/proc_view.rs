//! A fresh procfs that is never attached. A bind mount over `/proc/PID` hides a process from everyone who
//! looks through the mount table. This procfs has no such mount.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::CallError;

/// Opens a read-only procfs of this PID namespace. If the kernel refuses, opens the mounted `/proc` and
/// returns the reason as the second value. Needs CAP_SYS_ADMIN and Linux 5.2.
///
/// # Errors
/// If not even `/proc` opens.
pub fn proc_view() -> Result<(OwnedFd, Option<CallError>), CallError> {
    match fresh() {
        Ok(directory) => Ok((directory, None)),
        Err(refused) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let mounted = openat(CWD, "/proc", flags, Mode::empty()).map_err(CallError::of("openat"))?;
            Ok((mounted, Some(refused)))
        }
    }
}

fn fresh() -> Result<OwnedFd, CallError> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(CallError::of("fsopen"))?;
    fsconfig_create(context.as_fd()).map_err(CallError::of("fsconfig"))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(CallError::of("fsmount"))
}
