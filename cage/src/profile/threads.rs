//! What any Rust program of ours with threads needs: memory, threads, time, its own signals, and sockets that
//! it already holds.

use seccompiler::BackendError;

use crate::filter::{Argument, Filter};

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
    // cachestat: its number is the same on all architectures.
    451,
];

#[cfg(target_arch = "x86_64")]
const COMMON_OF_ARCHITECTURE: &[libc::c_long] = &[libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OF_ARCHITECTURE: &[libc::c_long] = &[];

/// A list of permissions: the calls of a program with threads, and the given `prctl` options.
pub(super) fn filter(prctl: &[libc::c_int]) -> Result<Filter, BackendError> {
    let mut filter = Filter::allow_or_refuse();
    filter.calls(COMMON);
    filter.calls(COMMON_OF_ARCHITECTURE);
    // For threads, and for the reader's forked helper. clone3 keeps its flags in memory, where the filter
    // cannot see them. ENOSYS makes the C library fall back to clone.
    filter.calls(&[libc::SYS_clone]);
    filter.answer(libc::SYS_clone3, libc::ENOSYS);
    filter.call_when(libc::SYS_prctl, prctl.iter().map(|option| vec![Argument::is(0, *option)]))?;
    Ok(filter)
}
