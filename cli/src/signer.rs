//! Signs documents with a person's SSH key through `ssh-keygen`. Passphrases, agents and security keys work as the person knows them,
//! and the private key never enters this process. Not here: verifying (crate `evidence`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::could_not;

/// A person's key: a private key file, or a public key file whose secret half is in an SSH agent.
#[derive(Debug, Clone)]
pub struct Signer {
    key: PathBuf,
}

impl Signer {
    /// Names the key. Nothing is read yet.
    pub fn new(key: impl Into<PathBuf>) -> Self {
        Self { key: key.into() }
    }

    /// Signs `document` in `namespace` and returns the armour. `ssh-keygen` may ask the user for a passphrase or a touch.
    /// Fails if `ssh-keygen` is missing or refuses.
    pub fn sign(&self, namespace: &str, document: &[u8]) -> anyhow::Result<String> {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|cause| {
                could_not(
                    format!("cannot run ssh-keygen: {cause}"),
                    "install OpenSSH's client tools (8.1 or later)",
                )
            })?;
        if let Some(mut input) = child.stdin.take() {
            // If ssh-keygen ends early, the pipe is closed. Its exit status says why.
            if let Err(cause) = input.write_all(document)
                && cause.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(could_not(
                    format!("cannot hand the document to ssh-keygen: {cause}"),
                    "try again",
                ));
            }
        }
        let done = child.wait_with_output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(could_not(
                format!("ssh-keygen did not sign with {}: {}", self.key.display(), said.trim()),
                "check the key with `ssh-keygen -lf KEY`; a key in an agent needs SSH_AUTH_SOCK, a security key a touch",
            ));
        }
        let armour = String::from_utf8(done.stdout).map_err(|cause| {
            could_not(format!("ssh-keygen wrote no armour: {cause}"), "update OpenSSH to 8.1 or later")
        })?;
        Ok(armour.replace("\r\n", "\n"))
    }

    /// The public half, as the text of a roster: from `KEY.pub`, or from the file itself when it is a public key.
    pub fn public_text(&self) -> anyhow::Result<String> {
        public_text(&self.key)
    }
}

/// Public key text (`ssh-ed25519 AAAA…`, without comment) of a key file, private or public.
/// Fails when the file, or `FILE.pub` beside it, holds no OpenSSH public key.
pub fn public_text(key: &Path) -> anyhow::Result<String> {
    let mut beside = key.as_os_str().to_owned();
    beside.push(".pub");
    for path in [key.to_path_buf(), PathBuf::from(beside)] {
        let Ok(text) = fs_err::read_to_string(&path) else {
            continue;
        };
        let mut words = text.split_whitespace();
        if let (Some(kind), Some(blob)) = (words.next(), words.next())
            && (kind.starts_with("ssh-") || kind.starts_with("sk-"))
        {
            return Ok(format!("{kind} {blob}"));
        }
    }
    Err(could_not(
        format!("{} has no public key beside it", key.display()),
        format!("write it with `ssh-keygen -yf {0} > {0}.pub`", key.display()),
    ))
}

/// Makes an Ed25519 key pair at `path` and `path.pub`, without passphrase.
/// Fails when `ssh-keygen` is missing, or the file exists.
pub fn create_key(path: &Path, comment: &str) -> anyhow::Result<()> {
    if path.exists() {
        return Err(could_not(
            format!("{} exists", path.display()),
            format!(
                "keys are never overwritten: choose another path, or use the existing key: {}.pub",
                path.display()
            ),
        ));
    }
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| {
            could_not(
                format!("cannot run ssh-keygen: {cause}"),
                "install OpenSSH's client tools (8.1 or later)",
            )
        })?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(could_not(
            format!("ssh-keygen did not make {}: {}", path.display(), said.trim()),
            "check the folder's permissions",
        ));
    }
    Ok(())
}
