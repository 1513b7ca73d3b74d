//! The sealer: it opens no file, makes no socket and starts nothing; it hands segments over in memory files.

use rustix::process::Resource;
use seccompiler::{BackendError, BpfProgram};

use super::threads;

/// Descriptors of one sealer.
const FILES_MAX: u64 = 256;

/// One memory file: 128 MiB. A seal has at most 64 MiB, a segment 16 MiB and its seek table.
const MEMORY_FILE_BYTES_MAX: u64 = 128 << 20;

/// Address space: 2 GiB. Its own buffers need under 100 MiB; a decoder that runs away ends here.
const ADDRESS_BYTES_MAX: u64 = 2 << 30;

pub(super) fn limits() -> Vec<(Resource, u64)> {
    // It opens no file by name: the file size bounds the memory files.
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
