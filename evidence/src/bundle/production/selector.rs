//! Selectors, with which a person chooses items: `COLLECTION:ORDINAL`, `COLLECTION:PATTERN`, `PATTERN`.
//! Guarantee: a selector matches raw bytes, so that names that are not UTF-8 can be chosen. Time is bounded by pattern × path.
//! Not here: finding the items (collector). The collector chooses with this code, and the responder's side checks with it
//! that nothing else was sent.

use crate::digest::Digest;

/// Longest selector: a path of 4096 bytes, each escaped, and a collection's id.
pub(super) const SELECTOR_BYTES_MAX: usize = 8192 + 65;

/// One choice of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// First digits of the id of the collection that is meant; empty for all collections of the incident.
    pub collection: String,
    /// Which of its items.
    pub what: What,
}

/// Items of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The one with this ordinal.
    Ordinal(u64),
    /// The items whose raw path matches.
    Path(Pattern),
}

impl Selector {
    /// Reads a selector as typed.
    ///
    /// # Errors
    /// [`SelectorError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, SelectorError> {
        if bytes.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError::Long);
        }
        if let Some(pattern) = Pattern::parse(bytes)? {
            return Ok(Self { collection: String::new(), what: What::Path(pattern) });
        }
        let at = bytes.iter().position(|byte| *byte == b':');
        let (collection, rest) = at.and_then(|at| bytes.split_at_checked(at)).ok_or(SelectorError::Form)?;
        let collection = str::from_utf8(collection).map_err(|_not_text| SelectorError::Form)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !(8..=64).contains(&collection.len()) || !collection.bytes().all(is_hex) {
            return Err(SelectorError::Collection);
        }
        let (_colon, rest) = rest.split_first().ok_or(SelectorError::Form)?;
        let what = match Pattern::parse(rest)? {
            Some(pattern) => What::Path(pattern),
            None => {
                let digits = str::from_utf8(rest).map_err(|_not_text| SelectorError::Form)?;
                let digits = digits.strip_prefix('#').unwrap_or(digits);
                What::Ordinal(crate::text::decimal(digits).ok_or(SelectorError::Form)?)
            }
        };
        Ok(Self { collection: collection.to_owned(), what })
    }

    /// True if the selector means this collection, or all collections.
    #[must_use]
    pub fn is_about(&self, collection: &Digest) -> bool {
        collection.to_string().starts_with(&self.collection)
    }

    /// True if the selector chooses this item of the collection. Only its number can choose the list of outcomes.
    #[must_use]
    pub fn chooses(&self, collection: &Digest, n: u64, path: &[u8]) -> bool {
        self.is_about(collection)
            && match &self.what {
                What::Ordinal(wanted) => *wanted == n,
                What::Path(pattern) => !super::is_outcomes(path) && pattern.matches(path),
            }
    }
}

/// A pattern of raw paths: `*` and `?` do not cross `/`, `**` crosses any number of them, `\` makes the next byte literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One byte that is no `/`.
    One,
    /// Any bytes but `/`.
    Name,
    /// Any bytes.
    Any,
    /// Nothing, or any bytes that end in `/`: `**/`.
    Folders,
}

impl Pattern {
    /// Parses a pattern; `None` if the text does not begin like a path or stream.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, SelectorError> {
        if !bytes.starts_with(b"/") && !bytes.starts_with(b"live/") {
            return Ok(None);
        }
        let (mut tokens, mut rest) = (Vec::new(), bytes);
        while let Some((byte, behind)) = rest.split_first() {
            let (token, behind) = match (*byte, behind) {
                (b'\\', [quoted, behind @ ..]) => (Token::Byte(*quoted), behind),
                (b'\\', []) => return Err(SelectorError::Backslash),
                (b'*', [b'*', b'/', behind @ ..]) if tokens.last() == Some(&Token::Byte(b'/')) => {
                    (Token::Folders, behind)
                }
                (b'*', [b'*', behind @ ..]) => (Token::Any, behind),
                (b'*', behind) => (Token::Name, behind),
                (b'?', behind) => (Token::One, behind),
                (b'[' | b'{', _) => return Err(SelectorError::Bracket),
                (byte, behind) => (Token::Byte(byte), behind),
            };
            match (tokens.last(), &token) {
                // Several stars in a row mean the same as one. Each would cost a walk over the row at every byte of a path.
                (Some(Token::Any), Token::Any | Token::Name) | (Some(Token::Name), Token::Name) => {}
                (Some(Token::Name), Token::Any) => {
                    tokens.pop();
                    tokens.push(token);
                }
                _ => tokens.push(token),
            }
            rest = behind;
        }
        Ok(Some(Self(tokens)))
    }

    /// The bytes that every match begins with.
    #[must_use]
    pub fn literal_prefix(&self) -> Vec<u8> {
        let bytes = self.0.iter().map_while(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        });
        bytes.collect()
    }

    /// True if the whole path matches. It carries along every state that the pattern can be in, so no path takes longer than
    /// its length times the pattern's.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut states = vec![false; self.0.len() + 1];
        self.enter(&mut states, 0);
        for byte in path {
            let mut next = vec![false; states.len()];
            for (at, token) in self.0.iter().enumerate() {
                if !states.get(at).copied().unwrap_or(false) {
                    continue;
                }
                match token {
                    Token::Byte(wanted) if wanted == byte => self.enter(&mut next, at + 1),
                    Token::One if *byte != b'/' => self.enter(&mut next, at + 1),
                    Token::Name if *byte != b'/' => self.enter(&mut next, at),
                    Token::Any => self.enter(&mut next, at),
                    Token::Folders => {
                        // In the middle of a folder's name, the folder token may not end yet.
                        if let Some(state) = next.get_mut(at) {
                            *state = true;
                        }
                        if *byte == b'/' {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Token::Byte(_) | Token::One | Token::Name => {}
                }
            }
            if !next.contains(&true) {
                return false;
            }
            states = next;
        }
        states.last().copied().unwrap_or(false)
    }

    /// Marks a state, and the states after tokens that may match nothing.
    fn enter(&self, states: &mut [bool], mut at: usize) {
        loop {
            if let Some(state) = states.get_mut(at) {
                *state = true;
            }
            match self.0.get(at) {
                Some(Token::Name | Token::Any | Token::Folders) => at += 1,
                _ => return,
            }
        }
    }
}

/// A text that chooses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// A last backslash.
    #[error("a backslash stands at the end: write \\\\ for the character itself")]
    Backslash,
    /// Sets and alternatives, which other glob syntaxes have.
    #[error("`[` and `{{` are written \\[ and \\{{: a selector knows *, ?, ** and no sets or choices")]
    Bracket,
    /// The text before the colon is not the beginning of an id.
    #[error("what stands before `:` is no collection: give its id or at least 8 digits of it")]
    Collection,
    /// The text is not a path, stream or number.
    #[error("is neither COLLECTION:NUMBER nor a pattern that begins with / or live/")]
    Form,
    /// The selector is over 8 KiB.
    #[error("is longer than 8 KiB")]
    Long,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &[u8], path: &[u8]) -> bool {
        Pattern::parse(pattern).unwrap().unwrap().matches(path)
    }

    #[test]
    fn patterns_match_raw_bytes() {
        for (pattern, path, expected) in [
            (&b"/etc/passwd"[..], &b"/etc/passwd"[..], true),
            (b"/etc/passwd", b"/etc/passwd-", false),
            (b"/etc/*", b"/etc/hosts", true),
            (b"/etc/*", b"/etc/ssh/config", false),
            (b"/etc/*", b"/etc/", true),
            (b"/etc/**", b"/etc/ssh/config", true),
            (b"/etc/**", b"/etcetera", false),
            (b"/**/auth.log", b"/auth.log", true),
            (b"/**/auth.log", b"/var/log/auth.log", true),
            (b"/**/auth.log", b"/var/log/xauth.log", false),
            (b"/var/**/*.log", b"/var/log/a/b.log", true),
            (b"/var/**/*.log", b"/var/b.log", true),
            (b"/var/**/*.log", b"/var/b.log.1", false),
            (b"/var/lo?/x", b"/var/log/x", true),
            (b"/var/lo?/x", b"/var/lo//x", false),
            (b"/tmp/caf\xe9", b"/tmp/caf\xe9", true),
            (b"/tmp/caf?", b"/tmp/caf\xe9", true),
            (b"/a\\*b", b"/a*b", true),
            (b"/a\\*b", b"/axb", false),
            (b"/a\\[b", b"/a[b", true),
            (b"/**", b"/", true),
            (b"/*a*b*c", b"/xxaxxbxxc", true),
            (b"/*a*b*c", b"/xxaxxcxxb", false),
            (b"live/*.jsonl", b"live/processes.jsonl", true),
        ] {
            assert_eq!(
                matches(pattern, path),
                expected,
                "{} {}",
                pattern.escape_ascii(),
                path.escape_ascii()
            );
        }
        // A pattern that would keep a backtracking matcher busy for ever.
        let hostile = [b"/".as_slice(), &b"*a".repeat(500)].concat();
        assert!(!matches(&hostile, &[b"/".as_slice(), &[b'a'; 499]].concat()));
    }

    #[test]
    fn selectors_name_items_by_number_or_path_in_one_collection_or_all() {
        let id = Digest([0xab; 32]);
        let parse = |text: &str| Selector::parse(text.as_bytes());
        let one = parse("abababab:12").unwrap();
        assert!(one.chooses(&id, 12, b"/x") && !one.chooses(&id, 1, b"/x"));
        assert!(!one.chooses(&Digest([1; 32]), 12, b"/x"));
        assert_eq!(parse("abababab:#12"), parse("abababab:12"));
        let path = parse("abababab:/etc/*").unwrap();
        assert!(path.chooses(&id, 0, b"/etc/x") && !path.chooses(&Digest([1; 32]), 0, b"/etc/x"));
        assert!(parse("/a:1").unwrap().chooses(&id, 0, b"/a:1"));
        let all = parse("live/**").unwrap();
        assert!(all.chooses(&id, 0, b"live/host.jsonl") && !all.chooses(&id, 0, b"live/outcomes.jsonl"));
        for (text, why) in [
            ("", SelectorError::Form),
            ("etc/passwd", SelectorError::Form),
            ("12", SelectorError::Form),
            ("abab:12", SelectorError::Collection),
            ("ABABABAB:12", SelectorError::Collection),
            ("abababab:", SelectorError::Form),
            ("abababab:012", SelectorError::Form),
            ("abababab:-1", SelectorError::Form),
            ("/x\\", SelectorError::Backslash),
            ("/x[ab]", SelectorError::Bracket),
            ("/x{a,b}", SelectorError::Bracket),
        ] {
            assert_eq!(parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Selector::parse(&[b'/'; 9000]), Err(SelectorError::Long));
        assert!(!SelectorError::Bracket.to_string().contains("{{"));
    }
}
