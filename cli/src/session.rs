//! The connection of one command to the collector, under the certificate of the last login.
//! Guarantee: the peer proved to be the pinned collector. An answer counts only after `checkpoints` or a digest has checked it.
//! Not here: getting the certificate (`commands::login`).

mod follow;

use certs::certificate::Leaf;
use certs::connect::{self, ConnectError, Refusal};
use certs::identity::Credentials;
use certs::tls::{self, Expected};
use evidence::roster::AdmittedRoster;
use evidence::signed::Signed;
use proto::status::{Action, Class};
use proto::v1;
use tonic::transport::Channel;

use crate::clock;
use crate::failure::{because, could_not, failed};
use crate::home::{Config, Home};
use crate::output::Output;
use crate::pins::Pins;

/// The file of the last login, in the home.
pub const CREDENTIALS: &str = "session/credentials.pem";

/// The next step for a person who named something that does not exist.
const LISTS: &str = "see what there is: exhibit incident list, exhibit order list, exhibit collection list, exhibit endpoint list";

/// Most roster versions a collector may show at once.
const ROSTERS_MAX: usize = 10_000;

/// Everything that a command needs to talk to the collector.
#[derive(Debug)]
pub struct Session {
    /// The home.
    pub home: Home,
    /// Its settings.
    pub config: Config,
    /// Its pins.
    pub pins: Pins,
    /// How results are printed.
    pub output: Output,
    channel: Channel,
}

impl Session {
    /// Connects with the certificate of the last login.
    /// Fails if there is none or it has expired (log in), or if the collector cannot be reached or is not the pinned one.
    pub async fn open(home: Home, output: Output) -> anyhow::Result<Self> {
        let config = home.config()?;
        let pins = Pins::load(&home)?;
        let path = home.path(CREDENTIALS);
        if !path.exists() {
            return Err(could_not("you are not logged in", "log in: exhibit login"));
        }
        let credentials = Credentials::load(&path)?;
        let leaf = credentials.chain.first().map(|leaf| Leaf::parse(leaf)).transpose()?;
        match leaf {
            Some(leaf) if clock::now()? < leaf.not_after => {}
            _ => {
                return Err(could_not("your login has ended; it lasts 12 hours", "log in: exhibit login"));
            }
        }
        let expected = Expected::collector(config.deployment.clone(), config.collector.clone());
        let client = tls::client(&pins.ca, Some(&credentials), expected)?;
        let channel = connect::connect(&config.address, client).await.map_err(unreachable)?;
        let mut session = Self { home, config, pins, output, channel };
        // Done first, because the collector proves everything else under its newest key.
        session.follow_log_keys().await?;
        Ok(session)
    }

    /// A session without a connection, for tests of its local decisions.
    #[cfg(test)]
    pub fn unconnected(home: Home, config: Config, pins: Pins, output: Output) -> Self {
        let channel =
            tonic::transport::Endpoint::from_static("http://collector.exhibit.invalid").connect_lazy();
        Self { home, config, pins, output, channel }
    }

    /// The channel, for a client of `proto::service`.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The collector's statement about the deployment. Only its rosters are signed.
    pub async fn deployment(&self) -> anyhow::Result<v1::DeploymentResponse> {
        let mut client = proto::service::endpoint_client(self.channel());
        Ok(client.deployment(v1::DeploymentRequest {}).await.map_err(refused)?.into_inner())
    }

    /// The roster in force, verified under the pinned authority.
    pub async fn roster(&self) -> anyhow::Result<AdmittedRoster> {
        let rosters = self.deployment().await?.rosters;
        let rosters: Vec<Signed> = proto::convert::signed_list("rosters", rosters, ROSTERS_MAX)?;
        self.pins.admit_rosters(&self.home, &self.config, rosters)
    }
}

/// Says why there is no connection.
pub fn unreachable(error: ConnectError) -> anyhow::Error {
    let state = because(&error);
    match connect::refusal(&error) {
        Some(refusal) => explain_refusal(refusal),
        None => could_not(
            state,
            "check the network and that the collector runs; `exhibit-server run` prints its addresses",
        ),
    }
}

/// Says why a call failed.
pub fn refused(status: tonic::Status) -> anyhow::Error {
    if let Some(refusal) = connect::refusal(&status) {
        return explain_refusal(refusal);
    }
    let class = Class::of(&status);
    let text = if status.message().is_empty() {
        format!("the collector answered {}", status.code())
    } else {
        status.message().to_owned()
    };
    match class {
        Class::Unidentified => could_not(text, "log in: exhibit login"),
        Class::Forbidden => {
            could_not(text, "ask the admins for the role: exhibit authority roster DIR --add …")
        }
        Class::Contradiction => {
            failed(text, "keep this home as it is and tell the operator: two statements cannot both be true")
        }
        Class::Unavailable if std::error::Error::source(&status).is_some() => {
            could_not(format!("the connection was cut: {}", because(&status)), "try again")
        }
        _ => match class.action() {
            Action::Retry => could_not(text, "try again in a moment"),
            Action::Reject if class == Class::Missing => could_not(text, LISTS),
            Action::Reject => could_not(text, ""),
            Action::Halt => could_not(text, "ask the operator to look at the collector's log"),
        },
    }
}

/// Like [`refused`], but with the command's own next step if the thing does not exist or is not in the required state.
pub fn refusal_with_next(next: impl Into<String>) -> impl FnOnce(tonic::Status) -> anyhow::Error {
    move |status| match Class::of(&status) {
        Class::Missing | Class::Precondition => could_not(status.message(), next),
        _ => refused(status),
    }
}

fn explain_refusal(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::OurCertificateEnded => could_not("your login has ended", "log in: exhibit login"),
        Refusal::OurCertificateRevoked => {
            could_not("your certificate was revoked", "ask the operator; then: exhibit login")
        }
        Refusal::ByCollector(why) => {
            could_not(format!("the collector refuses this connection ({why})"), "log in: exhibit login")
        }
        Refusal::OfCollector(why) => failed(
            format!("the peer is not the pinned collector: {why}"),
            "check the address in config.toml; if it is right, somebody stands between you and the collector",
        ),
        other => could_not(format!("no TLS connection: {other:?}"), "ask the operator"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_not_in_the_state_for_it_has_a_next_step() {
        let missing = Class::Missing.status("there is no incident INC-2026-0009");
        assert_eq!(
            refused(missing.clone()).to_string(),
            format!("there is no incident INC-2026-0009\n  next: {LISTS}")
        );
        let next = "list the incidents: exhibit incident list";
        assert_eq!(
            refusal_with_next(next)(missing).to_string(),
            format!("there is no incident INC-2026-0009\n  next: {next}")
        );
        let precondition = Class::Precondition.status("the order is issued already");
        assert_eq!(
            refusal_with_next("see it")(precondition).to_string(),
            "the order is issued already\n  next: see it"
        );
        // A refusal that has a next step of its own keeps it.
        let forbidden = refusal_with_next("see it")(Class::Forbidden.status("not yours")).to_string();
        assert!(forbidden.contains("ask the admins"), "{forbidden}");
    }
}
