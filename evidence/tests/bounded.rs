//! Hostile bytes, in a process of their own: whatever they claim, and however they are damaged, no reader panics, and none takes more
//! memory than its format's bounds allow. Damage of documents alone is in `it/random.rs`, of notes and policies in crate `ledger`.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report of a failure, in its helpers too"
)]

use std::fs::File;
use std::io::Read as _;

use evidence::bundle::production::{ItemProof, Selector};
use evidence::bundle::{Overview, Sums};
use evidence::container::SeekTable;
use evidence::digest::Digest;
use evidence::disposal::Plan;
use evidence::entry::Entry;
use evidence::entry::detail::Detail;
use evidence::frames::compress_frame;
use evidence::item::{ItemRecord, Stage};
use evidence::json;
use evidence::roster::AuthoritySet;
use evidence::seal::Seal;
use evidence::signed::Signed;
use ledger::{Checkpoint, Note, Policy, ProofFile};
use testkit::containers::lab;
use testkit::containers::pieces::Pieces;

/// More than the windows, frames and lines of all formats together, far less than any claim below.
const GROWTH_MAX: u64 = 96 << 20;

/// Damaged pieces: the same ones on every machine.
const MUTATIONS: u32 = 6000;

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let mut status = String::new();
    File::open("/proc/self/status").unwrap().read_to_string(&mut status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<u64>().unwrap() << 10
}

/// A seal and its segment.
type Sealed = (Vec<u8>, Vec<u8>);

/// A zstd frame (RFC 8878) of a few bytes whose content is `blocks` times 128 KiB of zeros; it says so when `told`.
fn bomb(blocks: u32, told: bool) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    if told {
        frame.push(0xe0);
        frame.extend((u64::from(blocks) << 17).to_le_bytes());
    } else {
        // Window of 128 KiB, no content size.
        frame.extend([0x00, 0x38]);
    }
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        frame.extend(&((0x20_000 << 3) | (1 << 1) | last).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Every reader of bytes that a stranger hands over.
fn read_all(bytes: &[u8]) {
    drop(Signed::parse(bytes));
    drop(Entry::parse(bytes));
    drop(json::parse_document::<Overview>(bytes));
    drop(json::parse_document::<serde_json::Value>(bytes));
    drop(Sums::parse(bytes));
    drop(ItemProof::parse(bytes));
    drop(Selector::parse(bytes));
    drop(Detail::open(bytes, &Digest::of(bytes)));
    drop(ItemRecord::parse_line(bytes, Stage::Final));
    drop(SeekTable::parse(bytes));
    drop(Note::parse(bytes));
    drop(ProofFile::parse(bytes));
    drop(Policy::parse(bytes));
    if let Ok(seal) = Seal::parse(bytes)
        && let Ok(records) = seal.records()
    {
        // A seal's own bound, and an end.
        assert!(records.take(1 << 20).map_while(Result::ok).map(|line| line.len()).sum::<usize>() < 1 << 30);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        drop(Checkpoint::from_text(text));
        drop(Plan::parse(text));
        drop(AuthoritySet::from_trust_file(text));
    }
}

/// Claims that cost a sender little and a careless reader everything.
fn claims() -> Vec<Vec<u8>> {
    let repeated = |piece: &str, count: usize| piece.repeat(count).into_bytes();
    let mut claims = vec![
        repeated("[", 3 << 20),
        repeated("{\"a\":", 600_000),
        repeated("\n", 3 << 20),
        repeated("-----BEGIN SSH SIGNATURE-----\n", 100_000),
        [
            b"{}\n".to_vec(),
            repeated("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", 40_000),
        ]
        .concat(),
        [b"a\n1\nAAAA\n\n".to_vec(), repeated("\u{2014} a AAAAAAAA\n", 150_000)].concat(),
        [b"c2sp.org/tlog-proof@v1\nindex 18446744073709551615\n".to_vec(), repeated("AAAA\n", 400_000)]
            .concat(),
        [b"log a+00000000+AAAA\n".to_vec(), repeated("group g 1 g g\n", 200_000)].concat(),
        [
            b"exhibit-item-proof-v1\ncollection 0\nindex 0\nitems 9007199254740991\n".to_vec(),
            repeated("AAAA\n", 400_000),
        ]
        .concat(),
        [
            b"exhibit-disposition-v1\ndeployment a\nincident INC-2026-0001\nentries 0 18446744073709551615\n"
                .to_vec(),
            repeated("collection 00\n", 200_000),
        ]
        .concat(),
        format!("{{\"path\":\"{}\"}}", "\\u0000".repeat(500_000)).into_bytes(),
        format!("# threshold {}\n", u64::MAX).into_bytes(),
        b"{\"type\":\"exhibit-seal-v1\",\"records_len\":9007199254740991,\"stored_len\":9007199254740991}\n"
            .to_vec(),
    ];
    // A seek table that says of itself that it has four thousand million frames.
    let mut table = SeekTable::new();
    table.push(1, 1);
    let mut table = table.to_bytes();
    let footer = table.len() - 9;
    table[footer..footer + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    claims.push(table);
    claims
}

/// Containers whose own key sealed a bomb, as a rooted endpoint can.
fn sealed_bombs() -> Vec<(&'static str, Sealed)> {
    let giant = || {
        // The size field of the first member, in base-256: more than anybody has.
        let mut pieces = Pieces::small();
        pieces.plain[124..136]
            .copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        pieces.build()
    };
    let with = |change: fn(&mut Pieces)| {
        let mut pieces = Pieces::small();
        change(&mut pieces);
        pieces.build()
    };
    let told = |end: u64| {
        let pieces = Pieces { frames: Some(vec![bomb(32_768, true)]), ..Pieces::small() };
        pieces.build_with(|header| header.plain_end = end)
    };
    vec![
        ("frame of 4 GiB that says so", with(|pieces| pieces.frames = Some(vec![bomb(32_768, true)]))),
        ("frame of 4 GiB that does not", with(|pieces| pieces.frames = Some(vec![bomb(32_768, false)]))),
        ("frame of 4 GiB, and the seal agrees", told(4 << 30)),
        ("records of 4 GiB that say so", with(|pieces| pieces.stored_records = Some(bomb(32_768, true)))),
        ("records of 4 GiB that do not", with(|pieces| pieces.stored_records = Some(bomb(32_768, false)))),
        (
            "many frames of 1 MiB as records",
            with(|pieces| pieces.stored_records = Some(bomb(8, true).repeat(4096))),
        ),
        ("table of nothing", with(|pieces| pieces.table = Some(vec![0xff; 1 << 20]))),
        ("tar member of 2^87 bytes", giant()),
    ]
}

/// xorshift64*: the same damage on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit.max(1)
    }

    /// Flips, cuts, doubles, moves, or writes what numbers and lengths look like in one of the formats.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const PIECES: [&[u8]; 9] = [
            b"\n",
            b"\0",
            b"77777777777",
            b"9007199254740991",
            b"\xff\xff\xff\xff",
            b"\x80\xff\xff",
            b"\"",
            b"-1",
            b"19 size=99999999\n",
        ];
        for _ in 0..=self.below(2) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(600)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let (piece, to) = (bytes[at..end].to_vec(), self.below(bytes.len()));
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..end, piece.iter().copied());
                }
            }
        }
    }
}

#[test]
fn what_a_stranger_claims_or_damages_costs_no_panic_and_no_memory() {
    let good = Pieces::small();
    let (seal, segment) = good.build();
    let lines: Vec<u8> =
        good.records.iter().flat_map(|record| [record.to_line().unwrap(), vec![b'\n']].concat()).collect();
    lab::verify_parts([(seal.as_slice(), segment.as_slice())])
        .unwrap_or_else(|why| panic!("the undamaged pieces: {why}"));
    let (claims, bombs) = (claims(), sealed_bombs());
    let before = peak();
    let within = |what: &str| {
        let growth = peak().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{what}: {growth} bytes more");
    };
    for claim in &claims {
        read_all(claim);
        within(&String::from_utf8_lossy(&claim[..claim.len().min(40)]));
    }
    for (what, (seal, segment)) in &bombs {
        assert!(lab::verify_parts([(seal.as_slice(), segment.as_slice())]).is_err(), "{what}");
        read_all(seal);
        within(what);
    }
    let (mut random, mut accepted) = (Random(0x9e37_79b9_7f4a_7c15), 0_u32);
    for _ in 0..MUTATIONS {
        let mut pieces = good.clone();
        let kind = random.below(5);
        match kind {
            0 => random.damage(&mut pieces.plain),
            1 => {
                let mut damaged = lines.clone();
                random.damage(&mut damaged);
                pieces.lines = Some(damaged);
            }
            2 => {
                let mut frames = compress_frame(&pieces.plain, 1).unwrap();
                random.damage(&mut frames);
                pieces.frames = Some(vec![frames]);
            }
            3 => {
                let mut records = compress_frame(&lines, 1).unwrap();
                random.damage(&mut records);
                pieces.stored_records = Some(records);
            }
            _ => {
                let mut all = [&seal, &segment, &lines][random.below(3)].clone();
                random.damage(&mut all);
                read_all(&all);
            }
        }
        if kind < 4 {
            let (seal, segment) = pieces.build();
            if let Ok((summary, _)) = lab::verify_parts([(seal.as_slice(), segment.as_slice())]) {
                assert_eq!(summary.plain_len, pieces.plain.len() as u64);
                // The records say every byte of the tar: no other tar is accepted with them.
                assert!(kind != 0 || pieces.plain == good.plain, "a damaged tar is accepted");
                accepted += 1;
            }
        }
    }
    within("the mutations");
    assert!(2 * accepted < MUTATIONS, "{accepted} of {MUTATIONS} damaged pieces are accepted");
}
