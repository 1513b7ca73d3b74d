//! The sealer: it opens no file, makes no socket and starts nothing; it hands segments over in memory files.

use rustix::process::Resource;
use seccompiler::{BackendError, BpfProgram};

use super::threads;

/// Descriptors of one sealer.
const FILES_MAX: u64 = 256;

/// One memory file: 128 MiB. A seal has at most 64 MiB, a segment 16 MiB and its seek table.
const MEMORY_FILE_BYTES_MAX: u64 = 128 << 20;

/// Address space: 2 GiB. The sealer's own buffers need under 100 MiB. A decoder that allocates without end
/// fails here.
const ADDRESS_BYTES_MAX: u64 = 2 << 30;

pub(super) fn limits() -> Vec<(Resource, u64)> {
    // The sealer opens no file by name, so the limit of file size applies to its memory files.
    vec![
        (Resource::Fsize, MEMORY_FILE_BYTES_MAX),
        (Resource::Nofile, FILES_MAX),
        (Resource::As, ADDRESS_BYTES_MAX),
    ]
}

pub(super) fn program() -> Result<BpfProgram, BackendError> {
    let mut filter = threads::filter(&[libc::PR_SET_NAME, libc::PR_SET_VMA])?;
    filter.calls(&[libc::SYS_memfd_create]);
    filter.compile()
}
