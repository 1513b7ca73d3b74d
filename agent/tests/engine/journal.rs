//! Journals that systemd wrote and this agent reads, compared with the output of `journalctl`.

use fs_err as fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::order::{JournalStep, Step};
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::Plan;

const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";
const ENTRIES: usize = 3000;

/// Entries in the journal export format: text, long, longer than shown, binary, twice the same name.
fn export() -> Vec<u8> {
    let mut out = Vec::new();
    let binary = |out: &mut Vec<u8>, name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&u64::try_from(value.len()).unwrap().to_le_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    };
    let mut noise = 1_u64;
    for number in 0..ENTRIES {
        write!(
            out,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=b7a6d1f04a5c4d3e9f100c1d2e3f4a5b\nPRIORITY={}\n\
             SYSLOG_IDENTIFIER=sshd\n_PID={}\nMESSAGE=Accepted publickey for user{} from 192.0.2.{} port {}\n",
            1_795_300_000_000_000_u64 + u64::try_from(number).unwrap() * 1000,
            number * 1000 + 5,
            number % 8,
            1000 + number % 50,
            number % 7,
            number % 250,
            50_000 + number
        )
        .unwrap();
        if number % 100 == 0 {
            binary(&mut out, "LONG", &b"a line of a long message\n".repeat(60));
        }
        if number % 300 == 0 {
            binary(&mut out, "BINARY", b"bin\xff\xfe\ndata");
        }
        if number % 500 == 0 {
            let mut huge = Vec::new();
            while huge.len() < 70_000 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                huge.push(b'a' + u8::try_from((noise >> 40) % 26).unwrap());
            }
            binary(&mut out, "HUGE", &huge);
        }
        if number % 77 == 0 {
            out.extend_from_slice(b"TWICE=a\nTWICE=b\n");
        }
        out.push(b'\n');
    }
    out
}

fn write_journal(path: &Path, compact: &str, compress: &str) {
    let mut remote = Command::new(REMOTE)
        .arg(format!("--compress={compress}"))
        .arg("-o")
        .arg(path)
        .arg("-")
        .env("SYSTEMD_JOURNAL_COMPACT", compact)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    remote.stdin.take().unwrap().write_all(&export()).unwrap();
    assert!(remote.wait().unwrap().success());
}

/// What journalctl prints, one object an entry.
fn by_journalctl(path: &Path) -> Vec<Value> {
    let output =
        Command::new("journalctl").arg("--file").arg(path).args(["-o", "json", "--all"]).output().unwrap();
    assert!(output.status.success());
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Our value as journalctl writes it: bytes that are no text as a list of numbers.
fn as_journalctl(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(as_journalctl).collect(),
        Value::Object(fields) if fields.contains_key("base64") => {
            Value::from(STANDARD.decode(fields["base64"].as_str().unwrap()).unwrap())
        }
        other => other.clone(),
    }
}

fn collect(root: &Path) -> crate::bench::Run {
    Plan::of(root, vec![Step::Journal(JournalStep { rows: true })]).run()
}

#[test]
fn rows_of_a_journal_are_what_journalctl_says() {
    if !Path::new(REMOTE).exists() {
        println!(
            "SKIPPED rows_of_a_journal_are_what_journalctl_says: systemd-journal-remote is not installed"
        );
        return;
    }
    for (compact, compress) in [("1", "yes"), ("0", "yes"), ("0", "no")] {
        let root = TempDir::new().unwrap();
        let dir = root.path().join("var/log/journal/0123456789abcdef0123456789abcdef");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("system.journal");
        write_journal(&path, compact, compress);
        let run = collect(root.path());
        let rows = run.rows("journal");
        let expected = by_journalctl(&path);
        assert_eq!((rows.len(), expected.len()), (ENTRIES, ENTRIES));
        let mut compared = 0;
        for (row, theirs) in rows.iter().zip(&expected) {
            let text = |name: &str| row[name].as_u64().unwrap().to_string();
            assert_eq!(theirs["__REALTIME_TIMESTAMP"], text("realtime_us"));
            assert_eq!(theirs["__MONOTONIC_TIMESTAMP"], text("monotonic_us"));
            assert_eq!(theirs["_BOOT_ID"], row["boot_id"]);
            let ours = row["fields"].as_object().unwrap();
            let theirs = theirs.as_object().unwrap();
            let names = theirs.keys().filter(|name| !name.starts_with("__"));
            assert_eq!(names.clone().count(), ours.len(), "{ours:?}");
            for name in names {
                if name == "HUGE" {
                    assert!(ours[name]["note"].is_string(), "a field of 70,000 bytes is told, not shown");
                } else {
                    assert_eq!(as_journalctl(&ours[name]), theirs[name], "{name}");
                }
                compared += 1;
            }
        }
        println!(
            "tried: a journal of {ENTRIES} entries (compact {compact}, compressed {compress}); got: {compared} fields as journalctl shows them"
        );
    }
}

/// A journal that was cut, overwritten with noise, or whose objects lead anywhere: rows of what can be followed, an end.
#[test]
fn no_journal_makes_the_decoder_fail_or_run_for_ever() {
    if !Path::new(REMOTE).exists() {
        println!(
            "SKIPPED no_journal_makes_the_decoder_fail_or_run_for_ever: systemd-journal-remote is not installed"
        );
        return;
    }
    let root = TempDir::new().unwrap();
    let path = root.path().join("whole.journal");
    write_journal(&path, "1", "yes");
    let whole = fs::read(&path).unwrap();
    let mut noise = 7_u64;
    let mut next = move |below: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(noise >> 33).unwrap() % below
    };
    let mut rows = 0;
    for round in 0..60 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(next(whole.len())),
            1 => {
                for _ in 0..1 + next(200) {
                    let at = next(bytes.len());
                    bytes[at] = u8::try_from(next(256)).unwrap();
                }
            }
            // The header and the first objects, where everything hangs.
            _ => {
                for _ in 0..1 + next(8) {
                    let at = 12 + next(4096);
                    bytes[at] = u8::try_from(next(256)).unwrap();
                }
            }
        }
        let damaged = root.path().join("damaged.journal");
        fs::write(&damaged, &bytes).unwrap();
        let file = agent::source::OpenFile::new(std::os::fd::OwnedFd::from(
            fs::File::open(&damaged).unwrap().into_parts().0,
        ));
        let size = u64::try_from(bytes.len()).unwrap();
        if let Ok(mut entries) = agent::rows::journal::Entries::open(&file, size) {
            while entries.next_row(b"damaged").is_some() {
                rows += 1;
            }
        }
    }
    println!("tried: 60 journals cut or overwritten; got: {rows} rows of what could be followed, no failure");
    assert!(rows > ENTRIES);
}
