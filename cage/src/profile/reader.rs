//! The reader: it finds, lists and describes objects, forks its helper, and asks rtnetlink.

use rustix::process::Resource;
use seccompiler::{BackendError, BpfProgram};

use super::threads;
use crate::filter::Argument;

/// Descriptors: directories on the way down, objects in flight to the sealer, sockets.
const FILES_MAX: u64 = 4096;

/// Flags with which `openat` could change something.
const WRITE_FLAGS: libc::c_int =
    libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// Calls that the reader needs beyond those of any program with threads.
const CALLS: &[libc::c_long] = &[
    libc::SYS_close_range,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_kill,
    libc::SYS_listxattr,
    libc::SYS_newfstatat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_wait4,
    libc::SYS_getppid,
];

pub(super) fn limits() -> Vec<(Resource, u64)> {
    // The file-size limit does not count sockets and pipes, and the reader writes no file.
    vec![(Resource::Fsize, 0), (Resource::Nofile, FILES_MAX)]
}

pub(super) fn program() -> Result<BpfProgram, BackendError> {
    // The helper dies with its reader (PR_SET_PDEATHSIG).
    let mut filter = threads::filter(&[libc::PR_SET_NAME, libc::PR_SET_VMA, libc::PR_SET_PDEATHSIG])?;
    filter.calls(CALLS);
    filter.call_when(libc::SYS_openat, [vec![Argument::has_bits(2, WRITE_FLAGS, 0)]])?;
    filter.call_when(libc::SYS_socket, [vec![Argument::is(0, libc::AF_NETLINK)]])?;
    filter.compile()
}
