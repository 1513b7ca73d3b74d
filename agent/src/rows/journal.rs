//! Rows of systemd journal files, read at offsets, because an entry only points to its fields, which lie
//! anywhere before it. Format: systemd's JOURNAL_FILE_FORMAT, checked against `journalctl -o json`.
//!
//! Guarantee: the decoder follows nothing past the bytes that were sealed. Every path through the file leads
//! forward, so that no input makes it endless. If a field cannot be decoded, its row says so. A damaged entry
//! loses only that entry. Left out: fields packed with xz (journals written before 2015), the seals of `journalctl
//! --setup-keys`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{Decoder, Out, Shape, text};
use crate::source::Source;

/// The stream has no sources of its own, because [`Entries`] reads journals.
#[derive(Debug, Default)]
pub(super) struct Journal;

impl Decoder for Journal {
    fn shape(&self, _path: &[u8]) -> Option<Shape> {
        None
    }

    fn piece(&mut self, _path: &[u8], _bytes: &[u8], _out: &mut Out) {}
}

/// Longest field that is shown: 64 KiB. For a longer one the row gives only its length.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// Most fields of one entry, as in systemd.
const FIELDS_MAX: usize = 1024;

/// Decoded fields kept, in bytes of their text: 4 MiB. Most entries share most of their fields.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes that are read at once. An entry lies right after the fields that were new with it.
const WINDOW_BYTES: u64 = 128 << 10;

const HEADER_BYTES: u64 = 208;

/// Bits of `incompatible_flags` that this reader knows.
mod flag {
    pub(super) const COMPACT: u32 = 1 << 4;
    pub(super) const ALL: u32 = (1 << 5) - 1;
}

/// Bits of an object's flags that say how its payload is compressed.
mod packed {
    pub(super) const XZ: u8 = 1;
    pub(super) const LZ4: u8 = 2;
    pub(super) const ZSTD: u8 = 4;
}

const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

/// Bytes of the header that every object begins with.
const OBJECT_BYTES: u64 = 16;

/// The entries of one journal file, oldest first.
pub struct Entries<'s, S> {
    source: &'s S,
    size: u64,
    is_compact: bool,
    /// Offset of the current array of entries and the next place in it.
    array: u64,
    place: u64,
    window: (u64, Vec<u8>),
    kept: BTreeMap<u64, Rc<(String, Value)>>,
    kept_bytes: usize,
}

impl<S> std::fmt::Debug for Entries<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("array", &self.array).finish_non_exhaustive()
    }
}

/// The header of an object.
struct Object {
    flags: u8,
    size: u64,
}

impl<'s, S: Source> Entries<'s, S> {
    /// Looks at the first `size` bytes of a journal file.
    ///
    /// # Errors
    /// Why the file has no rows, for people.
    pub fn open(source: &'s S, size: u64) -> Result<Self, String> {
        let mut entries = Self {
            source,
            size,
            is_compact: false,
            array: 0,
            place: 0,
            window: (0, Vec::new()),
            kept: BTreeMap::new(),
            kept_bytes: 0,
        };
        let header = entries
            .bytes(0, HEADER_BYTES)
            .filter(|header| header.starts_with(b"LPKSHHRH"))
            .ok_or("no journal file")?;
        let flags = u32_at(&header, 12).ok_or("journal header is cut")?;
        if flags & !flag::ALL != 0 {
            return Err(format!("journal of a newer form (flags {flags:#x})"));
        }
        entries.is_compact = flags & flag::COMPACT != 0;
        entries.array = u64_at(&header, 176).ok_or("journal header is cut")?;
        Ok(entries)
    }

    /// The next entry as a row; `None` at the last entry that can be reached.
    pub fn next_row(&mut self, path: &[u8]) -> Option<Value> {
        loop {
            let entry = self.next_offset()?;
            if let Some(row) = self.row(path, entry) {
                return Some(row);
            }
        }
    }

    fn item_bytes(&self) -> u64 {
        if self.is_compact { 4 } else { 8 }
    }

    /// The next place in the chain of arrays. Arrays are appended, so the chain only leads forward.
    fn next_offset(&mut self) -> Option<u64> {
        while self.array != 0 {
            let array = self.object(self.array, ENTRY_ARRAY)?;
            let at = self.place.checked_mul(self.item_bytes())?.checked_add(OBJECT_BYTES + 8)?;
            let end = at.checked_add(self.item_bytes())?;
            if end <= array.size {
                let item = self.bytes(self.array.checked_add(at)?, self.item_bytes())?;
                self.place += 1;
                return match self.offset(&item, 0)? {
                    0 => None,
                    entry => Some(entry),
                };
            }
            let next = u64_at(&self.bytes(self.array.checked_add(OBJECT_BYTES)?, 8)?, 0)?;
            self.array = if next > self.array { next } else { 0 };
            self.place = 0;
        }
        None
    }

    fn row(&mut self, path: &[u8], at: u64) -> Option<Value> {
        let entry = self.object(at, ENTRY)?;
        let step = if self.is_compact { 4 } else { 16 };
        let fields = usize::try_from(entry.size.checked_sub(64)? / step).ok()?.min(FIELDS_MAX);
        let bytes = self.bytes(at, 64 + step * u64::try_from(fields).ok()?)?;
        let mut shown: Map<String, Value> = Map::new();
        for number in 0..fields {
            let offset = self.offset(&bytes, 64 + number * usize::try_from(step).ok()?)?;
            let Some(field) = self.field(offset) else { continue };
            let (name, value) = (field.0.clone(), field.1.clone());
            // A field may occur twice in one entry. The row then shows a list, as journalctl does.
            match shown.get_mut(&name) {
                None => drop(shown.insert(name, value)),
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        Some(json!({
            "row": "journal", "source": text(path), "seqnum": u64_at(&bytes, 16)?, "realtime_us": u64_at(&bytes, 24)?,
            "monotonic_us": u64_at(&bytes, 32)?, "boot_id": hex::encode(bytes.get(40..56)?), "fields": shown,
        }))
    }

    /// A field by its offset: its name and value.
    fn field(&mut self, at: u64) -> Option<Rc<(String, Value)>> {
        if let Some(known) = self.kept.get(&at) {
            return Some(Rc::clone(known));
        }
        let object = self.object(at, DATA)?;
        let head = if self.is_compact { 72 } else { 64 };
        let len = object.size.checked_sub(head)?;
        let from = at.checked_add(head)?;
        let limit = u64::try_from(FIELD_BYTES_MAX).ok()?;
        // A compressed field is never longer than the plain one.
        let packed = self.bytes(from, len.min(limit))?;
        let (plain, is_whole) = match object.flags & (packed::XZ | packed::LZ4 | packed::ZSTD) {
            0 => (packed, len <= limit),
            packed::ZSTD => unpack_zstd(&packed),
            packed::LZ4 => unpack_lz4(&packed),
            _ => (b"?=".to_vec(), false),
        };
        let equals = plain.iter().position(|byte| *byte == b'=')?;
        let (name, value) = plain.split_at(equals);
        let value = if is_whole {
            text(value.get(1..)?)
        } else {
            json!({"note": "too long, or packed in a way that is not read here; see the raw file", "offset": at})
        };
        let field = Rc::new((String::from_utf8_lossy(name).into_owned(), value));
        if self.kept_bytes > KEPT_BYTES_MAX {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += plain.len() + 128;
        self.kept.insert(at, Rc::clone(&field));
        Some(field)
    }

    fn object(&mut self, at: u64, kind: u8) -> Option<Object> {
        if at < HEADER_BYTES || !at.is_multiple_of(8) {
            return None;
        }
        let head = self.bytes(at, OBJECT_BYTES)?;
        let size = u64_at(&head, 8)?;
        let is_inside = at.checked_add(size)? <= self.size;
        (head.first() == Some(&kind) && size >= OBJECT_BYTES && is_inside)
            .then(|| Object { flags: head.get(1).copied().unwrap_or(0), size })
    }

    fn offset(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.is_compact { u32_at(bytes, at).map(u64::from) } else { u64_at(bytes, at) }
    }

    /// `len` bytes from `at`, through the window. `None` past the end or if the file cannot be read.
    fn bytes(&mut self, at: u64, len: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(len)?;
        if end > self.size {
            return None;
        }
        let within = |window: &(u64, Vec<u8>)| {
            let from = usize::try_from(at.checked_sub(window.0)?).ok()?;
            let to = from.checked_add(usize::try_from(len).ok()?)?;
            window.1.get(from..to).map(<[u8]>::to_vec)
        };
        if let Some(found) = within(&self.window) {
            return Some(found);
        }
        // The next requests are likely to ask for some of the bytes before this place. Saturating is correct here: the
        // file begins at 0.
        let from = at.saturating_sub(WINDOW_BYTES / 8);
        let wanted = usize::try_from((end - from).max(WINDOW_BYTES).min(self.size - from)).ok()?;
        let mut buffer = std::mem::take(&mut self.window.1);
        buffer.clear();
        buffer.resize(wanted, 0);
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.source.read_at(rest, from.checked_add(u64::try_from(filled).ok()?)?) {
                Ok(0) | Err(_) => break,
                Ok(got) => filled += got,
            }
        }
        buffer.truncate(filled);
        self.window = (from, buffer);
        within(&self.window)
    }
}

fn unpack_zstd(packed: &[u8]) -> (Vec<u8>, bool) {
    let mut plain = Vec::new();
    let whole = zstd::stream::read::Decoder::new(packed).and_then(|mut decoder| {
        // 1 MiB: the most that a hostile frame can make this process allocate.
        decoder.window_log_max(20)?;
        let limit = FIELD_BYTES_MAX as u64;
        decoder.take(limit + 1).read_to_end(&mut plain)
    });
    (plain, whole.is_ok_and(|len| len <= FIELD_BYTES_MAX))
}

/// Length as 64 bits, then one LZ4 block.
fn unpack_lz4(packed: &[u8]) -> (Vec<u8>, bool) {
    let plain = || {
        let len = usize::try_from(u64_at(packed, 0)?).ok().filter(|len| *len <= FIELD_BYTES_MAX)?;
        lz4_flex::block::decompress(packed.get(8..)?, len).ok()
    };
    plain().map_or_else(|| (b"?=".to_vec(), false), |plain| (plain, true))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_fields_are_unpacked_and_liars_told() {
        let plain = b"MESSAGE=".iter().copied().chain(std::iter::repeat_n(b'x', 5000)).collect::<Vec<u8>>();
        let mut packed = 5008_u64.to_le_bytes().to_vec();
        packed.extend(lz4_flex::block::compress(&plain));
        assert_eq!(unpack_lz4(&packed), (plain, true));
        packed[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(!unpack_lz4(&packed).1);
        assert!(!unpack_lz4(&[1, 2, 3]).1 && !unpack_zstd(b"no frame").1);
    }
}
