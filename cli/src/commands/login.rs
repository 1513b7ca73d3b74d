//! `exhibit login`: proves to the collector that the person holds the key, and gets a TLS certificate for 12 hours.
//! Guarantee: the collector that answers is the pinned one. The certificate names this person and the key that was just made.
//! Not here: ordering. The certificate allows reading and transport; orders and acts carry the person's own signature.

use certs::certificate::Leaf;
use certs::connect;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::name::{Identity, Subject};
use certs::tls::{self, Expected};
use evidence::digest::Digest;
use evidence::document::Document as _;
use evidence::enrolment::{Login, LoginType};
use evidence::json;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use proto::status::Class;
use proto::v1;
use rustls::pki_types::CertificateDer;

use crate::clock;
use crate::context::Context;
use crate::failure::{because, could_not, failed};
use crate::pins::Pins;
use crate::session::{CREDENTIALS, refused, unreachable};

/// `exhibit login`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  exhibit login\n  exhibit --home ~/acme login")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args, context: &Context) -> anyhow::Result<()> {
    let home = context.home()?;
    let config = home.config()?;
    let pins = Pins::load(&home)?;
    let expected = Expected::collector(config.deployment.clone(), config.collector.clone());
    let client = tls::client(&pins.ca, None, expected)?;
    let channel = connect::connect(&config.enrol_address, client).await.map_err(unreachable)?;
    let mut enrol = proto::service::enrol_client(channel);

    let request = v1::LoginChallengeRequest { person: config.person.to_string() };
    let challenge = enrol.login_challenge(request).await.map_err(refused)?.into_inner().challenge;
    let challenge = FixedBytes(proto::convert::exact("challenge", "32 bytes", &challenge)?);
    let key = TlsKey::generate()?;
    let csr = key.request(&challenge.0)?;
    let login = Login {
        type_: LoginType,
        deployment: config.deployment.clone(),
        person: config.person.clone(),
        challenge,
        tls_spki_sha256: key.public().spki_sha256(),
        csr_sha256: Digest::of(&csr),
        at: clock::now()?,
    };
    let document = json::to_document(&login)?;
    let by_person = config.signer().sign(Login::TYPE, &document)?;
    let signed = Signed::from_parts(document, vec![by_person]);
    let signed = signed.map_err(|cause| could_not(because(&cause), "use an Ed25519 key or security key"))?;
    signed
        .verify_all(Login::TYPE)
        .map_err(|cause| could_not(because(&cause), "touch the security key when it asks"))?;

    let request = v1::LoginRequest { login: Some(signed.into()), csr: csr.into() };
    let answer = enrol.login(request).await.map_err(not_let_in)?.into_inner();
    let chain: Vec<CertificateDer<'static>> =
        answer.certificates.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let wrong = |why: &str| {
        failed(format!("the collector issued a certificate that is not yours: {why}"), "tell the operator")
    };
    let leaf = chain.first().ok_or_else(|| wrong("there is none"))?;
    let leaf = Leaf::parse(leaf).map_err(|cause| wrong(&because(&cause)))?;
    if leaf.identity != Identity::new(config.deployment.clone(), Subject::Person(config.person.clone())) {
        return Err(wrong(&leaf.identity.to_string()));
    }
    if leaf.key != key.public() {
        return Err(wrong("it is for another key"));
    }
    Credentials::replace(&home.path(CREDENTIALS), &key, &chain)?;
    let value = serde_json::json!({
        "person": config.person, "deployment": config.deployment, "not_after": leaf.not_after,
    });
    context.output.result(&value, || format!("logged in as {} until {}", config.person, leaf.not_after))
}

/// True if another attempt would end the same way, because the roster or this home lacks something.
fn not_let_in(status: tonic::Status) -> anyhow::Error {
    if Class::of(&status) == Class::Unidentified {
        return could_not(
            status.message(),
            "check person and key in this home; ask the admins whether the roster still has both",
        );
    }
    refused(status)
}
