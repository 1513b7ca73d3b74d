//! A container of one segment in pieces. The sealer's own key signs again what it can sign, so that only one rule is broken.

use evidence::container::{Malformed, SeekTable};
use evidence::digest::Digest;
use evidence::frames::compress_frame;
use evidence::item::ItemRecord;
use evidence::seal::{self, SealHeader};

use super::lab::{SIGNER, small, verify_parts};
use super::records_of;
use crate::people::key;

/// A container of one segment, in pieces that can be changed one by one.
#[derive(Clone)]
pub struct Pieces {
    pub plain: Vec<u8>,
    pub records: Vec<ItemRecord>,
    /// The stored frames, if they differ from those of `plain`.
    pub frames: Option<Vec<Vec<u8>>>,
    pub before: Vec<u8>,
    pub table: Option<Vec<u8>>,
    pub tail: Vec<u8>,
    pub lines: Option<Vec<u8>>,
    pub stored_records: Option<Vec<u8>>,
    pub header: SealHeader,
    /// The number of the sealer's key.
    pub signer: u8,
}

impl Pieces {
    /// The worked example of docs/spec, whole.
    pub fn small() -> Self {
        let built = small();
        let segment = &built.segments[0];
        Self {
            plain: built.plain(),
            records: records_of(&segment.seal),
            frames: None,
            before: Vec::new(),
            table: None,
            tail: Vec::new(),
            lines: None,
            stored_records: None,
            header: segment.header.clone(),
            signer: SIGNER,
        }
    }

    /// Builds the seal and the segment.
    pub fn build(&self) -> (Vec<u8>, Vec<u8>) {
        self.build_with(|_| ())
    }

    /// Builds the seal and the segment. `edit` changes the header before it is signed.
    pub fn build_with(&self, edit: impl FnOnce(&mut SealHeader)) -> (Vec<u8>, Vec<u8>) {
        let framed = || self.plain.chunks(1 << 20).map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let frames: Vec<Vec<u8>> = self.frames.clone().unwrap_or_else(framed);
        let mut table = SeekTable::new();
        for (frame, chunk) in frames.iter().zip(self.plain.chunks(1 << 20)) {
            table.push(u32::try_from(frame.len()).unwrap(), u32::try_from(chunk.len()).unwrap());
        }
        let table = self.table.clone().unwrap_or_else(|| table.to_bytes());
        let segment = [self.before.clone(), frames.concat(), table, self.tail.clone()].concat();
        let mut lines = Vec::new();
        for record in &self.records {
            lines.extend(record.to_line().unwrap());
            lines.push(b'\n');
        }
        let lines = self.lines.clone().unwrap_or(lines);
        let framed = || lines.chunks(1 << 20).flat_map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let records: Vec<u8> = self.stored_records.clone().unwrap_or_else(framed);
        let mut header = self.header.clone();
        header.sha256 = Digest::of(&segment);
        header.stored_len = segment.len() as u64;
        header.plain_end = header.plain_start + self.plain.len() as u64;
        header.items = self.records.len() as u64;
        header.items_total = header.items;
        header.records_sha256 = Digest::of(&records);
        header.records_len = records.len() as u64;
        edit(&mut header);
        (seal::make(&header, &records, &key(self.signer)).unwrap(), segment)
    }

    /// The reason why the verifier refuses the container.
    pub fn defect(&self) -> Malformed {
        let (seal, segment) = self.build();
        verify_parts([(seal.as_slice(), segment.as_slice())]).unwrap_err()
    }

    /// The offset of an item's data in the plain stream.
    pub fn data(&self, n: usize) -> usize {
        usize::try_from(self.records[n].data.unwrap()).unwrap()
    }

    /// The offset of an item's member in the plain stream.
    pub fn at(&self, n: usize) -> usize {
        usize::try_from(self.records[n].at.unwrap()).unwrap()
    }
}
