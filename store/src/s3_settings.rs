//! The settings of a bucket. They hold no secret: credentials lie in a file of their own.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::toml_text::quoted;

/// Longest prefix; together with the longest key it stays below the 1024 bytes of an object name.
const PREFIX_BYTES_MAX: usize = 200;
/// Longest retention that settings may ask for: a century. More than that is a typing error.
const RETENTION_DAYS_MAX: u32 = 36_525;

/// Settings of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// `https://host[:port]`; `http://` for tests and for servers behind a proxy on this machine.
    pub endpoint: String,
    /// Region that requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of every key: empty, or ends in `/`.
    #[serde(default)]
    pub prefix: String,
    /// File of mode 0600 with the credentials. If `None`, the environment's `AWS_…` variables are used.
    pub credentials: Option<PathBuf>,
    /// PEM file of the authorities that certify the server. If `None`, those of the machine are used.
    pub ca_file: Option<PathBuf>,
    /// True if the bucket's name goes into the path and not into the host name.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// Id of the key that the server encrypts with (SSE-KMS).
    pub kms_key: Option<String>,
    /// Retention put on each object.
    pub retention: Option<Retention>,
    /// Failure domain; `s3 <host>` if `None`.
    pub domain: Option<String>,
    /// Seconds that one attempt of one request may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
}

/// How long an object is protected from deletion, and against whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Against whom.
    pub mode: LockMode,
    /// Days from the write.
    pub days: u32,
}

/// Mode of an S3 Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Holders of the bypass right may delete.
    Governance,
    /// Nobody may delete.
    Compliance,
}

impl LockMode {
    /// The word that settings and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_timeout() -> u64 {
    60
}

fn yes() -> bool {
    true
}

impl S3Settings {
    /// Reads settings from a file of their own, as in `exhibit-server init --store s3:FILE`.
    ///
    /// # Errors
    /// The error text is for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.check()?;
        Ok(settings)
    }

    /// Refuses settings that would make every request fail.
    ///
    /// # Errors
    /// The error text is for the user.
    pub fn check(&self) -> Result<(), String> {
        let host = self.host();
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            let endpoint = &self.endpoint;
            return Err(format!(
                "endpoint {endpoint:?}: give https://host[:port], without a path and without credentials"
            ));
        }
        let name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !(3..=63).contains(&self.bucket.len()) || !name(&self.bucket) {
            let bucket = &self.bucket;
            return Err(format!("bucket {bucket:?}: a name has 3 to 63 letters, digits, dots and hyphens"));
        }
        let parts_fit = self.prefix.strip_suffix('/').is_none_or(|prefix| {
            prefix.split('/').all(|part| name(part) && !matches!(part, "" | "." | ".."))
        });
        let ends = self.prefix.is_empty() || self.prefix.ends_with('/');
        if !ends || !parts_fit || self.prefix.len() > PREFIX_BYTES_MAX {
            let prefix = &self.prefix;
            return Err(format!(
                "prefix {prefix:?}: it ends in `/` and has letters, digits, dots, hyphens and underscores"
            ));
        }
        if self.timeout_s == 0 {
            return Err("timeout_s must be at least 1".to_owned());
        }
        if self
            .domain
            .as_deref()
            .is_some_and(|domain| domain.is_empty() || domain == crate::identity::DOMAIN_OF_DEVICE)
        {
            return Err(
                "domain: name the failure domain of the bucket, such as a site or provider".to_owned()
            );
        }
        match self.retention {
            Some(Retention { days, .. }) if days == 0 || days > RETENTION_DAYS_MAX => {
                Err(format!("retention: days must be 1 to {RETENTION_DAYS_MAX}"))
            }
            _ => Ok(()),
        }
    }

    /// Host and port of the endpoint.
    pub(crate) fn host(&self) -> &str {
        let endpoint = self.endpoint.strip_suffix('/').unwrap_or(&self.endpoint);
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        // Another scheme gives no host, which `check` refuses.
        host.unwrap_or_default()
    }

    /// Failure domain to write into the marker.
    pub fn failure_domain(&self) -> String {
        self.domain.clone().unwrap_or_else(|| format!("s3 {}", self.host()))
    }

    /// A table of settings: `kind = "s3"` and the rest. Settings that were not given appear as comments.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let Self {
            endpoint,
            region,
            bucket,
            prefix,
            credentials,
            ca_file,
            path_style,
            kms_key,
            retention,
            domain,
            timeout_s,
        } = self;
        let mut line = |comment: &str, name: &str, value: Option<String>, example: &str| {
            if !comment.is_empty() {
                text.push_str(&format!("# {comment}\n"));
            }
            match value {
                Some(value) => text.push_str(&format!("{name} = {value}\n")),
                None => text.push_str(&format!("# {name} = {example}\n")),
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| quoted(&path.display().to_string()));
        line("", "kind", Some(quoted("s3")), "");
        line("", "endpoint", Some(quoted(endpoint)), "");
        line("", "region", Some(quoted(region)), "");
        line("", "bucket", Some(quoted(bucket)), "");
        line("What stands before every key; ends in a slash.", "prefix", Some(quoted(prefix)), "");
        line(
            "File of mode 0600 with access_key_id, secret_access_key and, if there is one, session_token; without it AWS_ACCESS_KEY_ID \
         and its kin of the environment.",
            "credentials",
            path(credentials),
            "\"/etc/exhibit/bucket.credentials\"",
        );
        line(
            "Authorities that vouch for the server, PEM; without it those of this machine.",
            "ca_file",
            path(ca_file),
            "\"/etc/exhibit/bucket-ca.pem\"",
        );
        line("Bucket in the path, not in the host name.", "path_style", Some(path_style.to_string()), "");
        line("SSE-KMS key of the server.", "kms_key", kms_key.as_deref().map(quoted), "\"alias/evidence\"");
        let lock = retention.map(|retention| {
            let mode = quoted(retention.mode.as_str());
            format!("{{ mode = {mode}, days = {} }}", retention.days)
        });
        line(
            "Object Lock for each object but details and the newest checkpoint. Nobody can shorten \"compliance\".",
            "retention",
            lock,
            "{ mode = \"governance\", days = 365 }",
        );
        line(
            "What fails together; stands in the store's own marker since it was made.",
            "domain",
            domain.as_deref().map(quoted),
            "\"provider-2\"",
        );
        line("Seconds for one attempt of one request.", "timeout_s", Some(timeout_s.to_string()), "");
        text
    }

    /// The bucket's place, for people.
    pub fn place(&self) -> String {
        format!("bucket {} at {}, prefix {:?}", self.bucket, self.endpoint, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "endpoint = \"https://s3.example.org:7443\"\nbucket = \"evidence\"\nprefix = \"acme/one/\"\n\
                        retention = { mode = \"compliance\", days = 365 }\n";

    #[test]
    fn settings_have_sane_defaults() {
        let settings = S3Settings::parse(TEXT).unwrap();
        assert!(settings.path_style);
        assert_eq!((settings.timeout_s, settings.region.as_str()), (60, "us-east-1"));
        assert_eq!(settings.failure_domain(), "s3 s3.example.org:7443");
        assert_eq!(settings.retention, Some(Retention { mode: LockMode::Compliance, days: 365 }));
    }

    #[test]
    fn what_would_fail_at_every_request_is_refused_at_once() {
        for (from, to) in [
            ("https://s3", "ftp://s3"),
            ("https://s3", "https://me:secret@s3"),
            (":7443\"", ":7443/path\""),
            ("\"evidence\"", "\"e\""),
            ("\"evidence\"", "\"evi/dence\""),
            ("acme/one/", "acme/one"),
            ("acme/one/", "/"),
            ("acme/one/", "acme/../"),
            ("acme/one/", "acme//"),
            ("compliance", "eternal"),
            ("365", "0"),
            ("365", "1000000"),
            ("bucket =", "secret_access_key = \"x\"\nbucket ="),
            ("bucket =", "domain = \"device\"\nbucket ="),
        ] {
            assert!(TEXT.contains(from), "{from}");
            assert!(S3Settings::parse(&TEXT.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
