//! Extended attributes, raw and sorted.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use evidence::item::RawBytes;
use rustix::fs::{getxattr, listxattr};
use rustix::io::Errno;

use super::{CallError, SelfFds};

/// Most bytes of names and values that are taken of one object: 48 KiB, so that an item still fits one
/// message. The item's note says what is left out.
pub const XATTR_BYTES_MAX: usize = 48 << 10;

/// Largest value the kernel stores (`XATTR_SIZE_MAX`) and largest list of names (`XATTR_LIST_MAX`).
const KERNEL_BYTES_MAX: usize = 64 << 10;

/// Attributes of one object.
#[derive(Debug, Default)]
pub struct Xattrs {
    /// Name and value, sorted by name.
    pub pairs: Vec<(RawBytes, RawBytes)>,
    /// How many were left out because they did not fit or could not be read.
    pub left_out: usize,
}

/// Reads the attributes of the object behind an `O_PATH` descriptor, whatever its kind.
///
/// # Errors
/// The error of `listxattr`. A file system without attributes is no error: the object has none.
pub fn xattrs(object: BorrowedFd<'_>) -> Result<Xattrs, CallError> {
    // fgetxattr refuses O_PATH descriptors; the magic link leads to the very object, a symbolic link included.
    let path = [b"/proc/self/fd/", SelfFds::name(object).as_bytes()].concat();
    let mut names = [MaybeUninit::<u8>::uninit(); KERNEL_BYTES_MAX];
    let names = match listxattr(path.as_slice(), &mut names) {
        Ok((names, _)) => names,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Xattrs::default()),
        Err(errno) => {
            return Err(CallError { op: "listxattr", errno });
        }
    };
    let mut found = Xattrs::default();
    if names.is_empty() {
        return Ok(found);
    }
    let mut sorted: Vec<&[u8]> = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut left = XATTR_BYTES_MAX;
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); KERNEL_BYTES_MAX];
    for name in sorted {
        let value = match getxattr(path.as_slice(), name, buffer.as_mut_slice()) {
            Ok((value, _)) => value,
            Err(_gone_or_refused) => {
                found.left_out += 1;
                continue;
            }
        };
        match left.checked_sub(name.len() + value.len()) {
            Some(rest) if name.len() <= 255 => {
                left = rest;
                found.pairs.push((RawBytes(name.to_vec()), RawBytes(value.to_vec())));
            }
            Some(_) | None => found.left_out += 1,
        }
    }
    Ok(found)
}
