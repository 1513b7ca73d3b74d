//! The credentials for a bucket: from a file that only its owner can read, or from the environment.
//! Guarantee: a file that others can read is refused. Each request reads the file again, so that session tokens and rotated keys
//! take effect at once. No secret is ever printed.

use std::io;
use std::path::PathBuf;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use durable::{KeyFileError, Links};
use serde::Deserialize;

/// Three short strings.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Clone)]
pub(crate) struct CredentialsSource(Option<PathBuf>);

/// Content of the file, in TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl CredentialsSource {
    /// Credentials from a file, or from the environment.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// The credentials that are valid now.
    ///
    /// # Errors
    /// Text for the operator, without any secret.
    pub(crate) fn read(&self) -> io::Result<Credentials> {
        let (id, secret, token) = match &self.0 {
            Some(path) => {
                let file = read_file(path)?;
                (file.access_key_id, file.secret_access_key, file.session_token)
            }
            None => {
                let variable = |name: &str| {
                    std::env::var(name).map_err(|error| {
                        io::Error::other(format!(
                            "there are no credentials: name a file with `credentials = \"…\"` in `server.toml`, or set {name} ({error})"
                        ))
                    })
                };
                let token = std::env::var("AWS_SESSION_TOKEN").ok();
                (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?, token)
            }
        };
        Ok(Credentials::new(id, secret, token, None, "exhibit"))
    }
}

fn read_file(path: &std::path::Path) -> io::Result<CredentialsFile> {
    let shown = path.display();
    let file = durable::read_key_file(path, FILE_BYTES_MAX, Links::Follow).map_err(|error| match error {
        KeyFileError::Io(error) => error,
        KeyFileError::Mode { mode, .. } => io::Error::other(format!(
            "{shown} has mode {mode:04o}, others may read it. Run `chmod 600` on it, and replace the keys in it"
        )),
        other => io::Error::other(other.to_string()),
    })?;
    let text = std::str::from_utf8(&file.bytes).or(Err(io::Error::other(format!("{shown} is not UTF-8"))))?;
    toml::from_str(text).map_err(|error| {
        // Display only. The parser's own error text would show the line, and with it the secret.
        let what = error.message().lines().next().unwrap_or_default().to_owned();
        io::Error::other(format!(
            "{shown} cannot be read: {what}. It holds access_key_id, secret_access_key and, if there is one, session_token, \
             each as name = \"value\""
        ))
    })
}

impl ProvideCredentials for CredentialsSource {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.read().map_err(CredentialsError::provider_error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_or_that_is_none_is_refused_without_showing_a_secret() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("credentials");
        let source = CredentialsSource::new(Some(path.clone()));
        let set = |text: &str, mode: u32| {
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let good = "access_key_id = \"AK\"\nsecret_access_key = \"hush\"\nsession_token = \"t\"\n";
        set(good, 0o640);
        assert!(source.read().err().unwrap().to_string().contains("chmod 600"));
        set(good, 0o600);
        let read = source.read().unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("AK", Some("t")));
        for bad in [
            "secret_access_key = \"hush\n",
            "access_key_id = \"AK\"\nsecret_access_key = \"hush\"\nhush = 1\n",
        ] {
            set(bad, 0o600);
            let said = source.read().err().unwrap().to_string();
            assert!(said.contains("cannot be read") && !said.contains("hush\""), "{said}");
        }
    }
}
