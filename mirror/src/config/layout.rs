//! Where files lie in a mirror's directory, and how to read settings and pins from there.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evidence::digest::Digest;
use evidence::id::DeploymentId;
use evidence::roster::AuthoritySet;
use store::settings;

use super::{AUTHORITY_FILE, CARD_FILE, CONFIG_FILE, Card, Config};
use crate::pins::{KeyRing, LOG_KEYS, Pins};
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
    pub fn config(&self) -> anyhow::Result<Config> {
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
    pub fn pins(&self, deployment: &DeploymentId) -> anyhow::Result<(Pins, Card)> {
        let place = self.0.join(CARD_FILE);
        let card = Card::read(&place)?;
        ensure!(
            card.deployment == *deployment,
            "{} is of deployment {}, and {CONFIG_FILE} of {deployment}. Restore both from one backup",
            place.display(),
            card.deployment
        );
        let (authority, _) = read_authority(&self.0.join(AUTHORITY_FILE))?;
        let log_keys = KeyRing::load(&self.0, deployment, &authority, &card.log_key)
            .map_err(anyhow::Error::msg)
            .with_context(|| {
                format!(
                    "read the changes of the log key in {}. Restore the folder from the backup, or from ledger/keys of the \
                     mirror's own store",
                    self.0.join(LOG_KEYS).display()
                )
            })?;
        let pins = Pins {
            deployment: card.deployment.clone(),
            log_keys,
            ca_sha256: Digest::of(&card.ca),
            authority,
        };
        Ok((pins, card))
    }
}

/// Reads the authority's public keys, and the text of the file that holds them.
pub(crate) fn read_authority(path: &Path) -> anyhow::Result<(AuthoritySet, String)> {
    let text = fs_err::read_to_string(path)
        .context("read the authority's public keys. The deployment's admin hands them out")?;
    let authority = AuthoritySet::from_trust_file(&text).with_context(|| {
        format!(
            "{} does not hold the authority's public keys. Get the file again from the deployment's admin",
            path.display()
        )
    })?;
    Ok((authority, text))
}
