//! The violations that stand in the tree today. The list may only shrink: a violation that it does not name fails, and so does a line that
//! names nothing any more.

use std::collections::BTreeSet;

use crate::rules::Violation;

/// What is wrong with the tree, measured against the list; empty when nothing is.
pub fn judge(found: &BTreeSet<Violation>, list: &str) -> Vec<String> {
    let lines: BTreeSet<&str> =
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for violation in found {
        match lines.iter().find(|line| allows(line, violation)) {
            Some(line) => drop(used.insert(*line)),
            None => wrong.push(format!("new: {violation}")),
        }
    }
    wrong.extend(lines.difference(&used).map(|line| format!("gone, delete its line: {line}")));
    wrong
}

/// A circle that lost members is still the circle of the line; everything else has to be named exactly.
fn allows(line: &str, violation: &Violation) -> bool {
    if let Violation::Circle { below, members } = violation {
        let listed = line.strip_prefix(&format!("circle {below}: "));
        let listed: BTreeSet<&str> = listed.unwrap_or_default().split_whitespace().collect();
        return members.iter().all(|member| listed.contains(member.as_str()));
    }
    violation.to_string() == line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(members: &[&str]) -> Violation {
        Violation::Circle {
            below: "barn".to_owned(),
            members: members.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    #[test]
    fn a_listed_violation_is_allowed_and_a_new_one_is_not() {
        let found = [Violation::Flat("barn/src".to_owned())].into();
        assert!(judge(&found, "# why\n\nflat barn/src\n").is_empty());
        assert_eq!(judge(&found, ""), ["new: flat barn/src"]);
    }

    #[test]
    fn a_listed_violation_that_is_gone_has_to_leave_the_list() {
        assert_eq!(judge(&BTreeSet::new(), "flat barn/src\n"), ["gone, delete its line: flat barn/src"]);
    }

    #[test]
    fn a_circle_may_lose_members_and_gain_none() {
        let list = "circle barn: a b c d\n";
        assert!(judge(&[circle(&["a", "b", "c"])].into(), list).is_empty());
        assert_eq!(judge(&[circle(&["a", "b", "e"])].into(), list).len(), 2);
        assert_eq!(judge(&[circle(&["a", "b", "c"])].into(), "circle barn::x: a b c\n").len(), 2);
    }
}
