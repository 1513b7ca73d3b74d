//! README and guide are true: every command that they show runs and prints what they say, every path that they name exists, and the lists
//! of docs/guide/extending.md are complete. Suite `pages` of packaging/run-tests.py.

mod transcript;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{attempt, bin_dir, checkout};

/// Pages whose paths must exist.
const PAGES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/threat-model.md",
    "docs/guide/quick-start.md",
    "docs/guide/responder.md",
    "docs/guide/consultant.md",
    "docs/guide/extending.md",
];

/// Runs the commands of pages that share one deployment (tests/it/pages/run.py).
fn run_pages(pages: &[&str]) {
    let scratch = tempfile::Builder::new().prefix("exhibit-pages-").tempdir().unwrap();
    let mut command = Command::new("python3");
    command.arg(checkout().join("tests/it/pages/run.py"));
    command.arg(checkout()).arg(bin_dir()).arg(scratch.path()).args(pages);
    let output = attempt(&mut command).unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{error}");
    assert!(out.contains(&format!(" of {} pages", pages.len())), "{out}\n{error}");
}

#[test]
fn every_command_of_the_readme_does_what_the_page_says() {
    run_pages(&["README.md"]);
}

#[test]
fn every_command_of_the_guide_does_what_the_page_says() {
    run_pages(&[
        "docs/guide/quick-start.md",
        "docs/guide/responder.md",
        "docs/guide/consultant.md",
        "docs/guide/extending.md",
    ]);
}

/// Calls `judge` with the words and the help text of each command that has no commands below it.
fn each_command(words: &[String], judge: &mut dyn FnMut(&str, &str)) {
    let (program, rest) = words.split_first().unwrap();
    let output = attempt(Command::new(bin_dir().join(program)).args(rest).arg("--help")).unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout).unwrap();
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return judge(&words.join(" "), &help);
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names =
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        each_command(&[words, &[name.to_owned()]].concat(), judge);
    }
}

#[test]
fn the_help_of_every_command_shows_an_example_of_it() {
    let mut seen = 0;
    for program in ["exhibit", "exhibit-agent", "exhibit-server", "exhibit-verify"] {
        each_command(&[program.to_owned()], &mut |words, help| {
            seen += 1;
            // The usage line names the command as well.
            let (_, after_usage) = help.split_once("\nUsage: ").unwrap();
            let (_, examples) = after_usage.split_once('\n').unwrap();
            assert!(examples.contains(&format!("\n  {words}")), "{words}: no example in\n{help}");
        });
    }
    assert!(seen > 60, "only {seen} commands were found");
}

/// `a/{b,c}/d` names two paths.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (inside, after) = rest.split_once('}').unwrap();
    inside.split(',').flat_map(|one| expanded(&format!("{before}{one}{after}"))).collect()
}

/// Paths between backticks that begin with a room of this project.
fn quoted_paths(text: &str, rooms: &BTreeSet<String>) -> Vec<String> {
    let quoted =
        text.split('`').skip(1).step_by(2).filter(|quoted| !quoted.contains([' ', '<', '*', '…', '\n']));
    let of_a_room =
        quoted.filter(|quoted| quoted.split_once('/').is_some_and(|(room, _)| rooms.contains(room)));
    of_a_room.flat_map(expanded).collect()
}

/// Files that links name.
fn linked_files(page: &Path, text: &str) -> Vec<PathBuf> {
    let folder = page.parent().unwrap();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files =
        targets.filter(|target| !target.contains("://")).filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty()).map(|file| folder.join(file)).collect()
}

#[test]
fn every_path_that_the_pages_name_exists() {
    let root = checkout();
    let entries = fs_err::read_dir(&root).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    // What a build or the demo makes is no room.
    let rooms: BTreeSet<String> = folders
        .map(|folder| folder.file_name().into_string().unwrap())
        .filter(|name| !["target", "demo"].contains(&name.as_str()))
        .collect();
    let mut seen = 0;
    let mut missing = Vec::new();
    for page in PAGES {
        let path = root.join(page);
        // Commands and their outputs name other machines' files.
        let text: String = fs_err::read_to_string(&path).unwrap().split("\n```").step_by(2).collect();
        let quoted = quoted_paths(&text, &rooms).into_iter().map(|quoted| root.join(quoted));
        for named in quoted.chain(linked_files(&path, &text)) {
            seen += 1;
            if !named.exists() {
                missing.push(format!("{page}: {}", named.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen > 80, "only {seen} paths were found: the search is broken");
}

/// A row of a list in docs/guide/extending.md.
struct GuideRow {
    file: String,
    example: String,
}

fn guide_rows(section: &str) -> Vec<GuideRow> {
    let text = fs_err::read_to_string(checkout().join("docs/guide/extending.md")).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let body = rest.split("\n## ").next().unwrap();
    let rows = body.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect());
    cells.map(|cells: Vec<String>| GuideRow { file: cells[2].clone(), example: cells[3].clone() }).collect()
}

/// Files in version control that are no tests, with their texts.
fn sources() -> Vec<(String, String)> {
    let mut list = Command::new("git");
    list.arg("-C").arg(checkout()).args(["-c", "safe.directory=*", "ls-files", "*.rs"]);
    let listed = attempt(&mut list).unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    let production =
        names.lines().filter(|name| !name.split('/').any(|part| part.trim_end_matches(".rs") == "tests"));
    let existing = production.filter(|name| checkout().join(name).exists());
    existing
        .map(|name| {
            let text = fs_err::read_to_string(checkout().join(name)).unwrap();
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
            (name.to_owned(), code)
        })
        .collect()
}

#[test]
fn the_lists_of_what_an_addition_touches_are_complete() {
    for (section, marks) in [
        ("Adding a collector", &["Step::Mounts", "\"mounts\"", "mounts::run", "Self::Mounts"][..]),
        ("Adding an entry type", &["EntryType::EndpointRetired", "T::EndpointRetired"][..]),
        ("Adding a store", &["S3Store::"][..]),
    ] {
        let rows = guide_rows(section);
        assert!(rows.len() > 4, "{section}: the list was not found");
        for row in &rows {
            let text = fs_err::read_to_string(checkout().join(&row.file)).unwrap();
            assert!(text.contains(&row.example), "{section}: {} does not mention {}", row.file, row.example);
        }
        for (name, code) in sources() {
            // The parts of a bucket store are its own affair.
            let is_known = rows.iter().any(|row| row.file == name)
                || ["store/src/s3/", "store/tests/it/servers"].iter().any(|own| name.starts_with(own));
            let mark = marks.iter().find(|mark| code.contains(**mark));
            assert!(
                is_known || mark.is_none(),
                "{section}: {name} contains {} and is not in the list",
                mark.unwrap()
            );
        }
    }
}
