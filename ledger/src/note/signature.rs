//! One signature line of a note.

use std::fmt;

use super::NoteError;
use super::key::check_name;
use crate::encoding;

/// A signature line: the alleged signer, and the bytes. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// A line from its parts; `bytes` follow the key id.
    ///
    /// # Errors
    /// `NoteError::Name`; `NoteError::SignatureLine` when `bytes` is empty; `NoteError::TooLong` above 8 KiB.
    pub fn new(name: &str, id: [u8; 4], bytes: Vec<u8>) -> Result<Self, NoteError> {
        check_name(name)?;
        if bytes.is_empty() {
            return Err(NoteError::SignatureLine { line: 1 });
        }
        // The largest signature anyone assigns is below 5 KiB.
        if bytes.len() > 8 << 10 {
            return Err(NoteError::TooLong);
        }
        Ok(Self { name: name.to_owned(), id, bytes })
    }

    /// Reads one line with its newline, as a witness answers it.
    ///
    /// # Errors
    /// `NoteError::SignatureLine` unless the line is in its one spelling; `NoteError::TooLong` above 8 KiB.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        line.strip_suffix('\n')
            .filter(|line| !line.contains('\n'))
            .ok_or(NoteError::SignatureLine { line: 1 })
            .and_then(|line| Self::parse_line(line, 1))
    }

    /// Reads a line without its newline; `number` is for the error.
    pub(super) fn parse_line(line: &str, number: usize) -> Result<Self, NoteError> {
        let malformed = NoteError::SignatureLine { line: number };
        let Some((name, encoded)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')) else {
            return Err(malformed);
        };
        let bytes = encoding::decode(encoded).ok_or_else(|| malformed.clone())?;
        let (id, signature) = bytes.split_first_chunk().ok_or_else(|| malformed.clone())?;
        match Self::new(name, *id, signature.to_vec()) {
            Err(NoteError::TooLong) => Err(NoteError::TooLong),
            Err(_) => Err(malformed),
            Ok(parsed) => Ok(parsed),
        }
    }

    /// Name of the key that allegedly signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of that key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The bytes behind the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The line, with its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = encoding::encode(&[&self.id[..], &self.bytes].concat());
        writeln!(out, "— {} {encoded}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_spelling() {
        let line = "— example.com/log AQIDBAU=\n";
        let signature = NoteSignature::parse(line).unwrap();
        assert_eq!(
            (signature.name(), signature.id(), signature.bytes()),
            ("example.com/log", [1, 2, 3, 4], &[5][..])
        );
        assert_eq!(signature.to_string(), line);
        let bad = [
            "",
            "\n",
            "— example.com/log AQIDBAU=",
            "- example.com/log AQIDBAU=\n",
            "—example.com/log AQIDBAU=\n",
            "—  example.com/log AQIDBAU=\n",
            "— example.com/log  AQIDBAU=\n",
            "— example.com/log AQIDBAU= \n",
            "— example.com/log AQIDBAU\n",
            "— example.com/log AQIDBAV=\n",
            "— example.com/log AQIDBA==\n",
            "— example.com/log AQID\n",
            "— example.com/log \n",
            "— example.com/log\n",
            "— a+b AQIDBAU=\n",
            "— example.com/log AQIDBAU=\n\n",
            "\u{feff}— example.com/log AQIDBAU=\n",
            "— example.com/log AQIDBAU=\r\n",
        ];
        for text in bad {
            assert_eq!(NoteSignature::parse(text), Err(NoteError::SignatureLine { line: 1 }), "{text:?}");
        }
    }
}
