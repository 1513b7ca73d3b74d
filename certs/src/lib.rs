//! TLS identity: who is at the other end of a connection, how they came by that identity, how it is taken away.
//!
//! Guarantee: every connection is TLS 1.3 with a certificate of the deployment's own authority at each end that needs
//! one; the identity a handler sees is the one the handshake proved; what is revoked or has ended is cut, also while
//! it is in use. Format: docs/spec/enrolment.md. Not here: evidence keys, rosters, tokens (`evidence`), which never
//! travel by way of a certificate: a taken-over collector can issue any of these and still orders nothing.
//!
//! In reading order: a [`name::Identity`] is written into a certificate by an [`authority::Authority`] on a
//! [`request`], kept on disk by [`identity`], shown and checked by [`tls`], read back by [`certificate`], held by a
//! [`connection`] that a [`listener`] accepted or [`connect`] opened, registered in [`revocation`], and weighed
//! against the table in [`access`].
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

pub mod access;
pub mod authority;
pub mod certificate;
pub mod connect;
pub mod connection;
pub mod identity;
pub mod listener;
pub mod name;
mod rate;
pub mod request;
pub mod revocation;
pub mod tls;

/// The DNS name every client asks for, whatever address it dials; `.invalid` never resolves (RFC 2606).
pub const COLLECTOR_NAME: &str = "collector.exhibit.invalid";
