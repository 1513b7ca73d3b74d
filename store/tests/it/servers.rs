//! Stores on real S3 servers, which `packaging/run-tests.py stores` starts (packaging/test-s3).
//! A variable names each server by the path of its `ready` file. If it is not set, the test says that it was skipped.

mod conformance_table;
mod encryption;
mod faults;
mod lock;
mod proxy;
mod tls;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetentionMode, ObjectLockRule, VersioningConfiguration,
};
use sha2::{Digest as _, Sha256};

use store::raw_bucket::Bucket;
use store::{Key, LockMode, Retention, S3Settings, S3Store, StoreIdentity};

/// A running S3 server.
struct Server {
    facts: BTreeMap<String, String>,
    place: tempfile::TempDir,
}

/// What a bucket is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Versioned,
    /// Object Lock, without a retention of its own.
    Lock,
    /// Object Lock with a retention of its own.
    Retaining(Retention),
}

const ONE_DAY: Retention = Retention { mode: LockMode::Compliance, days: 1 };

impl Server {
    /// The server that a variable names, or `None` with a word why.
    fn named(name: &'static str, variable: &str) -> Option<Self> {
        let Some(ready) = std::env::var_os(variable) else {
            println!("SKIPPED servers on {name}: {variable} is not set; run `make test-stores`");
            return None;
        };
        let text = fs_err::read_to_string(ready).unwrap();
        let facts = text.lines().filter_map(|line| line.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let place = tempfile::tempdir().unwrap();
        let server = Self { facts, place };
        server.write_credentials(&server.facts["S3_KEY_ID"], &server.facts["S3_SECRET"]);
        Some(server)
    }

    fn ceph() -> Option<Self> {
        Self::named("Ceph RGW", "EXHIBIT_TEST_CEPH")
    }

    fn credentials(&self) -> PathBuf {
        self.place.path().join("credentials")
    }

    fn write_credentials(&self, id: &str, secret: &str) {
        let text = format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n");
        fs_err::write(self.credentials(), text).unwrap();
        fs_err::set_permissions(self.credentials(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Makes a person of a Ceph, whose access key is the person's id, and has the stores use that key from now on.
    fn become_person(&self, id: &str, secret: &str) {
        let user =
            ["user", "create", "--uid", id, "--display-name", id, "--access-key", id, "--secret-key", secret];
        self.admin(&user);
        self.write_credentials(id, secret);
    }

    /// `radosgw-admin` of a Ceph.
    fn admin(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("radosgw-admin");
        command.args(["-c", &self.facts["S3_CONF"], "-n", "client.rgw.a"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn settings(&self, bucket: &str) -> S3Settings {
        let text = format!("endpoint = {:?}\nbucket = {bucket:?}\n", self.facts["S3_HTTP"]);
        S3Settings {
            credentials: Some(self.credentials()),
            region: self.facts.get("S3_REGION").cloned().unwrap_or_else(|| "us-east-1".to_owned()),
            ..S3Settings::parse(&text).unwrap()
        }
    }

    /// Makes a bucket, as its operator would, and settings for a store in it.
    fn bucket(&self, kind: Kind) -> S3Settings {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let settings = self.settings(&format!("evidence-{}-{number}", std::process::id()));
        let bucket = Bucket::new(&settings).unwrap();
        let name = bucket.name.clone();
        let create = bucket.client.create_bucket().bucket(&name);
        let create = create.object_lock_enabled_for_bucket(matches!(kind, Kind::Lock | Kind::Retaining(_)));
        bucket.wait(async move { Ok(create.send().await.unwrap()) }).unwrap();
        match kind {
            Kind::Plain | Kind::Lock => {}
            Kind::Versioned => {
                let versions =
                    VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
                let set =
                    bucket.client.put_bucket_versioning().bucket(&name).versioning_configuration(versions);
                bucket.wait(async move { Ok(set.send().await.unwrap()) }).unwrap();
            }
            Kind::Retaining(retention) => {
                let mode = match retention.mode {
                    LockMode::Governance => ObjectLockRetentionMode::Governance,
                    LockMode::Compliance => ObjectLockRetentionMode::Compliance,
                };
                let days = i32::try_from(retention.days).unwrap();
                let rule = DefaultRetention::builder().mode(mode).days(days).build();
                let rule = ObjectLockRule::builder().default_retention(rule).build();
                let enabled =
                    ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled);
                let configuration = enabled.rule(rule).build();
                let set = bucket.client.put_object_lock_configuration().bucket(&name);
                let set = set.object_lock_configuration(configuration);
                bucket.wait(async move { Ok(set.send().await.unwrap()) }).unwrap();
            }
        }
        settings
    }
}

fn identity(settings: &S3Settings) -> StoreIdentity {
    StoreIdentity {
        store: "bucket-1".to_owned(),
        deployment: "acme".to_owned(),
        created: "2026-11-22T00:00:00.000Z".to_owned(),
        domain: settings.failure_domain(),
    }
}

/// A new store below a prefix of its own.
fn fresh_store(settings: &S3Settings) -> Arc<S3Store> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("p{}/", NUMBER.fetch_add(1, Ordering::SeqCst));
    let settings = S3Settings { prefix, ..settings.clone() };
    Arc::new(S3Store::initialise(&settings, &identity(&settings)).unwrap())
}

/// Key of a segment with these bytes.
fn key(bytes: &[u8]) -> Key {
    Key::segment(&[0xaa; 32], 0, &Sha256::digest(bytes).into())
}

/// An error with its cause, as the log shows it.
fn said(error: &store::StoreError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

fn ca(server: &Server) -> PathBuf {
    Path::new(&server.facts["S3_CA"]).to_owned()
}
