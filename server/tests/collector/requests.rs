//! Certificate requests that do not belong to the document beside them: with enrolments, renewals and logins.

use certs::key::TlsKey;
use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Login, LoginType, Renewal, RenewalType, TokenString};
use evidence::keys::SigningKey;
use evidence::text::FixedBytes;
use proto::{service, v1};
use tonic::{Code, Status};

use crate::lab::*;

async fn enrol(
    lab: &Collector,
    token: &TokenString,
    evidence: &SigningKey,
    document: &EnrolmentRequest,
    csr: &[u8],
) -> Result<v1::EnrolResponse, Status> {
    let signed = sign(document, &[token.key(), evidence]);
    let call = v1::EnrolRequest { enrolment: Some(signed.into()), csr: csr.to_vec().into() };
    service::enrol_client(lab.stranger().await).enrol(call).await.map(tonic::Response::into_inner)
}

fn refused<T>(what: &str, answer: Result<T, Status>, code: Code, says: &str) {
    let status = answer.map(drop).expect_err(what);
    assert_eq!(status.code(), code, "{what}: {status}");
    assert!(status.message().contains(says), "{what}: {status}");
}

/// A request as an earlier version made it.
fn ed25519_request() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let openssl = |args: &[&str]| {
        let output = std::process::Command::new("openssl").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let key = key.to_str().unwrap();
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", key]);
    openssl(&["req", "-new", "-key", key, "-subj", "/", "-outform", "DER"])
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_17_a_request_that_its_enrolment_does_not_name() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let token = ada.token(&lab, "web-04", 1).await;
    let (evidence, key, other) =
        (SigningKey::from_seed(&[70; 32]), TlsKey::generate().unwrap(), TlsKey::generate().unwrap());
    let (signed, csr) = enrolment(&token, &evidence, &key, &[token.key(), &evidence]);
    let good: EnrolmentRequest = signed.read().unwrap();
    let naming = |csr: &[u8]| EnrolmentRequest { csr_sha256: Digest::of(csr), ..good.clone() };
    let [elsewhere, foreign] = [key.request(&[9; 16]).unwrap(), other.request(&good.nonce.0).unwrap()];
    let longer = [&csr[..], &[0]].concat();
    let earlier = ed25519_request();
    let (_, replayed) = &web.request;
    for (what, document, csr, says) in [
        ("another nonce", naming(&elsewhere), &elsewhere, "another challenge"),
        ("another key", naming(&foreign), &foreign, "another key"),
        ("another request", naming(&[]), &csr, "another digest"),
        ("another endpoint's request", naming(replayed), replayed, "another key"),
        ("a byte behind it", naming(&longer), &longer, "strict DER"),
        ("an Ed25519 key", naming(&earlier), &earlier, "this TLS key is Ed25519"),
    ] {
        refused(what, enrol(&lab, &token, &evidence, &document, csr).await, Code::InvalidArgument, says);
    }
    let named = EnrolmentRequest { tls_spki_sha256: other.public().spki_sha256(), ..good.clone() };
    let answer = enrol(&lab, &token, &evidence, &named, &csr).await;
    refused("the name of another key", answer, Code::InvalidArgument, "another key");
    // Another endpoint's request with all that it says: it proves that endpoint's key, which is taken.
    let first: EnrolmentRequest = web.request.0.read().unwrap();
    let (tls_spki_sha256, nonce) = (first.tls_spki_sha256, first.nonce);
    let stolen = EnrolmentRequest { tls_spki_sha256, nonce, ..naming(replayed) };
    let answer = enrol(&lab, &token, &evidence, &stolen, replayed).await;
    refused("another endpoint's key", answer, Code::AlreadyExists, "belongs to another enrolment");
    // Nothing of it used up the token.
    enrol(&lab, &token, &evidence, &good, &csr).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_25_a_renewal_with_a_nonce_that_was_used_before() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let enrolled: EnrolmentRequest = web.request.0.read().unwrap();
    let document = |nonce: [u8; 16], key: &TlsKey, csr: &[u8]| Renewal {
        type_: RenewalType,
        deployment: DEPLOYMENT.parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: web.generation,
        tls_spki_sha256: key.public().spki_sha256(),
        csr_sha256: Digest::of(csr),
        nonce: FixedBytes(nonce),
        at: now(),
    };
    let renew = async |document: &Renewal, csr: &[u8]| {
        let renewal = sign(document, &[&web.evidence]);
        let call = v1::RenewRequest { renewal: Some(renewal.into()), csr: csr.to_vec().into() };
        service::agent_client(lab.connect(&web.credentials).await).renew(call).await
    };
    let keys = [(); 4].map(|()| TlsKey::generate().unwrap());
    let used =
        "endpoint-25: its nonce is that of an enrolment or renewal before; make a new key and a new request";

    let csr = keys[0].request(&enrolled.nonce.0).unwrap();
    let answer = renew(&document(enrolled.nonce.0, &keys[0], &csr), &csr).await;
    refused("the nonce of the enrolment", answer, Code::AlreadyExists, used);

    let first = keys[1].request(&[1; 16]).unwrap();
    let good = document([1; 16], &keys[1], &first);
    renew(&good, &first).await.unwrap();
    renew(&good, &first).await.unwrap();
    let csr = keys[2].request(&[1; 16]).unwrap();
    let answer = renew(&document([1; 16], &keys[2], &csr), &csr).await;
    refused("the nonce of the renewal before", answer, Code::AlreadyExists, used);
    let answer = renew(&document([2; 16], &keys[1], &first), &first).await;
    refused("the request of the renewal before", answer, Code::InvalidArgument, "another challenge");

    let next = keys[3].request(&[3; 16]).unwrap();
    renew(&document([3; 16], &keys[3], &next), &next).await.unwrap();
    let answer = renew(&document([1; 16], &keys[1], &first), &first).await;
    refused("an older request and its nonce", answer, Code::AlreadyExists, used);
    refused("an older renewal", renew(&good, &first).await, Code::FailedPrecondition, "a newer certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_4_a_request_that_its_login_does_not_name() {
    let lab = start();
    let mut client = service::enrol_client(lab.stranger().await);
    let (key, other) = (TlsKey::generate().unwrap(), TlsKey::generate().unwrap());
    for (what, says) in [
        ("a request for an earlier challenge", "another challenge"),
        ("a request of another key", "another key"),
        ("another request for the same challenge", "another digest"),
        ("a byte behind it", "strict DER"),
        ("an Ed25519 key", "this TLS key is Ed25519"),
        ("", ""),
    ] {
        let asked = v1::LoginChallengeRequest { person: "ada".to_owned() };
        let challenge = client.login_challenge(asked).await.unwrap().into_inner().challenge;
        let good = key.request(&challenge).unwrap();
        let sent = match what {
            "a request for an earlier challenge" => key.request(&[9; 32]).unwrap(),
            "a request of another key" => other.request(&challenge).unwrap(),
            "another request for the same challenge" => key.request(&challenge).unwrap(),
            "a byte behind it" => [&good[..], &[0]].concat(),
            "an Ed25519 key" => ed25519_request(),
            _ => good.clone(),
        };
        let is_of_another = what == "another request for the same challenge";
        let login = Login {
            type_: LoginType,
            deployment: DEPLOYMENT.parse().unwrap(),
            person: "ada".parse().unwrap(),
            challenge: FixedBytes(challenge.as_ref().try_into().unwrap()),
            tls_spki_sha256: key.public().spki_sha256(),
            csr_sha256: Digest::of(if is_of_another { &good } else { &sent }),
            at: now(),
        };
        let signed = sign(&login, &[&testkit::people::key(ADA)]);
        let call = v1::LoginRequest { login: Some(signed.into()), csr: sent.into() };
        let answer = client.login(call).await;
        if what.is_empty() {
            assert_eq!(answer.unwrap().into_inner().certificates.len(), 2);
        } else {
            refused(what, answer, Code::InvalidArgument, says);
        }
    }
}
