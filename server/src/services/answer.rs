//! Answers that several services give: the entry of a recorded act with its proof, and a list in parts.

use proto::v1::ActResponse;
use tonic::{Response, Status};

use crate::log::recorder::Recorded;

/// A recorded act as an answer.
pub fn answer(recorded: Recorded) -> Response<ActResponse> {
    Response::new(ActResponse { entry: Some(recorded.proven.into()) })
}

/// The messages of a list, all made before the first is sent.
pub type Parts<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

/// A list as `proto::parts::split` spread it. A slow reader slows only this stream.
pub fn in_parts<T>(parts: Vec<T>) -> Response<Parts<T>> {
    Response::new(tokio_stream::iter(parts.into_iter().map(Ok).collect::<Vec<_>>()))
}
