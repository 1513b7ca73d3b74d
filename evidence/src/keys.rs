//! Ed25519 keys in the form OpenSSH gives them.
//! Guarantee: a public key that parses is canonical and not of small order, so that a signature under it binds its
//! owner to one message. A private key leaves no copy in freed memory.
//! Not here: OpenSSH private-key files, certificates, and what a key may sign (roster).

pub mod sshsig;
mod wire;

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::keys::wire::{Reader, put_string};
use crate::text::{from_base64, from_base64_unpadded, serde_as_text, to_base64, to_base64_unpadded};

const ED25519: &str = "ssh-ed25519";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";

/// A public key: `ssh-ed25519` or, for a FIDO authenticator, `sk-ssh-ed25519@openssh.com`.
///
/// Its text is `<algorithm> <base64>` without a comment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    point: [u8; 32],
    /// The FIDO application (relying party) of a security key.
    application: Option<String>,
}

impl PublicKey {
    /// An `ssh-ed25519` key from its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Weak`] for a point that is not canonical, not on the curve or of small order.
    pub fn from_ed25519(point: [u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&point).map_err(|source| KeyError::Curve { source })?;
        // Decompression also takes y + p for y; such a key would have two texts and two fingerprints.
        let canonical = VerifyingKey::from(key.to_edwards()).to_bytes() == point;
        if key.is_weak() || !canonical { Err(KeyError::Weak) } else { Ok(Self { point, application: None }) }
    }

    /// A FIDO key from its 32 bytes and application, such as `ssh:`.
    ///
    /// # Errors
    /// As [`PublicKey::from_ed25519`]; [`KeyError::Application`] unless the application begins with `ssh:` and
    /// is at most 255 printable ASCII characters.
    pub(crate) fn from_security_key(point: [u8; 32], application: &str) -> Result<Self, KeyError> {
        let printable = application.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || application.len() > 255 || !application.starts_with("ssh:") {
            return Err(KeyError::Application);
        }
        Ok(Self { application: Some(application.to_owned()), ..Self::from_ed25519(point)? })
    }

    /// Reads the key blob of RFC 8709 (or PROTOCOL.u2f).
    ///
    /// # Errors
    /// [`KeyError`] for any blob that [`PublicKey::blob`] does not write.
    pub(crate) fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let algorithm = reader.string().ok_or(KeyError::Blob)?;
        if algorithm != ED25519.as_bytes() && algorithm != SK_ED25519.as_bytes() {
            return Err(KeyError::Algorithm);
        }
        let point = reader.string().and_then(|point| point.try_into().ok()).ok_or(KeyError::Blob)?;
        let key = if algorithm == ED25519.as_bytes() {
            Self::from_ed25519(point)?
        } else {
            let application =
                reader.string().and_then(|name| str::from_utf8(name).ok()).ok_or(KeyError::Blob)?;
            Self::from_security_key(point, application)?
        };
        reader.end().ok_or(KeyError::Blob)?;
        Ok(key)
    }

    /// The key blob: what fingerprints hash and SSHSIG carries.
    pub fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        let application = self.application.as_ref().map(String::as_bytes);
        let fields = [Some(self.algorithm().as_bytes()), Some(self.point.as_slice()), application];
        for field in fields.into_iter().flatten() {
            put_string(&mut blob, field);
        }
        blob
    }

    /// The algorithm's SSH name.
    pub fn algorithm(&self) -> &'static str {
        if self.application.is_some() { SK_ED25519 } else { ED25519 }
    }

    /// The 32 bytes of the Ed25519 key.
    pub fn point(&self) -> &[u8; 32] {
        &self.point
    }

    /// The application of a FIDO key, `None` for a plain one.
    pub fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }

    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.blob()).into())
    }

    /// Checks a bare Ed25519 signature strictly: canonical S, no small-order R. True when it holds.
    ///
    /// What a FIDO key signs is not the message itself; `sshsig` knows how to build it.
    #[must_use]
    pub(crate) fn verify_raw(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.point).and_then(|key| key.verify_strict(message, &signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.algorithm(), to_base64(&self.blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (algorithm, blob) = text.split_once(' ').ok_or(KeyError::Text)?;
        let key = Self::from_blob(&from_base64(blob).ok_or(KeyError::Text)?)?;
        if key.algorithm() == algorithm { Ok(key) } else { Err(KeyError::Text) }
    }
}
serde_as_text!(PublicKey);

/// SHA-256 of a key blob; text `SHA256:` and 43 characters of unpadded base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SHA256:{}", to_base64_unpadded(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Fingerprint {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix("SHA256:").and_then(from_base64_unpadded);
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(KeyError::Fingerprint)
    }
}
serde_as_text!(Fingerprint);

/// An Ed25519 private key, wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// A fresh key; `fill` must fill the buffer with random bytes of the operating system.
    pub fn generate<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut seed = Zeroizing::new([0; 32]);
        fill(seed.as_mut_slice())?;
        Ok(Self::from_seed(&seed))
    }

    /// The seed, for writing the key to its file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { point: self.0.verifying_key().to_bytes(), application: None }
    }

    /// A bare Ed25519 signature. Documents are signed by `sshsig::sign`.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.public().fingerprint())
    }
}

/// Why bytes or text are not an acceptable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// RSA, ECDSA and others.
    #[error(
        "key algorithm is not ssh-ed25519 or sk-ssh-ed25519@openssh.com; make one with ssh-keygen -t ed25519"
    )]
    Algorithm,
    /// The FIDO application has another form.
    #[error("application of a security key does not begin with ssh: or is not printable")]
    Application,
    /// The bytes are not a key blob.
    #[error("malformed key blob")]
    Blob,
    /// The bytes are not a point of the curve.
    #[error("not a point of the curve")]
    Curve {
        /// The error of the curve's library.
        #[source]
        source: ed25519_dalek::SignatureError,
    },
    /// The text is not a fingerprint.
    #[error("not a fingerprint: SHA256: and 43 characters of base64")]
    Fingerprint,
    /// The text is not the one text of a key.
    #[error("not a public key: algorithm, one space, canonical base64, no comment")]
    Text,
    /// A key under which one signature fits many messages, or one with a second spelling.
    #[error("weak or non-canonical key")]
    Weak,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8032 section 7.1, tests 1 to 3 and SHA(abc).
    #[test]
    fn test_vectors_of_rfc_8032_hold() {
        for (seed, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
            (
                "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
                "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
            ),
        ] {
            let key = SigningKey::from_seed(&unhex(seed));
            assert_eq!(key.public().point(), &unhex::<32>(public));
            let message = hex::decode(message).unwrap();
            let mut signature = unhex(signature);
            assert_eq!(key.sign_raw(&message), signature);
            assert!(key.public().verify_raw(&message, &signature));
            // S + L is the same scalar in another spelling (RFC 8032 section 5.1.7 refuses it).
            add_group_order(&mut signature);
            assert!(!key.public().verify_raw(&message, &signature));
        }
    }

    fn add_group_order(signature: &mut [u8; 64]) {
        let order: [u8; 32] = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        // The eight points of small order, then y >= p spellings of some (RFC 8032 section 5.1.3 refuses those).
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(PublicKey::from_ed25519(unhex(point)).is_err(), "{point}");
        }
    }

    #[test]
    fn keys_have_one_text() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let sk = PublicKey::from_security_key(*key.point(), "ssh:exhibit").unwrap();
        for key in [&key, &sk] {
            assert_eq!(&key.to_string().parse::<PublicKey>().unwrap(), key);
            assert_eq!(key.fingerprint().to_string().parse::<Fingerprint>().unwrap(), key.fingerprint());
        }
        assert_ne!(key.fingerprint(), sk.fingerprint());
        let text = key.to_string();
        let other = sk.to_string();
        for wrong in [
            format!("{text} comment"),
            format!(" {text}"),
            format!("{text}\n"),
            text.replace(' ', "  "),
            text.replace("ssh-ed25519", "ssh-rsa"),
            text.replacen("AAAA", "AAAB", 1),
            format!("{text}AAAA"),
            other.replacen("sk-ssh-ed25519@openssh.com", "ssh-ed25519", 1),
            "ssh-ed25519".to_owned(),
            String::new(),
        ] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong:?}");
        }
        for application in ["", "web", "ssh:ü", "ssh: x", "ssh:\0"] {
            assert!(PublicKey::from_security_key(*key.point(), application).is_err());
        }
    }

    #[test]
    fn a_private_key_does_not_show_itself() {
        let key = SigningKey::generate(|seed| {
            seed.fill(9);
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(*key.seed(), [9; 32]);
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().fingerprint()));
        assert_eq!(SigningKey::generate(|_| Err("no randomness")).unwrap_err(), "no randomness");
    }
}
