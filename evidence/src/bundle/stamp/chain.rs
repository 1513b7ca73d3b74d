//! Checks that the signer of a stamp chains to a pinned certificate and may stamp.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::der::oid;
use crate::time::Time;

/// Most pinned certificates.
const PINNED_MAX: usize = 16;
/// `id-kp-timeStamping`, RFC 3161 section 2.3.
const TIME_STAMPING: &[u8] = &oid([43, 6, 1, 5, 5, 7, 3, 8]);

/// Checks that the signer chains to a pinned certificate at the stamp's time, and may stamp. The error says why not.
pub(super) fn check(
    signer: &CertificateDer<'_>,
    inside: &[CertificateDer<'_>],
    pinned: &[CertificateDer<'static>],
    at: Time,
) -> Result<(), String> {
    let anchors: Vec<TrustAnchor<'_>> = pinned
        .iter()
        .take(PINNED_MAX)
        .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
        .collect();
    let signer =
        EndEntityCert::try_from(signer).map_err(|cause| format!("its signer's certificate: {cause}"))?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unix_seconds()));
    let usage = KeyUsage::required(TIME_STAMPING);
    signer
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, inside, at, usage, None, None)
        .map(drop)
        .map_err(|cause| format!("its signer is not one that the pinned tsa.pem lets stamp: {cause}"))
}
