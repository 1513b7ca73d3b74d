//! What link gives up before it talks to anybody.
//!
//! Guarantee: no capability, no new program, no tracing or signalling of other processes, no writing to the file system,
//! no sockets but TCP/UDP, Unix and rtnetlink (the resolver asks it). It may still read files that its user may read
//! (the resolver's), so the service runs it as a user of its own; as the same user the keys' directory is only as far
//! away as file modes say, which `exhibit-agent status` mentions. Not here: reader and sealer (`platform::sandbox`).

use std::collections::BTreeMap;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use crate::platform::CallError;
use crate::platform::sandbox::{Number, SandboxError, answer_first, drop_capabilities};

/// Confines the calling process for good.
///
/// # Errors
/// [`SandboxError`]; the caller ends the process.
pub fn enter() -> Result<(), SandboxError> {
    drop_capabilities(CapabilitySet::empty())?;
    set_no_new_privs(true).map_err(CallError::of("prctl"))?;
    // The TLS key must be in no core file, and other processes of this user must not read it out of memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(CallError::of("prctl"))?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(CallError::of("prlimit64"))?;
    // No RLIMIT_FSIZE: standard error may be a file, and a log line must not kill the link (SIGXFSZ).
    let program = filter().map_err(|error| SandboxError::Filter(error.into()))?;
    apply_filter_all_threads(&program).map_err(|error| SandboxError::Filter(error.into()))
}

/// Refused whatever the arguments. A list of refusals, not of permissions: the resolver of the C library and the runtime
/// use many calls that differ between versions, and none of those can do harm without the ones below.
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
    // fchmodat2, setxattrat, removexattrat: the numbers are common to all architectures.
    452,
    463,
    466,
];

/// The same by their older names.
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

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in REFUSED.iter().chain(REFUSED_OF_ARCHITECTURE) {
        rules.insert(*call, Vec::new());
    }
    rules.insert(libc::SYS_openat, writes(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, writes(1)?);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let other = families
        .into_iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, family))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other)?]);
    // Its own threads it may signal: that is how `abort` ends it.
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let not_own = condition(0, SeccompCmpOp::Ne, own)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![not_own])?]);
    let arch = if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let mut program = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    // The x32 calls are x86_64 to the kernel, and every number above has a second spelling there. Elsewhere there are none.
    answer_first(&mut program, Number::IsAtLeast, 0x4000_0000, libc::EPERM);
    Ok(program)
}

/// An open call that could change something: one rule for each flag.
fn writes(argument: u8) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let flags = [
        (libc::O_ACCMODE, libc::O_WRONLY),
        (libc::O_ACCMODE, libc::O_RDWR),
        (libc::O_CREAT, libc::O_CREAT),
        (libc::O_TRUNC, libc::O_TRUNC),
    ];
    let rule = |(mask, value): (libc::c_int, libc::c_int)| {
        let mask = u64::from(mask.unsigned_abs());
        SeccompRule::new(vec![condition(argument, SeccompCmpOp::MaskedEq(mask), value)?])
    };
    flags.into_iter().map(rule).collect()
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: libc::c_int,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, u64::from(value.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles() {
        assert!(filter().unwrap().len() > REFUSED.len());
    }
}
