//! A person with a session, who signs acts and calls the collector.

use certs::identity::Credentials;
use evidence::enrolment::{Token, TokenString, TokenType};
use evidence::entry::EntryType;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::detail::Detail;
use evidence::id::{Actor, Chain, Generation};
use evidence::keys::SigningKey;
use evidence::signed::Signed;
use proto::{service, v1};
use tonic::transport::Channel;

use super::{Collector, DEPLOYMENT, Endpoint, authority, nonce};
use crate::clock::{ago, later, now};

/// A person with a session.
pub struct Session {
    /// A connection under the session.
    pub channel: Channel,
    /// The person's id.
    pub id: String,
    /// The key that signs acts.
    pub key: SigningKey,
    /// TLS key and certificates of the session.
    pub credentials: Credentials,
}

impl Session {
    /// A signed act, as a request.
    pub fn act(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
        fields: &[(&str, &str)],
        text: Option<&str>,
    ) -> v1::ActRequest {
        let detail = text.map(|text| Detail { salt: nonce(), text: text.to_owned() }.encode().unwrap());
        let mut refs: Vec<_> = refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        refs.sort();
        let act = Act {
            type_: ActType,
            deployment: DEPLOYMENT.parse().unwrap(),
            act: type_,
            incident: chain,
            at: now(),
            by: Actor::Person(self.id.parse().unwrap()),
            refs,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            detail: detail.as_ref().map(|(_, digest)| *digest),
            nonce: ActNonce::Once(nonce()),
        };
        let detail = detail.map(|(bytes, _)| bytes.into()).unwrap_or_default();
        v1::ActRequest { act: Some(Signed::sign(&act, &[&self.key]).unwrap().into()), detail }
    }

    /// Opens the next incident and returns its id.
    pub async fn open_incident(&self) -> String {
        let mut client = service::incident_client(self.channel.clone());
        let id = client.next_incident_id(v1::NextIncidentIdRequest {}).await.unwrap().into_inner().incident;
        let request = self.opening(&id);
        client.open_incident(request).await.unwrap();
        id
    }

    /// The act that opens an incident.
    pub fn opening(&self, id: &str) -> v1::ActRequest {
        let chain = Chain::Incident(id.parse().unwrap());
        let fields = [("class", "intrusions"), ("severity", "high"), ("tlp", "amber")];
        self.act(
            EntryType::IncidentOpened,
            chain,
            &[("incident", id.to_owned())],
            &fields,
            Some("Odd logins on web-03"),
        )
    }

    /// Enrols what a deployment has after a while: another endpoint, and `name` a second time. Returns the endpoint that is in force under
    /// `name`.
    pub async fn enrol_fleet(&self, lab: &Collector, name: &str) -> Endpoint {
        self.enrol(lab, "db-01", 1).await;
        self.enrol(lab, name, 1).await;
        self.enrol(lab, name, 2).await
    }

    /// Registers a token and enrols an endpoint under it.
    pub async fn enrol(&self, lab: &Collector, name: &str, generation: u32) -> Endpoint {
        Endpoint::enrol(lab, &self.token(lab, name, generation).await).await.unwrap()
    }

    /// Registers a token.
    pub async fn token(&self, lab: &Collector, name: &str, generation: u32) -> TokenString {
        let one_time = SigningKey::generate(getrandom::fill).unwrap();
        let token = Token {
            type_: TokenType,
            deployment: DEPLOYMENT.parse().unwrap(),
            endpoint: name.parse().unwrap(),
            generation: Generation::new(generation).unwrap(),
            key: one_time.public(),
            issuer: self.id.parse().unwrap(),
            issued: ago(1),
            not_after: later(3600),
            enrol: "127.0.0.1:2".parse().unwrap(),
            collector: "127.0.0.1:1".parse().unwrap(),
            collector_id: "collector-1".parse().unwrap(),
            authority: authority().id(),
            ca_sha256: lab.ca_sha256(),
            log_key: lab.log_key(),
            roster_version_min: 1,
        };
        let signed = Signed::sign(&token, &[&self.key]).unwrap();
        let request = v1::RegisterTokenRequest { token: Some((&signed).into()) };
        service::endpoint_client(self.channel.clone()).register_token(request).await.unwrap();
        TokenString::new(signed, one_time).unwrap()
    }
}
