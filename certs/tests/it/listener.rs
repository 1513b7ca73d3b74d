//! The accept loop under peers that stall, hurry, or speak something else.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use certs::listener::{Rate, Settings};
use certs::revocation::Registry;
use certs::tls;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::lab::{Collector, PATIENCE, authority, credentials, expected, main_config, who};

/// True when the other side closes without having sent a byte.
async fn is_dropped(stream: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("closed in time");
    matches!(read, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_handshake_that_stalls_is_dropped_and_holds_nobody_up() {
    let authority = authority("acme");
    let registry = Registry::new(9);
    let limit = Duration::from_millis(700);
    let settings = Settings { handshake_timeout: limit, ..Settings::main() };
    let collector = Collector::start(main_config(&authority, &registry), registry, settings);
    let begin = Instant::now();
    let mut silent = TcpStream::connect(collector.address).await.unwrap();
    let mut begun = TcpStream::connect(collector.address).await.unwrap();
    // The head of a ClientHello record whose rest never comes.
    begun.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let channel = collector.dial(&authority, Some(&person)).await.unwrap();
    who(&channel).await.unwrap();
    assert!(is_dropped(&mut silent).await && is_dropped(&mut begun).await);
    assert!(begin.elapsed() >= limit, "not before its time");
    who(&channel).await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn one_address_holds_only_its_share_of_handshakes() {
    let authority = authority("acme");
    let registry = Registry::new(9);
    let settings = Settings { handshakes_per_address: 2, ..Settings::main() };
    let collector = Collector::start(main_config(&authority, &registry), registry, settings);
    let first = TcpStream::connect(collector.address).await.unwrap();
    let _second = TcpStream::connect(collector.address).await.unwrap();
    let mut third = TcpStream::connect(collector.address).await.unwrap();
    assert!(is_dropped(&mut third).await);
    drop(first);
    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let config = tls::client(authority.certificate(), Some(&person), expected()).unwrap();
    timeout(PATIENCE, async {
        while certs::connect::connect(&collector.address.to_string(), Arc::clone(&config)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the place of the first is free again");
    collector.stop().await;
}

#[tokio::test]
async fn an_address_over_its_rate_is_dropped() {
    let authority = authority("acme");
    let own = credentials(&authority, "exhibit://acme/collector/c1");
    let rate = Some(Rate { burst: 2, every: Duration::from_secs(3600) });
    let settings = Settings { rate, ..Settings::enrolment() };
    let collector = Collector::start(tls::server_enrol(&own).unwrap(), Registry::new(9), settings);
    collector.dial(&authority, None).await.unwrap();
    collector.dial(&authority, None).await.unwrap();
    let mut third = TcpStream::connect(collector.address).await.unwrap();
    assert!(is_dropped(&mut third).await);
    collector.stop().await;
}

#[tokio::test]
async fn a_stranger_who_never_calls_does_not_keep_his_place() {
    let authority = authority("acme");
    let own = credentials(&authority, "exhibit://acme/collector/c1");
    let life = Duration::from_millis(300);
    let settings = Settings { life: Some(life), ..Settings::enrolment() };
    let collector = Collector::start(tls::server_enrol(&own).unwrap(), Registry::new(9), settings);
    let config = tls::client(authority.certificate(), None, expected()).unwrap();
    let begin = Instant::now();
    let stream = TcpStream::connect(collector.address).await.unwrap();
    let name = ServerName::try_from(certs::COLLECTOR_NAME).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    // HTTP/2 settings come, our preface never goes.
    let closed = timeout(PATIENCE, async { while let Ok(1..) = stream.read(&mut [0; 64]).await {} }).await;
    closed.expect("the connection ends");
    assert!(begin.elapsed() >= life, "not before its time");
    collector.stop().await;
}

#[tokio::test]
async fn a_full_registry_takes_no_more() {
    let authority = authority("acme");
    let registry = Registry::new(1);
    let collector = Collector::start(main_config(&authority, &registry), registry, Settings::main());
    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let channel = collector.dial(&authority, Some(&person)).await.unwrap();
    let config = tls::client(authority.certificate(), Some(&person), expected()).unwrap();
    let address = collector.address.to_string();
    certs::connect::connect(&address, Arc::clone(&config)).await.unwrap_err();
    drop(channel);
    timeout(PATIENCE, async {
        while certs::connect::connect(&address, Arc::clone(&config)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the place is free again");
    collector.stop().await;
}

#[tokio::test]
async fn a_client_without_http2_is_dropped() {
    let authority = authority("acme");
    let collector = Collector::enrolment(&authority);
    let mut config = (*tls::client(authority.certificate(), None, expected()).unwrap()).clone();
    config.alpn_protocols.clear();
    let stream = TcpStream::connect(collector.address).await.unwrap();
    let name = ServerName::try_from(certs::COLLECTOR_NAME).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("closed in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(collector.registry.count(), 0);
    collector.stop().await;
}

#[tokio::test]
async fn connections_are_tls_1_3_post_quantum_and_proven_anew_each_time() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let config = tls::client(authority.certificate(), Some(&person), expected()).unwrap();
    for _ in 0..2 {
        let stream = TcpStream::connect(collector.address).await.unwrap();
        let name = ServerName::try_from(certs::COLLECTOR_NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
        // Tickets, if any, would stand before the first bytes.
        stream.read_exact(&mut [0; 9]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "no process default was needed");
    collector.stop().await;
}

#[tokio::test]
async fn openssl_is_let_in_with_tls_1_3_and_refused_with_tls_1_2() {
    let authority = authority("acme");
    let collector = Collector::enrolment(&authority);
    for (version, accepted) in [("-tls1_3", true), ("-tls1_2", false), ("-tls1_1", false)] {
        let output = tokio::process::Command::new("openssl")
            .args(["s_client", version, "-alpn", "h2", "-connect", &collector.address.to_string()])
            .stdin(Stdio::null())
            .output()
            .await
            .expect("openssl is installed");
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let cipher = !text.contains("Cipher is (NONE)") && text.contains("Cipher is ");
        assert_eq!(cipher, accepted, "{version}\n{text}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn a_stopped_listener_refuses_at_once() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let person = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let channel = collector.dial(&authority, Some(&person)).await.unwrap();
    let address = collector.address;
    collector.stop().await;
    timeout(PATIENCE, async { while TcpStream::connect(address).await.is_ok() {} })
        .await
        .expect("the socket closes");
    who(&channel).await.unwrap_err();
}
