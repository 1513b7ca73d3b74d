//! The files of a bundle: helpers that read and change them, and the folder where a verifier finds them.

use std::path::{Path, PathBuf};

use evidence::bundle::{EnrolledKey, SUMS_NAMESPACE, Sums, UNCOVERED};
use evidence::digest::Digest;
use evidence::enrolment::EnrolmentRequest;
use evidence::json;
use evidence::keys::sshsig;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;

use super::*;
use crate::walk::files_below;

pub(super) fn put(files: &mut Files, name: &str, signed: &Signed) {
    files.extend(signed.split(name));
}

/// Writes SHA256SUMS of the files as they are, with its signature by a key.
pub fn sum(files: &mut Files, number: u8) {
    let mut sums = Sums::new();
    for (name, bytes) in files.iter().filter(|(name, _)| !UNCOVERED.contains(&name.as_str())) {
        sums.insert(name, Digest::of(bytes)).unwrap();
    }
    let bytes = sums.encode();
    let armour = sshsig::sign(&key(number), SUMS_NAMESPACE, &bytes).unwrap();
    files.insert("SHA256SUMS".into(), bytes);
    files.insert("SHA256SUMS.sig".into(), armour.into_bytes());
}

/// Reads a document of a bundle, changes it, and writes it back with its old signatures.
pub fn edit<T: serde::de::DeserializeOwned + serde::Serialize>(
    files: &mut Files,
    name: &str,
    change: impl FnOnce(&mut T),
) {
    let mut document: T = json::parse_document(&files[name]).unwrap();
    change(&mut document);
    files.insert(name.into(), json::to_document(&document).unwrap());
}

/// The collections of a bundle by the endpoint and generation that their delegations name.
pub fn collections_by_endpoint(files: &Files) -> BTreeMap<(String, u32), Vec<Digest>> {
    let mut found: BTreeMap<(String, u32), Vec<Digest>> = BTreeMap::new();
    for name in
        files.keys().filter(|name| name.starts_with("evidence/") && name.ends_with("/delegation.json"))
    {
        let delegation: Delegation = json::parse_document(&files[name]).unwrap();
        let of = (delegation.endpoint.to_string(), delegation.generation.number());
        found.entry(of).or_default().push(delegation.collection);
    }
    found
}

/// The enrolments of a bundle, last name first: no test may depend on the order of its endpoints.
pub fn enrolled(files: &Files) -> Vec<EnrolledKey> {
    let names =
        files.keys().filter(|name| name.starts_with("deployment/enrolment-") && name.ends_with(".json"));
    let read = |name: &String| json::parse_document::<EnrolmentRequest>(&files[name]).unwrap();
    names.rev().map(|name| EnrolledKey::from(&read(name))).collect()
}

/// The files of the trust directory.
pub fn trust_files() -> Files {
    let policy = format!("log {}\nquorum none\n", log_key(LOG, "exhibit/acme"));
    Files::from([
        ("authority".to_owned(), authority().to_trust_file().into_bytes()),
        ("policy".to_owned(), policy.into_bytes()),
    ])
}

/// Writes the files below a folder.
pub fn save(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

/// The files below a folder.
pub fn read(folder: &Path) -> Files {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    files_below(folder).iter().map(|path| (name(path), fs_err::read(path).unwrap())).collect()
}

/// A folder whose name breaks careless scripts: shells on blanks, tar on a colon, and both on non-ASCII characters.
const ODD_PLACE: &str = "a b/host:dïr ☃ [x]/-案件 'q'";

/// A bundle and a trust directory on disk, below a folder with blanks and non-ASCII characters in its name.
pub struct Laid {
    folder: tempfile::TempDir,
}

impl Laid {
    pub fn out(bundle: &Files, trust: &Files) -> Self {
        let laid = Self { folder: tempfile::tempdir().unwrap() };
        save(bundle, &laid.bundle());
        save(trust, &laid.trust());
        laid
    }

    /// The folder of both, for other files of a test.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join(ODD_PLACE)
    }

    pub fn bundle(&self) -> PathBuf {
        self.folder().join("bundle")
    }

    pub fn trust(&self) -> PathBuf {
        self.folder().join("my träst")
    }
}
