//! The note as a whole: parsing, printing, verifying.

use std::fmt;

use super::{NoteError, NoteSignature, VerifierKey};

/// Longest note text: 16 KiB. A checkpoint needs some 100 bytes.
pub(crate) const NOTE_TEXT_BYTES_MAX: usize = 16 << 10;

/// Most signature lines; the specification asks for at least 16.
pub(crate) const NOTE_SIGNATURES_MAX: usize = 64;

/// Longest note: 128 KiB, so that a full text and 16 post-quantum signatures of 5 KiB still fit.
pub const NOTE_BYTES_MAX: usize = 128 << 10;

/// A text and the signature lines below it. Nothing is verified before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature that verified, and the trusted key that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSignature<'note> {
    /// The trusted key.
    pub key: &'note VerifierKey,
    /// The line that verified; the only kind to keep.
    pub signature: &'note NoteSignature,
    /// When the cosigner signed, by its own word, in seconds since 1970.
    pub time: Option<u64>,
}

impl Note {
    /// A note of a text and its signatures.
    ///
    /// # Errors
    /// `NoteError::Layout` unless the text ends in a newline and there is a signature;
    /// `NoteError::ControlCharacter`, `NoteError::TooLong`, `NoteError::TooManySignatures`.
    pub fn new(text: &str, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(text)?;
        if signatures.is_empty() {
            return Err(NoteError::Layout);
        }
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let note = Self { text: text.to_owned(), signatures };
        if note.to_string().len() > NOTE_BYTES_MAX { Err(NoteError::TooLong) } else { Ok(note) }
    }

    /// Reads a signed note in its one spelling.
    ///
    /// # Errors
    /// Every deviation from c2sp.org/signed-note is refused by its variant of [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let note = str::from_utf8(bytes).or(Err(NoteError::Utf8))?;
        // The text may hold empty lines; the last one is the separator.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Layout)?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Layout)?;
        let mut signatures = Vec::new();
        for (line, number) in lines.split('\n').zip(1..) {
            if number > NOTE_SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse_line(line, number)?);
        }
        Ok(Self { text, signatures })
    }

    /// The signed text, final newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, verified or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a line below the others.
    ///
    /// # Errors
    /// `NoteError::TooManySignatures`, `NoteError::TooLong`.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let mut signatures = self.signatures.clone();
        signatures.push(signature);
        *self = Self::new(&self.text, signatures)?;
        Ok(())
    }

    /// Finds which of the trusted `keys` signed this text, in the order of the lines; each line gives one result.
    ///
    /// Ignores lines of unknown keys, even if only the name or only the id is that of a known key.
    ///
    /// # Errors
    /// `NoteError::BadSignature` when the line of a known key does not verify: the whole note is refused;
    /// `NoteError::NoKnownSignature` when none of the keys signed; `NoteError::AmbiguousKey`.
    pub fn verify<'note>(
        &'note self,
        keys: &'note [VerifierKey],
    ) -> Result<Vec<VerifiedSignature<'note>>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let mut known =
                keys.iter().filter(|key| key.name() == signature.name() && key.id() == signature.id());
            let Some(key) = known.next() else { continue };
            if known.any(|other| other != key) {
                return Err(NoteError::AmbiguousKey { name: key.name().to_owned() });
            }
            let time = key.verify(&self.text, signature.bytes())?;
            verified.push(VerifiedSignature { key, signature, time });
        }
        if verified.is_empty() { Err(NoteError::NoKnownSignature) } else { Ok(verified) }
    }
}

/// The note as bytes to store or send.
impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(out, "{signature}"))
    }
}

/// Text of a note: ends in a newline, no other control character, bounded.
pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > NOTE_TEXT_BYTES_MAX {
        Err(NoteError::TooLong)
    } else if !text.ends_with('\n') {
        Err(NoteError::Layout)
    } else if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        Err(NoteError::ControlCharacter)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{KeyType, NoteSigner};

    const TEXT: &str = "first line\n\nsecond line\n";

    fn signed(signers: &[&NoteSigner]) -> Note {
        Note::new(TEXT, signers.iter().map(|signer| signer.sign(TEXT).unwrap()).collect()).unwrap()
    }

    #[test]
    fn what_was_signed_verifies_and_prints_as_it_was_parsed() {
        let (alice, bob) =
            (NoteSigner::new("alice", &[1; 32]).unwrap(), NoteSigner::new("bob", &[2; 32]).unwrap());
        let bytes = signed(&[&alice, &bob]).to_string();
        let note = Note::parse(bytes.as_bytes()).unwrap();
        assert_eq!((note.text(), note.signatures().len()), (TEXT, 2));
        assert_eq!(note.to_string(), bytes);
        let keys = [bob.verifier_key(KeyType::Ed25519)];
        let verified = note.verify(&keys).unwrap();
        assert_eq!(verified.iter().map(|one| one.key.name()).collect::<Vec<_>>(), ["bob"]);
        assert_eq!(verified[0].time, None);
    }

    #[test]
    fn a_known_key_that_fails_refuses_the_note_and_unknown_keys_are_ignored() {
        let (alice, bob) =
            (NoteSigner::new("alice", &[1; 32]).unwrap(), NoteSigner::new("bob", &[2; 32]).unwrap());
        let alice_key = alice.verifier_key(KeyType::Ed25519);
        let mut note = signed(&[&bob]);
        assert_eq!(note.verify(std::slice::from_ref(&alice_key)), Err(NoteError::NoKnownSignature));
        // Same name with another id, same id with another name: both unknown.
        note.add(NoteSignature::new("alice", [0; 4], vec![0; 64]).unwrap()).unwrap();
        note.add(NoteSignature::new("mallory", alice_key.id(), vec![0; 64]).unwrap()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&alice_key)), Err(NoteError::NoKnownSignature));
        note.add(alice.sign(TEXT).unwrap()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&alice_key)).unwrap().len(), 1);
        note.add(NoteSignature::new("alice", alice_key.id(), vec![0; 64]).unwrap()).unwrap();
        let refused = note.verify(std::slice::from_ref(&alice_key));
        assert_eq!(refused, Err(NoteError::BadSignature { name: "alice".into() }));
    }

    #[test]
    fn sixteen_signatures_are_accepted_and_sixty_five_are_not() {
        let line = |number: u8| NoteSignature::new("unknown", [number; 4], vec![number; 5000]).unwrap();
        let note = Note::new(TEXT, (0..16).map(line).collect()).unwrap();
        assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note));
        let short = NoteSignature::new("unknown", [1; 4], vec![1]).unwrap();
        assert_eq!(Note::new(TEXT, vec![short.clone(); 65]), Err(NoteError::TooManySignatures));
        let many = format!("{TEXT}\n{}", short.to_string().repeat(65));
        assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::TooManySignatures));
        assert_eq!(Note::parse(&vec![b'a'; NOTE_BYTES_MAX + 1]), Err(NoteError::TooLong));
    }

    #[test]
    fn deviations_from_the_layout_are_refused() {
        let line = NoteSignature::new("a", [1; 4], vec![1]).unwrap().to_string();
        let parse = |text: String| Note::parse(text.as_bytes()).unwrap_err();
        assert_eq!(parse(String::new()), NoteError::Layout);
        assert_eq!(parse(line.clone()), NoteError::Layout);
        assert_eq!(parse(format!("text\n{line}")), NoteError::Layout);
        assert_eq!(parse(format!("text\n\n{}", line.trim_end())), NoteError::Layout);
        assert_eq!(parse("text\n\n".into()), NoteError::Layout);
        assert_eq!(parse(format!("text\n\n{line}\n")), NoteError::Layout);
        assert_eq!(parse(format!("text\n\n{line}junk\n")), NoteError::SignatureLine { line: 2 });
        assert_eq!(parse(format!("te\txt\n\n{line}")), NoteError::ControlCharacter);
        assert_eq!(parse(format!("text\r\n\n{line}")), NoteError::ControlCharacter);
        assert_eq!(Note::parse(b"text\xff\n\n"), Err(NoteError::Utf8));
        assert_eq!(parse(format!("{}\n\n{line}", "a".repeat(NOTE_TEXT_BYTES_MAX))), NoteError::TooLong);
    }
}
