//! Clients that the main listener must not let in.

use std::sync::Arc;
use std::time::Duration;

use certs::authority::ENDPOINT_LIFE;
use certs::connect::Refusal;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::listener::Settings;
use certs::revocation::Registry;
use certs::tls;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use crate::crafty::Crafty;
use crate::lab::{Collector, authority, credentials, credentials_for, dial, expected, now};

fn by_collector(alert: &str) -> Refusal {
    Refusal::ByCollector(alert.to_owned())
}

/// Shows this certificate with this key, whatever the collector asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn without_certificate() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    assert_eq!(collector.dial(&authority, None).await.unwrap_err(), by_collector("CertificateRequired"));
    collector.stop().await;
}

#[tokio::test]
async fn with_a_certificate_of_another_authority_of_the_same_name() {
    let genuine = authority("acme");
    let collector = Collector::main(&genuine);
    let forged = credentials(&authority("acme"), "exhibit://acme/endpoint/web-03/1");
    let refused = collector.dial(&genuine, Some(&forged)).await.unwrap_err();
    // Names and key identifiers differ only in the key, so the signature is what fails.
    assert!([by_collector("UnknownCA"), by_collector("DecryptError")].contains(&refused), "{refused:?}");
    collector.stop().await;
}

#[tokio::test]
async fn with_a_self_signed_certificate() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let name = "exhibit://acme/endpoint/web-03/1".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(name)];
    let certificate = params.self_signed(&pair).unwrap();
    let key = TlsKey::from_pkcs8(pair.serialized_der()).unwrap();
    let own = Credentials { key, chain: vec![certificate.der().clone()] };
    assert_eq!(collector.dial(&authority, Some(&own)).await.unwrap_err(), by_collector("UnknownCA"));
    collector.stop().await;
}

#[tokio::test]
async fn with_a_certificate_that_has_ended_or_not_begun() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let name = "exhibit://acme/endpoint/web-03/1";
    let past = now().checked_sub(Duration::from_secs(7200)).unwrap();
    let ended = credentials_for(&authority, name, Duration::from_secs(3600), past);
    assert_eq!(collector.dial(&authority, Some(&ended)).await.unwrap_err(), Refusal::OurCertificateEnded);
    let future = now().checked_add(Duration::from_secs(7200)).unwrap();
    let early = credentials_for(&authority, name, ENDPOINT_LIFE, future);
    assert_eq!(collector.dial(&authority, Some(&early)).await.unwrap_err(), Refusal::OurCertificateEnded);
    collector.stop().await;
}

#[tokio::test]
async fn of_another_deployment_under_the_same_authority() {
    let authority = authority("other");
    let registry = Registry::new(9);
    let own = credentials(&authority, "exhibit://other/collector/c1");
    let deployment = "acme".parse().unwrap();
    let config =
        tls::server_mutual(&own, authority.certificate(), deployment, Arc::clone(&registry)).unwrap();
    let collector = Collector::start(config, registry, Settings::main());
    let foreign = credentials(&authority, "exhibit://other/endpoint/web-03/1");
    let expects = tls::Expected::deployment("other".parse().unwrap());
    let config = tls::client(authority.certificate(), Some(&foreign), expects).unwrap();
    let refused = dial(collector.address, config).await.unwrap_err();
    assert_eq!(refused, by_collector("CertificateUnknown"));
    // The other way round: the client does not take such a collector either.
    let config = tls::client(authority.certificate(), Some(&foreign), expected()).unwrap();
    match dial(collector.address, config).await.unwrap_err() {
        Refusal::OfCollector(text) => assert!(text.contains("not of deployment acme"), "{text}"),
        other => panic!("{other:?}"),
    }
    collector.stop().await;
}

#[tokio::test]
async fn a_collector_as_client() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let own = credentials(&authority, "exhibit://acme/collector/c2");
    assert_eq!(
        collector.dial(&authority, Some(&own)).await.unwrap_err(),
        by_collector("UnsupportedCertificate")
    );
    collector.stop().await;
}

#[tokio::test]
async fn with_the_certificate_of_another_endpoint() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let victim = credentials(&authority, "exhibit://acme/endpoint/web-03/1");
    let mixed = Credentials { key: TlsKey::generate().unwrap(), chain: victim.chain };
    assert!(tls::client(authority.certificate(), Some(&mixed), expected()).is_err(), "refused at home");

    // A thief of the certificate alone uses other software.
    let thief = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::try_from(thief.serialize_der()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let mut config = (*tls::client(authority.certificate(), None, expected()).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(Always(Arc::new(CertifiedKey::new(mixed.chain, key))));
    assert_eq!(dial(collector.address, Arc::new(config)).await.unwrap_err(), by_collector("DecryptError"));
    collector.stop().await;
}

#[tokio::test]
async fn with_names_that_our_authority_would_never_write() {
    let crafty = Crafty::new();
    let genuine = authority("acme");
    let registry = Registry::new(9);
    let own = credentials(&genuine, "exhibit://acme/collector/c1");
    let deployment = "acme".parse().unwrap();
    let config = tls::server_mutual(&own, &crafty.certificate, deployment, Arc::clone(&registry)).unwrap();
    let collector = Collector::start(config, registry, Settings::main());
    let endpoint = "exhibit://acme/endpoint/web-03/1";
    for (uris, dns, accepted) in [
        (&[endpoint][..], None, true),
        (&[endpoint, "exhibit://acme/person/ada"], None, false),
        (&[endpoint], Some("web-03.example"), false),
        (&[endpoint], Some(certs::COLLECTOR_NAME), false),
        (&["exhibit://acme/collector/c2"], Some(certs::COLLECTOR_NAME), false),
        (&["exhibit://acme/endpoint/web-03/01"], None, false),
        (&["exhibit://other/endpoint/web-03/1"], None, false),
        (&[], None, false),
    ] {
        let answer = collector.dial(&genuine, Some(&crafty.client(uris, dns))).await;
        let wanted = if accepted { None } else { Some(by_collector("CertificateUnknown")) };
        assert_eq!(answer.err(), wanted, "{uris:?} {dns:?}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn with_a_key_of_another_algorithm() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names =
        vec![rcgen::SanType::URI("exhibit://acme/endpoint/web-03/1".try_into().unwrap())];
    params.serial_number = Some(vec![7; 16].into());
    let leaf = params.self_signed(&pair).unwrap().der().clone();
    let error = certs::certificate::Leaf::parse(&leaf).unwrap_err();
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("this TLS key is Ed25519"),
        "{error}"
    );
    let der = rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let mut config = (*tls::client(authority.certificate(), None, expected()).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(Always(Arc::new(CertifiedKey::new(vec![leaf], key))));
    // The collector asks for P-256 only, so such a client has nothing to show.
    assert_eq!(
        dial(collector.address, Arc::new(config)).await.unwrap_err(),
        by_collector("CertificateRequired")
    );
    collector.stop().await;
}
