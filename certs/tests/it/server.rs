//! Collectors that a client must not talk to.

use std::sync::Arc;

use certs::authority::Authority;
use certs::connect::Refusal;
use certs::identity::Credentials;
use certs::listener::Settings;
use certs::revocation::Registry;
use certs::tls::{self, Expected};

use crate::crafty::Crafty;
use crate::lab::{Collector, authority, credentials, dial, expected, who};

fn enrolment(own: &Credentials) -> Collector {
    Collector::start(tls::server_enrol(own).unwrap(), Registry::new(9), Settings::enrolment())
}

async fn pinned(collector: &Collector, authority: &Authority, expected: Expected) -> Result<(), Refusal> {
    let config = tls::client_pinned(authority.fingerprint(), expected).unwrap();
    dial(collector.address, config).await.map(drop)
}

#[tokio::test]
async fn the_pinned_authority_is_accepted_and_a_man_in_the_middle_is_not() {
    let genuine = authority("acme");
    let collector = Collector::enrolment(&genuine);
    pinned(&collector, &genuine, expected()).await.unwrap();
    collector.stop().await;

    // His own authority, with the right names.
    let crafty = Crafty::new();
    let own = crafty.server(&["exhibit://acme/collector/c1"], Some(certs::COLLECTOR_NAME));
    let collector = enrolment(&own);
    match pinned(&collector, &genuine, expected()).await.unwrap_err() {
        Refusal::OfCollector(text) => assert!(text.contains("man in the middle"), "{text}"),
        other => panic!("{other:?}"),
    }
    collector.stop().await;

    // His own leaf beside the genuine authority's certificate, which is public; and both authorities.
    for more in [vec![], vec![crafty.certificate.clone()]] {
        let mut shown = crafty.server(&["exhibit://acme/collector/c1"], Some(certs::COLLECTOR_NAME));
        shown.chain.truncate(1);
        shown.chain.push(genuine.certificate().clone());
        shown.chain.extend(more);
        let collector = enrolment(&shown);
        let refused = pinned(&collector, &genuine, expected()).await.unwrap_err();
        assert!(matches!(refused, Refusal::OfCollector(_)), "{refused:?}");
        collector.stop().await;
    }
}

#[tokio::test]
async fn a_pin_without_the_authority_in_the_chain_is_refused() {
    let genuine = authority("acme");
    let mut own = credentials(&genuine, "exhibit://acme/collector/c1");
    own.chain.truncate(1);
    let collector = enrolment(&own);
    assert!(matches!(pinned(&collector, &genuine, expected()).await.unwrap_err(), Refusal::OfCollector(_)));
    collector.stop().await;
}

#[tokio::test]
async fn another_collector_than_the_token_names_is_refused() {
    let genuine = authority("acme");
    let collector = Collector::enrolment(&genuine);
    let named = |id: &str| Expected::collector("acme".parse().unwrap(), id.parse().unwrap());
    pinned(&collector, &genuine, named("c1")).await.unwrap();
    match pinned(&collector, &genuine, named("c2")).await.unwrap_err() {
        Refusal::OfCollector(text) => assert!(text.contains("not collector c2"), "{text}"),
        other => panic!("{other:?}"),
    }
    collector.stop().await;
}

#[tokio::test]
async fn other_kinds_and_other_names_are_no_collector() {
    // Issued by the genuine authority, but to an endpoint: no DNS name, no server use.
    let genuine = authority("acme");
    let collector = enrolment(&credentials(&genuine, "exhibit://acme/endpoint/web-03/1"));
    assert!(matches!(pinned(&collector, &genuine, expected()).await.unwrap_err(), Refusal::OfCollector(_)));
    collector.stop().await;

    // Issued by a key that certifies anything: what remains is our own reading of the names.
    let crafty = Crafty::new();
    let dns = Some(certs::COLLECTOR_NAME);
    let good = "exhibit://acme/collector/c1";
    for (uris, dns, why) in [
        (&["exhibit://acme/endpoint/web-03/1"][..], dns, "alternative names"),
        (&["exhibit://acme/person/ada"], dns, "alternative names"),
        (&[good, "exhibit://acme/collector/c2"], dns, "alternative names"),
        (&[], dns, "alternative names"),
        (&["exhibit://acme/collector/C1"], dns, "no identity"),
        (&["https://acme/collector/c1"], dns, "no identity"),
        (&["exhibit://other/collector/c1"], dns, "not of deployment acme"),
        (&[good], Some("collector.example"), "not valid for name"),
        (&[good], None, "not valid for"),
    ] {
        let collector = enrolment(&crafty.server(uris, dns));
        let config = tls::client(&crafty.certificate, None, expected()).unwrap();
        match dial(collector.address, config).await.unwrap_err() {
            Refusal::OfCollector(text) => assert!(text.contains(why), "{uris:?} {dns:?}: {text}"),
            other => panic!("{other:?}"),
        }
        collector.stop().await;
    }
    let collector = enrolment(&crafty.server(&[good], dns));
    let config = tls::client(&crafty.certificate, None, expected()).unwrap();
    dial(collector.address, config).await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn a_new_certificate_of_the_collector_serves_the_next_connection() {
    let genuine = authority("acme");
    let collector = Collector::main(&genuine);
    let person = credentials(&genuine, "exhibit://acme/person/auditor.ada");
    let first = collector.dial(&genuine, Some(&person)).await.unwrap();
    let own = credentials(&genuine, "exhibit://acme/collector/c9");
    let deployment = "acme".parse().unwrap();
    let registry = Arc::clone(&collector.registry);
    let config = tls::server_mutual(&own, genuine.certificate(), deployment, registry).unwrap();
    collector.tls.send(config).unwrap();
    let named = Expected::collector("acme".parse().unwrap(), "c9".parse().unwrap());
    let config = tls::client(genuine.certificate(), Some(&person), named).unwrap();
    let second = dial(collector.address, config).await.unwrap();
    assert_eq!(who(&first).await.unwrap(), who(&second).await.unwrap());
    collector.stop().await;
}

#[tokio::test]
async fn an_authority_of_another_algorithm_is_refused() {
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let crafty = Crafty::of(algorithm);
        let own = crafty.server(&["exhibit://acme/collector/c1"], Some(certs::COLLECTOR_NAME));
        let collector = enrolment(&own);
        let config = tls::client(&crafty.certificate, None, expected()).unwrap();
        let refused = dial(collector.address, config).await.unwrap_err();
        assert!(matches!(refused, Refusal::OfCollector(_)), "{refused:?}");
        collector.stop().await;
    }
}
