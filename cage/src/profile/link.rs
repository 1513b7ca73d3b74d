//! The link: no new program, no tracing or signalling of other processes, no writing to the file system, no sockets but
//! TCP, UDP, Unix and rtnetlink (the resolver asks it).
//!
//! It may still read files that its user may read (the resolver needs some). So the service runs it as a user
//! of its own. If it runs as the agent's user, it can read the agent's key files; `exhibit-agent status` warns
//! of this, and docs/threat-model.md lists it. Why this is a list of refusals: docs/adr/0014.

use rustix::process::Resource;
use seccompiler::{BackendError, BpfProgram};

use crate::filter::{Argument, Filter};

/// Calls that are refused, whatever their arguments. This is a list of refusals, not of permissions: the
/// resolver of the C library, the name services it loads and the runtime use many calls that differ between
/// versions, and none of those can do harm without the ones below.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_ftruncate,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_kill,
    libc::SYS_linkat,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_openat2,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_removexattr,
    libc::SYS_request_key,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_setxattr,
    libc::SYS_swapon,
    libc::SYS_symlinkat,
    libc::SYS_tkill,
    libc::SYS_truncate,
    libc::SYS_umount2,
    libc::SYS_unlinkat,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_utimensat,
    // fchmodat2, setxattrat, removexattrat: their numbers are the same on all architectures.
    452,
    463,
    466,
];

/// The same calls by their older names.
#[cfg(target_arch = "x86_64")]
const REFUSED_OF_ARCHITECTURE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_futimesat,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OF_ARCHITECTURE: &[libc::c_long] = &[];

/// To the kernel, x32 calls are x86_64 calls, and every call above has a second number there. Other
/// architectures have no such calls.
const FIRST_X32_CALL: libc::c_long = 0x4000_0000;

/// Flags with which an open call could change something. Each flag is a case of its own.
const WRITE_FLAGS: [(libc::c_int, libc::c_int); 4] = [
    (libc::O_ACCMODE, libc::O_WRONLY),
    (libc::O_ACCMODE, libc::O_RDWR),
    (libc::O_CREAT, libc::O_CREAT),
    (libc::O_TRUNC, libc::O_TRUNC),
];

const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

pub(super) fn limits() -> Vec<(Resource, u64)> {
    // There is no limit of file size: standard error may be a file, and a log line must not kill the link
    // (SIGXFSZ).
    Vec::new()
}

pub(super) fn program() -> Result<BpfProgram, BackendError> {
    let mut filter = Filter::refuse_or_allow();
    filter.calls(REFUSED);
    filter.calls(REFUSED_OF_ARCHITECTURE);
    filter.call_when(libc::SYS_openat, writes(2))?;
    #[cfg(target_arch = "x86_64")]
    filter.call_when(libc::SYS_open, writes(1))?;
    let another_family = FAMILIES.map(|family| Argument::is_not(0, family)).to_vec();
    filter.call_when(libc::SYS_socket, [another_family])?;
    // The link may signal its own threads: `abort` needs that to end it.
    let own = rustix::process::getpid().as_raw_nonzero().get();
    filter.call_when(libc::SYS_tgkill, [vec![Argument::is_not(0, own)]])?;
    filter.answer_from(FIRST_X32_CALL, libc::EPERM);
    filter.compile()
}

fn writes(argument: u8) -> impl Iterator<Item = Vec<Argument>> {
    WRITE_FLAGS.into_iter().map(move |(mask, value)| vec![Argument::has_bits(argument, mask, value)])
}
