//! Member names: a function of kind, path and part, so that no record can point a reader at another name.

use super::Kind;

/// Longest member name: 64 KiB.
pub const NAME_BYTES_MAX: usize = 64 << 10;

/// Longest name of a stream: it always fits the ustar field, so a reader with only 512 bytes knows it.
pub(crate) const STREAM_NAME_BYTES_MAX: usize = 100;

/// Why a path has no member name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Only files, directories, symlinks and streams stand in the tar.
    #[error("this kind of object has no member")]
    Kind,
    /// The path is not `/…`, or a stream's name is not `live/…`.
    #[error("path does not start at the root")]
    NotRooted,
    /// An empty, `.` or `..` component.
    #[error("path has an empty or dot component")]
    Component,
    /// A NUL byte ends names in tar.
    #[error("path has a NUL byte")]
    Nul,
    /// The name is over [`NAME_BYTES_MAX`].
    #[error("name is too long")]
    TooLong,
    /// A stream's name has other bytes than `a-z 0-9 . _ - /`.
    #[error("stream name has a byte that is not allowed")]
    StreamByte,
}

/// The one member name of an object: `[root]` + path (+ `/` for directories), or the stream's own name;
/// continuations end in `.part0002`, `.part0003`, ….
///
/// # Errors
/// [`NameError`] when the path is not canonical.
pub(crate) fn member_name(kind: Kind, path: &[u8], part: Option<u64>) -> Result<Vec<u8>, NameError> {
    let mut name = Vec::with_capacity(path.len() + 18);
    match kind {
        Kind::File | Kind::Dir | Kind::Symlink => {
            let Some(below) = path.strip_prefix(b"/") else {
                return Err(NameError::NotRooted);
            };
            let is_root = below.is_empty() && kind == Kind::Dir;
            if !is_root {
                check_components(below)?;
            }
            name.extend_from_slice(b"[root]");
            name.extend_from_slice(path);
            if kind == Kind::Dir && !is_root {
                name.push(b'/');
            }
        }
        Kind::Stream => {
            let Some(below) = path.strip_prefix(b"live/") else {
                return Err(NameError::NotRooted);
            };
            check_components(below)?;
            let allowed = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
            if !below.iter().all(allowed) {
                return Err(NameError::StreamByte);
            }
            name.extend_from_slice(path);
        }
        Kind::Fifo | Kind::Socket | Kind::Char | Kind::Block | Kind::Other => return Err(NameError::Kind),
    }
    if let Some(part) = part {
        name.extend_from_slice(format!(".part{part:04}").as_bytes());
    }
    let bound = if kind == Kind::Stream { STREAM_NAME_BYTES_MAX } else { NAME_BYTES_MAX };
    if name.len() > bound {
        return Err(NameError::TooLong);
    }
    Ok(name)
}

fn check_components(below: &[u8]) -> Result<(), NameError> {
    if below.contains(&0) {
        return Err(NameError::Nul);
    }
    for component in below.split(|b| *b == b'/') {
        if matches!(component, b"" | b"." | b"..") {
            return Err(NameError::Component);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_root_prefix_and_the_raw_path() {
        let name = |kind, path: &[u8]| member_name(kind, path, None);
        assert_eq!(name(Kind::File, b"/etc/passwd").unwrap(), b"[root]/etc/passwd");
        assert_eq!(name(Kind::Dir, b"/etc").unwrap(), b"[root]/etc/");
        assert_eq!(name(Kind::Dir, b"/").unwrap(), b"[root]/");
        assert_eq!(name(Kind::Symlink, b"/a\xff\n").unwrap(), b"[root]/a\xff\n");
        assert_eq!(name(Kind::Stream, b"live/processes.jsonl").unwrap(), b"live/processes.jsonl");
        let part = member_name(Kind::Stream, b"live/journal.jsonl", Some(2)).unwrap();
        assert_eq!(part, b"live/journal.jsonl.part0002");
    }

    #[test]
    fn names_that_climb_or_hide_are_refused() {
        let name = |kind, path: &[u8]| member_name(kind, path, None);
        for path in [&b"/a/../b"[..], b"/..", b"/./a", b"/a//b", b"//a", b"/a/", b"/"] {
            assert_eq!(name(Kind::File, path), Err(NameError::Component), "{path:?}");
        }
        assert_eq!(name(Kind::Dir, b"/a/"), Err(NameError::Component));
        assert_eq!(name(Kind::File, b"etc"), Err(NameError::NotRooted));
        assert_eq!(name(Kind::File, b"/a\0b"), Err(NameError::Nul));
        assert_eq!(name(Kind::Stream, b"live/../x"), Err(NameError::Component));
        assert_eq!(name(Kind::Stream, b"live/X"), Err(NameError::StreamByte));
        assert_eq!(name(Kind::Fifo, b"/f"), Err(NameError::Kind));
        assert_eq!(
            name(Kind::File, &[b"/".as_slice(), &vec![b'a'; 65536]].concat()),
            Err(NameError::TooLong)
        );
    }
}
