//! One fixture per defect, made by a skilled hand: what the sealer's own key can sign is signed again, so that only the
//! rule at hand is broken.

mod chain;
mod flips;
mod plain;
mod records;
mod stored;

use evidence::container::{Malformed, SeekTable};
use evidence::digest::Digest;
use evidence::frames::compress_frame;
use evidence::item::ItemRecord;
use evidence::keys::SigningKey;
use evidence::seal::{self, SealHeader};

use super::lab::*;

/// A container of one segment, in pieces that can be changed one by one.
struct Forge {
    plain: Vec<u8>,
    records: Vec<ItemRecord>,
    /// Stored frames, when they are not those of `plain`.
    frames: Option<Vec<Vec<u8>>>,
    before: Vec<u8>,
    table: Option<Vec<u8>>,
    tail: Vec<u8>,
    lines: Option<Vec<u8>>,
    stored_records: Option<Vec<u8>>,
    header: SealHeader,
    signer: SigningKey,
}

impl Forge {
    fn new() -> Self {
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
            signer: signer(),
        }
    }

    fn build(&self) -> (Vec<u8>, Vec<u8>) {
        self.build_with(|_| ())
    }

    fn build_with(&self, edit: impl FnOnce(&mut SealHeader)) -> (Vec<u8>, Vec<u8>) {
        let framed = || self.plain.chunks(1 << 20).map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let frames: Vec<Vec<u8>> = self.frames.clone().unwrap_or_else(framed);
        let mut table = SeekTable::new();
        for (frame, chunk) in frames.iter().zip(self.plain.chunks(1 << 20)) {
            table.push(frame.len() as u32, chunk.len() as u32);
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
        (seal::make(&header, &records, &self.signer).unwrap(), segment)
    }

    fn defect(&self) -> Malformed {
        let (seal, segment) = self.build();
        defect(&[(&seal, &segment)])
    }

    fn data(&self, n: usize) -> usize {
        self.records[n].data.unwrap() as usize
    }

    fn at(&self, n: usize) -> usize {
        self.records[n].at.unwrap() as usize
    }
}

fn defect(parts: &[(&[u8], &[u8])]) -> Malformed {
    verify_parts(parts.iter().copied()).unwrap_err()
}

macro_rules! assert_defect {
    ($defect:expr, $pattern:pat $(if $guard:expr)?) => {
        let found = $defect;
        assert!(matches!(found, $pattern $(if $guard)?), "{found:?}");
    };
}
use assert_defect;

const HIDDEN: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0hidden";

#[test]
fn the_hand_itself_makes_a_good_container() {
    let (seal, segment) = Forge::new().build();
    verify_parts([(seal.as_slice(), segment.as_slice())]).unwrap();
}
