//! Work that blocks on disks, off the threads that serve connections.

use crate::failure::{Failure, OrFailure as _};

/// Runs work that blocks on disks on a thread of its own.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.or_internal("finish a piece of work")
}
