//! Everything the warden knows, opened once at its start.
//!
//! Guarantee: everything that is read back is verified again under the pins (a roster or checkpoint that was
//! changed on disk is refused). What the warden learns is durable before the warden acts on it. Not here:
//! judging orders (`warden::judge`).

use std::io;
use std::path::{Path, PathBuf};

use evidence::id::EndpointId;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeyError, LogKeys};
use evidence::order::Target;
use evidence::roster::{AdmittedRoster, AuthorityError, AuthoritySet, Roster, RosterError};
use evidence::signed::Signed;
use ledger::VerifierKey;
use ledger::policy::PolicyError as TrustError;
use prost::Message as _;
use proto::{convert, v1};

use super::clock::{ClockFloor, Reading};
use super::counter;
use super::identity::{Identity, IdentityStateError, Pins};
use super::seen::SeenOrders;
use crate::diary::Diary;

/// The warden's knowledge.
#[derive(Debug)]
pub struct EndpointState {
    /// The state directory.
    pub dir: PathBuf,
    /// Keys and pins.
    pub identity: Identity,
    /// The keys that sign rosters.
    pub authority: AuthoritySet,
    /// This endpoint as orders address it.
    pub target: Target,
    /// The newest roster seen.
    pub roster: AdmittedRoster,
    /// The keys that sign the ledger, starting with the pinned one.
    pub log_keys: LogKeys,
    /// The newest checkpoint seen.
    pub checkpoint: ledger::Checkpoint,
    /// The clock floor.
    pub clock: ClockFloor,
    /// Orders on which this endpoint acted.
    pub seen: SeenOrders,
    /// The endpoint's own log.
    pub diary: Diary,
    /// How often an agent started with this state.
    pub state_generation: u64,
    _lock: durable::Lock,
}

/// Why the warden cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointStateError {
    /// There is no identity, or it is damaged.
    #[error(transparent)]
    Identity(#[from] IdentityStateError),
    /// The pinned authority keys are damaged.
    #[error("`identity.json`: authority keys")]
    Authority(#[from] AuthorityError),
    /// The kept roster does not verify under the pinned authority.
    #[error(
        "the kept roster was changed. Restore the state directory from a backup, or enrol anew with `--replace`"
    )]
    Roster(#[from] RosterError),
    /// The kept checkpoint does not verify under the pinned log key.
    #[error(
        "the kept checkpoint was changed. Restore the state directory from a backup, or enrol anew with `--replace`"
    )]
    Checkpoint(#[from] TrustError),
    /// The kept changes of the log key do not verify under the pins.
    #[error(
        "the kept changes of the log key were changed. Restore the state directory from a backup, or enrol anew with `--replace`"
    )]
    LogKeys(#[from] LogKeysError),
    /// The system refused, or a file is damaged.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a list of log keys as the collector shows it, starting with the pinned key (docs/spec/ledger.md,
/// *Change of the log key*).
pub fn log_keys(
    pins: &Pins,
    authority: &AuthoritySet,
    shown: &v1::LogKeyChanges,
) -> Result<LogKeys, LogKeysError> {
    let pinned = VerifierKey::parse(&pins.log_key).map_err(|source| LogKeysError::Pin { source })?;
    let changes = convert::proven_list("log_keys", shown.changes.clone(), LOG_KEY_CHANGES_MAX)?;
    let changes: Vec<(&[u8], &[u8])> =
        changes.iter().map(|one| (one.entry.as_ref(), one.proof.as_ref())).collect();
    Ok(LogKeys::proven(&pins.deployment, authority, &pinned, &changes)?)
}

/// Why a list of log keys is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogKeysError {
    /// Its form is wrong.
    #[error("changes of the log key")]
    Form(#[from] convert::WireError),
    /// Its content is wrong.
    #[error(transparent)]
    Line(#[from] LogKeyError),
    /// The pinned key is malformed.
    #[error("the pinned log key")]
    Pin {
        /// What is wrong with it.
        #[source]
        source: ledger::note::NoteError,
    },
}

impl EndpointState {
    /// Opens the state in `dir` and counts a start.
    pub fn open(dir: &Path, now: Reading) -> Result<Self, EndpointStateError> {
        if super::identity::pins(dir)?.is_none() {
            return Err(IdentityStateError::NotEnrolled { dir: dir.to_owned() }.into());
        }
        durable::require_private_folder(dir)?;
        let lock = counter::lock(dir)?;
        super::remove_old_left_overs(dir)?;
        // Count first: then a restored snapshot shows, whatever happens later.
        let state_generation = counter::count(dir)?;
        let identity = Identity::open(dir)?;
        let pins = &identity.pins;
        let authority = AuthoritySet::new(pins.authority_threshold, pins.authority_keys.clone())?;
        let roster = Roster::verify(&identity.roster()?, &pins.deployment, &authority, None)?;
        let shown = v1::LogKeyChanges::decode(identity.log_keys()?.as_slice()).map_err(io::Error::other)?;
        let log_keys = log_keys(pins, &authority, &shown)?;
        // When this checkpoint was kept, it was within its key's term as far as was known.
        let checkpoint = log_keys
            .policy_of_any_size()
            .map_err(LogKeysError::from)?
            .verify_checkpoint(&identity.checkpoint()?)?
            .checkpoint;
        let target = Target {
            endpoint: pins.endpoint.clone(),
            generation: pins.generation,
            evidence_key: identity.evidence_key.public().fingerprint(),
        };
        let mut clock = ClockFloor::open(dir, now)?;
        clock.raise(roster.roster().issued, now)?;
        let diary = Diary::open(dir)?;
        let seen = SeenOrders::open(dir, clock.floor(), clock.time(now))?;
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            identity,
            authority,
            target,
            roster,
            log_keys,
            checkpoint,
            clock,
            seen,
            diary,
            state_generation,
            _lock: lock,
        })
    }

    /// Keeps a roster that admission verified, with its signed form, if it is newer.
    pub(crate) fn learn_roster(
        &mut self,
        roster: &AdmittedRoster,
        signed: &Signed,
        now: Reading,
    ) -> io::Result<()> {
        if roster.roster().version > self.roster.roster().version && signed.digest() == roster.digest() {
            self.identity.keep_roster(signed)?;
            self.roster = roster.clone();
        }
        self.clock.raise(roster.roster().issued, now)
    }

    /// Which checkpoints this endpoint believes if its owner asks for no cosigner.
    ///
    /// # Errors
    /// [`LogKeyError`] if the pinned key is malformed.
    pub(crate) fn log_trust(&self) -> Result<ledger::Policy, LogKeyError> {
        self.log_keys.policy()
    }

    /// Keeps a longer list of log keys that was verified.
    pub(crate) fn learn_log_keys(&mut self, keys: LogKeys, shown: &v1::LogKeyChanges) -> io::Result<()> {
        self.identity.keep_log_keys(&shown.encode_to_vec())?;
        self.log_keys = keys;
        Ok(())
    }

    /// Keeps a checkpoint that was verified to continue the last one.
    pub(crate) fn learn_checkpoint(
        &mut self,
        checkpoint: &ledger::Checkpoint,
        note: &[u8],
    ) -> io::Result<()> {
        if checkpoint.size > self.checkpoint.size {
            self.identity.keep_checkpoint(note)?;
            self.checkpoint = checkpoint.clone();
        }
        Ok(())
    }

    /// The endpoint's id.
    pub fn endpoint(&self) -> &EndpointId {
        &self.identity.pins.endpoint
    }
}
