//! Lines that are too wide to read beside another file. A string may be as long as what it says: only what stands around it is counted.

use std::ops::Range;

use crate::tokens::{Piece, first_piece};

/// Columns of a line of code or comment.
const COLUMNS_MAX: usize = 140;

/// The lines that have too many columns outside string literals.
pub fn wide_lines(text: &str) -> Vec<&str> {
    let strings = string_ranges(text);
    let mut found = Vec::new();
    let mut begin = 0;
    for line in text.split('\n') {
        let counts = |(at, _): &(usize, char)| !strings.iter().any(|string| string.contains(&(begin + at)));
        // Most lines are short enough without a closer look. A row of a table in a comment cannot be cut.
        let is_row = line.trim_start().trim_start_matches(['/', '!']).starts_with(" |");
        if line.len() > COLUMNS_MAX && !is_row && line.char_indices().filter(counts).count() > COLUMNS_MAX {
            found.push(line);
        }
        begin += line.len() + 1;
    }
    found
}

/// Where string literals stand, quotes included.
fn string_ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (piece, below) = first_piece(rest);
        if matches!(piece, Piece::Text) {
            found.push(at..text.len() - below.len());
        }
        rest = below;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_counted_and_strings_are_not() {
        let long = "x".repeat(COLUMNS_MAX);
        assert!(wide_lines(&format!("{long}\n// {}\n", &"x".repeat(COLUMNS_MAX - 3))).is_empty());
        assert_eq!(wide_lines(&format!("a\n{long}x\n")), [format!("{long}x")]);
        assert_eq!(wide_lines(&format!("// {long}\n")).len(), 1);
        assert!(wide_lines(&format!("say(\"{long}\");\nsay(r#\"{long}\"#);\n")).is_empty());
        assert!(wide_lines(&format!("say(\"a \\\n{long} \\\" {long}\");\n")).is_empty());
        assert_eq!(wide_lines(&format!("let q = '\"'; {long}; // \"\n")).len(), 1);
    }

    #[test]
    fn a_row_of_a_table_in_a_comment_may_be_long() {
        let cell = "x".repeat(COLUMNS_MAX);
        assert!(wide_lines(&format!("//! | {cell} | y |\n")).is_empty());
        assert_eq!(wide_lines(&format!("a(b) | {cell}\n")).len(), 1);
    }

    #[test]
    fn a_column_is_a_character() {
        assert!(wide_lines(&"ü".repeat(COLUMNS_MAX)).is_empty());
    }
}
