//! The table in front of real handlers.

use tonic::Code;

use crate::lab::{Collector, attend, authority, credentials, dial, expected, who};

#[tokio::test]
async fn each_kind_reaches_its_own_methods_and_is_known_by_name() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);

    let endpoint = credentials(&authority, "exhibit://acme/endpoint/web-03/2");
    let channel = collector.dial(&authority, Some(&endpoint)).await.unwrap();
    let (name, _answers) = attend(&channel).await.unwrap();
    assert_eq!(name, "exhibit://acme/endpoint/web-03/2");
    assert_eq!(who(&channel).await.unwrap_err().code(), Code::PermissionDenied);

    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let channel = collector.dial(&authority, Some(&person)).await.unwrap();
    assert_eq!(who(&channel).await.unwrap(), "exhibit://acme/person/auditor.ada");
    assert_eq!(attend(&channel).await.unwrap_err().code(), Code::PermissionDenied);
    let mut client = proto::service::endpoint_client(channel);
    let refused = client.list_endpoints(proto::v1::ListEndpointsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("endpoint-admin"), "{refused:?}");

    let mirror = credentials(&authority, "exhibit://acme/mirror/vault");
    let channel = collector.dial(&authority, Some(&mirror)).await.unwrap();
    assert_eq!(who(&channel).await.unwrap(), "exhibit://acme/mirror/vault");

    let stranger = credentials(&authority, "exhibit://acme/person/nobody.eve");
    let channel = collector.dial(&authority, Some(&stranger)).await.unwrap();
    assert_eq!(who(&channel).await.unwrap_err().code(), Code::PermissionDenied);
    collector.stop().await;
}

#[tokio::test]
async fn a_method_without_a_row_is_refused_even_where_a_handler_is_missing() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let person = credentials(&authority, "exhibit://acme/person/responder.ada");
    let channel = collector.dial(&authority, Some(&person)).await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec =
        tonic_prost::ProstCodec::<proto::v1::DeploymentRequest, proto::v1::DeploymentResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let request = tonic::Request::new(proto::v1::DeploymentRequest {});
    let refused = grpc.unary(request, path, codec).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unimplemented, "this collector has no such method")
    );
    collector.stop().await;
}

#[tokio::test]
async fn who_enrols_reaches_nothing_else() {
    let authority = authority("acme");
    let collector = Collector::enrolment(&authority);
    let config = certs::tls::client_pinned(authority.fingerprint(), expected()).unwrap();
    let channel = dial(collector.address, config).await.unwrap();
    assert_eq!(who(&channel).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(attend(&channel).await.unwrap_err().code(), Code::PermissionDenied);
    collector.stop().await;
}
