//! Object keys (docs/spec/store.md): one type, one spelling. No key can name a path outside the store.

use std::fmt;

use ledger::tile::TilePath;
use sha2::{Digest as _, Sha256};

/// Longest key: `quarantine/`, two digests and an index; anything longer is refused unread.
const KEY_BYTES_MAX: usize = 200;

/// The kind of object that a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The newest signed note. Only this object is ever replaced.
    Checkpoint,
    /// A checkpoint's note with cosignature lines.
    Cosigned,
    /// Erasable text with its salt.
    Detail,
    /// A signed object, stored under its document's digest.
    Document,
    /// A change of the log key, stored under its number.
    LogKey,
    /// The store's marker.
    Marker,
    /// Bytes that failed verification.
    Quarantine,
    Seal,
    /// Stored bytes of a segment.
    Segment,
    /// RFC 3161 response.
    Stamp,
    /// Note of a checkpoint that was stamped.
    StampedCheckpoint,
    /// Target leaves of an order, stored under their Merkle root.
    Targets,
    /// Tile or entry bundle of the ledger.
    Tile,
}

/// What a key says about the bytes under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCheck {
    /// They are the bytes that the key names.
    Right,
    /// The key carries no digest. Tiles are checked against a checkpoint.
    Unknown,
    /// They are other bytes.
    Wrong,
}

/// Key of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    kind: KeyKind,
    text: String,
}

impl Key {
    /// `store.json`
    pub fn marker() -> Self {
        Self::made(KeyKind::Marker, "store.json".to_owned())
    }

    /// `segments/<collection>/<index>-<sha256>.zst`
    pub fn segment(collection: &[u8; 32], index: u64, sha256: &[u8; 32]) -> Self {
        let (collection, sha256) = (hex::encode(collection), hex::encode(sha256));
        Self::made(KeyKind::Segment, format!("segments/{collection}/{index:06}-{sha256}.zst"))
    }

    /// `seals/<collection>/<index>-<sha256>.seal`
    pub fn seal(collection: &[u8; 32], index: u64, sha256: &[u8; 32]) -> Self {
        let (collection, sha256) = (hex::encode(collection), hex::encode(sha256));
        Self::made(KeyKind::Seal, format!("seals/{collection}/{index:06}-{sha256}.seal"))
    }

    /// `documents/<document sha256>.signed`
    pub fn document(digest: &[u8; 32]) -> Self {
        Self::made(KeyKind::Document, format!("documents/{}.signed", hex::encode(digest)))
    }

    /// `details/<digest>.json`
    pub fn detail(digest: &[u8; 32]) -> Self {
        Self::made(KeyKind::Detail, format!("details/{}.json", hex::encode(digest)))
    }

    /// `targets/<targets_root>.leaves`
    pub fn targets(root: &[u8; 32]) -> Self {
        Self::made(KeyKind::Targets, format!("targets/{}.leaves", hex::encode(root)))
    }

    /// `quarantine/<collection>/<index>-<sha256>.zst`
    pub fn quarantined_segment(collection: &[u8; 32], index: u64, sha256: &[u8; 32]) -> Self {
        let (collection, sha256) = (hex::encode(collection), hex::encode(sha256));
        Self::made(KeyKind::Quarantine, format!("quarantine/{collection}/{index:06}-{sha256}.zst"))
    }

    /// `quarantine/<collection>/<index>-<sha256>.seal`
    pub fn quarantined_seal(collection: &[u8; 32], index: u64, sha256: &[u8; 32]) -> Self {
        let (collection, sha256) = (hex::encode(collection), hex::encode(sha256));
        Self::made(KeyKind::Quarantine, format!("quarantine/{collection}/{index:06}-{sha256}.seal"))
    }

    /// `ledger/tile/…`
    pub fn tile(path: &TilePath) -> Self {
        Self::made(KeyKind::Tile, format!("ledger/{path}"))
    }

    /// `ledger/checkpoint`
    pub fn checkpoint() -> Self {
        Self::made(KeyKind::Checkpoint, "ledger/checkpoint".to_owned())
    }

    /// `ledger/keys/<number>.signed`
    pub fn log_key(number: u64) -> Self {
        Self::made(KeyKind::LogKey, format!("ledger/keys/{number:06}.signed"))
    }

    /// `ledger/checkpoints/<size>`
    pub fn stamped_checkpoint(size: u64) -> Self {
        Self::made(KeyKind::StampedCheckpoint, format!("ledger/checkpoints/{size:012}"))
    }

    /// `ledger/cosigned/<size>-<sha256>.note`
    pub fn cosigned(size: u64, sha256: &[u8; 32]) -> Self {
        Self::made(KeyKind::Cosigned, format!("ledger/cosigned/{size:012}-{}.note", hex::encode(sha256)))
    }

    /// `ledger/stamps/<size>-<sha256>.tsr`
    pub fn stamp(size: u64, sha256: &[u8; 32]) -> Self {
        Self::made(KeyKind::Stamp, format!("ledger/stamps/{size:012}-{}.tsr", hex::encode(sha256)))
    }

    fn made(kind: KeyKind, text: String) -> Self {
        Self { kind, text }
    }

    /// Parses a key. A key has exactly one spelling.
    ///
    /// # Errors
    /// `KeyError` for every other text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let kind = if text.len() > KEY_BYTES_MAX { None } else { kind_of(text) };
        match kind {
            Some(kind) => Ok(Self { kind, text: text.to_owned() }),
            None => Err(KeyError { text: text.chars().take(KEY_BYTES_MAX).collect() }),
        }
    }

    /// The kind of object.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Collection of a segment, seal or quarantined object.
    pub fn collection(&self) -> Option<[u8; 32]> {
        let mut collection = [0; 32];
        hex::decode_to_slice(self.text.split('/').nth(1)?, &mut collection).ok()?;
        matches!(self.kind, KeyKind::Segment | KeyKind::Seal | KeyKind::Quarantine).then_some(collection)
    }

    /// Index of a segment, seal or quarantined object within its collection.
    pub fn index(&self) -> Option<u64> {
        self.numbered_name().and_then(|(index, _)| index.parse().ok())
    }

    /// Digest that the key carries: of the content, of the document line, or the targets' Merkle root.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let text = match self.kind {
            KeyKind::Segment | KeyKind::Seal | KeyKind::Quarantine | KeyKind::Stamp | KeyKind::Cosigned => {
                self.numbered_name()?.1
            }
            KeyKind::Detail | KeyKind::Document | KeyKind::Targets => {
                self.text.rsplit_once('/')?.1.split_once('.')?.0
            }
            KeyKind::Checkpoint
            | KeyKind::LogKey
            | KeyKind::Marker
            | KeyKind::StampedCheckpoint
            | KeyKind::Tile => {
                return None;
            }
        };
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(digest)
    }

    /// Compares bytes with the digest in the key.
    pub fn check(&self, bytes: &[u8]) -> ContentCheck {
        let Some(expected) = self.digest() else {
            return ContentCheck::Unknown;
        };
        let actual: [u8; 32] = match self.kind {
            KeyKind::Document => Sha256::digest(first_line(bytes)).into(),
            KeyKind::Targets => match targets_root(bytes) {
                Some(root) => root,
                None => return ContentCheck::Wrong,
            },
            _ => Sha256::digest(bytes).into(),
        };
        if actual == expected { ContentCheck::Right } else { ContentCheck::Wrong }
    }

    /// Splits a name `<index>-<digest>.<suffix>` into `<index>` and `<digest>`.
    fn numbered_name(&self) -> Option<(&str, &str)> {
        let (index, rest) = self.text.rsplit_once('/')?.1.split_once('-')?;
        Some((index, rest.split_once('.')?.0))
    }
}

/// The document of a signed object: its first line with the LF.
fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// Merkle root of target leaves that are stored one after another. Each leaf is four lines
/// (docs/spec/order.md).
fn targets_root(bytes: &[u8]) -> Option<[u8; 32]> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = !bytes.is_empty() && bytes.ends_with(b"\n") && lines.len().is_multiple_of(4);
    let leaves: Vec<ledger::hash::Hash> =
        lines.chunks(4).map(|leaf| ledger::hash::leaf_hash(&leaf.concat())).collect();
    whole.then(|| ledger::tree::root_of(&leaves).0)
}

fn kind_of(text: &str) -> Option<KeyKind> {
    match text {
        "store.json" => return Some(KeyKind::Marker),
        "ledger/checkpoint" => return Some(KeyKind::Checkpoint),
        _ => {}
    }
    let (room, rest) = text.split_once('/')?;
    let in_collection = |suffix: &str| {
        let (collection, name) = rest.split_once('/')?;
        (is_digest(collection) && is_numbered(name, 6, suffix)).then_some(())
    };
    match room {
        "segments" => in_collection(".zst").map(|()| KeyKind::Segment),
        "seals" => in_collection(".seal").map(|()| KeyKind::Seal),
        "quarantine" => {
            in_collection(".zst").or_else(|| in_collection(".seal")).map(|()| KeyKind::Quarantine)
        }
        "documents" => is_digest(rest.strip_suffix(".signed")?).then_some(KeyKind::Document),
        "details" => is_digest(rest.strip_suffix(".json")?).then_some(KeyKind::Detail),
        "targets" => is_digest(rest.strip_suffix(".leaves")?).then_some(KeyKind::Targets),
        "ledger" => match rest.split_once('/')? {
            ("tile", _) => TilePath::parse(rest).ok().map(|_| KeyKind::Tile),
            ("checkpoints", size) => is_number(size, 12).then_some(KeyKind::StampedCheckpoint),
            ("keys", name) => is_number(name.strip_suffix(".signed")?, 6).then_some(KeyKind::LogKey),
            ("cosigned", name) => is_numbered(name, 12, ".note").then_some(KeyKind::Cosigned),
            ("stamps", name) => is_numbered(name, 12, ".tsr").then_some(KeyKind::Stamp),
            _ => None,
        },
        _ => None,
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Pads to `digits` with zeros and accepts no more zeros than that.
fn is_number(text: &str, digits: usize) -> bool {
    let all = text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok();
    all && (text.len() == digits || (text.len() > digits && !text.starts_with('0')))
}

fn is_numbered(name: &str, digits: usize, suffix: &str) -> bool {
    let parts = name.strip_suffix(suffix).and_then(|stem| stem.split_once('-'));
    parts.is_some_and(|(index, digest)| is_number(index, digits) && is_digest(digest))
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// A text that is not an object key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object key: {text:?}")]
pub struct KeyError {
    /// The refused text, shortened.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constructed_key_parses_back_to_itself() {
        let (one, two) = ([0x11; 32], [0x22; 32]);
        let keys = [
            Key::marker(),
            Key::segment(&one, 0, &two),
            Key::segment(&one, 12_345_678, &two),
            Key::seal(&one, 999_999, &two),
            Key::document(&one),
            Key::detail(&one),
            Key::targets(&one),
            Key::quarantined_segment(&one, 3, &two),
            Key::quarantined_seal(&one, 3, &two),
            Key::tile(&TilePath::parse("tile/entries/x001/234.p/7").unwrap()),
            Key::checkpoint(),
            Key::stamped_checkpoint(70_000),
            Key::stamp(70_000, &two),
            Key::cosigned(70_000, &two),
        ];
        for key in keys {
            assert_eq!(Key::parse(key.as_str()), Ok(key.clone()));
        }
        assert_eq!(Key::segment(&one, 12, &two).index(), Some(12));
        assert_eq!(Key::segment(&one, 12, &two).digest(), Some(two));
        assert_eq!(Key::document(&one).digest(), Some(one));
    }

    #[test]
    fn no_other_spelling_and_no_way_out_of_the_store_is_a_key() {
        let digest = "11".repeat(32);
        let bad = [
            String::new(),
            "..".into(),
            "../store.json".into(),
            "/store.json".into(),
            "tmp/x".into(),
            format!("documents/../{digest}.signed"),
            format!("documents/{}.signed", digest.to_uppercase().replace('1', "A")),
            format!("documents/{digest}.signed/"),
            format!("segments/{digest}/1-{digest}.zst"),
            format!("segments/{digest}/0000001-{digest}.zst"),
            format!("segments/{digest}/000001-{digest}.seal"),
            format!("segments/{digest}/x/000001-{digest}.zst"),
            "ledger/tile/0/x000/001".into(),
            "ledger/checkpoints/1".into(),
            "ledger/../ledger/checkpoint".into(),
            format!("details/{digest}.json\n"),
        ];
        for text in bad {
            assert!(Key::parse(&text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_key_tells_right_bytes_from_wrong_ones() {
        let document = b"{\"a\":1}\n";
        let key = Key::document(&Sha256::digest(document).into());
        let mut signed = document.to_vec();
        signed.extend(b"-----BEGIN SSH SIGNATURE-----\n");
        assert_eq!(key.check(&signed), ContentCheck::Right);
        assert_eq!(key.check(b"{\"a\":2}\n"), ContentCheck::Wrong);
        assert_eq!(Key::checkpoint().check(b"x"), ContentCheck::Unknown);
        let leaf = b"exhibit-target-v1\nweb-03\n1\nSHA256:abc\n";
        let root = ledger::tree::root_of(&[ledger::hash::leaf_hash(leaf)]).0;
        assert_eq!(Key::targets(&root).check(leaf), ContentCheck::Right);
        assert_eq!(Key::targets(&root).check(b"exhibit-target-v1\n"), ContentCheck::Wrong);
    }
}
