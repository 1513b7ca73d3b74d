//! The rights that each kind of confined process keeps. Once a process has entered its profile, it has lost everything
//! else for good.
//!
//! | profile | answers a forbidden call with | files it may open | network | threads | capabilities |
//! |---|---|---|---|---|---|
//! | reader | EPERM | to read | rtnetlink | yes, and a forked helper | `DAC_READ_SEARCH`, `SYS_PTRACE` |
//! | sealer | EPERM | none | none | yes | none |
//! | link | EPERM | to read, as its user may | TCP, UDP, Unix, rtnetlink | yes | none |
//! | verifier | death | none | none | no | none |
//! | signer | death | none | none | no | none |
//!
//! Landlock is not used: any landlock domain makes `/proc/PID/{exe,environ,maps,fd}` of every other process
//! unreadable, and the reader needs those files. The other profiles open nothing, or their user confines
//! them.

mod link;
mod pipe_only;
mod reader;
mod sealer;
mod threads;

use rustix::process::Resource;
use rustix::thread::CapabilitySet;
use seccompiler::{BackendError, BpfProgram};

/// The kind of process to confine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The agent's reader: opens and describes objects of the endpoint.
    Reader,
    /// The agent's sealer: hashes, packs and decodes what the reader hands over.
    Sealer,
    /// The agent's link: talks to the collector.
    Link,
    /// The process that parses containers which endpoints sent. If a hostile container takes it over, the
    /// process still holds no key and reaches no store. It can only lie about that container, and the
    /// collector's own digests limit the lie.
    Verifier {
        /// Address space in bytes. Beyond it an allocation fails and the process aborts.
        memory_bytes_max: u64,
        /// CPU seconds. Beyond it the kernel kills the process.
        cpu_s_max: u64,
    },
    /// The process that holds the log key.
    Signer,
}

/// Address space of the signer: 256 MiB. The signer needs room for its own image and a few pages.
const SIGNER_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// The capabilities that a process of this profile keeps, if it has them.
#[must_use]
pub fn capabilities(profile: Profile) -> CapabilitySet {
    match profile {
        Profile::Reader => CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_PTRACE,
        Profile::Sealer | Profile::Link | Profile::Verifier { .. } | Profile::Signer => {
            CapabilitySet::empty()
        }
    }
}

/// Resource limits. No profile allows a core file, because it would show evidence or a key.
pub(crate) fn limits(profile: Profile) -> Vec<(Resource, u64)> {
    let mut limits = match profile {
        Profile::Reader => reader::limits(),
        Profile::Sealer => sealer::limits(),
        Profile::Link => link::limits(),
        Profile::Verifier { memory_bytes_max, cpu_s_max } => {
            pipe_only::limits(memory_bytes_max, Some(cpu_s_max))
        }
        Profile::Signer => pipe_only::limits(SIGNER_MEMORY_BYTES_MAX, None),
    };
    limits.push((Resource::Core, 0));
    limits
}

/// The system call filter.
pub(crate) fn program(profile: Profile) -> Result<BpfProgram, BackendError> {
    match profile {
        Profile::Reader => reader::program(),
        Profile::Sealer => sealer::program(),
        Profile::Link => link::program(),
        Profile::Verifier { .. } | Profile::Signer => pipe_only::program(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_compiles_for_this_architecture() {
        let verifier = Profile::Verifier { memory_bytes_max: 1 << 30, cpu_s_max: 1 };
        for profile in [Profile::Reader, Profile::Sealer, Profile::Link, verifier, Profile::Signer] {
            assert!(program(profile).unwrap().len() > 20, "{profile:?}");
        }
    }
}
