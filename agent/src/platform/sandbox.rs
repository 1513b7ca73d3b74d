//! What reader and sealer give up before they look at a single byte of evidence.
//!
//! Guarantee: after [`enter`] nothing executed can raise privileges, no program can be started, no process can be
//! traced or written to, no network socket made (the reader may still ask rtnetlink), no file opened for writing
//! by name, and the capabilities are at most those kept. Landlock is not used: any landlock domain makes
//! `/proc/PID/{exe,environ,maps,fd}` of every other process unreadable, which is what the process lane is for.

use std::collections::BTreeMap;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use super::CallError;

/// Who is being confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens and stats; keeps CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE if it has them.
    Reader,
    /// Hashes, packs and decodes; keeps nothing and opens nothing.
    Sealer,
}

/// Why a process could not be confined. It must then not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A call was refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The filter could not be built or installed.
    #[error("install system call filter")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Descriptors of one reader: directories on the way down, objects in flight to the sealer, sockets.
const READER_FILES_MAX: u64 = 4096;

/// Descriptors of one sealer.
const SEALER_FILES_MAX: u64 = 256;

/// One memory file of a sealer: 128 MiB. A seal has at most 64 MiB, a segment 16 MiB and its seek table.
const SEALER_MEMORY_FILE_BYTES_MAX: u64 = 128 << 20;

/// Address space of one sealer: 2 GiB. Its own buffers need under 100 MiB; a decoder that runs away ends here.
const SEALER_ADDRESS_BYTES_MAX: u64 = 2 << 30;

/// The capabilities of `role`.
#[must_use]
pub fn kept(role: Role) -> CapabilitySet {
    match role {
        Role::Reader => CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_PTRACE,
        Role::Sealer => CapabilitySet::empty(),
    }
}

/// Confines the calling process and all its threads for good.
///
/// # Errors
/// [`SandboxError`]; the caller ends the process.
pub fn enter(role: Role) -> Result<(), SandboxError> {
    limit_resources(role)?;
    drop_capabilities(kept(role))?;
    set_no_new_privs(true).map_err(CallError::of("prctl"))?;
    // A core file or another process of the same user must not show evidence or the sealer's key.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(CallError::of("prctl"))?;
    install_filter(role)
}

/// Reduces the capabilities to those of `keep` that the process has.
///
/// # Errors
/// What `capset` answered.
pub fn drop_capabilities(keep: CapabilitySet) -> Result<(), CallError> {
    for number in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(one) {
            // EPERM without CAP_SETPCAP, EINVAL beyond the last capability: with no_new_privs the bounding set no
            // longer matters, so neither is a failure.
            remove_capability_from_bounding_set(one).ok();
        }
    }
    clear_ambient_capability_set().ok();
    let now = capabilities(None).map_err(CallError::of("capget"))?;
    let permitted = now.permitted & keep;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(CallError::of("capset"))
}

/// The effective capabilities of the calling thread as 16 hexadecimal digits, as `/proc/PID/status` shows them.
#[must_use]
pub fn effective_capabilities() -> String {
    let bits = capabilities(None).map_or(0, |sets| sets.effective.bits());
    format!("{bits:016x}")
}

fn limit_resources(role: Role) -> Result<(), CallError> {
    let lower = |resource: Resource, wanted: u64| {
        let now = getrlimit(resource);
        let value = now.maximum.map_or(wanted, |hard| hard.min(wanted));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .map_err(CallError::of("prlimit64"))
    };
    lower(Resource::Core, 0)?;
    match role {
        Role::Reader => {
            // Sockets and pipes are not files in this sense: it writes no file.
            lower(Resource::Fsize, 0)?;
            lower(Resource::Nofile, READER_FILES_MAX)
        }
        Role::Sealer => {
            // It opens no file by name; this bounds the memory files that segments and seals are handed over in.
            lower(Resource::Fsize, SEALER_MEMORY_FILE_BYTES_MAX)?;
            lower(Resource::Nofile, SEALER_FILES_MAX)?;
            lower(Resource::As, SEALER_ADDRESS_BYTES_MAX)
        }
    }
}

/// What any Rust program of ours needs: memory, threads, time, its own signals, sockets it already holds.
const COMMON: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
    // cachestat: the number is common to all architectures.
    451,
];

#[cfg(target_arch = "x86_64")]
const COMMON_OF_ARCHITECTURE: &[libc::c_long] = &[libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OF_ARCHITECTURE: &[libc::c_long] = &[];

/// What the reader needs more: to find, list and describe objects, and to fork and end its helper.
const READER: &[libc::c_long] = &[
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

fn install_filter(role: Role) -> Result<(), SandboxError> {
    let program = filter(role).map_err(|error| SandboxError::Filter(error.into()))?;
    apply_filter_all_threads(&program).map_err(|error| SandboxError::Filter(error.into()))
}

fn filter(role: Role) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in COMMON.iter().chain(COMMON_OF_ARCHITECTURE) {
        rules.insert(*call, Vec::new());
    }
    // Threads, and for the reader its forked helper. clone3 hides its flags in memory: ENOSYS makes the C library
    // use clone, below.
    rules.insert(libc::SYS_clone, Vec::new());
    rules.insert(libc::SYS_prctl, prctl_rules(role)?);
    if role == Role::Sealer {
        rules.insert(libc::SYS_memfd_create, Vec::new());
    }
    if role == Role::Reader {
        for call in READER {
            rules.insert(*call, Vec::new());
        }
        rules.insert(libc::SYS_openat, vec![when(2, masked(WRITE_FLAGS), 0)?]);
        rules.insert(libc::SYS_socket, vec![when(0, SeccompCmpOp::Eq, constant(libc::AF_NETLINK))?]);
    }
    let arch = if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let mut program: BpfProgram =
        SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?;
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or(0);
    answer_first(&mut program, Number::Is, clone3, libc::ENOSYS);
    Ok(program)
}

/// Flags that would let `openat` change something.
const WRITE_FLAGS: u64 =
    constant(libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND);

const fn constant(value: libc::c_int) -> u64 {
    value.unsigned_abs() as u64
}

fn masked(mask: u64) -> SeccompCmpOp {
    SeccompCmpOp::MaskedEq(mask)
}

fn when(
    argument: u8,
    comparison: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value)?;
    SeccompRule::new(vec![condition])
}

/// Names of threads and mappings for both; the death signal for the reader's helper.
fn prctl_rules(role: Role) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut allowed = vec![libc::PR_SET_NAME, libc::PR_SET_VMA];
    if role == Role::Reader {
        allowed.push(libc::PR_SET_PDEATHSIG);
    }
    allowed.into_iter().map(|option| when(0, SeccompCmpOp::Eq, constant(option))).collect()
}

/// How [`answer_first`] compares the number of a call: the jumps of classic BPF.
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(crate) enum Number {
    /// It is this one.
    Is = 0x15,
    /// It is this one or a larger one.
    IsAtLeast = 0x35,
}

/// Puts `if nr … number return ERRNO(errno)` in front of a filter. It stands before the architecture check: a call of
/// another architecture then gets the error instead of being killed, which grants nothing; every jump behind is relative.
pub(crate) fn answer_first(program: &mut BpfProgram, is: Number, number: u32, errno: libc::c_int) {
    const LOAD_WORD: u16 = 0x20;
    const RETURN: u16 = 0x06;
    let instruction = |code: u16, jt: u8, jf: u8, k: u32| seccompiler::sock_filter { code, jt, jf, k };
    let head = [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(is as u16, 0, 1, number),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
    ];
    program.splice(0..0, head);
}
