//! TLS identity: who is at the other end of a connection, how they got that identity, and how it is taken away.
//!
//! Guarantee: every connection is TLS 1.3, with a certificate of the deployment's own authority at each end that needs
//! one. The identity that a handler sees is the one that the handshake proved. A revoked or expired identity is cut off, even while
//! it is in use. Format: docs/spec/enrolment.md. Not here: evidence keys, rosters, tokens (`evidence`). None of them ever
//! depends on a certificate: a hijacked collector can issue any certificate and still orders nothing.
//!
//! In reading order: an [`authority::Authority`] writes a [`name::Identity`] into a certificate for a [`key`] on a [`request`];
//! [`identity`] keeps the certificate on disk; [`tls`] shows and checks it; [`certificate`] reads it back; a [`connection`] that a
//! [`listener`] accepted or [`connect`] opened holds it; [`revocation`] registers the connection; [`access`] checks each call against
//! its table.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

pub mod access;
pub mod authority;
pub mod certificate;
pub mod connect;
pub mod connection;
pub mod identity;
pub mod key;
pub mod listener;
pub mod name;
mod rate;
pub mod request;
pub mod revocation;
pub mod tls;

/// The DNS name that every client asks for, whatever address it dials. `.invalid` never resolves (RFC 2606).
pub const COLLECTOR_NAME: &str = "collector.exhibit.invalid";
