//! The requests to one bucket, as blocking calls.
//! Guarantee: at most [`UNDER_WAY`] requests at a time; each attempt has a time limit; after [`ATTEMPTS`] attempts the call fails; no
//! answer is read beyond the longest object. Any thread may call, async or not.
//! Not here: what a store does with them (`super`).
//!
//! Traps: SDK defaults send checksums as trailers of an `aws-chunked` body, which real servers refuse. So bodies lie in memory, and
//! both digests go as headers.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumMode, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode,
    ObjectLockRetention, ObjectLockRetentionMode, ServerSideEncryption,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::credentials::CredentialsSource;
use super::failure::{Failure, FailureKind};
use crate::contract::READ_BYTES_MAX;
use crate::s3_settings::{LockMode, Retention, S3Settings};

/// Requests under way at a time; other callers wait. With bodies of 8 MiB, a slow store can hold up 128 MiB.
const UNDER_WAY: usize = 16;
/// Attempts of one request, the first included.
const ATTEMPTS: u32 = 4;
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// One bucket, and how to talk to it.
pub struct Bucket {
    pub client: Client,
    pub name: String,
    kms_key: Option<String>,
    room: Arc<Semaphore>,
    /// `None` only while the value is being dropped.
    runtime: Option<Runtime>,
}

/// An object to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    /// `If-None-Match: *`
    pub only_new: bool,
    pub lock: Option<LockUntil>,
    /// The bytes whose digests go into the headers. Only the probe passes bytes that differ from `bytes`.
    pub sha256_of: &'a [u8],
    pub md5_of: &'a [u8],
}

impl<'a> Put<'a> {
    pub fn new(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name, bytes, only_new: false, lock: None, sha256_of: bytes, md5_of: bytes }
    }
}

/// A retention with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockUntil {
    pub mode: LockMode,
    pub until: SystemTime,
}

impl LockUntil {
    /// Cut to whole seconds, because servers keep only those.
    fn seconds(self) -> i64 {
        let since = self.until.duration_since(SystemTime::UNIX_EPOCH);
        // Saturating is correct here: a lock until the last date that can be written is as good as a longer
        // one.
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// True if `found` keeps the object at least as long and as strictly as this.
    pub(crate) fn is_met_by(self, found: Self) -> bool {
        found.mode >= self.mode && found.seconds() >= self.seconds()
    }
}

/// The answer of HEAD about an object.
#[derive(Debug, Clone)]
pub struct Head {
    pub length: u64,
    pub sha256: Option<String>,
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub struct Version {
    pub name: String,
    pub id: String,
    pub is_marker: bool,
}

/// Base64 of SHA-256, in the form that the header needs.
pub fn sha256_header(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

impl Bucket {
    /// Makes a client. It sends nothing yet.
    ///
    /// # Errors
    /// If the settings, the CA file or the credentials cannot be used.
    pub fn new(settings: &S3Settings) -> Result<Self, Failure> {
        Self::with(settings, |config| config)
    }

    /// As `new`, but the caller may change the SDK's settings last. Tests set the clock this way.
    pub fn with(settings: &S3Settings, last: impl FnOnce(Builder) -> Builder) -> Result<Self, Failure> {
        let unusable = |text: String| Failure::ours(FailureKind::Permanent, text);
        settings.check().map_err(unusable)?;
        let credentials = CredentialsSource::new(settings.credentials.clone());
        // Check now, so that a wrong mode is reported at the start and not with the first segment.
        credentials.read().map_err(|error| unusable(error.to_string()))?;
        let trust = match &settings.ca_file {
            None => TrustStore::default(),
            Some(path) => {
                let pem = fs_err::read(path).map_err(|error| unusable(error.to_string()))?;
                // An empty or wrong file would make a trust store that trusts nobody. The error would then
                // come late.
                if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
                    let path = path.display();
                    return Err(unusable(format!("{path} holds no certificate in PEM form")));
                }
                TrustStore::empty().with_pem_certificate(pem)
            }
        };
        let tls = TlsContext::builder().with_trust_store(trust).build();
        let tls = tls.map_err(|error| unusable(format!("the authorities cannot be used: {error}")))?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls)
            .build_https();
        let times = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(Duration::from_secs(settings.timeout_s))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(Duration::from_millis(200))
            .with_max_backoff(Duration::from_secs(5));
        let config = Builder::new()
            .behavior_version_latest()
            .http_client(http)
            .credentials_provider(credentials)
            // Read the file for each request, so that a rotated key or session takes effect at once.
            .identity_cache(IdentityCache::no_cache())
            .region(Region::new(settings.region.clone()))
            .endpoint_url(&settings.endpoint)
            .force_path_style(settings.path_style)
            .timeout_config(times)
            .retry_config(retries)
            // If a clock is wrong by minutes, the operator must learn it. We must not hide it.
            .disable_clock_skew_correction(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(|error| unusable(format!("start a thread for requests: {error}")))?;
        Ok(Self {
            client: Client::from_conf(last(config).build()),
            name: settings.bucket.clone(),
            kms_key: settings.kms_key.clone(),
            room: Arc::new(Semaphore::new(UNDER_WAY)),
            runtime: Some(runtime),
        })
    }

    /// Runs a request on our own thread and waits. `block_on` would panic if the caller is an async thread.
    pub fn wait<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let ended = || Failure::ours(FailureKind::Transient, "the request's thread ended");
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let (done, answer) = mpsc::sync_channel(1);
        let room = Arc::clone(&self.room);
        runtime.spawn(async move {
            let _one = room.acquire_owned().await;
            // The caller waits for the result below, so the receiver exists.
            drop(done.send(request.await));
        });
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Stores an object. Returns its version if the bucket keeps versions.
    pub fn put(&self, put: Put<'_>) -> Result<Option<String>, Failure> {
        let mut request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(put.name)
            .content_length(put.bytes.len() as i64)
            .content_type("application/octet-stream")
            .checksum_sha256(sha256_header(put.sha256_of))
            .content_md5(STANDARD.encode(md5::Md5::digest(put.md5_of)))
            .body(ByteStream::from(put.bytes.to_vec()));
        if put.only_new {
            request = request.if_none_match("*");
        }
        if let Some(lock) = put.lock {
            let mode = match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            };
            request = request
                .object_lock_mode(mode)
                .object_lock_retain_until_date(DateTime::from_secs(lock.seconds()));
        }
        if let Some(key) = &self.kms_key {
            request = request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key);
        }
        let kms_key = self.kms_key.clone();
        self.wait(async move {
            let answer = request.send().await.map_err(|error| Failure::of(&error))?;
            // Servers answer 200 to headers that they do not know. If the answer does not confirm encryption, the object lies there in
            // plain.
            if let Some(key) = kms_key
                && !(answer.server_side_encryption() == Some(&ServerSideEncryption::AwsKms)
                    && answer.ssekms_key_id().is_some_and(|id| id.ends_with(key.as_str())))
            {
                return Err(Failure::ours(
                    FailureKind::Permanent,
                    "the server took the object without encrypting it under `kms_key`: give the server that key, or \
                     remove `kms_key` from the settings if it is meant to lie there in plain",
                ));
            }
            Ok(answer.version_id().map(str::to_owned))
        })
    }

    /// The whole object, or the version with that id.
    pub fn get(&self, name: &str, version: Option<&str>) -> Result<Vec<u8>, Failure> {
        let request = self.client.get_object().bucket(&self.name).key(name);
        let request = request.set_version_id(version.map(str::to_owned));
        self.wait(async move {
            let answer = request.send().await.map_err(|error| Failure::of(&error))?;
            let length = answer.content_length();
            collect(answer.body, length, READ_BYTES_MAX).await
        })
    }

    /// Up to `length` bytes from `offset`. An offset past the end returns none.
    pub(crate) fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Vec<u8>, Failure> {
        let wanted = length.min(READ_BYTES_MAX);
        // A request cannot ask for a range of no bytes, and no range passes the largest offset.
        let Some(last) = wanted.checked_sub(1).and_then(|behind| offset.checked_add(behind)) else {
            return Ok(Vec::new());
        };
        let request = self.client.get_object().bucket(&self.name).key(name);
        let request = request.range(format!("bytes={offset}-{last}"));
        self.wait(async move {
            let answer = match request.send().await.map_err(|error| Failure::of(&error)) {
                Err(failure) if failure.kind == FailureKind::Range => return Ok(Vec::new()),
                answer => answer?,
            };
            let is_part = answer.content_range().is_some();
            let size = answer.content_length();
            let mut bytes = collect(answer.body, size, READ_BYTES_MAX).await?;
            if !is_part {
                // A server that does not know ranges has sent the whole object.
                let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
                bytes = bytes.split_off(from);
            }
            bytes.truncate(wanted as usize);
            Ok(bytes)
        })
    }

    pub fn head(&self, name: &str) -> Result<Head, Failure> {
        let request = self.client.head_object().bucket(&self.name).key(name);
        let request = request.checksum_mode(ChecksumMode::Enabled);
        self.wait(async move {
            let answer = request.send().await.map_err(|error| Failure::of(&error))?;
            let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
            let length = length
                .ok_or_else(|| Failure::ours(FailureKind::Permanent, "HEAD answered without a length"))?;
            Ok(Head { length, sha256: answer.checksum_sha256().map(str::to_owned) })
        })
    }

    /// Every object name that begins with this prefix.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        self.wait(async move {
            let (mut names, mut next) = (Vec::new(), None);
            loop {
                let page = request.clone().set_continuation_token(next.clone()).send().await;
                let page = page.map_err(|error| Failure::of(&error))?;
                names.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
                let token = page.next_continuation_token().map(str::to_owned);
                match (page.is_truncated().unwrap_or(false), token) {
                    (false, _) => return Ok(names),
                    (true, token) if token.is_some() && token != next => next = token,
                    // Fail here: a partial list that passes for a whole one would look like lost evidence.
                    (true, _) => {
                        return Err(Failure::ours(FailureKind::Permanent, "the list does not go on"));
                    }
                }
            }
        })
    }

    /// Every version and delete marker whose name begins with this prefix.
    pub fn versions(&self, prefix: &str) -> Result<Vec<Version>, Failure> {
        let request = self.client.list_object_versions().bucket(&self.name).prefix(prefix);
        self.wait(async move {
            let (mut found, mut key, mut id) = (Vec::new(), None, None);
            loop {
                let page = request.clone().set_key_marker(key.clone()).set_version_id_marker(id.clone());
                let page = page.send().await.map_err(|error| Failure::of(&error))?;
                let version = |name: Option<&str>, id: Option<&str>, is_marker| {
                    Some(Version { name: name?.to_owned(), id: id?.to_owned(), is_marker })
                };
                let versions = page.versions().iter();
                found.extend(versions.filter_map(|one| version(one.key(), one.version_id(), false)));
                let markers = page.delete_markers().iter();
                found.extend(markers.filter_map(|one| version(one.key(), one.version_id(), true)));
                let next = (
                    page.next_key_marker().map(str::to_owned),
                    page.next_version_id_marker().map(str::to_owned),
                );
                match page.is_truncated().unwrap_or(false) {
                    false => return Ok(found),
                    true if next.0.is_some() && next != (key.clone(), id.clone()) => (key, id) = next,
                    true => return Err(Failure::ours(FailureKind::Permanent, "the list does not go on")),
                }
            }
        })
    }

    /// Deletes an object, or one version for good. If the bucket keeps versions, deleting the object only
    /// adds a delete marker.
    pub fn delete(&self, name: &str, version: Option<&str>, bypass: bool) -> Result<(), Failure> {
        let request = self.client.delete_object().bucket(&self.name).key(name);
        let mut request = request.set_version_id(version.map(str::to_owned));
        if bypass {
            request = request.bypass_governance_retention(true);
        }
        self.wait(async move { request.send().await.map(drop).map_err(|error| Failure::of(&error)) })
    }

    /// True when the bucket keeps versions.
    pub(crate) fn is_versioned(&self) -> Result<bool, Failure> {
        let request = self.client.get_bucket_versioning().bucket(&self.name);
        self.wait(async move {
            let answer = request.send().await.map_err(|error| Failure::of(&error))?;
            Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
        })
    }

    /// `None` without Object Lock, otherwise the bucket's own retention, if it has one.
    pub(crate) fn lock_configuration(&self) -> Result<Option<Option<Retention>>, Failure> {
        let request = self.client.get_object_lock_configuration().bucket(&self.name);
        self.wait(async move {
            let answer = request.send().await.map_err(|error| Failure::of(&error))?;
            let Some(configuration) = answer.object_lock_configuration() else {
                return Ok(None);
            };
            let rule = configuration.rule().and_then(|rule| rule.default_retention());
            Ok(Some(rule.and_then(|rule| {
                let days = rule.days().or_else(|| rule.years().and_then(|years| years.checked_mul(365)));
                let days = u32::try_from(days?).ok()?;
                Some(Retention { mode: mode_of(rule.mode()?)?, days })
            })))
        })
    }

    /// The retention of an object, or of one version; `None` when it has none.
    pub fn retention(&self, name: &str, version: Option<&str>) -> Result<Option<LockUntil>, Failure> {
        let request = self.client.get_object_retention().bucket(&self.name).key(name);
        let request = request.set_version_id(version.map(str::to_owned));
        self.wait(async move {
            let answer = match request.send().await.map_err(|error| Failure::of(&error)) {
                // This is the answer for an object without retention, and from a server without retention.
                Err(failure) if failure.is_no_lock() => return Ok(None),
                answer => answer?,
            };
            Ok(answer.retention().and_then(|retention| {
                let seconds = u64::try_from(retention.retain_until_date()?.secs()).ok()?;
                let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
                Some(LockUntil { mode: mode_of(retention.mode()?)?, until })
            }))
        })
    }

    /// Sets a retention on an object, or on one version.
    pub fn retain(&self, name: &str, version: Option<&str>, lock: LockUntil) -> Result<(), Failure> {
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(DateTime::from_secs(lock.seconds()))
            .build();
        let request = self.client.put_object_retention().bucket(&self.name).key(name);
        let request = request.set_version_id(version.map(str::to_owned)).retention(retention);
        self.wait(async move { request.send().await.map(drop).map_err(|error| Failure::of(&error)) })
    }

    /// Sets or clears the legal hold of one version.
    pub fn hold(&self, name: &str, version: Option<&str>, held: bool) -> Result<(), Failure> {
        let status = if held { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let request = self.client.put_object_legal_hold().bucket(&self.name).key(name);
        let hold = ObjectLockLegalHold::builder().status(status).build();
        let request = request.set_version_id(version.map(str::to_owned)).legal_hold(hold);
        self.wait(async move { request.send().await.map(drop).map_err(|error| Failure::of(&error)) })
    }

    /// True when a version is under legal hold.
    pub fn is_held(&self, name: &str, version: Option<&str>) -> Result<bool, Failure> {
        let request = self.client.get_object_legal_hold().bucket(&self.name).key(name);
        let request = request.set_version_id(version.map(str::to_owned));
        self.wait(async move {
            match request.send().await.map_err(|error| Failure::of(&error)) {
                Err(failure) if failure.is_no_lock() => Ok(false),
                Err(failure) => Err(failure),
                Ok(answer) => {
                    let status = answer.legal_hold().and_then(|hold| hold.status());
                    Ok(status == Some(&ObjectLockLegalHoldStatus::On))
                }
            }
        })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // A plain drop would panic on an async thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn mode_of(mode: &ObjectLockRetentionMode) -> Option<LockMode> {
    match mode {
        ObjectLockRetentionMode::Compliance => Some(LockMode::Compliance),
        ObjectLockRetentionMode::Governance => Some(LockMode::Governance),
        _ => None,
    }
}

/// Reads a body. Refuses one that is longer than the limit or shorter than announced.
async fn collect(mut body: ByteStream, length: Option<i64>, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let announced = length.and_then(|length| u64::try_from(length).ok());
    let too_long =
        || Failure::ours(FailureKind::Permanent, "the object is longer than any such object may be");
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).or(Err(too_long()))?);
    loop {
        let chunk = body
            .try_next()
            .await
            .map_err(|error| Failure::ours(FailureKind::Transient, format!("the answer was cut: {error}")))?;
        let Some(chunk) = chunk else { break };
        if (bytes.len() + chunk.len()) as u64 > bytes_max {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    if announced.is_some_and(|length| bytes.len() as u64 != length) {
        return Err(Failure::ours(FailureKind::Transient, "the answer was cut"));
    }
    Ok(bytes)
}
