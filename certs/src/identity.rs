//! A TLS identity on disk: one PEM file with the private key and its certificate chain.
//!
//! Guarantee: key and chain are one file, so no crash leaves a key with another's certificate. The file must be its
//! owner's alone (0600), or it is not read. A write is durable when it returns. Not here: what the chain is worth (`tls`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use durable::{KeyFileError, Links};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, SectionKind};
use zeroize::Zeroizing;

use crate::key::{TlsKey, TlsKeyError};

/// Longest file. One of this kind has about 2 KiB; a longer one is not a key of ours.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Certificates of one chain.
const CHAIN_MAX: usize = 4;

/// A private key and the certificates it shows, leaf first. The chain is empty while enrolment is under way.
#[derive(Debug)]
pub struct Credentials {
    /// The private key.
    pub key: TlsKey,
    /// The chain, DER, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The system refused.
    #[error("{action} {path}", path = path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("{path} has mode {mode:04o}: others may use the key; run chmod 600 and consider the key stolen", path = path.display())]
    Mode {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Neither ours nor root's.
    #[error("{path} belongs to user {owner}, not to {user}: run as its owner or move it there by hand", path = path.display())]
    Owner {
        path: PathBuf,
        /// User id of the file's owner.
        owner: u32,
        /// User id of this process.
        user: u32,
    },
    /// The path is not a regular file, or the file is too large.
    #[error("{path} is not a regular file of at most 64 KiB", path = path.display())]
    Kind { path: PathBuf },
    /// Not exactly one key and up to four certificates.
    #[error("{path} is not one private key followed by up to {CHAIN_MAX} certificates in PEM", path = path.display())]
    Content { path: PathBuf },
    /// The key in it.
    #[error("private key in {path}", path = path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: TlsKeyError,
    },
}

impl Credentials {
    /// Reads a file that [`Credentials::write_new`] or [`Credentials::replace`] wrote.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let text = read_private(path)?;
        let content = || IdentityError::Content { path: path.to_owned() };
        let mut input = text.as_slice();
        let mut key = None;
        let mut chain = Vec::new();
        while let Some((kind, der)) = pem::from_buf(&mut input).or(Err(content()))? {
            let der = Zeroizing::new(der);
            match kind {
                SectionKind::PrivateKey if key.is_none() && chain.is_empty() => {
                    let read = TlsKey::from_pkcs8(&der);
                    key = Some(read.map_err(|source| IdentityError::Key { path: path.to_owned(), source })?);
                }
                SectionKind::Certificate if key.is_some() && chain.len() < CHAIN_MAX => {
                    chain.push(CertificateDer::from(der.to_vec()));
                }
                _ => return Err(content()),
            }
        }
        Ok(Self { key: key.ok_or_else(content)?, chain })
    }

    /// Writes a new file, durably. Refuses if one exists.
    pub fn write_new(path: &Path, key: &TlsKey, chain: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
        durable::create(path, encode(key, chain).as_bytes(), 0o600).map_err(io("create", path))
    }

    /// Replaces the file at `path`, atomically and durably.
    pub fn replace(path: &Path, key: &TlsKey, chain: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
        durable::replace(path, encode(key, chain).as_bytes(), 0o600).map_err(io("replace", path))
    }
}

fn encode(key: &TlsKey, chain: &[CertificateDer<'_>]) -> Zeroizing<String> {
    // One allocation: growing would leave copies of the key in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(16 << 10));
    section(&mut text, "PRIVATE KEY", key.pkcs8());
    for certificate in chain {
        section(&mut text, "CERTIFICATE", certificate);
    }
    text
}

/// RFC 7468, lines of 64 characters.
fn section(text: &mut String, label: &str, der: &[u8]) {
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(48) {
        STANDARD.encode_string(line, text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let file = durable::read_key_file(path, FILE_BYTES_MAX, Links::Refuse).map_err(|error| match error {
        KeyFileError::Mode { path, mode } => IdentityError::Mode { path, mode },
        KeyFileError::Kind { path, .. } => IdentityError::Kind { path },
        KeyFileError::Io(source) => io("open", path)(source),
        other => io("read", path)(std::io::Error::other(other)),
    })?;
    let (owner, user) = (file.owner, rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(IdentityError::Owner { path: path.to_owned(), owner, user });
    }
    Ok(file.bytes)
}

fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> IdentityError + 'a {
    move |source| IdentityError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn chain(n: u8) -> Vec<CertificateDer<'static>> {
        (0..n).map(|n| CertificateDer::from(vec![n; 300])).collect()
    }

    #[test]
    fn what_was_written_is_read_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.pem");
        let (first, second) = (TlsKey::generate().unwrap(), TlsKey::generate().unwrap());
        Credentials::write_new(&path, &first, &[]).unwrap();
        assert!(Credentials::load(&path).unwrap().chain.is_empty());
        assert!(matches!(
            Credentials::write_new(&path, &second, &[]),
            Err(IdentityError::Io { action: "create", .. })
        ));
        fs_err::write(dir.path().join(".tls.pem.next"), "left by a crash").unwrap();
        Credentials::replace(&path, &second, &chain(2)).unwrap();
        let read = Credentials::load(&path).unwrap();
        assert_eq!(read.key.public(), second.public());
        assert_eq!(read.chain, chain(2));
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn openssl_reads_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.pem");
        let key = TlsKey::generate().unwrap();
        Credentials::write_new(&path, &key, &[]).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["pkey", "-pubout", "-outform", "DER", "-in"])
            .arg(&path)
            .output()
            .expect("openssl is installed");
        assert_eq!(output.stdout, key.public().spki());
    }

    #[test]
    fn a_key_file_of_an_earlier_version_is_refused_with_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.pem");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        durable::create(&path, pair.serialize_pem().as_bytes(), 0o600).unwrap();
        let error = Credentials::load(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("this TLS key is Ed25519") && cause.contains("exhibit login"), "{cause}");
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.pem");
        Credentials::write_new(&path, &TlsKey::generate().unwrap(), &[]).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610, 0o666] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(Credentials::load(&path), Err(IdentityError::Mode { mode: m, .. }) if m == mode)
            );
        }
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        Credentials::load(&path).unwrap();
        let link = dir.path().join("link.pem");
        fs_err::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Credentials::load(&link), Err(IdentityError::Io { action: "open", .. })));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            assert!(matches!(Credentials::load(&path), Err(IdentityError::Owner { owner: 4242, .. })));
        }
    }

    #[test]
    fn other_contents_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = TlsKey::generate().unwrap();
        let path = dir.path().join("tls.pem");
        Credentials::write_new(&path, &key, &chain(1)).unwrap();
        let good = fs_err::read_to_string(&path).unwrap();
        let certificate = good.split_inclusive("-----END PRIVATE KEY-----\n").nth(1).unwrap();
        let cases = [
            String::new(),
            certificate.to_owned(),
            format!("{good}{good}"),
            format!("{certificate}{good}"),
            good.clone() + &certificate.repeat(4),
            good.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
            good.replace("END CERTIFICATE", "END"),
        ];
        for (number, case) in cases.iter().enumerate() {
            Credentials::replace(&path, &key, &[]).unwrap();
            fs_err::write(&path, case).unwrap();
            assert!(Credentials::load(&path).is_err(), "case {number}");
        }
    }
}
