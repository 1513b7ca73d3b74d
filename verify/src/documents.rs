//! Signed documents as a bundle files them: `NAME.json` with its signatures beside it.

use evidence::causes::chain;
use evidence::keys::PublicKey;
use evidence::signed::{Signed, signature_name};

use crate::files::Files;

/// Reads `NAME.json` with its signatures.
pub(crate) fn signed(files: &Files<'_>, name: &str) -> Result<Signed, String> {
    let document = files.required(&format!("{name}.json"))?;
    let mut signatures = Vec::new();
    while let Some(bytes) = files.bytes(&signature_name(name, signatures.len().saturating_add(1)))? {
        let armour =
            String::from_utf8(bytes).map_err(|cause| format!("{name}: signature is not text: {cause}"))?;
        signatures.push(armour);
    }
    Signed::from_parts(document, signatures).map_err(|cause| format!("{name}: {}", chain(&cause)))
}

/// The key of the one signature, verified.
pub(crate) fn signer(signed: &Signed, namespace: &str) -> Result<PublicKey, String> {
    let signers = signed.verify_all(namespace).map_err(|cause| chain(&cause))?;
    match signers.as_slice() {
        [key] => Ok(key.clone()),
        _ => Err("not exactly one signature".to_owned()),
    }
}
