//! Made-up trees, each with one thing wrong or nothing.

use super::violations;
use crate::tree::Tree;

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree { files, crates: [("barn".to_owned(), "barn/src".to_owned())].into() }
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    violations(&tree(files)).iter().map(ToString::to_string).collect()
}

const NOTHING: [String; 0] = [];

#[test]
fn a_clean_tree_breaks_nothing() {
    assert_eq!(
        found(&[
            ("barn/src/lib.rs", "mod a;\nmod b;\n"),
            ("barn/src/a.rs", "use crate::b::B;\n"),
            ("barn/src/b.rs", "")
        ]),
        NOTHING
    );
}

#[test]
fn three_modules_in_a_circle_are_found_by_use_and_by_path() {
    let files = [
        ("barn/src/a.rs", "use crate::b::B;\n"),
        ("barn/src/b.rs", "fn f() { crate::c::g() }\n"),
        ("barn/src/c.rs", "use super::a;\n"),
    ];
    assert_eq!(found(&files), ["circle barn: a b c"]);
}

#[test]
fn a_short_pair_is_allowed_and_a_long_one_is_not() {
    let padding = "\n".repeat(590);
    let pair = |lines: &str| {
        let long = format!("use crate::b;\n{lines}");
        found(&[
            ("barn/src/a.rs", &long),
            ("barn/src/a/child.rs", lines),
            ("barn/src/b.rs", "use crate::a;\n"),
            ("barn/src/b/child.rs", lines),
        ])
    };
    assert_eq!(pair(""), NOTHING);
    assert_eq!(pair(&padding), ["circle barn: a b"]);
}

#[test]
fn a_circle_below_a_module_is_found_and_named_by_its_parent() {
    let files = [
        ("barn/src/top.rs", ""),
        ("barn/src/top/a.rs", "use super::b;\n"),
        ("barn/src/top/b.rs", "use crate::top::c::deep::D;\n"),
        ("barn/src/top/c.rs", "mod deep;\n"),
        ("barn/src/top/c/deep.rs", "use super::super::a::A;\n"),
    ];
    assert_eq!(found(&files), ["circle barn::top: a b c"]);
}

#[test]
fn an_import_of_an_ancestor_or_child_closes_no_circle() {
    let files = [
        ("barn/src/a.rs", "use self::child::C;\n"),
        ("barn/src/a/child.rs", "use super::A;\nuse crate::b;\nuse crate::a::A;\n"),
        ("barn/src/b.rs", ""),
    ];
    assert_eq!(found(&files), NOTHING);
}

#[test]
fn what_tests_import_closes_no_circle() {
    let files = [
        ("barn/src/a.rs", "use crate::b;\n\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n"),
        ("barn/src/b.rs", "use crate::c;\n"),
        ("barn/src/c.rs", ""),
        ("barn/src/c/tests.rs", "use crate::a;\n"),
    ];
    assert_eq!(found(&files), NOTHING);
}

#[test]
fn a_name_imported_through_the_crates_root_is_found() {
    for (root, user) in [
        ("mod a;\nmod b;\npub use a::Thing;\n", "use crate::Thing;\n"),
        ("mod a;\nmod b;\npub use crate::a::{Thing, Other};\n", "use crate::{Thing, b};\n"),
        ("mod a;\nmod b;\nuse self::a::Real as Thing;\n", "fn f(_: super::Thing) {}\n"),
    ] {
        for file in ["lib.rs", "main.rs"] {
            let path = format!("barn/src/{file}");
            let files = [(path.as_str(), root), ("barn/src/a.rs", ""), ("barn/src/b.rs", user)];
            assert_eq!(found(&files), ["hidden barn: Thing"], "{file}: {root}");
        }
    }
}

#[test]
fn what_the_root_defines_or_takes_from_other_crates_hides_nothing() {
    let files = [
        ("barn/src/lib.rs", "mod a;\nuse std::fs::File;\npub const LEN: usize = 1;\n"),
        ("barn/src/a.rs", "use crate::{File, LEN};\n"),
    ];
    assert_eq!(found(&files), NOTHING);
}

#[test]
fn test_code_that_sleeps_is_found_and_a_waiter_or_production_is_not() {
    let sleeping = "fn f() { std::thread::sleep(WAIT); }\n";
    let unit =
        format!("fn f() {{}}\n\n#[cfg(test)]\nmod tests {{\n    use tokio::time::sleep;\n    {sleeping}}}\n");
    for (path, text) in [
        ("barn/tests/it/a.rs", sleeping),
        ("barn/src/a/tests.rs", "fn f() { thread::park_timeout(WAIT) }\n"),
        ("barn/src/a.rs", &unit),
        ("testkit/src/people.rs", "use std::thread::{self, sleep};\nfn f() { sleep(WAIT) }\n"),
    ] {
        assert_eq!(found(&[(path, text)]), [format!("sleeps {path}")]);
    }
    for (path, text) in [
        ("testkit/src/wait.rs", sleeping),
        ("barn/src/a.rs", sleeping),
        ("barn/tests/it/a.rs", "fn f() { thread::yield_now(); let sleep = \"thread::sleep()\"; }\n"),
    ] {
        assert_eq!(found(&[(path, text)]), NOTHING, "{path}");
    }
}

#[test]
fn twenty_five_files_in_a_folder_and_six_hundred_and_one_lines_are_too_many() {
    let crowd = |files: usize| -> Tree {
        let mut crowded = tree(&[]);
        for number in 0..files {
            crowded.files.insert(format!("barn/tests/it/t{number}.rs"), String::new());
        }
        crowded
    };
    assert!(violations(&crowd(24)).is_empty());
    let all: Vec<String> = violations(&crowd(25)).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["flat barn/tests/it"]);
    assert_eq!(found(&[("barn/tests/it.rs", &"x\n".repeat(600))]), NOTHING);
    assert_eq!(found(&[("barn/tests/it.rs", &"x\n".repeat(601))]), ["long barn/tests/it.rs"]);
}

#[test]
fn a_wide_line_is_named_by_its_beginning() {
    let files = [("barn/src/a.rs", &*format!("fn f() {{\n    // a {}\n}}\n", "long ".repeat(30)))];
    assert_eq!(found(&files), [format!("wide barn/src/a.rs: // a {}", "long ".repeat(11))]);
}
