//! Cuts Rust source into the few tokens that imports are made of. Comments, strings and characters vanish, so that no text in them counts
//! as code.

/// What the reader of imports needs to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word: keyword or name.
    Word(String),
    /// `::`
    Colons,
    /// Any other character that is no blank.
    Mark(char),
}

/// What the first characters of a text are.
pub enum Piece<'a> {
    /// A comment, a character, a lifetime's mark or a blank: no code that an import could be made of.
    Nothing,
    /// A string literal with its quotes.
    Text,
    /// A keyword or a name.
    Word(&'a str),
    /// `::`
    Colons,
    /// Any other character.
    Mark(char),
}

/// The tokens of a file.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut rest = text;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (piece, behind) = first_piece(rest);
        match piece {
            Piece::Nothing | Piece::Text => {}
            Piece::Word(word) => found.push(Token::Word(word.to_owned())),
            Piece::Colons => found.push(Token::Colons),
            Piece::Mark(mark) => found.push(Token::Mark(mark)),
        }
        rest = behind;
    }
    found
}

/// The first piece of a text, and what follows it.
pub fn first_piece(text: &str) -> (Piece<'_>, &str) {
    let Some(first) = text.chars().next() else {
        return (Piece::Nothing, "");
    };
    let behind = after(text, first.len_utf8());
    if text.starts_with("//") {
        (Piece::Nothing, text.find('\n').map_or("", |end| after(text, end)))
    } else if text.starts_with("/*") {
        (Piece::Nothing, block_comment(text))
    } else if let Some(below) = raw_string(text) {
        (Piece::Text, below)
    } else if first == '"' {
        (Piece::Text, string(behind))
    } else if first == '\'' {
        (Piece::Nothing, character_or_lifetime(behind))
    } else if first.is_alphanumeric() || first == '_' {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        (Piece::Word(text.get(..end).unwrap_or_default()), after(text, end))
    } else if let Some(below) = text.strip_prefix("::") {
        (Piece::Colons, below)
    } else if first.is_whitespace() {
        (Piece::Nothing, behind)
    } else {
        (Piece::Mark(first), behind)
    }
}

fn after(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Block comments nest in Rust.
fn block_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_u32, text);
    loop {
        if let Some(below) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, below);
        } else if let Some(below) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, below);
            if depth == 0 {
                return rest;
            }
        } else {
            let Some(first) = rest.chars().next() else {
                return "";
            };
            rest = after(rest, first.len_utf8());
        }
    }
}

/// What follows `r"…"`, `br#"…"#` and their like; nothing when the text does not begin with one.
fn raw_string(text: &str) -> Option<&str> {
    let body =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let inner = body.trim_start_matches('#');
    let hashes = body.len() - inner.len();
    let inner = inner.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inner.split_once(&end).map_or("", |(_, below)| below))
}

fn string(inside: &str) -> &str {
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return after(inside, at + 1),
            _ => {}
        }
    }
    ""
}

/// `'x'` and `'\n'` are characters; `'static` is a lifetime, of which only the mark is eaten.
fn character_or_lifetime(inside: &str) -> &str {
    let mut chars = inside.chars();
    let first = chars.next().unwrap_or_default();
    if first == '\\' {
        let escaped = after(inside, 1);
        let skipped = escaped.chars().next().map_or(0, char::len_utf8);
        return after(escaped, skipped).split_once('\'').map_or("", |(_, below)| below);
    }
    if chars.next() == Some('\'') { after(inside, first.len_utf8() + 1) } else { inside }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let only = |token| match token {
            Token::Word(word) => Some(word),
            Token::Colons | Token::Mark(_) => None,
        };
        tokens(text).into_iter().filter_map(only).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        let text = "a // use crate::x;\n/* b /* c */ d */ e \"f \\\" g\" h r#\"i \" j\"# k br\"l\" 'm' n '\\'' o '\\n' p &'static q '\"' r";
        assert_eq!(words(text), ["a", "e", "h", "k", "n", "o", "p", "static", "q", "r"]);
    }

    #[test]
    fn a_path_is_words_between_colons() {
        let word = |text: &str| Token::Word(text.to_owned());
        assert_eq!(tokens("crate::db:"), [word("crate"), Token::Colons, word("db"), Token::Mark(':')]);
    }

    #[test]
    fn text_that_ends_in_the_middle_ends() {
        for text in ["\"", "'", "'\\", "/*", "r#\"", "r", "'\u{e9}"] {
            tokens(text);
        }
        assert_eq!(words("red brown"), ["red", "brown"]);
    }
}
