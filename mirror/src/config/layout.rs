//! Where files lie in a mirror's directory, and how to read settings and pins from there.

use std::path::PathBuf;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::id::DeploymentId;
use evidence::roster::AuthoritySet;
use store::settings;

use super::{AUTHORITY_FILE, CARD_FILE, CONFIG_FILE, Card, Config, ConfigError};
use crate::pins::{KeyRing, Pins};
use crate::rate::parse_rate;

/// The paths of a mirror's directory.
#[derive(Debug, Clone)]
pub struct Layout(pub PathBuf);

impl Layout {
    /// Private keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// TLS key with its chain.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.0.join("keys/tls")
    }

    /// Statements that this mirror signed, and the notes of interrupted collections.
    #[must_use]
    pub fn replicated(&self) -> PathBuf {
        self.0.join("replicated")
    }

    /// Files that exist only while the mirror runs.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The settings.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Ok(settings::read(&self.0.join(CONFIG_FILE), |config: &Config| {
            if config.stores.is_empty() || config.scrub_days == 0 {
                return Err("there must be a store, and scrub_days of at least 1".to_owned());
            }
            parse_rate(&config.bandwidth)?;
            parse_rate(&config.scrub_bandwidth)?;
            Ok(())
        })?)
    }

    /// The pins.
    ///
    /// # Errors
    /// If the card or the authority cannot be read, or belongs to another deployment than the settings.
    pub fn pins(&self, deployment: &DeploymentId) -> Result<(Pins, Card), ConfigError> {
        let card = Card::read(&self.0.join(CARD_FILE))?;
        let path = self.0.join(AUTHORITY_FILE);
        let refused = |reason: String| ConfigError::Content { path: path.clone(), reason };
        let text = fs_err::read_to_string(&path).map_err(ConfigError::Io)?;
        let authority = AuthoritySet::from_trust_file(&text).map_err(|error| refused(chain(&error)))?;
        if card.deployment != *deployment {
            return Err(refused(format!("the card is of deployment {}", card.deployment)));
        }
        let log_keys = KeyRing::load(&self.0, deployment, &authority, &card.log_key)
            .map_err(|why| ConfigError::Content { path: self.0.join(crate::pins::LOG_KEYS), reason: why })?;
        let pins = Pins {
            deployment: card.deployment.clone(),
            log_keys,
            ca_sha256: Digest::of(&card.ca),
            authority,
        };
        Ok((pins, card))
    }
}
