//! Decoded rows: a convenience beside the raw bytes, for people and tools that read JSON lines.
//!
//! Guarantee: rows are pure functions of raw bytes that the container holds in any case. No input makes a decoder
//! fail: it leaves out what it cannot decode, or shows it as it is. Bytes that are not UTF-8 appear as
//! `{"base64":…,"shown":…}`. [`PIECE_BYTES_MAX`] bounds the memory. Left out: `lastlog`, `fib_trie` and
//! the databases, which the container holds as raw bytes only.

mod host;
pub mod journal;
mod mounts;
mod processes;
mod routes;
mod sessions;
mod sockets;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::ipc::Seen;

/// Most raw bytes of one source that are held at a time: 4 MiB. A longer source is decoded in pieces, cut
/// between its records.
pub(crate) const PIECE_BYTES_MAX: usize = 4 << 20;

/// Longest row: 256 KiB. A longer one is replaced by a note; the raw bytes are in the container.
const ROW_BYTES_MAX: usize = 256 << 10;

/// The places at which a source may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// After any line feed.
    Lines,
    /// After any record of this many bytes.
    Records(usize),
}

/// Decodes the sources of one collector.
pub(crate) trait Decoder {
    /// How the source at `path` may be cut; `None` when it has no rows.
    fn shape(&self, path: &[u8]) -> Option<Shape>;

    /// Takes whole lines or records of the source at `path`.
    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out);

    /// Takes a symbolic link.
    fn link(&mut self, _path: &[u8], _target: &[u8], _out: &mut Out) {}

    /// Takes what is known about a running program: its looks, and its SHA-256 or why there is none.
    fn program(&mut self, _seen: &Seen, _sha256: Option<&str>, _note: Option<&str>, _out: &mut Out) {}

    /// The step is over.
    fn finish(&mut self, _out: &mut Out) {}
}

/// Finished rows, one per line.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
}

impl Out {
    /// Adds a row.
    pub(crate) fn row(&mut self, row: &Value) {
        // To show a value as text cannot fail, unlike to serialise an unknown type.
        let mut line = row.to_string();
        if line.len() > ROW_BYTES_MAX {
            let short = json!({"row": row.get("row"), "note": "row is too long; see the raw bytes", "source": row.get("source")});
            line = short.to_string();
        }
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.push(b'\n');
    }
}

/// The rows of one running step.
pub struct Rows {
    decoder: Box<dyn Decoder>,
    out: Out,
    path: Vec<u8>,
    shape: Option<Shape>,
    held: Vec<u8>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Rows {
    /// The rows of a collector; `None` if it has no rows.
    #[must_use]
    pub fn of(collector: &str) -> Option<Self> {
        let decoder: Box<dyn Decoder> = match collector {
            "host" => Box::<host::Host>::default(),
            "journal" => Box::<journal::Journal>::default(),
            "processes" => Box::<processes::Processes>::default(),
            "sockets" => Box::<sockets::Sockets>::default(),
            "routes" => Box::<routes::Routes>::default(),
            "sessions" => Box::<sessions::Sessions>::default(),
            "mounts" => Box::<mounts::Mounts>::default(),
            _ => return None,
        };
        Some(Self { decoder, out: Out::default(), path: Vec::new(), shape: None, held: Vec::new() })
    }

    /// A source begins.
    pub fn begin(&mut self, path: &[u8]) {
        self.path = path.to_vec();
        self.shape = self.decoder.shape(path);
        self.held.clear();
    }

    /// Bytes of the source, in order.
    pub fn data(&mut self, bytes: &[u8]) {
        let Some(shape) = self.shape else { return };
        for part in bytes.chunks(PIECE_BYTES_MAX) {
            self.held.extend_from_slice(part);
            if self.held.len() >= PIECE_BYTES_MAX {
                let cut = match shape {
                    Shape::Lines => {
                        self.held.iter().rposition(|byte| *byte == b'\n').map_or(self.held.len(), |at| at + 1)
                    }
                    Shape::Records(len) => self.held.len() - self.held.len() % len.max(1),
                };
                let rest = self.held.split_off(cut);
                let piece = std::mem::replace(&mut self.held, rest);
                self.decoder.piece(&self.path, &piece, &mut self.out);
            }
        }
    }

    /// The source ended.
    pub fn end(&mut self) {
        if self.shape.take().is_some() {
            let piece = std::mem::take(&mut self.held);
            self.decoder.piece(&self.path, &piece, &mut self.out);
        }
    }

    /// Adds a row that another module decoded.
    pub fn add(&mut self, row: &Value) {
        self.out.row(row);
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        self.decoder.link(path, target, &mut self.out);
    }

    /// A running program.
    pub fn program(&mut self, seen: &Seen, sha256: Option<&str>, note: Option<&str>) {
        self.decoder.program(seen, sha256, note, &mut self.out);
    }

    /// Rows that are ready, if there are at least `least` bytes of them. Whole lines.
    pub(crate) fn take_ready(&mut self, least: usize) -> Option<Vec<u8>> {
        (self.out.bytes.len() >= least.max(1)).then(|| std::mem::take(&mut self.out.bytes))
    }

    /// The step ended; its last rows.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        self.end();
        self.decoder.finish(&mut self.out);
        self.take_ready(1)
    }
}

/// Bytes as text if they are UTF-8, otherwise in both forms.
pub(crate) fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({"base64": STANDARD.encode(bytes), "shown": String::from_utf8_lossy(bytes)}),
    }
}

/// Lines without their line feed; empty ones are left out.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Fields between blanks and tabs.
pub(crate) fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty()).collect()
}

/// A decimal number.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    str::from_utf8(field).ok()?.trim().parse().ok()
}

/// The parts before and after the first `mark`.
pub(crate) fn split_once(line: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == mark)?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

pub(crate) fn last_name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| path.split_at(slash + 1).1)
}

/// Splits `/proc/PID/REST`.
pub(crate) fn of_process(path: &[u8]) -> Option<(i64, &[u8])> {
    let below = path.strip_prefix(b"/proc/")?;
    let slash = below.iter().position(|byte| *byte == b'/')?;
    Some((number(below.get(..slash)?)?, below.get(slash + 1..)?))
}

/// A table whose first line names its columns, as rows of text.
pub(crate) fn table(kind: &str, source: &[u8], bytes: &[u8], extra: &Map<String, Value>, out: &mut Out) {
    let mut all = lines(bytes);
    let Some(head) = all.next() else { return };
    let head: Vec<String> =
        fields(head).iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
    for line in all {
        let mut row = extra.clone();
        row.insert("row".into(), kind.into());
        row.insert("source".into(), text(source));
        for (name, value) in head.iter().zip(fields(line)) {
            row.insert(name.clone(), text(value));
        }
        out.row(&Value::Object(row));
    }
}

#[cfg(test)]
pub(crate) fn decode(collector: &str, sources: &[(&str, &[u8])]) -> Vec<Value> {
    let mut rows = Rows::of(collector).unwrap();
    for (path, bytes) in sources {
        rows.begin(path.as_bytes());
        for part in bytes.chunks(7) {
            rows.data(part);
        }
        rows.end();
    }
    let bytes = rows.finish();
    lines(bytes.as_deref().unwrap_or(b"")).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_that_are_not_text_are_shown_and_kept() {
        assert_eq!(text(b"plain"), Value::from("plain"));
        assert_eq!(text(b"a\xff"), json!({"base64": "Yf8=", "shown": "a\u{fffd}"}));
    }

    #[test]
    fn a_long_source_is_cut_between_lines() {
        let line = b"/dev/sda partition 1 2 3\n";
        let mut bytes = b"Filename Type Size Used Priority\n".to_vec();
        while bytes.len() < PIECE_BYTES_MAX + 100 {
            bytes.extend_from_slice(line);
        }
        let mut rows = Rows::of("mounts").unwrap();
        rows.begin(b"/proc/swaps");
        rows.data(&bytes);
        assert!(rows.held.len() < 200 && rows.held.starts_with(b"/dev/sda"));
    }

    #[test]
    fn every_row_is_one_line_of_json_also_one_that_is_too_long() {
        let mut out = Out::default();
        let row = json!({"row": "x", "source": "/a\nb", "number": -0.5, "deep": {"list": [null, true, "\u{1}\u{2028}"]}});
        out.row(&row);
        out.row(&json!({"row": "long", "source": "/c", "text": "x".repeat(ROW_BYTES_MAX)}));
        let read: Vec<Value> = lines(&out.bytes).map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], row);
        assert_eq!(
            serde_json::to_vec(&row).unwrap(),
            lines(&out.bytes).next().unwrap(),
            "the same bytes as before"
        );
        assert_eq!((&read[1]["row"], &read[1]["source"]), (&"long".into(), &"/c".into()));
        assert!(read[1]["note"].as_str().unwrap().contains("too long"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600), which in 0..40_usize) {
            const PATHS: &[(&str, &str)] = &[
                ("processes", "/proc/1/stat"), ("processes", "/proc/1/status"), ("processes", "/proc/1/cmdline"),
                ("processes", "/proc/1/cgroup"), ("sockets", "/proc/1/net/tcp"), ("sockets", "/proc/1/net/tcp6"),
                ("sockets", "/proc/1/net/unix"), ("sockets", "/proc/1/net/netlink"), ("routes", "/proc/1/net/route"),
                ("routes", "/proc/1/net/ipv6_route"), ("routes", "live/routes.neighbours.bin"),
                ("routes", "/proc/1/net/if_inet6"), ("sessions", "/var/log/wtmp"), ("mounts", "/proc/1/mountinfo"),
                ("host", "/etc/os-release"), ("host", "/etc/passwd"), ("routes", "/proc/1/net/dev"),
            ];
            let (collector, path) = PATHS[which % PATHS.len()];
            decode(collector, &[(path, &bytes)]);
        }
    }
}
