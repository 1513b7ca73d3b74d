//! The access table in front of every service. Only the health check stands outside: it reveals nothing, and every peer may call it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use certs::access::{Access, AccessLayer};
use tonic::body::Body;
use tower::{Layer, Service};

/// Prefix of the health service's methods (gRPC health checking protocol).
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Puts the access table in front of a server.
#[derive(Clone, Debug)]
pub struct GateLayer(pub AccessLayer);

impl<S: Clone> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { open: inner.clone(), guarded: self.0.layer(inner) }
    }
}

/// A server behind the access table, except for its health check.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    open: S,
    guarded: Access<S>,
}

impl<S> Service<http::Request<Body>> for Gate<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Both are one service: a router is always ready, and tower requires that both were polled.
        match self.open.poll_ready(context) {
            Poll::Ready(Ok(())) => self.guarded.poll_ready(context),
            other => other,
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) {
            Box::pin(self.open.call(request))
        } else {
            Box::pin(self.guarded.call(request))
        }
    }
}
