//! Signed documents in a bundle: `NAME.json` and its signatures `NAME.json.sig`, `NAME.json.2.sig` and so on.

use evidence::causes::chain;
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
