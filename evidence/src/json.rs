//! The one way to read and write JSON: strict enough that two readers cannot see two documents.
//! Guarantee: no duplicate key at any depth, integers in ±(2^53−1) only, depth at most 16, no white space
//! outside strings, valid UTF-8, nothing before or after the object. An object is never read from a list.
//! Not here: the meaning of the fields (each document's own module).

mod scan;
mod value;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

/// Largest signed document: 4 MiB. Bounds the memory of a reader that does not know yet who signed.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Deepest nesting of objects and lists; the deepest document of ours needs 5.
pub const DEPTH_MAX: usize = 16;

/// Largest magnitude of an integer: 2^53 − 1, which every JSON reader holds exactly (RFC 8259 section 6).
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Reads a signed document: one JSON object on one line, ended by one LF.
///
/// # Errors
/// [`JsonError`], which says where the bytes leave the common rules of docs/spec/README.md.
pub fn parse_document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let line = bytes.strip_suffix(b"\n").ok_or(JsonError::NotOneLine)?;
    parse_line(line)
}

/// Reads one JSON object without LF: a record line or an envelope.
pub fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, JsonError> {
    let value = scan::scan(line)?;
    T::deserialize(value).map_err(JsonError::from)
}

/// Writes a signed document: compact JSON and one LF.
///
/// # Errors
/// [`JsonError`] if the value breaks the rules that a reader enforces, such as an integer above 2^53 − 1.
pub fn to_document<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let mut bytes = to_line(value)?;
    if bytes.len() >= DOCUMENT_BYTES_MAX {
        return Err(JsonError::TooLarge { bytes: bytes.len() });
    }
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes one compact JSON object without LF.
pub fn to_line<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let bytes = serde_json::to_vec(value).map_err(|source| JsonError::Write { source })?;
    // Check now: whatever a writer lets pass, every reader would refuse later, perhaps years later.
    scan::scan(&bytes)?;
    Ok(bytes)
}

/// For `#[serde(deserialize_with = "json::nullable")]`: a value or `null`, and a missing field is an error.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// For `#[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "json::optional")]`: a field
/// that may be left out, but not be `null`, so that absence has one spelling.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// JSON that the common rules refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Objects and lists nested too deeply.
    #[error("nesting is deeper than {DEPTH_MAX} at byte {offset}")]
    Depth { offset: usize },
    /// A key occurs twice in one object.
    #[error("duplicate key in the object that ends at byte {offset}")]
    DuplicateKey {
        /// The offset at which the object ends.
        offset: usize,
    },
    /// Right JSON, wrong document: a field is unknown, missing or has another form.
    #[error("{message}")]
    Form {
        /// The error of serde.
        message: String,
    },
    /// A signed document does not end in LF.
    #[error("document does not end in a line feed")]
    NotOneLine,
    /// Text that is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8 {
        #[source]
        source: std::str::Utf8Error,
    },
    /// A number that is not an integer in ±(2^53−1).
    #[error("number is not an integer within 2^53 - 1 at byte {offset}")]
    Number { offset: usize },
    /// Bytes that are not JSON in its compact form.
    #[error("not compact JSON at byte {offset}")]
    Syntax { offset: usize },
    /// Above [`DOCUMENT_BYTES_MAX`].
    #[error("document of {bytes} bytes is above 4 MiB")]
    TooLarge { bytes: usize },
    /// A value that JSON cannot hold.
    #[error("write JSON")]
    Write {
        #[source]
        source: serde_json::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize as DeriveDeserialize;

    #[derive(Debug, PartialEq, DeriveDeserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        on: bool,
    }

    #[derive(Debug, PartialEq, DeriveDeserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        count: u32,
        offset: i64,
        #[serde(deserialize_with = "nullable")]
        maybe: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
        extra: Option<Inner>,
        pairs: Vec<(String, u64)>,
    }

    const GOOD: &str = r#"{"name":"é\u00e9\n\ud83d\ude00","count":4294967295,"offset":-9007199254740991,"maybe":null,"extra":{"on":true},"pairs":[["a",1],["b",2]]}"#;

    fn read(text: &str) -> Result<Outer, JsonError> {
        parse_document(format!("{text}\n").as_bytes())
    }

    #[test]
    fn a_document_round_trips() {
        let outer = read(GOOD).unwrap();
        assert_eq!(outer.name, "éé\n😀");
        assert_eq!((outer.count, outer.offset, outer.maybe), (u32::MAX, -INTEGER_MAX, None));
        assert_eq!(outer.extra, Some(Inner { on: true }));
        assert_eq!(outer.pairs, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        let again = to_document(&outer).unwrap();
        assert_eq!(parse_document::<Outer>(&again).unwrap(), outer);
        assert_eq!(again.last(), Some(&b'\n'));
    }

    #[test]
    fn each_deviation_from_the_common_rules_is_refused() {
        let change = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            GOOD.replacen(from, to, 1)
        };
        let deep = format!("{}1{}", "[".repeat(16), "]".repeat(16));
        for (why, text) in [
            ("unknown field", change("\"count\"", "\"more\":1,\"count\"")),
            ("unknown field below", change("{\"on\":true}", "{\"on\":true,\"off\":1}")),
            ("missing field", change("\"count\":4294967295,", "")),
            ("missing nullable field", change("\"maybe\":null,", "")),
            ("null where optional", change("{\"on\":true}", "null")),
            ("duplicate key", change("\"count\"", "\"name\":\"x\",\"count\"")),
            ("duplicate key spelled by an escape", change("\"count\"", "\"n\\u0061me\":\"x\",\"count\"")),
            ("duplicate key below", change("{\"on\":true}", "{\"on\":true,\"on\":true}")),
            ("list for object", change("{\"on\":true}", "[true]")),
            ("long tuple", change("[\"a\",1]", "[\"a\",1,2]")),
            ("short tuple", change("[\"a\",1]", "[\"a\"]")),
            ("float", change("4294967295", "1.0")),
            ("exponent", change("4294967295", "1e2")),
            ("leading zero", change("4294967295", "01")),
            ("minus zero", change("4294967295", "-0")),
            ("plus", change("4294967295", "+1")),
            ("out of the type", change("4294967295", "4294967296")),
            ("above 2^53-1", change("-9007199254740991", "9007199254740992")),
            ("below", change("-9007199254740991", "-9007199254740992")),
            ("far above", change("-9007199254740991", "99999999999999999999999999")),
            ("space", change(":null", ": null")),
            ("tab", change(",\"count", ",\t\"count")),
            ("line feed", change(",\"count", ",\n\"count")),
            ("leading space", format!(" {GOOD}")),
            ("byte order mark", format!("\u{feff}{GOOD}")),
            ("two line feeds", format!("{GOOD}\n")),
            ("carriage return", format!("{GOOD}\r")),
            ("second object", format!("{GOOD}{GOOD}")),
            ("trailing comma in an object", change("]]}", "]],}")),
            ("trailing comma in a list", change("]]}", "],]}")),
            ("control character", change("\\n", "\n")),
            ("bad escape", change("\\n", "\\x")),
            ("short escape", change("\\u00e9", "\\u00e")),
            ("lone high surrogate", change("\\ude00", "")),
            ("lone low surrogate", change("\\ud83d", "")),
            ("two high surrogates", change("\\ude00", "\\ud83d")),
            ("word", change("null", "nul")),
            ("capital", change("true", "True")),
            ("list", "[]".to_owned()),
            ("string", "\"\"".to_owned()),
            ("empty", String::new()),
            ("depth 17", change("\"maybe\":null", &format!("\"maybe\":{deep}"))),
        ] {
            if text == GOOD {
                panic!("{why}: nothing changed");
            }
            assert!(read(&text).is_err(), "{why}: {text}");
        }
        assert!(matches!(parse_document::<Outer>(GOOD.as_bytes()), Err(JsonError::NotOneLine)));
        assert!(matches!(parse_document::<Outer>(b"{\"name\":\"\xff\"}\n"), Err(JsonError::NotUtf8 { .. })));
        assert!(matches!(parse_document::<Outer>(&vec![b'['; 5 << 20]), Err(JsonError::NotOneLine)));
        let mut large = vec![b'['; 5 << 20];
        large.push(b'\n');
        assert!(matches!(parse_document::<Outer>(&large), Err(JsonError::TooLarge { .. })));
    }

    #[test]
    fn every_truncation_is_refused() {
        for end in 0..GOOD.len() {
            assert!(parse_line::<Outer>(&GOOD.as_bytes()[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn depth_16_is_read_and_17_is_not() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(scan::scan(nested(16).as_bytes()).is_ok());
        assert!(matches!(scan::scan(nested(17).as_bytes()), Err(JsonError::Depth { .. })));
    }

    #[test]
    fn a_writer_cannot_emit_what_readers_refuse() {
        #[derive(Serialize)]
        struct Wide {
            number: u64,
        }
        assert!(matches!(to_document(&Wide { number: 1 << 53 }), Err(JsonError::Number { .. })));
        assert!(to_document(&1).is_err());
    }
}
