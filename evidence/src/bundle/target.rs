//! `orders/<order>.targets/<endpoint>.json`: an endpoint's place in the order's list of targets.

use crate::id::EndpointId;
use crate::json::{self, JsonError};
use crate::order::TargetSet;

/// The file; `None` when the endpoint is no target of the order.
pub fn target_proof(targets: &TargetSet, endpoint: &EndpointId) -> Result<Option<Vec<u8>>, JsonError> {
    targets.proof(endpoint).map(|proof| json::to_document(&proof)).transpose()
}
