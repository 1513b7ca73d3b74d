//! Signed documents in a bundle: `NAME.json` and its signatures `NAME.json.sig`, `NAME.json.2.sig` and so on.

use evidence::causes::chain;
use evidence::keys::PublicKey;
use evidence::signed::{Signed, signature_name};

use crate::files::Files;

/// Reads `NAME.json` with its signatures.
pub(crate) fn signed(files: &Files<'_>, name: &str) -> Result<Signed, String> {
    let document = files.required(&format!("{name}.json"))?;
    let mut signatures = Vec::new();
    while let Some(bytes) = files.bytes(&signature_name(name, signatures.len() + 1))? {
        let armour =
            String::from_utf8(bytes).map_err(|cause| format!("{name}: signature is not text: {cause}"))?;
        signatures.push(armour);
    }
    Signed::from_parts(document, signatures).map_err(|cause| format!("{name}: {}", chain(&cause)))
}

/// Verifies the document's one signature and returns its key. More or fewer signatures are an error.
pub(crate) fn signer(signed: &Signed, namespace: &str) -> Result<PublicKey, String> {
    let signers = signed.verify_all(namespace).map_err(|cause| chain(&cause))?;
    match signers.as_slice() {
        [key] => Ok(key.clone()),
        _ => Err("not exactly one signature".to_owned()),
    }
}
