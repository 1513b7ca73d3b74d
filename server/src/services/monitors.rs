//! Serves the files of the log to monitors (c2sp.org/tlog-tiles): `GET /ledger/checkpoint` and `/ledger/tile/…` on the main listener.
//!
//! Guarantee: it serves only files of the log, and only to callers that may read its entries (`certs::access`). Not here: whether a
//! tile is right. A monitor checks tiles against the checkpoint, and so finds a store with a damaged one; fsck does the same.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use store::{Key, KeyKind, ReplicaError};

use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::chain;

/// The caching rule for tiles and bundles, which never change.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// The routes. The access table stands in front of them.
pub fn routes(collector: Arc<Collector>) -> axum::Router {
    axum::Router::new().route("/ledger/{*path}", get(file)).with_state(collector)
}

async fn file(State(collector): State<Arc<Collector>>, Path(path): Path<String>) -> Response {
    let Ok(key) = Key::parse(&format!("ledger/{path}")) else {
        return (StatusCode::NOT_FOUND, "the log has no such file\n").into_response();
    };
    match key.kind() {
        KeyKind::Checkpoint => {
            let published = collector.recorder.sequencer().log().published();
            let kind =
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
            (kind, published.note.to_vec()).into_response()
        }
        KeyKind::Tile => tile(&collector, key).await,
        _ => (StatusCode::NOT_FOUND, "the log has no such file\n").into_response(),
    }
}

async fn tile(collector: &Collector, key: Key) -> Response {
    let replicas = collector.replicas.clone();
    let name = key.to_string();
    match blocking(move || replicas.read(&key)).await {
        Ok(Ok(bytes)) => {
            let kind =
                [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, FOR_EVER)];
            (kind, bytes).into_response()
        }
        Ok(Err(ReplicaError::Unreadable { .. })) => {
            (StatusCode::NOT_FOUND, "the log has no such tile\n").into_response()
        }
        Ok(Err(error)) => {
            tracing::warn!(key = name, cause = %chain(&error), "A tile could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n").into_response()
        }
        Err(failure) => {
            tracing::error!(key = name, cause = %chain(&failure), "A tile could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "the collector's log says why\n").into_response()
        }
    }
}
