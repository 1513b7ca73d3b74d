//! Connections that must end while they are in use.

use std::sync::Arc;
use std::time::Duration;

use certs::connect::Refusal;
use certs::name::Subject;
use certs::revocation::Revocation;
use evidence::id::Generation;
use proto::status::Action;
use tokio::time::timeout;

use crate::lab::{Collector, PATIENCE, attend, authority, credentials, credentials_for, now};

#[tokio::test]
async fn a_revoked_serial_is_cut_in_the_midst_of_a_call_and_stays_out() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let own = credentials(&authority, "exhibit://acme/endpoint/web-03/1");
    let other = credentials(&authority, "exhibit://acme/endpoint/web-03/1");
    let channel = collector.dial(&authority, Some(&own)).await.unwrap();
    let (_, mut answers) = attend(&channel).await.unwrap();
    let other = collector.dial(&authority, Some(&other)).await.unwrap();
    let (_, _standing) = attend(&other).await.unwrap();

    let live = collector.registry.live();
    let [peer, untouched] = live.as_slice() else { panic!("{live:?}") };
    assert_ne!(peer.serial, untouched.serial);
    assert_eq!(collector.registry.revoke(Revocation::Serial(peer.serial)), 1);
    let cut = timeout(PATIENCE, answers.message()).await.expect("the stream ends").unwrap_err();
    assert_eq!(Action::of(&cut), Action::Retry, "{cut:?}");
    assert!(peer.closed.is_cancelled());
    assert_eq!(collector.dial(&authority, Some(&own)).await.unwrap_err(), Refusal::OurCertificateRevoked);
    // Everything that is to be cut was told so before `revoke` returned.
    assert!(!untouched.closed.is_cancelled(), "the other lives on");
    let live = collector.registry.live();
    assert!(live.iter().any(|peer| Arc::ptr_eq(peer, untouched)), "{live:?}");
    attend(&other).await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn enrolling_a_new_generation_cuts_the_old_one() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let old = credentials(&authority, "exhibit://acme/endpoint/web-03/1");
    let channel = collector.dial(&authority, Some(&old)).await.unwrap();
    let (_, mut answers) = attend(&channel).await.unwrap();
    let second = Generation::FIRST.next().unwrap();
    let before = Revocation::EndpointBefore("web-03".parse().unwrap(), second);
    assert_eq!(collector.registry.revoke(before), 1);
    timeout(PATIENCE, answers.message()).await.expect("the stream ends").unwrap_err();
    assert_eq!(collector.dial(&authority, Some(&old)).await.unwrap_err(), Refusal::OurCertificateRevoked);
    let new = credentials(&authority, "exhibit://acme/endpoint/web-03/2");
    let channel = collector.dial(&authority, Some(&new)).await.unwrap();
    attend(&channel).await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let short =
        credentials_for(&authority, "exhibit://acme/endpoint/web-03/1", Duration::from_secs(2), now());
    let channel = collector.dial(&authority, Some(&short)).await.unwrap();
    let (_, mut answers) = attend(&channel).await.unwrap();
    let end = collector.registry.live()[0].not_after;
    timeout(PATIENCE, answers.message()).await.expect("the stream ends").unwrap_err();
    assert!(now() >= end, "not before its time");
    assert_eq!(collector.dial(&authority, Some(&short)).await.unwrap_err(), Refusal::OurCertificateEnded);
    collector.stop().await;
}

#[tokio::test]
async fn a_subject_that_is_cut_may_come_back_and_a_revoked_one_may_not() {
    let authority = authority("acme");
    let collector = Collector::main(&authority);
    let own = credentials(&authority, "exhibit://acme/person/auditor.ada");
    let ada = Subject::Person("auditor.ada".parse().unwrap());
    let channel = collector.dial(&authority, Some(&own)).await.unwrap();
    crate::lab::who(&channel).await.unwrap();
    assert_eq!(collector.registry.cut(&ada), 1);
    collector.dial(&authority, Some(&own)).await.unwrap();
    collector.registry.revoke(Revocation::Subject(ada.clone()));
    assert_eq!(collector.dial(&authority, Some(&own)).await.unwrap_err(), Refusal::OurCertificateRevoked);
    collector.registry.restore(&ada);
    collector.dial(&authority, Some(&own)).await.unwrap();
    collector.stop().await;
}
