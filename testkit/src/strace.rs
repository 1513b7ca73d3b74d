//! System calls of a program, as strace saw them.
//!
//! Guarantee: the calls stand in the order in which they finished, and a call that failed is left out. A path may hold blanks. Not here:
//! paths with quotation marks or angle brackets, which strace does not mark.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// strace for these calls of all threads; it writes to `log`. The caller adds what to trace.
pub fn command(log: &Path, calls: &str) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-ttt", "-T", "-s", "200", "-e"])
        .arg(format!("trace={calls}"))
        .arg("-o")
        .arg(log);
    command
}

/// One finished system call.
#[derive(Debug)]
pub struct Call {
    /// Id of its thread.
    pub thread: String,
    /// Its name.
    pub name: String,
    /// What stands behind the opening parenthesis.
    pub arguments: String,
    /// When it finished.
    pub finished: SystemTime,
}

impl Call {
    /// The path in `5</path>` of the n-th descriptor argument.
    pub fn descriptor(&self, number: usize) -> &str {
        let path = self.arguments.split('<').nth(number + 1).and_then(|rest| rest.split('>').next());
        path.unwrap_or_default()
    }

    /// The n-th quoted argument.
    pub fn quoted(&self, number: usize) -> &str {
        self.arguments.split('"').nth(number * 2 + 1).unwrap_or_default()
    }

    /// True if it flushed the file of that path.
    pub fn is_flush_of(&self, path: &str) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.descriptor(0) == path
    }

    /// True if it gave a file its name.
    pub fn is_naming(&self) -> bool {
        self.name == "linkat" || self.name.starts_with("renameat")
    }
}

/// Reads lines `PID TIME name(arguments) = 0 <SECONDS>`, and pairs of `unfinished` and `resumed`.
pub fn parse(log: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else { continue };
        let (whole, is_resumed) = if let Some(half) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, half);
            continue;
        } else if let Some((_, half)) =
            rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            (format!("{}{half}", begun.remove(thread).unwrap_or_default()), true)
        } else {
            (rest.to_owned(), false)
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        if whole.contains(" = -1 ") || !whole.contains(" = ") {
            continue;
        }
        let seconds = |text: &str| Duration::from_secs_f64(text.parse().unwrap());
        // A call that was printed in one piece carries the time of its beginning, a resumed one that of its end.
        let took = whole.rsplit('<').next().and_then(|text| text.strip_suffix('>'));
        let took = took.filter(|_| !is_resumed).map_or(Duration::ZERO, seconds);
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            finished: UNIX_EPOCH + seconds(time) + took,
        });
    }
    calls
}
