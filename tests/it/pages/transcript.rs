//! The transcript in the README is what the demo prints, shortened: each of its lines comes in the demo's output, in this order.

use std::process::Command;

use lab::{attempt, bin_dir, checkout, is_root};

/// The lines of the README's transcript, without the comments behind its commands.
fn transcript() -> Vec<String> {
    let page = fs_err::read_to_string(checkout().join("README.md")).unwrap();
    let (_, rest) = page.split_once("\nShortened, it prints:\n\n```text\n").unwrap();
    let block = rest.split("\n```").next().unwrap();
    block.lines().map(|line| line.split("   #").next().unwrap().trim_end().to_owned()).collect()
}

/// A word without what differs from run to run: digits, ids, units of size. Quotes of the shell go as well.
fn shape(word: &str) -> String {
    let word = word.replace('"', "");
    if ["B", "KiB", "MiB", "GiB"].contains(&word.as_str()) {
        return "B".to_owned();
    }
    if word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit()) {
        return "#".to_owned();
    }
    let mut shape = String::new();
    for c in word.chars() {
        let is_number = c.is_ascii_digit() || (c == '.' && shape.ends_with('#'));
        if !is_number {
            shape.push(c);
        } else if !shape.ends_with('#') {
            shape.push('#');
        }
    }
    shape
}

fn shapes(line: &str) -> Vec<String> {
    line.split_whitespace().map(shape).collect()
}

/// Whether a line of the transcript shows this line of the demo. A command may leave arguments out, and a word may be cut with `…`.
fn shows(short: &[String], whole: &[String]) -> bool {
    let is_same = |short: &str, whole: &str| {
        short.strip_suffix('…').map_or(short == whole, |begin| whole.starts_with(begin))
    };
    if short.first().is_none_or(|first| first != "$") {
        return short == whole;
    }
    let mut rest = whole.iter();
    short.iter().all(|word| rest.any(|other| is_same(word, other)))
}

#[test]
fn the_transcript_of_the_readme_is_what_the_demo_prints() {
    if !is_root("the_transcript_of_the_readme_is_what_the_demo_prints") {
        return;
    }
    let scratch = tempfile::Builder::new().prefix("exhibit-demo-").tempdir().unwrap();
    let demo = scratch.path().join("demo");
    let mut command = Command::new("bash");
    command.args(["-c", "exec bash packaging/demo.sh --bin \"$1\" 2>&1", "bash"]).arg(bin_dir());
    command.current_dir(checkout()).env("DEMO_DIR", &demo);
    let output = attempt(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");

    let (_, enrolled) = said.split_once("Enrolled as ").unwrap();
    let host = enrolled.split_whitespace().next().unwrap().to_owned();
    let plain = said.replace("\u{1b}[1m", "").replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
    let plain = plain.replace(&format!("{}/", demo.display()), "");
    let lines: Vec<Vec<String>> = plain
        .lines()
        .map(|line| {
            let words = line.split_whitespace().map(|word| if word == host { "vm" } else { word });
            words.map(shape).collect()
        })
        .collect();
    let mut rest = lines.iter();
    let transcript = transcript();
    assert!((15..=22).contains(&transcript.len()), "a transcript of {} lines", transcript.len());
    for line in &transcript {
        let short = shapes(line);
        assert!(
            rest.any(|whole| shows(&short, whole)),
            "the demo does not print, after the line before: {line}\n{plain}"
        );
    }
}

#[test]
fn a_line_is_found_by_its_words_and_not_by_its_numbers() {
    let shows = |short: &str, whole: &str| shows(&shapes(short), &shapes(whole));
    assert!(shows("vm  stored  5792 items, 41.3 MiB read", "vm stored 12 items, 1.0 GiB read"));
    assert!(!shows("vm  stored  5792 items", "vm stored 12 items, degraded"));
    assert!(!shows("ok   container e784fe0b90e0", "FAILED container e784fe0b90e1"));
    assert!(shows("ok   container e784fe0b90e0", "ok container aaaaaaaaaaaa"));
    assert!(shows(
        "$ exhibit collect --purpose \"Show it\"",
        "$ exhibit --home x collect --on vm --purpose Show it --wait"
    ));
    assert!(!shows("$ exhibit collect --profile x", "$ exhibit collect --wait"));
    assert!(shows(
        "$ exhibit-agent enrol --token exhibit1.ey…",
        "$ exhibit-agent enrol --token exhibit1.eyJ0 --state y"
    ));
}
