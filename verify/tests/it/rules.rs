//! Rules by number: each row of a table breaks one rule, and both verifiers refuse it by that number.

use exhibit_verify::Verdict;
use testkit::bundles::*;

use crate::verdicts::*;

mod earlier;
mod forms;
mod notes;
mod stamps;

/// Rows of `(what is forged, the check that fails, the bundle)`: both verifiers refuse it in that check, by the rule.
fn refused(rule: &str, rows: Vec<(&str, &str, Recipe<'_>)>) {
    refused_under(&trust_files(), rule, rows);
}

/// The same under other pins.
fn refused_under(pins: &Files, rule: &str, rows: Vec<(&str, &str, Recipe<'_>)>) {
    let (trust, mut missed) = (trust_of(pins), Vec::new());
    for (why, check, recipe) in rows {
        let files = recipe.build().files;
        let report = judged_under(&files, &trust);
        let failed = checks(&report, Verdict::Failed);
        let says = format!("{rule}: ");
        if !failed.iter().any(|one| one.check == check && one.says.contains(&says)) {
            missed.push(format!("{why}, under exhibit-verify:\n{}", report.text()));
        }
        let (code, said) = script(&files, pins);
        let names = |line: &str| line.contains(&says) || line.contains(&format!("{rule} does not hold"));
        let mut failed = said.lines().filter(|line| line.starts_with("FAILED"));
        let is_named = failed.any(|line| line.split_whitespace().nth(1) == Some(check) && names(line));
        if code != 1 || !is_named {
            missed.push(format!("{why}, under verify.py: {code}\n{said}"));
        }
    }
    assert!(missed.is_empty(), "{rule}\n{}", missed.join("\n"));
}
