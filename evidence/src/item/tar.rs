//! Canonical tar bytes. Format: docs/spec/container.md, *Plain stream*.
//!
//! Guarantee: [`member_header`] is the one function that makes header bytes. Writer and verifier both call it, so the record
//! explains every byte of a tar that verifies. Not here: reading tar. Nothing in Exhibit parses it.

mod pax;
mod sparse;
mod ustar;

pub(crate) use sparse::sparse_map;

use crate::item::{ItemRecord, Kind, member_name};

/// Tar block: 512 bytes.
pub(crate) const BLOCK: usize = 512;

/// The end of the plain stream.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Longest member header (pax block, records, padding, ustar block): 1 MiB.
pub(crate) const HEADER_BYTES_MAX: usize = 1 << 20;

/// Largest number the 12-byte octal fields hold: 8 GiB − 1.
pub(crate) const OCTAL_12_MAX: u64 = 0o77_777_777_777;

/// Largest number the 8-byte octal fields hold.
pub(crate) const OCTAL_8_MAX: u32 = 0o7_777_777;

/// Why a record has no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The path has no member name.
    #[error("record has no member name")]
    Name(#[source] crate::item::NameError),
    /// A field the header needs is absent.
    #[error("record lacks `{0}`")]
    Missing(&'static str),
    /// The header is over [`HEADER_BYTES_MAX`]: the extended attributes are too large.
    #[error("member header is over 1 MiB")]
    TooLarge,
}

/// Number of zero bytes after `stored` content bytes, up to the next block.
#[must_use]
pub fn padding(stored: u64) -> u64 {
    stored.wrapping_neg() % 512
}

/// Pax header (if needed) and ustar block of a member, from its record alone. Reads kind, path, part, size, stored,
/// sparse, link, target, xattrs, before and begun; never the hashes, so it is the same before and after the content.
///
/// # Errors
/// [`TarError`] if the record has no member name, lacks a field, or its attributes are too large.
pub fn member_header(record: &ItemRecord) -> Result<Vec<u8>, TarError> {
    let name = member_name(record.kind, &record.path.0, record.part).map_err(TarError::Name)?;
    let size = record.size.ok_or(TarError::Missing("size"))?;
    let stored = record.stored.ok_or(TarError::Missing("stored"))?;
    let (mode, uid, gid, mtime) = match (&record.before, record.kind) {
        (_, Kind::Stream) => (0o400, 0, 0, record.begun),
        (Some(before), _) => (before.mode & 0o7777, before.uid, before.gid, before.mtime),
        (None, _) => return Err(TarError::Missing("before")),
    };
    let (typeflag, linkname) = match (record.kind, &record.link, &record.target) {
        (Kind::Dir, _, _) => (b'5', None),
        (Kind::Symlink, _, Some(target)) => (b'2', Some(target.0.as_slice())),
        (Kind::Symlink, _, None) => return Err(TarError::Missing("target")),
        (_, Some(link), _) => (b'1', Some(link.member.0.as_slice())),
        (_, None, _) => (b'0', None),
    };

    let mut pax = pax::Records::default();
    let sparse = record.sparse.is_some();
    let long_name = !ustar::fits(&name);
    let long_link = linkname.is_some_and(|link| !ustar::fits(link));
    let raw = |present: bool, text: &[u8]| present && std::str::from_utf8(text).is_err();
    if raw(long_name || sparse, &name) || linkname.is_some_and(|link| raw(long_link, link)) {
        pax.push(b"hdrcharset", b"BINARY");
    }
    if long_name && !sparse {
        pax.push(b"path", &name);
    }
    if let (true, Some(link)) = (long_link, linkname) {
        pax.push(b"linkpath", link);
    }
    if stored > OCTAL_12_MAX {
        pax.push(b"size", stored.to_string().as_bytes());
    }
    if uid > OCTAL_8_MAX {
        pax.push(b"uid", uid.to_string().as_bytes());
    }
    if gid > OCTAL_8_MAX {
        pax.push(b"gid", gid.to_string().as_bytes());
    }
    if let Some(text) = pax::mtime(mtime) {
        pax.push(b"mtime", text.as_bytes());
    }
    if sparse {
        pax.push(b"GNU.sparse.major", b"1");
        pax.push(b"GNU.sparse.minor", b"0");
        pax.push(b"GNU.sparse.name", &name);
        pax.push(b"GNU.sparse.realsize", size.to_string().as_bytes());
    }
    for (key, value) in &record.xattrs {
        pax.push(&pax::xattr_key(&key.0), &value.0);
    }

    let mut header = pax.into_blocks();
    let field = if sparse { ustar::sparse_name(&name) } else { name };
    header.extend_from_slice(&ustar::block(&ustar::Fields {
        name: &field,
        mode,
        uid,
        gid,
        size: stored,
        // The octal field has no sign: before 1970 it says 0, and the pax record above carries the exact time.
        mtime: u64::try_from(mtime.seconds()).unwrap_or(0),
        typeflag,
        // Empty in every member that is no link, as tar wants it.
        linkname: linkname.unwrap_or_default(),
    }));
    if header.len() > HEADER_BYTES_MAX {
        return Err(TarError::TooLarge);
    }
    Ok(header)
}
