//! OpenSSH signatures (PROTOCOL.sshsig): every document of ours carries them.
//! Guarantee: a signature has one armour. It verifies only for its namespace, with SHA-512, strictly, and for a FIDO
//! key only if a person touched it. Stock `ssh-keygen -Y verify` accepts every signature that we write.
//! Not here: which key may sign what (roster), where signatures stand (`signed`).

use sha2::{Digest as _, Sha256, Sha512};

use crate::keys::wire::{Reader, put_string};
use crate::keys::{KeyError, PublicKey, SigningKey};
use crate::text::{from_base64, to_base64};

const MAGIC: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";

/// Characters of base64 on a full line, as `ssh-keygen` breaks them.
const LINE: usize = 70;

/// Longest armour: a FIDO key with its longest application and namespace stays below.
pub(crate) const ARMOUR_BYTES_MAX: usize = 2048;

/// FIDO flag "user presence": somebody touched the authenticator (CTAP2, authenticator data).
const USER_PRESENT: u8 = 0x01;

/// A parsed signature, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSig {
    public_key: PublicKey,
    namespace: String,
    signature: [u8; 64],
    /// What the authenticator adds, for a FIDO key only.
    touch: Option<Touch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Touch {
    flags: u8,
    counter: u32,
}

/// Signs `message`; returns the canonical armour.
///
/// # Errors
/// [`SshSigError::Namespace`] when it is empty or not 1 to 64 characters of `a-z 0-9 -`.
pub fn sign(key: &SigningKey, namespace: &str, message: &[u8]) -> Result<String, SshSigError> {
    if !is_namespace(namespace) {
        return Err(SshSigError::Namespace);
    }
    let signature = key.sign_raw(&to_be_signed(namespace, message));
    let public_key = key.public();
    Ok(SshSig { public_key, namespace: namespace.to_owned(), signature, touch: None }.armour())
}

/// Parses and verifies an armour; returns the key that signed.
///
/// # Errors
/// [`SshSigError`], which says what is wrong.
pub fn verify(armour: &str, namespace: &str, message: &[u8]) -> Result<PublicKey, SshSigError> {
    let signature = SshSig::parse(armour)?;
    signature.verify(namespace, message)?;
    Ok(signature.public_key)
}

impl SshSig {
    /// Reads the canonical armour and nothing else.
    ///
    /// # Errors
    /// [`SshSigError::Armour`] for other line lengths, line ends, white space or base64, [`SshSigError::Blob`] for
    /// what the armour holds, [`SshSigError::Key`] for an unacceptable key.
    pub fn parse(armour: &str) -> Result<Self, SshSigError> {
        if armour.len() > ARMOUR_BYTES_MAX {
            return Err(SshSigError::Armour);
        }
        let body =
            armour.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(SshSigError::Armour)?;
        let base64: String = body.chars().filter(|character| *character != '\n').collect();
        let blob = from_base64(&base64).ok_or(SshSigError::Armour)?;
        let signature = Self::from_blob(&blob)?;
        // One comparison instead of a rule for each place where a line end could stand.
        if signature.armour() == armour { Ok(signature) } else { Err(SshSigError::Armour) }
    }

    /// The key that the signature names. It proves nothing before [`SshSig::verify`].
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The namespace that the signature names.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Checks the signature over `message` in `namespace`.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), SshSigError> {
        if self.namespace != namespace {
            return Err(SshSigError::Namespace);
        }
        let mut signed = to_be_signed(namespace, message);
        if let Some((application, touch)) = self.public_key.application().zip(self.touch) {
            // ssh-keygen -Y verify does not ask for presence, so a stolen session could sign unseen.
            if touch.flags & USER_PRESENT == 0 {
                return Err(SshSigError::UserPresence);
            }
            signed = authenticator_data(application, touch, &signed);
        }
        if self.public_key.verify_raw(&signed, &self.signature) {
            Ok(())
        } else {
            Err(SshSigError::Signature)
        }
    }

    /// The canonical armour.
    pub fn armour(&self) -> String {
        let base64 = to_base64(&self.blob());
        let mut armour = String::from(BEGIN);
        for (place, character) in base64.chars().enumerate() {
            if place != 0 && place % LINE == 0 {
                armour.push('\n');
            }
            armour.push(character);
        }
        armour.push('\n');
        armour.push_str(END);
        armour
    }

    fn from_blob(blob: &[u8]) -> Result<Self, SshSigError> {
        let mut reader = Reader::new(blob);
        let magic = reader.array() == Some(*MAGIC);
        if !magic || reader.array().map(u32::from_be_bytes) != Some(VERSION) {
            return Err(SshSigError::Blob);
        }
        let mut string = || reader.string().ok_or(SshSigError::Blob);
        let (key, namespace, reserved, hash, signature) =
            (string()?, string()?, string()?, string()?, string()?);
        reader.end().ok_or(SshSigError::Blob)?;
        let namespace =
            str::from_utf8(namespace).ok().filter(|text| is_namespace(text)).ok_or(SshSigError::Namespace)?;
        if !reserved.is_empty() || hash != HASH {
            return Err(SshSigError::Blob);
        }
        let public_key = PublicKey::from_blob(key).map_err(|source| SshSigError::Key { source })?;
        let mut reader = Reader::new(signature);
        let algorithm = reader.string();
        if algorithm != Some(public_key.algorithm().as_bytes()) {
            return Err(SshSigError::Blob);
        }
        let signature = reader.string().and_then(|bytes| bytes.try_into().ok()).ok_or(SshSigError::Blob)?;
        let touch = if public_key.application().is_some() {
            let [flags] = reader.array().ok_or(SshSigError::Blob)?;
            let counter = reader.array().map(u32::from_be_bytes).ok_or(SshSigError::Blob)?;
            Some(Touch { flags, counter })
        } else {
            None
        };
        reader.end().ok_or(SshSigError::Blob)?;
        Ok(Self { public_key, namespace: namespace.to_owned(), signature, touch })
    }

    fn blob(&self) -> Vec<u8> {
        let mut signature = strings(&[self.public_key.algorithm().as_bytes(), &self.signature]);
        if let Some(touch) = self.touch {
            signature.push(touch.flags);
            signature.extend_from_slice(&touch.counter.to_be_bytes());
        }
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION.to_be_bytes());
        blob.extend(strings(&[&self.public_key.blob(), self.namespace.as_bytes(), b"", HASH, &signature]));
        blob
    }
}

/// The bytes that a signature covers: the message's hash under namespace and hash name, never the message itself.
fn to_be_signed(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut signed = MAGIC.to_vec();
    signed.extend(strings(&[namespace.as_bytes(), b"", HASH, &Sha512::digest(message)]));
    signed
}

/// The bytes that a FIDO authenticator signs in place of `signed` (PROTOCOL.u2f, "SSH U2F signatures").
fn authenticator_data(application: &str, touch: Touch, signed: &[u8]) -> Vec<u8> {
    let mut data = Sha256::digest(application.as_bytes()).to_vec();
    data.push(touch.flags);
    data.extend_from_slice(&touch.counter.to_be_bytes());
    data.extend_from_slice(&Sha256::digest(signed));
    data
}

fn strings(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        put_string(&mut bytes, field);
    }
    bytes
}

fn is_namespace(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// A signature that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshSigError {
    /// The text is not a canonical armour.
    #[error("not a canonical SSH signature armour")]
    Armour,
    /// The armour holds something else.
    #[error("malformed SSH signature, or its hash is not sha512")]
    Blob,
    /// The key inside is not acceptable.
    #[error("key inside the signature")]
    Key {
        #[source]
        source: KeyError,
    },
    /// Made for another purpose.
    #[error("signature has another namespace than this document type")]
    Namespace,
    /// The message or the signature was altered.
    #[error("signature does not match the bytes")]
    Signature,
    /// Nobody touched the authenticator.
    #[error("security key signed without user presence; sign again and touch the key")]
    UserPresence,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: &str = "exhibit-order-v1";

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    /// Signs by hand as an authenticator would.
    fn touch_and_sign(flags: u8, counter: u32, message: &[u8]) -> String {
        let application = "ssh:";
        let public_key = PublicKey::from_security_key(*key().public().point(), application).unwrap();
        let touch = Touch { flags, counter };
        let data = authenticator_data(application, touch, &to_be_signed(NAMESPACE, message));
        let signature = key().sign_raw(&data);
        SshSig { public_key, namespace: NAMESPACE.to_owned(), signature, touch: Some(touch) }.armour()
    }

    #[test]
    fn a_signature_holds_for_its_message_and_namespace_only() {
        let armour = sign(&key(), NAMESPACE, b"message").unwrap();
        assert_eq!(verify(&armour, NAMESPACE, b"message").unwrap(), key().public());
        assert!(matches!(verify(&armour, NAMESPACE, b"massage"), Err(SshSigError::Signature)));
        assert!(matches!(verify(&armour, "exhibit-roster-v1", b"message"), Err(SshSigError::Namespace)));
        assert!(matches!(sign(&key(), "", b""), Err(SshSigError::Namespace)));
        assert!(matches!(sign(&key(), "Order", b""), Err(SshSigError::Namespace)));
    }

    #[test]
    fn every_flipped_bit_of_an_armour_is_refused() {
        for armour in [sign(&key(), NAMESPACE, b"message").unwrap(), touch_and_sign(1, 5, b"message")] {
            assert!(verify(&armour, NAMESPACE, b"message").is_ok());
            for byte in 0..armour.len() {
                for bit in 0..8 {
                    let mut flipped = armour.clone().into_bytes();
                    flipped[byte] ^= 1 << bit;
                    let Ok(flipped) = String::from_utf8(flipped) else {
                        continue;
                    };
                    assert!(verify(&flipped, NAMESPACE, b"message").is_err(), "bit {bit} of byte {byte}");
                }
            }
        }
    }

    #[test]
    fn other_spellings_of_an_armour_are_refused() {
        let armour = sign(&key(), NAMESPACE, b"message").unwrap();
        let body = armour.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
        for wrong in [
            format!("{armour}\n"),
            format!("\n{armour}"),
            armour.replace('\n', "\r\n"),
            armour.trim_end().to_owned(),
            format!("{BEGIN}{}\n{END}", body.replace('\n', "")),
            format!("{BEGIN}{}\n\n{END}", body.trim_end()),
            format!("{BEGIN}{}{END}", body.replacen('\n', " \n", 1)),
            format!("{armour}{armour}"),
            format!("{BEGIN}{END}"),
            String::new(),
            format!("{BEGIN}{}{END}", "A".repeat(1 << 20)),
        ] {
            assert!(
                matches!(SshSig::parse(&wrong), Err(SshSigError::Armour | SshSigError::Blob)),
                "{wrong:?}"
            );
        }
        for end in 0..armour.len() {
            assert!(SshSig::parse(armour.get(..end).unwrap()).is_err());
        }
    }

    #[test]
    fn other_hashes_versions_and_trailing_bytes_are_refused() {
        let good = SshSig::parse(&sign(&key(), NAMESPACE, b"message").unwrap()).unwrap();
        let blob = good.blob();
        assert_eq!(SshSig::from_blob(&blob).unwrap(), good);
        let replace = |from: &[u8], to: &[u8]| {
            let at = blob.windows(from.len()).position(|window| window == from).unwrap();
            [&blob[..at], to, &blob[at + from.len()..]].concat()
        };
        for wrong in [
            [&blob[..], b"x"].concat(),
            replace(b"SSHSIG\0\0\0\x01", b"SSHSIG\0\0\0\x02"),
            replace(b"sha512", b"sha256"),
            replace(b"\0\0\0\0\0\0\0\x06sha512", b"\0\0\0\x01x\0\0\0\x06sha512"),
            replace(b"SSHSIG", b"SSHSIH"),
        ] {
            assert!(matches!(SshSig::from_blob(&wrong), Err(SshSigError::Blob)));
        }
    }

    #[test]
    fn a_security_key_must_have_been_touched() {
        let armour = touch_and_sign(0x01, 7, b"message");
        let signer = verify(&armour, NAMESPACE, b"message").unwrap();
        assert_eq!(signer.application(), Some("ssh:"));
        assert!(verify(&touch_and_sign(0x05, u32::MAX, b"message"), NAMESPACE, b"message").is_ok());
        for flags in [0x00, 0x04] {
            let armour = touch_and_sign(flags, 7, b"message");
            assert!(matches!(verify(&armour, NAMESPACE, b"message"), Err(SshSigError::UserPresence)));
        }
        // Neither flags nor counter can be changed after the fact.
        let mut forged = SshSig::parse(&touch_and_sign(0x00, 7, b"message")).unwrap();
        forged.touch = Some(Touch { flags: 1, counter: 7 });
        assert!(matches!(forged.verify(NAMESPACE, b"message"), Err(SshSigError::Signature)));
        forged.touch = Some(Touch { flags: 0, counter: 8 });
        assert!(forged.verify(NAMESPACE, b"message").is_err());
    }
}
