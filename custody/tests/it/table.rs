//! The table of rules against docs/spec/rules.md.

use custody::rule::{AskedBy, RuleId};

/// Rules that a mirror asks by itself: it has the objects, the tree and the notes.
const MIRROR_ALONE: &[RuleId] = &[
    RuleId::Entry18,
    RuleId::Entry19,
    RuleId::Stamp1,
    RuleId::Stamp2,
    RuleId::Order12,
    RuleId::Collection23,
    RuleId::Collection30,
    RuleId::Access4,
    RuleId::Access5,
    RuleId::Disposal12,
    RuleId::Mirror12,
    RuleId::LogKey8,
    RuleId::LogKey10,
];

/// Id and letters of each row.
fn specified() -> Vec<(String, String)> {
    let text = include_str!("../../../docs/spec/rules.md");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, id, rule, _, letters, _] = cells.as_slice() else { return None };
        let is_rule = id.ends_with(|end: char| end.is_ascii_digit()) && !rule.is_empty();
        is_rule.then(|| ((*id).to_owned(), (*letters).to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_specification_has_the_same_rules_in_the_same_order() {
    let specified: Vec<String> = specified().into_iter().map(|(id, _)| id).collect();
    let known: Vec<&str> = RuleId::ALL.iter().map(|rule| rule.as_str()).collect();
    assert!(known.len() > 150);
    assert_eq!(specified, known);
}

#[test]
fn what_the_fold_asks_a_mirror_asks_and_the_specification_says_so() {
    for ((id, letters), rule) in specified().iter().zip(RuleId::ALL) {
        let is_mirrors = letters.split(' ').any(|letter| letter == "M");
        let is_folded = rule.asked_by() == AskedBy::Fold;
        assert!(!(is_folded && MIRROR_ALONE.contains(rule)), "{id}");
        assert_eq!(is_mirrors, is_folded || MIRROR_ALONE.contains(rule), "{id}: {letters}");
    }
}

#[test]
fn a_refusal_begins_with_its_rule() {
    let broken = custody::rule::must(RuleId::LogKey3, false, "change 3 where 2 follows").unwrap_err();
    assert_eq!(broken.to_string(), "logkey-3: change 3 where 2 follows");
}
