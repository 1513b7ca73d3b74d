//! The access table: who may call which method, one row for each method, and the layer that enforces it before any handler runs.
//!
//! Guarantee: a method without a row is refused to everyone. A test fails for a method without a row and for a row
//! without a method.
//! Not here: acts that change custody. They carry their own signature, which the handler checks against the roster:
//! a session only reads and transports. Nor grants within a method (which incident, which object).

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use evidence::id::PersonId;
use proto::status::Class;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::connection::Peer;
use crate::name::{Kind, Subject};

/// May open incidents, sign orders, read and export evidence.
pub const RESPONDER: &str = "responder";
/// May approve orders of others.
pub const APPROVER: &str = "approver";
/// May read evidence and notes.
pub(crate) const ANALYST: &str = "analyst";
/// May read the ledger.
pub(crate) const AUDITOR: &str = "auditor";
/// May sign enrolment tokens and retire endpoints.
pub const ENDPOINT_ADMIN: &str = "endpoint-admin";

/// The callers that may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Everybody who reaches the enrolment listener, which asks for no certificate.
    Anonymous,
    Endpoints,
    /// Every mirror. The handler checks whether the mirror is still admitted.
    Mirrors,
    /// Persons with one of these roles.
    Persons(&'static [&'static str]),
    /// Persons with one of these roles, and mirrors.
    PersonsAndMirrors(&'static [&'static str]),
}

const EVERY_ROLE: &[&str] = &[RESPONDER, APPROVER, ANALYST, AUDITOR, ENDPOINT_ADMIN];
const READS_LEDGER: &[&str] = &[RESPONDER, APPROVER, ANALYST, AUDITOR];
const READS_ORDERS: &[&str] = &[RESPONDER, APPROVER, ANALYST];
const READS_EVIDENCE: &[&str] = &[RESPONDER, ANALYST];

pub const TABLE: &[(&str, Callers)] = &[
    ("/exhibit.v1.AgentService/Attend", Callers::Endpoints),
    ("/exhibit.v1.AgentService/Upload", Callers::Endpoints),
    ("/exhibit.v1.AgentService/Renew", Callers::Endpoints),
    ("/exhibit.v1.EnrolService/Enrol", Callers::Anonymous),
    ("/exhibit.v1.EnrolService/RenewExpired", Callers::Anonymous),
    ("/exhibit.v1.EnrolService/LoginChallenge", Callers::Anonymous),
    ("/exhibit.v1.EnrolService/Login", Callers::Anonymous),
    ("/exhibit.v1.EnrolService/CertifyMirror", Callers::Anonymous),
    // Evidence leaves here without an access entry: for replication, to a machine that a person admitted.
    ("/exhibit.v1.MirrorService/Follow", Callers::Mirrors),
    ("/exhibit.v1.MirrorService/Fetch", Callers::Mirrors),
    ("/exhibit.v1.MirrorService/Replicated", Callers::Mirrors),
    ("/exhibit.v1.MirrorService/Wanted", Callers::Mirrors),
    ("/exhibit.v1.MirrorService/Offer", Callers::Mirrors),
    ("/exhibit.v1.MirrorService/Disposed", Callers::Mirrors),
    ("/exhibit.v1.IncidentService/OpenIncident", Callers::Persons(&[RESPONDER])),
    // Notes by analysts, holds and retention by approvers, endpoint.retired by endpoint admins. docs/spec/ledger.md says which
    // act needs which role.
    (
        "/exhibit.v1.IncidentService/RecordAct",
        Callers::Persons(&[RESPONDER, APPROVER, ANALYST, ENDPOINT_ADMIN]),
    ),
    ("/exhibit.v1.IncidentService/ListIncidents", Callers::Persons(READS_ORDERS)),
    ("/exhibit.v1.IncidentService/ShowIncident", Callers::Persons(READS_ORDERS)),
    ("/exhibit.v1.IncidentService/NextIncidentId", Callers::Persons(&[RESPONDER])),
    ("/exhibit.v1.IncidentService/PlanDisposition", Callers::Persons(&[RESPONDER, APPROVER])),
    ("/exhibit.v1.IncidentService/ShowDisposition", Callers::Persons(READS_LEDGER)),
    ("/exhibit.v1.OrderService/IssueOrder", Callers::Persons(&[RESPONDER])),
    ("/exhibit.v1.OrderService/ApproveOrder", Callers::Persons(&[APPROVER])),
    ("/exhibit.v1.OrderService/ListOrders", Callers::Persons(READS_ORDERS)),
    ("/exhibit.v1.OrderService/ShowOrder", Callers::Persons(READS_ORDERS)),
    ("/exhibit.v1.OrderService/WatchOrder", Callers::Persons(READS_ORDERS)),
    ("/exhibit.v1.EvidenceService/ListCollections", Callers::Persons(READS_EVIDENCE)),
    ("/exhibit.v1.EvidenceService/ShowCollection", Callers::Persons(READS_EVIDENCE)),
    ("/exhibit.v1.EvidenceService/ListItems", Callers::Persons(READS_EVIDENCE)),
    ("/exhibit.v1.EvidenceService/ReadItem", Callers::Persons(READS_EVIDENCE)),
    ("/exhibit.v1.EvidenceService/ReadObject", Callers::Persons(READS_EVIDENCE)),
    ("/exhibit.v1.EndpointService/RegisterToken", Callers::Persons(&[ENDPOINT_ADMIN])),
    // Responders address endpoints, approvers judge the address, admins look after them.
    (
        "/exhibit.v1.EndpointService/ListEndpoints",
        Callers::Persons(&[RESPONDER, APPROVER, ANALYST, ENDPOINT_ADMIN]),
    ),
    ("/exhibit.v1.EndpointService/Deployment", Callers::PersonsAndMirrors(EVERY_ROLE)),
    // Whoever holds a checkpoint keeps the operator honest (I6), so nobody is refused one.
    ("/exhibit.v1.LedgerService/Checkpoint", Callers::PersonsAndMirrors(EVERY_ROLE)),
    ("/exhibit.v1.LedgerService/Consistency", Callers::PersonsAndMirrors(EVERY_ROLE)),
    ("/exhibit.v1.LedgerService/Entries", Callers::PersonsAndMirrors(READS_LEDGER)),
    ("/exhibit.v1.LedgerService/LogKeys", Callers::Persons(EVERY_ROLE)),
    ("/exhibit.v1.LedgerService/Prove", Callers::PersonsAndMirrors(READS_LEDGER)),
    ("/exhibit.v1.LedgerService/Fsck", Callers::Persons(&[RESPONDER, AUDITOR])),
    // Taking care of stores reveals nothing of their content.
    ("/exhibit.v1.StoreService/ListStores", Callers::Persons(READS_LEDGER)),
    ("/exhibit.v1.StoreService/Scrub", Callers::Persons(&[RESPONDER, AUDITOR])),
    ("/exhibit.v1.StoreService/Repair", Callers::Persons(&[RESPONDER, AUDITOR])),
    ("/exhibit.v1.BundleService/Export", Callers::Persons(&[RESPONDER])),
    ("/exhibit.v1.BundleService/RecordExport", Callers::Persons(&[RESPONDER])),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// A peer without certificate.
    Anonymous,
    Endpoint,
    Mirror,
    /// A collector: none calls another yet.
    Collector,
    /// A person and their roles in today's roster.
    Person(&'a [String]),
}

/// The table's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The handler may run.
    Allowed,
    /// The method has no row.
    NoSuchMethod,
    /// The method is not for this kind of caller.
    Kind,
    /// The person has none of these roles.
    Role(&'static [&'static str]),
}

/// Prefix of the log's static files (C2SP tlog-tiles, docs/spec/ledger.md).
pub(crate) const TILES: &str = "/ledger/";

/// Reading the log's static files is reading its entries.
const READS_TILES: &str = "/exhibit.v1.LedgerService/Entries";

/// Looks up the table.
#[must_use]
pub fn allowed(method: &str, who: Who<'_>) -> Decision {
    let method = if method.starts_with(TILES) { READS_TILES } else { method };
    let Some((_, callers)) = TABLE.iter().find(|(path, _)| *path == method) else {
        return Decision::NoSuchMethod;
    };
    match (callers, who) {
        (Callers::Anonymous, Who::Anonymous)
        | (Callers::Mirrors, Who::Mirror)
        | (Callers::Endpoints, Who::Endpoint)
        | (Callers::PersonsAndMirrors(_), Who::Mirror) => Decision::Allowed,
        (Callers::Persons(roles) | Callers::PersonsAndMirrors(roles), Who::Person(held)) => {
            if held.iter().any(|role| roles.contains(&role.as_str())) {
                Decision::Allowed
            } else {
                Decision::Role(roles)
            }
        }
        _ => Decision::Kind,
    }
}

/// Roles of a person in the roster in force; empty for a stranger. Called for every request, so it must be quick.
pub type Roles = Arc<dyn Fn(&PersonId) -> Vec<String> + Send + Sync>;

/// Enforces the table on every request of a server. Pass it to `Server::layer`.
#[derive(Clone)]
pub struct AccessLayer {
    roles: Roles,
}

impl AccessLayer {
    /// With `roles` as the roster.
    #[must_use]
    pub fn new(roles: Roles) -> Self {
        Self { roles }
    }
}

impl fmt::Debug for AccessLayer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AccessLayer")
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, roles: Arc::clone(&self.roles) }
    }
}

/// A service behind the table.
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    roles: Roles,
}

impl<S> fmt::Debug for Access<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Access")
    }
}

impl<S> Access<S> {
    fn check(&self, method: &str, peer: Option<&Peer>) -> Result<(), tonic::Status> {
        // Without our connection nobody knows who calls, so refuse.
        let peer = peer.ok_or_else(|| Class::Unidentified.status("this connection has no identity"))?;
        let subject = peer.info.as_ref().map(|info| &info.identity.subject);
        let roles = match subject {
            Some(Subject::Person(person)) => (self.roles)(person),
            _ => Vec::new(),
        };
        let who = match subject.map(Subject::kind) {
            None => Who::Anonymous,
            Some(Kind::Endpoint) => Who::Endpoint,
            Some(Kind::Mirror) => Who::Mirror,
            Some(Kind::Collector) => Who::Collector,
            Some(Kind::Person) => Who::Person(&roles),
        };
        let text = match allowed(method, who) {
            Decision::Allowed => return Ok(()),
            Decision::NoSuchMethod => {
                return Err(tonic::Status::unimplemented("this collector has no such method"));
            }
            Decision::Kind => "this method is not for this kind of caller".to_owned(),
            Decision::Role(roles) => {
                format!("needs role {}; ask an administrator of the roster", roles.join(" or "))
            }
        };
        let caller = subject.map(|subject| subject.actor().to_string());
        tracing::warn!(method, caller, address = %peer.address, "Call refused: {text}");
        Err(Class::Forbidden.status(text))
    }
}

impl<S> Service<http::Request<Body>> for Access<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.check(request.uri().path(), request.extensions().get::<Peer>()) {
            Ok(()) => Answer::Inner(Box::pin(self.inner.call(request))),
            Err(status) if request.uri().path().starts_with(TILES) => {
                // A monitor speaks HTTP, not gRPC: for it a refusal is a status of HTTP.
                let mut answer = http::Response::new(Body::empty());
                *answer.status_mut() = match status.code() {
                    tonic::Code::Unauthenticated => http::StatusCode::UNAUTHORIZED,
                    _ => http::StatusCode::FORBIDDEN,
                };
                Answer::Refused(ready(Ok(answer)))
            }
            Err(status) => Answer::Refused(ready(Ok(status.into_http()))),
        }
    }
}

/// The handler's answer, or the refusal.
pub enum Answer<F, E> {
    /// The handler's answer.
    Inner(Pin<Box<F>>),
    /// The table's refusal.
    Refused(Ready<Result<http::Response<Body>, E>>),
}

impl<F, E> Future for Answer<F, E>
where
    F: Future<Output = Result<http::Response<Body>, E>>,
    Ready<Result<http::Response<Body>, E>>: Unpin,
{
    type Output = Result<http::Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Inner(future) => future.as_mut().poll(context),
            Self::Refused(answer) => Pin::new(answer).poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_has_exactly_one_row_and_every_row_a_method() {
        let methods: BTreeSet<&str> = proto::METHODS.iter().copied().collect();
        let rows: BTreeSet<&str> = TABLE.iter().map(|(method, _)| *method).collect();
        assert_eq!(
            methods.difference(&rows).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "methods without a row"
        );
        assert_eq!(
            rows.difference(&methods).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "rows without a method"
        );
        assert_eq!(rows.len(), TABLE.len(), "a method has two rows");
    }

    #[test]
    fn the_method_list_is_that_of_the_descriptors() {
        // Each service and method name stands in the compiled schema as text.
        let schema = String::from_utf8_lossy(proto::FILE_DESCRIPTOR_SET);
        for method in proto::METHODS {
            let (service, name) = method.trim_start_matches("/exhibit.v1.").split_once('/').unwrap();
            assert!(schema.contains(service) && schema.contains(name), "{method}");
        }
        assert_eq!(proto::METHODS.len(), 45);
    }

    #[test]
    fn every_row_names_roles_that_a_roster_can_give() {
        for (method, callers) in TABLE {
            if let Callers::Persons(roles) | Callers::PersonsAndMirrors(roles) = callers {
                assert!(!roles.is_empty(), "{method}");
                assert!(roles.iter().all(|role| EVERY_ROLE.contains(role)), "{method}");
            }
        }
    }

    #[test]
    fn no_role_opens_what_the_roster_text_does_not_give_it() {
        let may = |role: &str| -> Vec<&str> {
            let held = [role.to_owned()];
            let may =
                TABLE.iter().filter(|(method, _)| allowed(method, Who::Person(&held)) == Decision::Allowed);
            may.map(|(method, _)| method.rsplit('/').next().unwrap()).collect()
        };
        assert_eq!(
            may(AUDITOR),
            [
                "ShowDisposition",
                "Deployment",
                "Checkpoint",
                "Consistency",
                "Entries",
                "LogKeys",
                "Prove",
                "Fsck",
                "ListStores",
                "Scrub",
                "Repair"
            ]
        );
        assert_eq!(
            may(ENDPOINT_ADMIN),
            [
                "RecordAct",
                "RegisterToken",
                "ListEndpoints",
                "Deployment",
                "Checkpoint",
                "Consistency",
                "LogKeys"
            ]
        );
        assert!(!may(APPROVER).contains(&"IssueOrder") && !may(APPROVER).contains(&"ReadItem"));
        assert!(!may(ANALYST).contains(&"Export") && may(ANALYST).contains(&"ReadItem"));
        assert!(!may(RESPONDER).contains(&"ApproveOrder") && may(RESPONDER).contains(&"Export"));
        assert!(may("stranger").is_empty());
    }

    #[test]
    fn kinds_do_not_mix() {
        for (method, callers) in TABLE {
            let opens = |who| allowed(method, who) == Decision::Allowed;
            assert_eq!(opens(Who::Anonymous), *callers == Callers::Anonymous, "{method}");
            assert_eq!(opens(Who::Endpoint), *callers == Callers::Endpoints, "{method}");
            assert_eq!(
                opens(Who::Mirror),
                matches!(callers, Callers::PersonsAndMirrors(_) | Callers::Mirrors),
                "{method}"
            );
            assert!(!opens(Who::Collector) && !opens(Who::Person(&[])), "{method}");
        }
        for method in ["", "/", "/exhibit.v1.AgentService/attend", "/exhibit.v1.AgentService/Attend/"] {
            assert_eq!(allowed(method, Who::Endpoint), Decision::NoSuchMethod);
        }
    }

    #[test]
    fn the_logs_files_are_for_those_who_may_read_its_entries() {
        let held = |role: &str| [role.to_owned()];
        for path in ["/ledger/checkpoint", "/ledger/tile/0/000"] {
            assert_eq!(allowed(path, Who::Mirror), allowed(READS_TILES, Who::Mirror));
            assert_eq!(allowed(path, Who::Person(&held(AUDITOR))), Decision::Allowed);
            assert_ne!(allowed(path, Who::Person(&held(ENDPOINT_ADMIN))), Decision::Allowed);
            assert_eq!(allowed(path, Who::Endpoint), Decision::Kind);
            assert_eq!(allowed(path, Who::Anonymous), Decision::Kind);
        }
        assert_eq!(allowed("/ledgers/checkpoint", Who::Mirror), Decision::NoSuchMethod);
    }
}
