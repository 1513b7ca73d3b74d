//! The cage of the process that parses what endpoints sent: no files, no network, no other program, bounded memory and time.
//!
//! Guarantee: after [`enter`] the process can read descriptor 0, write descriptors 1 and 2, allocate anonymous memory
//! within its limit, and end; any other system call kills it. So a hostile container that takes over the parser holds
//! no key, reaches no store and can only lie about itself, which the collector's own digests bound.
//! Not here: what runs inside (`ingest::child`), how it is started (`ingest::verifier`).

use std::collections::BTreeMap;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What the caged process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cage {
    /// Address space in bytes. Past it an allocation fails and the process aborts.
    pub memory_bytes_max: u64,
    /// CPU seconds. Past it the kernel kills the process.
    pub cpu_s_max: u64,
}

/// Why the cage could not be closed. The process must end without reading a byte.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A resource limit was refused.
    #[error("set resource limit {resource:?}")]
    Limit {
        /// Which one.
        resource: Resource,
        /// The kernel's answer.
        #[source]
        source: rustix::io::Errno,
    },
    /// The process stayed readable for others of its user.
    #[error("make the process undumpable")]
    Dumpable(#[source] rustix::io::Errno),
    /// This architecture has no filter.
    #[error("build the system call filter")]
    Build(#[source] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error("apply the system call filter")]
    Apply(#[source] seccompiler::Error),
}

/// Closes the cage around the calling thread, for ever. Call it before the first thread is started and before the first byte is read.
///
/// # Errors
/// When any part of the cage is missing: the process is then partly caged and must end.
pub fn enter(cage: Cage) -> Result<(), SandboxError> {
    let limits = [
        (Resource::As, cage.memory_bytes_max),
        (Resource::Cpu, cage.cpu_s_max),
        // No new descriptor, no file growth, no process, no core file with evidence in it.
        (Resource::Nofile, 3),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ];
    let program = program()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SandboxError::Dumpable)?;
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(resource, limit)
            .map_err(|source| SandboxError::Limit { resource, source })?;
    }
    seccompiler::apply_filter(&program).map_err(SandboxError::Apply)
}

/// The filter: an allow-list; anything else kills the whole process, so that no return code can be ignored.
fn program() -> Result<BpfProgram, SandboxError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        // A panic ends through these: print, then abort.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ] {
        rules.insert(call, Vec::new());
    }
    // Descriptors that the parent may have leaked stay useless: only 0 is read, only 1 and 2 are written.
    rules.insert(libc::SYS_read, vec![rule(vec![equals(0, 0)?])?]);
    let outputs = || -> Result<Vec<SeccompRule>, SandboxError> {
        Ok(vec![rule(vec![equals(0, 1)?])?, rule(vec![equals(0, 2)?])?])
    };
    rules.insert(libc::SYS_write, outputs()?);
    rules.insert(libc::SYS_writev, outputs()?);
    rules.insert(libc::SYS_close, (0..3).map(|fd| rule(vec![equals(0, fd)?])).collect::<Result<_, _>>()?);
    // Memory is anonymous and never executable: no file is mapped, no code is made.
    let anonymous = masked(3, flag(libc::MAP_ANONYMOUS), flag(libc::MAP_ANONYMOUS))?;
    rules.insert(libc::SYS_mmap, vec![rule(vec![anonymous, not_executable()?])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(vec![not_executable()?])?]);
    // abort() signals itself; nobody else can be signalled with what this leaves.
    rules.insert(libc::SYS_tgkill, vec![rule(vec![equals(2, flag(libc::SIGABRT))?])?]);

    let architecture = std::env::consts::ARCH.try_into().map_err(SandboxError::Build)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)
        .and_then(TryInto::try_into)
        .map_err(SandboxError::Build)
}

fn not_executable() -> Result<SeccompCondition, SandboxError> {
    masked(2, flag(libc::PROT_EXEC), 0)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, SandboxError> {
    SeccompRule::new(conditions).map_err(SandboxError::Build)
}

fn equals(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        .map_err(SandboxError::Build)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
        .map_err(SandboxError::Build)
}

/// A C flag as the filter compares it; all of those here are small and positive.
fn flag(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    use super::*;

    /// The probe's name in the environment of the re-executed test binary; compiled in tests only.
    const PROBE: &str = "EXHIBIT_SANDBOX_PROBE";

    /// Runs in a child of its own: closes the cage, then tries what it must not be able to do.
    #[test]
    fn probe() {
        let Ok(probe) = std::env::var(PROBE) else { return };
        let before = fs_err::File::open("/proc/self/maps").unwrap();
        enter(Cage { memory_bytes_max: 4 << 30, cpu_s_max: 2 }).unwrap();
        match probe.as_str() {
            "nothing" => {}
            "allocate" => {
                assert_eq!(vec![1_u8; 64 << 20].iter().map(|&byte| u64::from(byte)).sum::<u64>(), 64 << 20)
            }
            "open" => drop(fs_err::File::open("/etc/hostname")),
            "read-leaked" => {
                use std::io::Read as _;
                let mut file = before;
                drop(file.read(&mut [0; 16]));
            }
            "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
            "exec" => drop(Command::new("/bin/true").status()),
            "thread" => drop(std::thread::Builder::new().spawn(|| ())),
            "spin" => loop {
                std::hint::spin_loop();
            },
            "memory" => {
                let size = 8_usize << 30;
                std::hint::black_box(vec![1_u8; size]);
            }
            other => panic!("no probe {other}"),
        }
        // Straight out: the harness would report through calls that the cage forbids.
        std::process::exit(0);
    }

    fn run(probe: &str) -> ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sandbox::tests::probe", "--test-threads=1", "--nocapture"])
            .env(PROBE, probe)
            // As the real child is started: a backtrace would open files.
            .env_remove("RUST_BACKTRACE")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap()
    }

    #[test]
    fn the_cage_lets_a_parser_work() {
        for probe in ["nothing", "allocate"] {
            assert_eq!(run(probe).code(), Some(0), "{probe}");
        }
    }

    #[test]
    fn files_sockets_programs_threads_and_leaked_descriptors_kill() {
        for probe in ["open", "socket", "exec", "thread", "read-leaked"] {
            assert_eq!(run(probe).signal(), Some(libc::SIGSYS), "{probe}");
        }
    }

    #[test]
    fn time_and_memory_are_bounded() {
        assert_eq!(run("spin").signal(), Some(libc::SIGKILL));
        assert_eq!(run("memory").signal(), Some(libc::SIGABRT));
    }
}
