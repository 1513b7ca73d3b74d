//! Verifier and signer: they read descriptor 0, write descriptors 1 and 2, allocate anonymous memory within their limit,
//! and end. Any other system call kills the whole process.

use rustix::process::Resource;
use seccompiler::{BackendError, BpfProgram};

use crate::filter::{Argument, Filter};

const CALLS: &[libc::c_long] = &[
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    // A panic needs these calls to end the process: it prints, then aborts.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

pub(super) fn limits(memory_bytes_max: u64, cpu_s_max: Option<u64>) -> Vec<(Resource, u64)> {
    // No new descriptor, no file growth, no process.
    let mut limits = vec![
        (Resource::As, memory_bytes_max),
        (Resource::Nofile, 3),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
    ];
    limits.extend(cpu_s_max.map(|seconds| (Resource::Cpu, seconds)));
    limits
}

pub(super) fn program() -> Result<BpfProgram, BackendError> {
    let mut filter = Filter::allow_or_kill();
    filter.calls(CALLS);
    // Descriptors that the parent may have leaked are useless: the process reads only 0 and writes only 1 and
    // 2.
    let descriptor = |number: libc::c_int| vec![Argument::is(0, number)];
    filter.call_when(libc::SYS_read, [descriptor(0)])?;
    filter.call_when(libc::SYS_write, [descriptor(1), descriptor(2)])?;
    filter.call_when(libc::SYS_writev, [descriptor(1), descriptor(2)])?;
    filter.call_when(libc::SYS_close, [descriptor(0), descriptor(1), descriptor(2)])?;
    // Memory is anonymous and never executable: the process can map no file and add no code.
    let anonymous = Argument::has_bits(3, libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS);
    let not_executable = Argument::has_bits(2, libc::PROT_EXEC, 0);
    filter.call_when(libc::SYS_mmap, [vec![anonymous, not_executable]])?;
    filter.call_when(libc::SYS_mprotect, [vec![not_executable]])?;
    // abort() signals the process itself. With these calls it can signal nobody else.
    filter.call_when(libc::SYS_tgkill, [vec![Argument::is(2, libc::SIGABRT)]])?;
    filter.compile()
}
