//! Private keys in files: read through the descriptor whose mode was checked, in memory that is wiped.
//!
//! A check by path and a read by path are two opens, and the file may be another one at the second. So the file is opened
//! once, `fstat` tells its kind, owner and mode, and the bytes come from the same descriptor (POSIX open, fstat).

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::write::create;

/// Longest file with a seed: room for the longest header and 32 bytes in base64, many times over.
const SEED_FILE_BYTES_MAX: u64 = 4 << 10;
const SEED_BYTES: usize = 32;

/// The content of a key file.
pub struct KeyFile {
    /// The content, wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// User id of the owner. The caller judges if another owner is acceptable.
    pub owner: u32,
}

/// Says whether the last component of a key file's path may be a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Yes: secrets that an orchestrator mounts are links.
    Follow,
    /// No (`O_NOFOLLOW`): we write this file ourselves, as a file.
    Refuse,
}

/// Reads a regular file of at most `bytes_max` bytes to which group and others have no access.
///
/// # Errors
/// `Mode` and `Kind` name the file and what to do. `O_NONBLOCK` keeps a FIFO under this name from blocking the open.
pub fn read_key_file(path: &Path, bytes_max: u64, links: Links) -> Result<KeyFile, KeyFileError> {
    let mut flags = OFlags::NONBLOCK;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let mut options = fs_err::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    let kind = || KeyFileError::Kind { path: path.to_owned(), bytes_max };
    if !metadata.is_file() || metadata.len() > bytes_max {
        return Err(kind());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let length = usize::try_from(metadata.len()).or(Err(kind()))?;
    // One allocation: a vector that grows leaves copies of the key in freed memory.
    let mut bytes = Zeroizing::new(vec![0; length]);
    let mut file = file;
    file.read_exact(&mut bytes)?;
    Ok(KeyFile { bytes, owner: metadata.uid() })
}

/// Draws 32 bytes from the kernel and writes them to a new file: `header`, base64, LF; mode 0600.
///
/// # Errors
/// `AlreadyExists` inside `Io` if there is a file: a key is never replaced, its signatures would contradict the old ones.
pub fn create_seed(path: &Path, header: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>, KeyFileError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    getrandom::fill(seed.as_mut()).map_err(|source| KeyFileError::Random { source })?;
    let encoded = Zeroizing::new(STANDARD.encode(seed.as_ref()));
    let line = Zeroizing::new([header, &encoded, "\n"].concat());
    create(path, line.as_bytes(), 0o600)?;
    Ok(seed)
}

/// Reads what [`create_seed`] wrote.
///
/// # Errors
/// `Form` if the file is not `header`, 32 bytes in base64, LF; otherwise as [`read_key_file`].
pub fn read_seed(path: &Path, header: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>, KeyFileError> {
    let file = read_key_file(path, SEED_FILE_BYTES_MAX, Links::Follow)?;
    decode_seed(&file.bytes, header).ok_or_else(|| KeyFileError::Form { path: path.to_owned() })
}

fn decode_seed(bytes: &[u8], header: &str) -> Option<Zeroizing<[u8; SEED_BYTES]>> {
    let encoded = bytes.strip_prefix(header.as_bytes())?.strip_suffix(b"\n")?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let seed: &[u8; SEED_BYTES] = decoded.as_slice().try_into().ok()?;
    Some(Zeroizing::new(*seed))
}

/// A key file that was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is not the one line of its kind.
    #[error("{} is not a key file of this kind", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("key file")]
    Io(#[from] io::Error),
    /// The path is a folder or a device, or the file is too long.
    #[error("{} is not a regular file of at most {bytes_max} bytes", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// Group or others have access.
    #[error("{} has mode {mode:04o}, others may read it. Run `chmod 600` on it, and treat the key as compromised", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The kernel gave no randomness.
    #[error("draw a key from the kernel")]
    Random {
        /// Cause.
        #[source]
        source: getrandom::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HEADER: &str = "test-key-v1 ";

    #[test]
    fn a_seed_comes_back_and_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        let seed = create_seed(&path, HEADER).unwrap();
        assert_eq!(*read_seed(&path, HEADER).unwrap(), *seed);
        assert_eq!(fs_err::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let again = create_seed(&path, HEADER).unwrap_err();
        assert!(matches!(&again, KeyFileError::Io(error) if error.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(*read_seed(&path, HEADER).unwrap(), *seed);
        assert!(matches!(read_seed(&path, "other-key-v1 "), Err(KeyFileError::Form { .. })));
        assert_eq!(fs_err::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_that_others_may_use_is_refused_by_name_and_mode() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        create_seed(&path, HEADER).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_seed(&path, HEADER).unwrap_err();
            assert!(matches!(&refused, KeyFileError::Mode { mode: seen, .. } if *seen == mode), "{refused}");
            let text = refused.to_string();
            assert!(text.contains(path.to_str().unwrap()) && text.contains(&format!("{mode:04o}")), "{text}");
        }
        for mode in [0o600, 0o400] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read_seed(&path, HEADER).unwrap();
        }
    }

    #[test]
    fn what_is_no_short_regular_file_is_refused_and_a_fifo_does_not_block() {
        let place = tempfile::tempdir().unwrap();
        let (fifo, link, long) =
            (place.path().join("fifo"), place.path().join("link"), place.path().join("long"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        crate::write::create(&long, &[b'a'; 65], 0o600).unwrap();
        std::os::unix::fs::symlink(&long, &link).unwrap();
        for path in [&fifo, &long, place.path()] {
            let refused = read_key_file(path, 64, Links::Follow);
            assert!(matches!(refused, Err(KeyFileError::Kind { .. })), "{}", path.display());
        }
        assert_eq!(read_key_file(&link, 65, Links::Follow).unwrap().bytes.len(), 65);
        let refused = read_key_file(&link, 65, Links::Refuse).err().unwrap().to_string();
        assert!(refused.contains("key file"), "{refused}");
    }

    #[test]
    fn bytes_that_are_not_the_one_line_are_no_seed() {
        let line = format!("{HEADER}{}\n", STANDARD.encode([7; 32]));
        assert_eq!(*decode_seed(line.as_bytes(), HEADER).unwrap(), [7; 32]);
        let short = format!("{HEADER}{}\n", STANDARD.encode([7; 31]));
        let long = format!("{HEADER}{}\n", STANDARD.encode([7; 33]));
        for wrong in
            ["", "\n", HEADER, line.trim_end(), &format!("{line}\n"), &short, &long, &line.replace('=', "")]
        {
            assert!(decode_seed(wrong.as_bytes(), HEADER).is_none(), "{wrong:?}");
        }
    }
}
