//! `store.json`: which store this is. `init` writes it; nothing writes to a place without it.

use serde::{Deserialize, Serialize};

/// `domain` of a directory store that names no failure domain. The device is then the domain; each start
/// looks it up.
pub const DOMAIN_OF_DEVICE: &str = "device";

/// Longest marker: 4 KiB, so that reading a foreign file of that name costs little.
pub(crate) const MARKER_BYTES_MAX: u64 = 4096;

/// A store's marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreIdentity {
    /// Id of this store within the deployment.
    pub store: String,
    /// Deployment it belongs to.
    pub deployment: String,
    /// When `init` made the store.
    pub created: String,
    /// Failure domain; [`DOMAIN_OF_DEVICE`] if the device decides.
    pub domain: String,
}

impl StoreIdentity {
    /// The marker's bytes: one line.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "four strings cannot fail to serialise")]
        let mut bytes = serde_json::to_vec(self).expect("four strings");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a marker.
    ///
    /// # Errors
    /// The error text is for the user.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let identity: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("`store.json` cannot be read: {error}"))?;
        if identity.store.is_empty() || identity.deployment.is_empty() || identity.domain.is_empty() {
            return Err("`store.json` has an empty field".to_owned());
        }
        Ok(identity)
    }
}
