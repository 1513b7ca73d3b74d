//! Reads one item out of a container, by its record and the seek table.
//!
//! Guarantee: [`ItemReader::finish`] checks the content's digest. Bytes that came out earlier are not
//! verified before it returns. The reader does no I/O: the caller fetches the ranges, so it may ask a store asynchronously.

use std::ops::Range;

use super::content::{Content, zeros};
use super::seek_table::SeekTable;
use crate::frames::{FrameDecoder, FrameError};
use crate::item::ItemRecord;
use crate::item::tar::sparse_map;
use crate::length::{len, to_u64, to_usize};

/// Why an item cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError<E> {
    /// A directory, symlink, hard link (read the item that it names) or item without member.
    #[error("item has no content of its own")]
    NoContent,
    /// The record places it outside the container.
    #[error("item lies outside the container")]
    Outside,
    /// A frame does not decode.
    #[error("frame {frame}")]
    Frame {
        frame: usize,
        #[source]
        source: FrameError,
    },
    /// The sparse map or a gap differs from the record, or the fetched range had another length.
    #[error("content does not have the form its record gives")]
    Form,
    /// The content's digest is not the record's: the bytes that came out are not the evidence.
    #[error("content is not the one its record names")]
    Digest,
    /// Too few frames were fed.
    #[error("content is incomplete")]
    Incomplete,
    /// The source of ranges failed.
    #[error("fetch stored range")]
    Fetch(#[source] E),
    /// The sink of content failed.
    #[error("write content")]
    Sink(#[source] E),
}

/// Reads one item: ask [`Self::next_range`], fetch it, [`Self::feed`] it, until there is none; then [`Self::finish`].
pub struct ItemReader<'a> {
    record: &'a ItemRecord,
    table: &'a SeekTable,
    decoder: FrameDecoder,
    plain: Vec<u8>,
    at: u64,
    end: u64,
    map: Vec<u8>,
    map_at: usize,
    content: Content,
    shown: u64,
}

impl<'a> ItemReader<'a> {
    /// A reader of the item's logical content.
    pub fn new<E>(record: &'a ItemRecord, table: &'a SeekTable) -> Result<Self, ReadError<E>> {
        let (Some(at), Some(stored), Some(size), true) =
            (record.data, record.stored, record.size, record.has_content())
        else {
            return Err(ReadError::NoContent);
        };
        let end = at.checked_add(stored).filter(|end| *end <= table.plain_len()).ok_or(ReadError::Outside)?;
        // A member that is not sparse has no map in front of its content.
        let map = record.sparse.as_ref().map(|runs| sparse_map(runs, size)).unwrap_or_default();
        let decoder = FrameDecoder::new().map_err(|source| ReadError::Frame { frame: 0, source })?;
        let (plain, content) = (Vec::new(), Content::new(record));
        Ok(Self { record, table, decoder, plain, at, end, map, map_at: 0, content, shown: 0 })
    }

    /// Stored range of the container to fetch next: at most one frame, about 1 MiB.
    #[must_use]
    pub fn next_range(&self) -> Option<Range<u64>> {
        if self.at >= self.end {
            return None;
        }
        self.table.lookup(self.at).map(|(_, range)| range)
    }

    /// Takes the bytes of [`Self::next_range`] and passes their content to `sink`.
    ///
    /// # Errors
    /// [`ReadError`]. The item cannot be read any further.
    pub fn feed<E>(
        &mut self,
        stored: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let Some(frame) = self.table.frame_at(self.at) else {
            return Err(ReadError::Outside);
        };
        let range = self.table.plain_range(frame).ok_or(ReadError::Outside)?;
        let size = to_usize(range.end - range.start);
        let mut plain = std::mem::take(&mut self.plain);
        let used = self.decoder.decode(stored, size, &mut plain);
        if used.map_err(|source| ReadError::Frame { frame, source })? != stored.len() {
            return Err(ReadError::Form);
        }
        let from = to_usize(self.at - range.start);
        let until = to_usize(self.end.min(range.end) - range.start);
        let bytes = plain.get(from..until).ok_or(ReadError::Form)?;
        self.at = self.end.min(range.end);
        let done = self.show_plain(bytes, sink);
        self.plain = plain;
        done
    }

    /// Checks the digest of all content that came out.
    ///
    /// # Errors
    /// [`ReadError::Digest`] if it is not the record's.
    pub fn finish<E>(mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), ReadError<E>> {
        if self.at < self.end || self.content.left() > 0 || self.map_at < self.map.len() {
            return Err(ReadError::Incomplete);
        }
        self.show_zeros(self.record.size.unwrap_or(0), sink)?;
        let found = self.content.finish();
        if found == (self.record.sha256, self.record.sha256_read) { Ok(()) } else { Err(ReadError::Digest) }
    }

    fn show_plain<E>(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let (_, map) = self.map.split_at(self.map_at);
        let (head, mut data) = bytes.split_at(map.len().min(bytes.len()));
        if map.get(..head.len()) != Some(head) {
            return Err(ReadError::Form);
        }
        self.map_at += head.len();
        while !data.is_empty() {
            let (off, in_run) = self.content.position().ok_or(ReadError::Form)?;
            self.show_zeros(off, sink)?;
            let take = to_usize(in_run).min(data.len());
            let (chunk, rest) = data.split_at(take);
            if self.content.feed(chunk, &self.record.gaps).is_err() {
                return Err(ReadError::Form);
            }
            sink(chunk).map_err(ReadError::Sink)?;
            self.shown = off + to_u64(take);
            data = rest;
        }
        Ok(())
    }

    fn show_zeros<E>(
        &mut self,
        until: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        while self.shown < until {
            let chunk = zeros(until - self.shown);
            sink(chunk).map_err(ReadError::Sink)?;
            self.shown += len(chunk);
        }
        Ok(())
    }
}

/// Reads one item whole. `fetch` returns the bytes of a stored range of the container; `sink` takes logical content,
/// with holes as zeros.
///
/// # Errors
/// [`ReadError`]. The bytes that `sink` got are then not the evidence.
pub fn read_item<E>(
    record: &ItemRecord,
    table: &SeekTable,
    mut fetch: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    let mut reader = ItemReader::new(record, table)?;
    while let Some(range) = reader.next_range() {
        let stored = fetch(range).map_err(ReadError::Fetch)?;
        reader.feed(&stored, &mut sink)?;
    }
    reader.finish(&mut sink)
}
