//! The endpoint's own log (`endpoint-log.jsonl`, docs/spec/manifest.md): which orders arrived, what the agent
//! collected and what it refused.
//!
//! Guarantee: each line names the SHA-256 of the previous line, and every manifest names the head. So the
//! next collection shows if somebody cut out a line or the end of the log. The machine's owner can read it
//! with `exhibit-agent log`, independently of the collector. Not here: the ledger (crate `ledger`), debug
//! logging (`tracing`).

use std::io;
use std::path::{Path, PathBuf};

use evidence::digest::Digest;
use evidence::time::Time;
use serde_json::Value;

use durable::LineFile;

/// File name in the state directory.
pub(crate) const NAME: &str = "endpoint-log.jsonl";

/// Free text of one event is cut at this length: the other side's words must not fill the disk.
const TEXT_BYTES_MAX: usize = 1000;

/// The end of the log, which manifests name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line, from 0.
    pub seq: u64,
    /// SHA-256 of the last line with its LF.
    pub sha256: Digest,
}

/// The log, open for appending.
#[derive(Debug)]
pub struct Diary {
    lines: LineFile,
    head: Option<Head>,
}

/// Fields of one event, in the order in which they are written.
#[derive(Debug, Default)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text, cut to a bounded length.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: impl ToString) -> Self {
        let mut text = text.to_string();
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        self.0.push((name, Value::String(text)));
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, number: u64) -> Self {
        self.0.push((name, Value::from(number)));
        self
    }
}

impl Diary {
    /// Opens the log of `dir`, verifying the whole chain.
    ///
    /// # Errors
    /// The system's error, or `InvalidData` with the line at which the chain breaks. The agent never appends
    /// to a broken chain.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let mut chain = Chain::new(path.clone());
        let lines = LineFile::open(&path, |line| chain.add_line(line).map(drop))?;
        Ok(Self { lines, head: chain.head })
    }

    /// The last line; `None` before the first.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Appends an event, durably.
    ///
    /// # Errors
    /// The system's error. The caller must then stop what the event would have described.
    pub fn record(&mut self, at: Time, event: &str, fields: Fields) -> io::Result<Head> {
        let (seq, prev) = self.head.map_or((0, Digest::ZERO), |head| (head.seq + 1, head.sha256));
        let mut line =
            format!("{{\"seq\":{seq},\"prev\":\"{prev}\",\"at\":\"{at}\",\"event\":{}", Value::from(event));
        for (name, value) in fields.0 {
            line.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        line.push('}');
        self.lines.append(line.as_bytes())?;
        line.push('\n');
        let head = Head { seq, sha256: Digest::of(line.as_bytes()) };
        self.head = Some(head);
        Ok(head)
    }
}

/// Verifies the log of `dir` without writing, and hands each line to `each`.
///
/// # Errors
/// The system's error, or `InvalidData` with the line at which the chain breaks.
pub fn read(dir: &Path, mut each: impl FnMut(&str)) -> io::Result<Option<Head>> {
    let path = dir.join(NAME);
    let file = match fs_err::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut chain = Chain::new(path);
    let (mut reader, mut line) = (io::BufReader::new(file), Vec::new());
    loop {
        line.clear();
        io::BufRead::read_until(&mut reader, b'\n', &mut line)?;
        // A last line without LF is still being written, or a crash tore it. It was never acknowledged.
        if line.pop() != Some(b'\n') {
            return Ok(chain.head);
        }
        chain.add_line(&line)?;
        each(&String::from_utf8_lossy(&line));
    }
}

/// A line for people: the time, the event, then the other fields.
#[must_use]
pub fn shown(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let text = |value: &Value| match value {
        Value::String(text) if !text.contains(' ') && !text.is_empty() => text.clone(),
        other => other.to_string(),
    };
    // For people: a line without a time or an event shows blanks there.
    let head = ["at", "event"].map(|name| fields.get(name).map_or_else(String::new, text));
    let others = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "seq" | "prev" | "at" | "event"));
    let rest: String = others.map(|(name, value)| format!(" {name}={}", text(value))).collect();
    let [at, event] = head;
    format!("{at} {event:<20}{rest}")
}

struct Chain {
    path: PathBuf,
    head: Option<Head>,
}

#[derive(serde::Deserialize)]
struct Link {
    seq: u64,
    prev: Digest,
}

impl Chain {
    fn new(path: PathBuf) -> Self {
        Self { path, head: None }
    }

    fn add_line(&mut self, line: &[u8]) -> io::Result<()> {
        let (seq, prev) = self.head.map_or((0, Digest::ZERO), |head| (head.seq + 1, head.sha256));
        let link: Option<Link> = serde_json::from_slice(line).ok();
        if !link.is_some_and(|link| link.seq == seq && link.prev == prev) {
            let text = format!(
                "`{}` was altered: line {} does not continue the chain. Keep the file aside as evidence, then start the \
                 agent with an empty log; manifests hold the old head",
                self.path.display(),
                seq + 1
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut whole = line.to_vec();
        whole.push(b'\n');
        self.head = Some(Head { seq, sha256: Digest::of(&whole) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Time {
        Time::from_unix_ms(1_800_000_000_000).unwrap()
    }

    fn filled(dir: &Path) -> (Vec<String>, Head) {
        let mut diary = Diary::open(dir).unwrap();
        for (event, detail) in [("started", "a"), ("order", "\"quoted\"\n"), ("stopped", "ü")] {
            diary.record(time(), event, Fields::new().text("detail", detail).number("n", 3)).unwrap();
        }
        let text = fs_err::read_to_string(dir.join(NAME)).unwrap();
        (text.lines().map(str::to_owned).collect(), diary.head().unwrap())
    }

    #[test]
    fn the_chain_continues_across_restarts_and_its_head_is_the_last_lines_digest() {
        let dir = tempfile::tempdir().unwrap();
        let (lines, head) = filled(dir.path());
        assert_eq!(lines.len(), 3);
        assert_eq!(head, Head { seq: 2, sha256: Digest::of(format!("{}\n", lines[2]).as_bytes()) });
        let begin = format!(
            "{{\"seq\":0,\"prev\":\"{}\",\"at\":\"2027-01-15T08:00:00.000Z\",\"event\":\"started\",",
            Digest::ZERO
        );
        assert!(lines[0].starts_with(&begin), "{}", lines[0]);
        assert_eq!(Diary::open(dir.path()).unwrap().head(), Some(head));
        let mut shown = Vec::new();
        assert_eq!(read(dir.path(), |line| shown.push(line.to_owned())).unwrap(), Some(head));
        assert_eq!(shown, lines);
    }

    #[test]
    fn every_kind_of_tampering_breaks_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let (lines, _) = filled(dir.path());
        let path = dir.path().join(NAME);
        for (what, tampered) in [
            ("altered", vec![lines[0].replace("started", "stopped"), lines[1].clone(), lines[2].clone()]),
            ("cut out", vec![lines[0].clone(), lines[2].clone()]),
            ("swapped", vec![lines[1].clone(), lines[0].clone(), lines[2].clone()]),
            ("beheaded", vec![lines[1].clone(), lines[2].clone()]),
            ("doubled", vec![lines[0].clone(), lines[0].clone()]),
            ("not JSON", vec![lines[0].clone(), "hello".to_owned()]),
        ] {
            fs_err::write(&path, tampered.join("\n") + "\n").unwrap();
            assert_eq!(Diary::open(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{what}");
            assert_eq!(read(dir.path(), |_| ()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{what}");
        }
    }

    #[test]
    fn foreign_text_is_cut_on_a_character() {
        let dir = tempfile::tempdir().unwrap();
        let mut diary = Diary::open(dir.path()).unwrap();
        diary.record(time(), "order", Fields::new().text("detail", "ü".repeat(5000))).unwrap();
        assert!(fs_err::metadata(dir.path().join(NAME)).unwrap().len() < 1300);
        Diary::open(dir.path()).unwrap();
    }
}
