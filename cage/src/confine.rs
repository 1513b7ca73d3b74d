//! Enters a profile: resource limits first, then capabilities, then the system call filter.
//!
//! Guarantee: after [`enter`] no program that is executed can raise privileges, and no other process of the
//! same user can read this one's memory. Nothing can undo this or switch it off. After an error the process
//! is only partly confined and must end.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::apply_filter_all_threads;

use crate::profile::{self, Profile};

/// Why a process could not be confined. The process must not continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CageError {
    /// The kernel refused a call.
    #[error("{call} failed: {errno}")]
    Call {
        /// The system call.
        call: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The filter could not be built or installed.
    #[error("install the system call filter")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The kernel refused a resource limit.
    #[error("set resource limit {resource:?}")]
    Limit {
        /// Which limit.
        resource: Resource,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
}

fn call(call: &'static str) -> impl Fn(Errno) -> CageError {
    move |errno| CageError::Call { call, errno }
}

/// Confines the calling process and all its threads for good. Call it before the process reads the first byte
/// from a stranger.
///
/// # Errors
/// After any error, end the process: part of its cage is missing.
pub fn enter(profile: Profile) -> Result<(), CageError> {
    // Build the filter first: once some limits are in force, there may be no memory left for it.
    let program = profile::program(profile).map_err(|error| CageError::Filter(error.into()))?;
    for (resource, most) in profile::limits(profile) {
        lower(resource, most)?;
    }
    drop_capabilities(profile::capabilities(profile))?;
    set_no_new_privs(true).map_err(call("prctl"))?;
    hide_memory()?;
    apply_filter_all_threads(&program).map_err(|error| CageError::Filter(error.into()))
}

/// Makes the calling process non-dumpable, until it executes a program: neither a core file nor another process of the same
/// user shows evidence or a key in its memory (proc(5); prctl(2), PR_SET_DUMPABLE). [`enter`] does this as well.
///
/// # Errors
/// The kernel refused `prctl`. The process must not read a key.
pub fn hide_memory() -> Result<(), CageError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(call("prctl"))
}

/// Reduces the capabilities of the calling thread to those in `keep` that it already has.
///
/// # Errors
/// `capset` was refused, and the thread has capabilities beyond `keep`.
pub fn drop_capabilities(keep: CapabilitySet) -> Result<(), CageError> {
    for number in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(one) {
            // The call fails with EPERM without CAP_SETPCAP, and with EINVAL past the last capability. Ignore
            // both: with no_new_privs the bounding set no longer matters.
            remove_capability_from_bounding_set(one).ok();
        }
    }
    clear_ambient_capability_set().ok();
    let now = capabilities(None).map_err(call("capget"))?;
    let permitted = now.permitted & keep;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    if (now.effective, now.permitted, now.inheritable) == (sets.effective, sets.permitted, sets.inheritable) {
        // A hardened service has nothing to drop, and its own filter may refuse `capset` (systemd's `~@privileged`).
        return Ok(());
    }
    set_capabilities(None, sets).map_err(call("capset"))
}

/// The effective capabilities of the calling thread as 16 hexadecimal digits, as `/proc/PID/status` shows them.
#[must_use]
pub fn effective_capabilities() -> String {
    let bits = capabilities(None).map_or(0, |sets| sets.effective.bits());
    format!("{bits:016x}")
}

/// Lowers a limit to `most`. A limit that is already lower stays.
fn lower(resource: Resource, most: u64) -> Result<(), CageError> {
    let now = getrlimit(resource);
    let value = now.maximum.map_or(most, |hard| hard.min(most));
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(|source| CageError::Limit { resource, source })
}
