//! Sealed memory files: bytes that two processes share and neither can change.

use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};

use crate::datagram::DatagramError;

/// Makes a sealed memory file with the bytes of `parts`: whoever receives it can neither write to it nor
/// change its length.
///
/// # Errors
/// The process has no free memory or descriptors.
pub fn memory_file(name: &str, parts: &[&[u8]]) -> Result<OwnedFd, DatagramError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(DatagramError::system("memfd_create"))?;
    let mut file = std::fs::File::from(file);
    for part in parts {
        file.write_all(part).map_err(|source| DatagramError::System { call: "write", source })?;
    }
    let file = OwnedFd::from(file);
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(DatagramError::system("fcntl"))?;
    Ok(file)
}

/// The length of a memory file that can no longer change.
///
/// # Errors
/// [`DatagramError::Protocol`] if the file is not sealed.
pub fn sealed_len(file: BorrowedFd<'_>) -> Result<u64, DatagramError> {
    let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    match fcntl_get_seals(file) {
        Ok(seals) if seals.contains(sealed) => {}
        _ => return Err(DatagramError::Protocol("a file that could still change")),
    }
    let length = fstat(file).map_err(DatagramError::system("fstat"))?.st_size;
    u64::try_from(length).or(Err(DatagramError::Protocol("a file of negative length")))
}

/// The bytes of a sealed memory file of at most `bytes_max` bytes.
pub(crate) fn read(file: &OwnedFd, bytes_max: usize) -> Result<Vec<u8>, DatagramError> {
    let length = usize::try_from(sealed_len(file.as_fd())?).or(Err(DatagramError::TooLarge))?;
    if length > bytes_max {
        return Err(DatagramError::TooLarge);
    }
    let mut bytes = vec![0; length];
    let mut done = 0;
    // Read by offset, because we share the sender's file position.
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = u64::try_from(done).or(Err(DatagramError::TooLarge))?;
        match rustix::io::pread(file, rest, at) {
            Ok(0) => return Err(DatagramError::Protocol("a file that is shorter than its length")),
            Ok(read) => done += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(DatagramError::system("pread64")(errno)),
        }
    }
    Ok(bytes)
}
