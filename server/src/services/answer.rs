//! The answer to a recorded act: its entry with the proof.

use proto::v1::ActResponse;
use tonic::Response;

use crate::log::recorder::Recorded;

/// A recorded act as an answer.
pub fn answer(recorded: Recorded) -> Response<ActResponse> {
    Response::new(ActResponse { entry: Some(recorded.proven.into()) })
}
