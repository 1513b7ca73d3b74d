//! The output of a command: its result on stdout (a table for people, JSON with `--json`), messages and progress on stderr.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// The reader of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A person.
    Text,
    /// A program: one JSON value, or one per line for streams.
    Json,
}

/// The destination of results.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The reader of stdout.
    pub format: Format,
}

impl Output {
    /// Prints `value` as JSON, or lets `text` print it for people.
    /// Fails if stdout cannot be written, unless its reader has gone.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let line = match self.format {
            Format::Json => serde_json::to_string(value)?,
            Format::Text => text(),
        };
        write_line(&line)
    }

    /// Prints a message that is not part of the result.
    pub fn print_note(&self, words: &str) {
        if self.format == Format::Text {
            eprintln!("{words}");
        }
    }

    /// True when a moving progress display makes sense.
    pub fn animated(&self) -> bool {
        self.format == Format::Text && std::io::stderr().is_terminal()
    }
}

/// Writes one line to stdout; a closed pipe (`| head`) is a quiet end, not an error.
pub fn write_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A table with left-aligned columns, two blanks between them.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            // Display only: a cell that is wider than its column gets two blanks.
            text.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.chars().count()).saturating_add(2),
            ));
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// Bytes for people: `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = u128::from(count) * 10;
    let mut unit = 0;
    while scaled >= 10_240 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{count} B") } else { format!("{}.{} {name}", scaled / 10, scaled % 10) }
}

/// Replaces control characters, so that a host's file names cannot drive the reader's terminal.
pub fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control()
                || ('\u{200b}'..='\u{200f}').contains(&c)
                || ('\u{202a}'..='\u{202e}').contains(&c)
            {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// As [`shown`], but keeps line ends: for texts of several lines.
pub fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_keeps_a_digit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(8 << 20), "8.0 MiB");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_cell_and_has_no_trailing_blanks() {
        assert_eq!(
            table(&["id", "state"], &[vec!["a".into(), "stored".into()], vec!["longer".into(), "x".into()]]),
            "id      state\na       stored\nlonger  x"
        );
    }

    #[test]
    fn terminal_control_in_a_file_name_is_not_passed_on() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
