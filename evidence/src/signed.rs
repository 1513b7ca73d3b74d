//! A document with its signatures: document line, LF, armours.
//! Guarantee: bytes that parse are written back the same. The document is kept as it came, never re-serialised.
//! Not here: which keys must have signed (each document's own module, and the roster).

use crate::digest::Digest;
use crate::document::Document;
use crate::json::{self, DOCUMENT_BYTES_MAX, JsonError};
use crate::keys::sshsig::{self, ARMOUR_BYTES_MAX, SshSig, SshSigError};
use crate::keys::{PublicKey, SigningKey};

/// Most signatures of one document: a full authority set.
pub(crate) const SIGNATURES_MAX: usize = 16;

/// A signed object: the document's bytes with their LF, and one to sixteen canonical armours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The document line with its LF.
    pub document: Vec<u8>,
    /// The armours, each with its last LF.
    pub signatures: Vec<String>,
}

impl Signed {
    /// Writes a document and signs it with each key, in order.
    ///
    /// # Errors
    /// [`SignedError`] when the document is not valid, or with no key or more than sixteen.
    pub fn sign<T: Document>(document: &T, keys: &[&SigningKey]) -> Result<Self, SignedError> {
        let bytes = json::to_document(document).map_err(|source| SignedError::Json { source })?;
        document.validate().map_err(|message| SignedError::Invalid { message })?;
        let signatures = keys.iter().map(|key| sshsig::sign(key, T::TYPE, &bytes)).collect::<Result<_, _>>();
        let signatures = signatures.map_err(|source| SignedError::Signature { source })?;
        Self::from_parts(bytes, signatures)
    }

    /// Joins a document and signatures that lie in separate files.
    ///
    /// # Errors
    /// [`SignedError`] when they are not one line and one to sixteen canonical armours.
    pub fn from_parts(document: Vec<u8>, signatures: Vec<String>) -> Result<Self, SignedError> {
        let line = document.strip_suffix(b"\n").ok_or(SignedError::NotOneLine)?;
        if line.contains(&b'\n') || document.len() > DOCUMENT_BYTES_MAX {
            return Err(SignedError::NotOneLine);
        }
        if !(1..=SIGNATURES_MAX).contains(&signatures.len()) {
            return Err(SignedError::Count);
        }
        for armour in &signatures {
            SshSig::parse(armour).map_err(|source| SignedError::Signature { source })?;
        }
        Ok(Self { document, signatures })
    }

    /// Reads a signed object.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedError> {
        if bytes.len() > DOCUMENT_BYTES_MAX + SIGNATURES_MAX * ARMOUR_BYTES_MAX {
            return Err(SignedError::NotOneLine);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(SignedError::NotOneLine)?;
        let (document, rest) = bytes.split_at_checked(end + 1).ok_or(SignedError::NotOneLine)?;
        Self::from_parts(document.to_vec(), split_armours(rest)?)
    }

    /// The signed object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.document.clone();
        for armour in &self.signatures {
            bytes.extend_from_slice(armour.as_bytes());
        }
        bytes
    }

    /// SHA-256 of the document with its LF, without the signatures: the document's name everywhere.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document)
    }

    /// Verifies every signature and returns the keys in order. The same key may occur twice: callers count.
    ///
    /// # Errors
    /// [`SignedError::Signature`] if any signature does not hold.
    pub fn verify_all(&self, namespace: &str) -> Result<Vec<PublicKey>, SignedError> {
        let verify = |armour: &String| sshsig::verify(armour, namespace, &self.document);
        let keys = self.signatures.iter().map(verify).collect::<Result<_, _>>();
        keys.map_err(|source| SignedError::Signature { source })
    }

    /// Verifies every signature in the namespace of `T`, then reads and validates the document.
    ///
    /// Returns it with its signers in order. The caller decides whether they are the right ones.
    pub fn open<T: Document>(&self) -> Result<(T, Vec<PublicKey>), SignedError> {
        let signers = self.verify_all(T::TYPE)?;
        Ok((self.read()?, signers))
    }

    /// Reads and validates the document **without** looking at its signatures.
    pub fn read<T: Document>(&self) -> Result<T, SignedError> {
        let document: T =
            json::parse_document(&self.document).map_err(|source| SignedError::Json { source })?;
        document.validate().map_err(|message| SignedError::Invalid { message })?;
        Ok(document)
    }

    /// The names under which a bundle keeps the parts: `NAME.json`, `NAME.json.sig`, `NAME.json.2.sig`, ….
    pub fn split(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![(format!("{name}.json"), self.document.clone())];
        for (number, armour) in (1..).zip(&self.signatures) {
            files.push((signature_name(name, number), armour.clone().into_bytes()));
        }
        files
    }
}

/// File name of signature `number` (from 1) of `NAME.json`.
pub fn signature_name(name: &str, number: usize) -> String {
    if number == 1 { format!("{name}.json.sig") } else { format!("{name}.json.{number}.sig") }
}

fn split_armours(mut rest: &[u8]) -> Result<Vec<String>, SignedError> {
    const END: &[u8] = b"\n-----END SSH SIGNATURE-----\n";
    let mut armours = Vec::new();
    while !rest.is_empty() {
        let window = rest.get(..ARMOUR_BYTES_MAX).unwrap_or(rest);
        let end = window.windows(END.len()).position(|window| window == END).ok_or(SignedError::Armour)?;
        let (armour, behind) = rest.split_at_checked(end + END.len()).ok_or(SignedError::Armour)?;
        armours.push(str::from_utf8(armour).map_err(|source| SignedError::NotUtf8 { source })?.to_owned());
        if armours.len() > SIGNATURES_MAX {
            return Err(SignedError::Count);
        }
        rest = behind;
    }
    Ok(armours)
}

/// Why bytes are not a signed object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// Bytes behind the document that are no armour.
    #[error("bytes behind the document are not signature armours")]
    Armour,
    /// The object has no signature, or more than sixteen.
    #[error("document does not have 1 to {SIGNATURES_MAX} signatures")]
    Count,
    /// The document's fields contradict its rules.
    #[error("invalid document: {message}")]
    Invalid { message: &'static str },
    /// The document is not JSON of its type.
    #[error("read document")]
    Json {
        #[source]
        source: JsonError,
    },
    /// The document is not one line, or over 4 MiB.
    #[error("document is not one line of at most 4 MiB")]
    NotOneLine,
    /// An armour that is not text.
    #[error("armour is not UTF-8")]
    NotUtf8 {
        #[source]
        source: std::str::Utf8Error,
    },
    /// A signature that does not hold.
    #[error("signature of the document")]
    Signature {
        #[source]
        source: SshSigError,
    },
}
