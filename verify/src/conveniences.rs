//! The check `conveniences`: the keys that a bundle offers to stock tools are those of the checked documents and of the pins.
//! Guarantee: each file is compared with the bytes that `evidence::bundle` makes of the checked documents.

use evidence::bundle::{EnrolledKey, allowed_signers, ca_pem, log_vkey};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::entries::Entries;
use crate::files::Files;
use crate::fold::endpoints::Endpoints;
use crate::rosters::Rosters;
use crate::trust::Trust;

/// Most certificates of `ca.pem`.
const CERTIFICATES_MAX: usize = 8;

/// Compares each key file in the bundle. The report names those that it has.
pub(crate) fn check(
    files: &Files<'_>,
    rosters: &Rosters,
    endpoints: &Endpoints,
    trust: &Trust,
    entries: &Entries,
    size: u64,
) -> Result<String, String> {
    let mut found = Vec::new();
    if let Some(bytes) = files.bytes("deployment/allowed_signers")? {
        let newest = rosters.newest().ok_or("the bundle has no roster")?;
        if bytes != allowed_signers(newest.roster(), endpoints.all().map(EnrolledKey::from)) {
            return Err(
                "deployment/allowed_signers is not that of the newest roster and the endpoints".to_owned()
            );
        }
        found.push("allowed_signers");
    }
    if let Some(bytes) = files.bytes("deployment/log.vkey")? {
        // If the log changed its key, the bundle holds the key in force at its head.
        let logs = trust.policy.logs().iter();
        let mut in_force = logs.filter(|log| (log.from..=log.to).contains(&size));
        if !in_force.any(|log| log_vkey(&log.key) == bytes) {
            return Err("deployment/log.vkey is not the pinned log key".to_owned());
        }
        found.push("log.vkey");
    }
    if let Some(bytes) = files.bytes("deployment/ca.pem")? {
        ca(&bytes, entries)?;
        found.push("ca.pem");
    }
    Ok(if found.is_empty() {
        "none".to_owned()
    } else {
        format!("{}: as the checked documents say", found.join(", "))
    })
}

/// Checks that `ca.pem` is one certificate in its one spelling, and that `log.genesis` names it if the bundle holds that entry.
fn ca(bytes: &[u8], entries: &Entries) -> Result<(), String> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(bytes).take(CERTIFICATES_MAX).collect();
    let certificates = certificates.map_err(|cause| format!("deployment/ca.pem: {}", chain(&cause)))?;
    let [certificate] = certificates.as_slice() else {
        return Err("deployment/ca.pem does not hold exactly one certificate".to_owned());
    };
    if bytes != ca_pem(certificate) {
        return Err("deployment/ca.pem is not in the one spelling of RFC 7468".to_owned());
    }
    let digest = Digest::of(certificate.as_ref()).to_string();
    match entries.of_deployment(EntryType::LogGenesis).next() {
        Some(genesis) if genesis.reference("ca") != Some(digest.as_str()) => {
            Err("deployment/ca.pem is not the one of log.genesis".to_owned())
        }
        _ => Ok(()),
    }
}
