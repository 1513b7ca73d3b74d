//! Enrolment attacked at the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::authority::Authority;
use certs::key::TlsKey;
use certs::listener::{Listener, Settings};
use certs::revocation::Registry;
use certs::tls::{self, Expected};
use evidence::enrolment::TokenString;
use evidence::keys::SigningKey;
use evidence::signed::Signed;
use lab::{Options, attempt, run, wait_for};
use proto::v1;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::endpoint::evidence_key;
use super::{now, signed_by, wire};
use crate::field::{Field, Random};

/// A request for `token` with these keys; `signers` sign in the one-time key's and the evidence key's place.
fn request(
    token: &TokenString,
    evidence: &SigningKey,
    tls_key: &TlsKey,
    signers: &[&SigningKey],
) -> v1::EnrolRequest {
    let (signed, csr) = testkit::collector::enrolment(token, evidence, tls_key, signers);
    v1::EnrolRequest { enrolment: wire(&signed), csr: csr.into() }
}

fn enrol(field: &Field, token: &TokenString, request: v1::EnrolRequest) -> Result<v1::EnrolResponse, Status> {
    let pinned = token.token();
    let expected = Expected::collector(pinned.deployment.clone(), pinned.collector_id.clone());
    field.runtime().block_on(async {
        let config = tls::client_pinned(*pinned.ca_sha256.as_bytes(), expected).unwrap();
        let channel = certs::connect::connect(pinned.enrol.as_str(), config).await.unwrap();
        let answer = proto::service::enrol_client(channel).enrol(request).await;
        answer.map(Response::into_inner)
    })
}

fn key() -> SigningKey {
    SigningKey::generate(|bytes: &mut [u8]| {
        Random::new(now().unix_ms() ^ u64::from(std::process::id())).fill(bytes);
        Ok::<(), std::convert::Infallible>(())
    })
    .unwrap()
}

#[test]
fn one_token_enrols_one_endpoint_with_its_own_keys() {
    let field = Field::silent(&Options::default()).unwrap();
    let string = field.lab.token("web-04", &[]).unwrap();
    let token = TokenString::parse(&string).unwrap();
    let (evidence, tls_key) = (key(), TlsKey::generate().unwrap());
    let say = |what: &str, answer: Result<v1::EnrolResponse, Status>| {
        let status = answer.expect_err(what);
        println!("tried: {what}; got: {:?} ({})", status.code(), status.message());
        status
    };

    // Another endpoint's evidence key, which it cannot sign with.
    let victim = evidence_key(&field);
    let stolen = request(&token, &victim, &tls_key, &[token.key(), &evidence]);
    let status = say(
        "enrolment naming another endpoint's evidence key, signed by one of its own",
        enrol(&field, &token, stolen),
    );
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    // With the stolen key itself: it belongs to another enrolment.
    let taken = request(&token, &victim, &tls_key, &[token.key(), &victim]);
    let status = say("enrolment with another endpoint's true evidence key", enrol(&field, &token, taken));
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
    // Without the one-time secret, which the collector never saw.
    let guessed = request(&token, &evidence, &tls_key, &[&key(), &evidence]);
    let status = say("enrolment signed by another key than the token's", enrol(&field, &token, guessed));
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let one = request(&token, &evidence, &tls_key, &[token.key()]);
    let status = say("enrolment without the evidence key's signature", enrol(&field, &token, one));
    assert_eq!(status.code(), tonic::Code::Unauthenticated);

    let first = request(&token, &evidence, &tls_key, &[token.key(), &evidence]);
    let answer = enrol(&field, &token, first.clone()).unwrap();
    assert!(!answer.certificates.is_empty());
    // The same request again is the same answer: the first may have got lost.
    enrol(&field, &token, first).unwrap();
    let (other, other_tls) = (SigningKey::from_seed(&[55; 32]), TlsKey::generate().unwrap());
    let second = request(&token, &other, &other_tls, &[token.key(), &other]);
    let status = say("one token for a second enrolment", enrol(&field, &token, second));
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
    let by_agent = attempt(
        field
            .lab
            .tool("exhibit-agent")
            .args(["enrol", "--token", &string, "--state"])
            .arg(field.lab.path("second")),
    )
    .unwrap();
    assert_eq!(by_agent.status.code(), Some(2));
    assert!(!field.lab.path("second/identity.json").exists());
    println!(
        "tried: the same by exhibit-agent enrol; got: exit 2 ({})",
        String::from_utf8_lossy(&by_agent.stderr).trim()
    );
}

#[test]
fn an_expired_token_enrols_nobody() {
    let field = Field::silent(&Options::default()).unwrap();
    let template = TokenString::parse(&field.lab.token("web-05", &[]).unwrap()).unwrap();
    let one_time = SigningKey::from_seed(&[66; 32]);
    let mut short = template.token().clone();
    short.key = one_time.public();
    short.issued = now();
    short.not_after = short.issued.checked_add(Duration::from_millis(1500)).unwrap();
    let signed = signed_by(&short, &field.lab.path("admin/keys/alice"));
    let token = TokenString::new(signed.clone(), one_time).unwrap();
    let register = |signed: &Signed| {
        let token = wire(signed);
        field.block(async |channel| {
            proto::service::endpoint_client(channel).register_token(v1::RegisterTokenRequest { token }).await
        })
    };
    register(&signed).unwrap();
    wait_for("the token's end", || Ok((now() > short.not_after).then_some(()))).unwrap();
    let (evidence, tls_key) = (key(), TlsKey::generate().unwrap());
    let late = request(&token, &evidence, &tls_key, &[token.key(), &evidence]);
    let status = enrol(&field, &token, late).expect_err("an expired token");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}");
    println!("tried: a token after its end; got: {:?} ({})", status.code(), status.message());
    let again = register(&signed).map(drop).expect_err("an expired token");
    println!("tried: registering a token after its end; got: {again}");
    // One that no endpoint admin granted.
    let bob = signed_by(&short, &field.lab.path("admin/keys/bob"));
    let refused = register(&bob).map(drop).expect_err("bob grants nothing");
    println!("tried: a token in alice's name signed by bob, who is no endpoint-admin; got: {refused}");
}

/// Answers enrolments as if it were the collector.
struct Middle;

#[tonic::async_trait]
impl v1::enrol_service_server::EnrolService for Middle {
    async fn enrol(&self, _: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::internal("the man in the middle got an enrolment request"))
    }

    async fn renew_expired(
        &self,
        _: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn login_challenge(
        &self,
        _: Request<v1::LoginChallengeRequest>,
    ) -> Result<Response<v1::LoginChallengeResponse>, Status> {
        Err(Status::internal("the man in the middle got a login"))
    }

    async fn login(&self, _: Request<v1::LoginRequest>) -> Result<Response<v1::LoginResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn certify_mirror(
        &self,
        _: Request<v1::CertifyMirrorRequest>,
    ) -> Result<Response<v1::CertifyMirrorResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[test]
fn a_man_in_the_middle_with_another_authority_learns_nothing() {
    let field = Field::silent(&Options::default()).unwrap();
    let (_, name) = lab::proxy::identity(&field.lab.path("server")).unwrap();
    // Everything is as it should be but the authority's key.
    let authority = Authority::create(name.deployment.clone(), now()).unwrap();
    let credentials = lab::proxy::issue(&authority, &name).unwrap();
    let address = field.runtime().block_on(async {
        let (sender, receiver) = watch::channel(tls::server_enrol(&credentials).unwrap());
        let listener = Listener::bind(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            receiver,
            Settings::enrolment(),
            Registry::new(8),
        )
        .unwrap();
        let address = listener.local_addr();
        let service = proto::service::enrol_server(Middle);
        drop(tokio::spawn(async move {
            let _sender = sender;
            proto::limits::server().add_service(service).serve_with_incoming(listener).await
        }));
        address.to_string()
    });
    let token = field.lab.token("web-06", &["--enrol-address", &address]).unwrap();
    let state = field.lab.path("mitm");
    let enrolled =
        attempt(field.lab.tool("exhibit-agent").args(["enrol", "--token", &token, "--state"]).arg(&state))
            .unwrap();
    let said = String::from_utf8_lossy(&enrolled.stderr).into_owned();
    assert_eq!(enrolled.status.code(), Some(1), "{said}");
    assert!(said.contains("another authority, or a man in the middle"), "{said}");
    assert!(!state.join("identity.json").exists());
    println!(
        "tried: enrolment through a man in the middle with another authority; got: exit {}, nothing written ({})",
        enrolled.status.code().unwrap_or_default(),
        said.trim()
    );
}

#[test]
fn the_main_port_talks_to_nobody_without_a_certificate() {
    let field = Field::silent(&Options::default()).unwrap();
    let server = field.lab.path("server");
    let (authority, name) = lab::proxy::identity(&server).unwrap();
    let address = lab::proxy::main_address(&server).unwrap();
    let connect = |credentials: Option<&certs::identity::Credentials>| {
        let expected = Expected::deployment(name.deployment.clone());
        let config: Arc<_> = tls::client(authority.certificate(), credentials, expected).unwrap();
        field.runtime().block_on(async {
            let channel = certs::connect::connect(&address, config).await?;
            anyhow::Ok(proto::service::agent_client(channel).renew(v1::RenewRequest::default()).await?)
        })
    };
    let anonymous = connect(None).map(drop).expect_err("no certificate");
    println!("tried: the main port without a certificate; got: {anonymous:#}");
    // One of another authority that says the same name.
    let other = Authority::create(name.deployment.clone(), now()).unwrap();
    let subject = certs::name::Subject::Endpoint {
        id: crate::field::ENDPOINT.parse().unwrap(),
        generation: evidence::id::Generation::FIRST,
    };
    let stranger =
        lab::proxy::issue(&other, &certs::name::Identity::new(name.deployment.clone(), subject)).unwrap();
    let stranger = connect(Some(&stranger)).map(drop).expect_err("another authority");
    println!("tried: the main port with a certificate of another authority; got: {stranger:#}");
    // Plain text, and TLS 1.2 by a stock tool.
    let old =
        attempt(std::process::Command::new("openssl").args(["s_client", "-tls1_2", "-connect", &address]))
            .unwrap();
    assert!(!old.status.success());
    println!("tried: TLS 1.2 on the main port; got: openssl s_client exit {:?}", old.status.code());
    run(field.lab.exhibit().args(["endpoint", "list"])).unwrap();
}
