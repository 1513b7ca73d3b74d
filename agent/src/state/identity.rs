//! Who this endpoint is and whom it believes: keys and pins, written once, by enrolment.
//!
//! Guarantee: an enrolment is there whole or not at all (`identity.json` is written last and names the
//! generation's directory). An earlier generation's keys and pins stay, untouched. Not here: why they can be
//! trusted (`enrol`).
//!
//! ```text
//! identity.json            pins, and which generation is in force
//! gen-1/evidence.key       seed, 64 hexadecimal digits
//! gen-1/tls.pem            TLS key and certificate
//! gen-1/ca.der  roster.json  checkpoint  identity.json
//! ```

use std::io;
use std::path::{Path, PathBuf};

use certs::identity::{Credentials, IdentityError};
use certs::key::TlsKey;
use durable::{KeyFileError, Links};
use evidence::digest::Digest;
use evidence::id::{CollectorId, DeploymentId, EndpointId, Generation};
use evidence::keys::{PublicKey, SigningKey};
use evidence::signed::Signed;
use evidence::time::Time;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Names the enrolment in force. The service unit starts only if this file exists.
pub(crate) const PINS: &str = "identity.json";
const EVIDENCE_KEY: &str = "evidence.key";
const TLS: &str = "tls.pem";
const CA: &str = "ca.der";
const ROSTER: &str = "roster.json";
const CHECKPOINT: &str = "checkpoint";
const LOG_KEYS: &str = "log-keys";

/// 64 digits and LF, and room for an error that names the wrong length.
const EVIDENCE_KEY_BYTES_MAX: u64 = 1 << 10;

/// The files of a generation's folder that the agent replaces, for [`super::remove_old_left_overs`].
pub(super) const NAMES: &[&str] = &[EVIDENCE_KEY, TLS, CA, ROSTER, CHECKPOINT, LOG_KEYS, PINS];

/// What was pinned at enrolment. Nothing the collector says later changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Deployment.
    pub deployment: DeploymentId,
    /// This endpoint.
    pub endpoint: EndpointId,
    /// Its generation.
    pub generation: Generation,
    /// The collector.
    pub collector_id: CollectorId,
    /// `host:port` of its main listener.
    pub collector: String,
    /// `host:port` of its enrolment listener.
    pub enrol: String,
    /// How many authority keys must sign a roster.
    pub authority_threshold: u32,
    /// The authority keys.
    pub authority_keys: Vec<PublicKey>,
    /// C2SP verifier key of the ledger.
    pub log_key: String,
    /// Digest of the token.
    pub token: Digest,
    /// When the endpoint enrolled, by its own clock.
    pub enrolled: Time,
}

/// A verified enrolment that is about to be written.
#[derive(Debug)]
pub struct NewIdentity<'enrolment> {
    /// Pins.
    pub pins: &'enrolment Pins,
    /// Evidence key.
    pub evidence_key: &'enrolment SigningKey,
    /// TLS key.
    pub tls_key: &'enrolment TlsKey,
    /// Certificates, leaf first.
    pub chain: &'enrolment [CertificateDer<'static>],
    /// CA certificate, DER.
    pub ca: &'enrolment [u8],
    /// Newest roster.
    pub roster: &'enrolment Signed,
    /// The checkpoint that proved the enrolment, a signed note.
    pub checkpoint: &'enrolment [u8],
    /// Changes of the log key since the token was made, as they arrived (`exhibit.v1.LogKeyChanges`). Empty
    /// if there are none.
    pub log_keys: &'enrolment [u8],
}

/// The identity in force.
#[derive(Debug)]
pub struct Identity {
    /// Pins.
    pub pins: Pins,
    /// Evidence key.
    pub evidence_key: SigningKey,
    /// TLS key and certificates.
    pub credentials: Credentials,
    /// CA certificate, DER.
    pub ca: Vec<u8>,
    dir: PathBuf,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityStateError {
    /// The directory holds no enrolment.
    #[error("`{}` holds no enrolment. Run `exhibit-agent enrol --token TOKEN` first", dir.display())]
    NotEnrolled {
        /// The directory.
        dir: PathBuf,
    },
    /// There is an enrolment already.
    #[error(
        "`{}` is enrolled already as {endpoint}, generation {generation}. To enrol anew, get a token for generation {next} \
         and add `--replace`; the old keys stay aside",
        dir.display()
    )]
    Enrolled {
        /// The directory.
        dir: PathBuf,
        /// As whom.
        endpoint: EndpointId,
        /// In which generation.
        generation: Generation,
        /// The generation that would follow.
        next: u32,
    },
    /// Keys of this generation exist, but they are not in force.
    #[error(
        "`{}` is left over from an enrolment that did not finish. Move it away, and ask for a new token",
        dir.display()
    )]
    LeftOver {
        /// Which directory.
        dir: PathBuf,
    },
    /// The content of a state file is not what the agent wrote.
    #[error("`{}` is damaged: {what}. Restore it from a backup, or enrol anew with `--replace`", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The evidence key is not the agent's alone, or cannot be read.
    #[error("evidence key")]
    EvidenceKey(#[from] KeyFileError),
    /// The TLS key or certificate is wrong.
    #[error("TLS identity")]
    Tls(#[from] IdentityError),
    /// The system refused.
    #[error("state directory")]
    Io(#[from] io::Error),
}

fn damaged(path: PathBuf, what: impl ToString) -> IdentityStateError {
    IdentityStateError::Damaged { path, what: what.to_string() }
}

fn generation_dir(dir: &Path, generation: Generation) -> PathBuf {
    dir.join(format!("gen-{generation}"))
}

/// The pins in force, if this machine is enrolled.
///
/// # Errors
/// [`IdentityStateError`] if they are damaged.
pub fn pins(dir: &Path) -> Result<Option<Pins>, IdentityStateError> {
    let path = dir.join(PINS);
    let Some(bytes) = super::read(&path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| damaged(path, source))
}

/// Checks, before a token is used up, that an enrolment could be written here.
pub fn check_room(dir: &Path, generation: Generation, replace: bool) -> Result<(), IdentityStateError> {
    durable::require_private_folder(dir)?;
    if let Some(pins) = pins(dir)? {
        let next = pins.generation.next().map_or(0, Generation::number);
        if !replace || generation <= pins.generation {
            let (endpoint, generation) = (pins.endpoint, pins.generation);
            return Err(IdentityStateError::Enrolled { dir: dir.to_owned(), endpoint, generation, next });
        }
    }
    let own = generation_dir(dir, generation);
    if own.try_exists()? {
        return Err(IdentityStateError::LeftOver { dir: own });
    }
    Ok(())
}

/// Writes an enrolment and puts it in force.
///
/// # Errors
/// [`IdentityStateError`]. Then the earlier enrolment, if any, is still in force.
pub fn write(dir: &Path, new: &NewIdentity<'_>, replace: bool) -> Result<(), IdentityStateError> {
    check_room(dir, new.pins.generation, replace)?;
    let own = generation_dir(dir, new.pins.generation);
    durable::require_private_folder(&own)?;
    let seed = new.evidence_key.seed();
    let mut text = Zeroizing::new(String::with_capacity(65));
    text.push_str(Zeroizing::new(hex::encode(seed.as_slice())).as_str());
    text.push('\n');
    super::replace(&own, EVIDENCE_KEY, text.as_bytes())?;
    Credentials::write_new(&own.join(TLS), new.tls_key, new.chain)?;
    super::replace(&own, CA, new.ca)?;
    super::replace(&own, ROSTER, &new.roster.encode())?;
    super::replace(&own, CHECKPOINT, new.checkpoint)?;
    if !new.log_keys.is_empty() {
        super::replace(&own, LOG_KEYS, new.log_keys)?;
    }
    let mut pins = serde_json::to_vec(new.pins).map_err(io::Error::other)?;
    pins.push(b'\n');
    super::replace(&own, PINS, &pins)?;
    durable::sync_folder(dir)?;
    // Crash before this line: the old enrolment, or none, is in force, and `gen-N` is reported as left over.
    super::replace(dir, PINS, &pins)?;
    Ok(())
}

/// Reads the seed of the evidence key, through the descriptor whose mode was checked.
fn read_evidence_key(path: PathBuf) -> Result<Zeroizing<[u8; 32]>, IdentityStateError> {
    // An owner may keep the key elsewhere, behind a link. It is as safe as the file that the link leads to, and that
    // file's mode is checked.
    let file = match durable::read_key_file(&path, EVIDENCE_KEY_BYTES_MAX, Links::Follow) {
        Ok(file) => file,
        Err(KeyFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(path, "it is missing"));
        }
        Err(error) => return Err(error.into()),
    };
    let mut seed = Zeroizing::new([0; 32]);
    let digits = file.bytes.strip_suffix(b"\n").unwrap_or(&file.bytes);
    hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|source| damaged(path, source))?;
    Ok(seed)
}

impl Identity {
    /// Reads the enrolment in force.
    pub fn open(dir: &Path) -> Result<Self, IdentityStateError> {
        let pins = pins(dir)?.ok_or_else(|| IdentityStateError::NotEnrolled { dir: dir.to_owned() })?;
        let own = generation_dir(dir, pins.generation);
        let seed = read_evidence_key(own.join(EVIDENCE_KEY))?;
        let ca_path = own.join(CA);
        let ca = super::read(&ca_path)?.ok_or_else(|| damaged(ca_path, "it is missing"))?;
        Ok(Self {
            pins,
            evidence_key: SigningKey::from_seed(&seed),
            credentials: Credentials::load(&own.join(TLS))?,
            ca,
            dir: own,
        })
    }

    /// The roster that was verified last.
    pub fn roster(&self) -> Result<Signed, IdentityStateError> {
        let path = self.dir.join(ROSTER);
        let bytes = super::read(&path)?.ok_or_else(|| damaged(path.clone(), "it is missing"))?;
        Signed::parse(&bytes).map_err(|source| damaged(path, source))
    }

    /// Keeps a newer roster.
    pub(crate) fn keep_roster(&self, roster: &Signed) -> io::Result<()> {
        super::replace(&self.dir, ROSTER, &roster.encode())
    }

    /// The checkpoint that was verified last, a signed note.
    pub fn checkpoint(&self) -> Result<Vec<u8>, IdentityStateError> {
        let path = self.dir.join(CHECKPOINT);
        super::read(&path)?.ok_or_else(|| damaged(path, "it is missing"))
    }

    /// Keeps a newer checkpoint.
    pub(crate) fn keep_checkpoint(&self, note: &[u8]) -> io::Result<()> {
        super::replace(&self.dir, CHECKPOINT, note)
    }

    /// Changes of the log key, as they arrived (`exhibit.v1.LogKeyChanges`). Empty if there are none.
    pub fn log_keys(&self) -> io::Result<Vec<u8>> {
        // Enrolment writes the file only if there is a change.
        Ok(super::read(&self.dir.join(LOG_KEYS))?.unwrap_or_default())
    }

    /// Keeps a longer list of log keys.
    pub(crate) fn keep_log_keys(&self, bytes: &[u8]) -> io::Result<()> {
        super::replace(&self.dir, LOG_KEYS, bytes)
    }

    /// Puts a renewed key and certificate in force.
    pub(crate) fn keep_credentials(&mut self, credentials: Credentials) -> Result<(), IdentityStateError> {
        Credentials::replace(&self.dir.join(TLS), &credentials.key, &credentials.chain)?;
        self.credentials = credentials;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_evidence_key_is_read_only_from_a_short_file_that_others_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EVIDENCE_KEY);
        let read = || read_evidence_key(path.clone());
        assert!(matches!(read(), Err(IdentityStateError::Damaged { what, .. }) if what == "it is missing"));
        for end in ["\n", ""] {
            durable::replace(&path, format!("{}{end}", "07".repeat(32)).as_bytes(), 0o600).unwrap();
            assert_eq!(*read().unwrap(), [7; 32]);
        }
        for mode in [0o640, 0o604, 0o620] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = read().unwrap_err();
            let shown = evidence::causes::chain(&refused);
            assert!(shown.contains("evidence.key") && shown.contains("chmod 600"), "{shown}");
        }
        let elsewhere = dir.path().join("elsewhere");
        durable::rename(&path, &elsewhere).unwrap();
        fs_err::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(*read().unwrap(), [7; 32], "behind a link");
        fs_err::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = read().unwrap_err();
        assert!(
            matches!(refused, IdentityStateError::EvidenceKey(KeyFileError::Mode { mode: 0o640, .. })),
            "{refused}"
        );
        fs_err::remove_file(&elsewhere).unwrap();
        assert!(matches!(read(), Err(IdentityStateError::Damaged { what, .. }) if what == "it is missing"));
        fs_err::remove_file(&path).unwrap();
        for wrong in ["", "07", &"07".repeat(33), &"zz".repeat(32)] {
            durable::replace(&path, wrong.as_bytes(), 0o600).unwrap();
            assert!(matches!(read(), Err(IdentityStateError::Damaged { .. })), "{wrong}");
        }
    }
}
