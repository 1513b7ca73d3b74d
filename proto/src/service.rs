//! Clients and servers of every service, with the message limits already set. Build them nowhere else.
//!
//! Guarantee: a message over the limit fails at its sender, and again at its receiver if the sender ignores the limit.

use tonic::transport::Channel;

use crate::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, SUMS_BYTES_MAX};

macro_rules! service {
    ($client_fn:ident, $server_fn:ident, $name:literal, $client:path, $server:path, $handler:path, $request:expr) => {
        #[doc = concat!("A client of `", $name, "` with the wire's limits.")]
        #[must_use]
        pub fn $client_fn(channel: Channel) -> $client {
            <$client>::new(channel)
                .max_encoding_message_size($request)
                .max_decoding_message_size(RESPONSE_BYTES_MAX)
        }

        #[doc = concat!("`", $name, "` answered by `handler`, with the wire's limits.")]
        pub fn $server_fn<T: $handler>(handler: T) -> $server {
            <$server>::new(handler)
                .max_encoding_message_size(RESPONSE_BYTES_MAX)
                .max_decoding_message_size($request)
        }
    };
}

macro_rules! services {
    ($(
        $client_fn:ident, $server_fn:ident, $name:literal,
        $cm:ident :: $client:ident, $sm:ident :: $server:ident, $handler:ident, $request:expr;
    )*) => {
        $(
            service!(
                $client_fn, $server_fn, $name,
                crate::v1::$cm::$client<Channel>, crate::v1::$sm::$server<T>, crate::v1::$sm::$handler, $request
            );
        )*
    };
}

services! {
    agent_client, agent_server, "AgentService",
        agent_service_client::AgentServiceClient, agent_service_server::AgentServiceServer, AgentService, REQUEST_BYTES_MAX;
    enrol_client, enrol_server, "EnrolService",
        enrol_service_client::EnrolServiceClient, enrol_service_server::EnrolServiceServer, EnrolService, REQUEST_BYTES_MAX;
    incident_client, incident_server, "IncidentService",
        incident_service_client::IncidentServiceClient, incident_service_server::IncidentServiceServer, IncidentService, REQUEST_BYTES_MAX;
    order_client, order_server, "OrderService",
        order_service_client::OrderServiceClient, order_service_server::OrderServiceServer, OrderService, REQUEST_BYTES_MAX;
    evidence_client, evidence_server, "EvidenceService",
        evidence_service_client::EvidenceServiceClient, evidence_service_server::EvidenceServiceServer, EvidenceService, REQUEST_BYTES_MAX;
    endpoint_client, endpoint_server, "EndpointService",
        endpoint_service_client::EndpointServiceClient, endpoint_service_server::EndpointServiceServer, EndpointService, REQUEST_BYTES_MAX;
    ledger_client, ledger_server, "LedgerService",
        ledger_service_client::LedgerServiceClient, ledger_service_server::LedgerServiceServer, LedgerService, REQUEST_BYTES_MAX;
    store_client, store_server, "StoreService",
        store_service_client::StoreServiceClient, store_service_server::StoreServiceServer, StoreService, REQUEST_BYTES_MAX;
    mirror_client, mirror_server, "MirrorService",
        mirror_service_client::MirrorServiceClient, mirror_service_server::MirrorServiceServer, MirrorService, REQUEST_BYTES_MAX;
    bundle_client, bundle_server, "BundleService",
        bundle_service_client::BundleServiceClient, bundle_service_server::BundleServiceServer, BundleService, SUMS_BYTES_MAX;
}
