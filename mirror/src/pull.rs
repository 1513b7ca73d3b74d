//! One round: from a note of the log to a tree that this mirror checked, holds and signed (docs/spec/mirror.md, *One round*).
//!
//! Guarantee: the mirror uses no byte of the source before it verified the byte against the note's root. It reads back from its own
//! store what it signs as held. The next round goes on where this one stopped, in this process or another.
//! Memory: one bundle, the tree's right edge, and what [`Rules`] keeps.

mod log_keys;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use custody::rule::Broken;
use evidence::causes::chain;
use evidence::entry::EntryType;
use ledger::tile::{TileKind, TilePath, grow};
use ledger::{AuthenticatedReader, Hash, HashReader, TileSource, consistency_proof, leaf_hash};
use store::{Key, Replicas};

use crate::cosign::{CosignError, Cosigner, Role, Shown};
use crate::note::{LogNote, NoteRefused};
use crate::objects::{ObjectError, Objects};
use crate::rules::{Refused, Rules};
use crate::source::{Source, SourceError};

/// Follows one log into one set of stores.
pub struct Follower {
    rules: Rules,
    /// Number of entries whose bundles and full tiles are in the own store (or in `edge`).
    grown: u64,
    /// Partial tiles of the tree of `grown` leaves. They are not in the own store, because nobody has signed
    /// that size.
    edge: BTreeMap<TilePath, Vec<u8>>,
}

/// The result of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// The note is the one that the mirror already holds.
    Current,
    /// The tree grew to this size, and the mirror holds it.
    Grew(u64),
    /// The note is older than the held one and consistent with it: the collector was rolled back.
    RolledBack { offered: u64, held: u64 },
}

/// Everything that a round needs except the note.
pub struct Parts<'a> {
    /// The state and the keys.
    pub cosigner: &'a Cosigner,
    pub own: &'a Replicas,
    /// Where bytes come from; `None` while only the own store counts.
    pub source: Option<&'a dyn Source>,
    /// Counts the objects that were put back.
    pub repaired: &'a AtomicU64,
    /// Called after each bundle with the entries done and wanted. `false` ends the round there.
    pub progress: &'a dyn Fn(u64, u64) -> bool,
}

impl Follower {
    /// Replays the rules over the own store up to the held note. Fetches objects that the store lost.
    ///
    /// # Errors
    /// If the own store lost objects below the held note and the source lacks them.
    pub fn open(parts: &Parts<'_>) -> Result<Self, PullError> {
        let mut follower =
            Self { rules: Rules::new(parts.cosigner.pins().clone()), grown: 0, edge: BTreeMap::new() };
        log_keys::store_changes(parts)?;
        if let Some(held) = parts.cosigner.last(Role::Mirror) {
            let objects = Objects::new(parts.own, parts.source, parts.repaired).with_own_texts();
            follower.entries(parts, &objects, &held.log)?;
            follower.finish(parts, &held.log)?;
            follower.texts(parts);
        }
        Ok(follower)
    }

    /// Asks the source for texts that the replay did not find and that no disposal destroyed. If the source
    /// is away, the next round asks it.
    fn texts(&mut self, parts: &Parts<'_>) {
        let objects = Objects::new(parts.own, parts.source, parts.repaired);
        for text in self.rules.texts_to_ask(crate::now()) {
            match objects.get(&Key::detail(text.as_bytes())) {
                Err(ObjectError::Source(SourceError::Away { .. })) => return,
                result => self.rules.text_was_asked(&text, result.is_ok()),
            }
        }
    }

    /// The state after the entries so far.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Makes one round for a note that the source gave.
    ///
    /// # Errors
    /// `PullError`. The mirror keeps what the round has reached.
    pub fn round(&mut self, parts: &Parts<'_>, note: &[u8]) -> Result<Round, PullError> {
        let cosigner = parts.cosigner;
        if let Some(file) = cosigner.fraud() {
            return Err(CosignError::Stopped { file }.into());
        }
        self.texts(parts);
        let pins = cosigner.pins();
        // A mirror that begins needs every key of the log, because `log.genesis` names the first one.
        if self.rules.next() == 0 {
            log_keys::learn(parts)?;
        }
        let offered = match LogNote::read(note, &pins.origin(), &pins.log_keys.keys()) {
            Err(NoteRefused::Unsigned | NoteRefused::OutsideTerm { .. }) => {
                log_keys::learn(parts)?;
                LogNote::read(note, &pins.origin(), &pins.log_keys.keys())?
            }
            read => read?,
        };
        let size = offered.checkpoint.size;
        for role in [Role::Witness, Role::Mirror] {
            if let Some(last) = cosigner.last(role)
                && last.log.checkpoint.size == size
                && last.log.checkpoint.root != offered.checkpoint.root
            {
                return Err(convict(cosigner, &last.log, &offered, None, Shown::Newer));
            }
        }
        let held = cosigner.last(Role::Mirror).map(|held| held.log);
        if let Some(held) = &held
            && size <= held.checkpoint.size
        {
            return self.not_newer(parts, held, &offered);
        }
        let objects = Objects::new(parts.own, parts.source, parts.repaired);
        let reader = objects
            .verified(|| AuthenticatedReader::new(&objects, size, &offered.checkpoint.root))
            .map_err(tile)?;
        if let Some(held) = &held {
            continues(cosigner, &reader, held, &offered, Shown::Newer)?;
        }
        Self::witness(parts, &reader, &offered)?;
        self.entries(parts, &objects, &offered)?;
        let offered = log_keys::in_term(parts, note)?;
        self.finish(parts, &offered)?;
        let old = held.map_or(0, |held| held.checkpoint.size);
        cosigner.sign(Role::Mirror, old, &offered)?;
        Ok(Round::Grew(size))
    }

    /// Handles a note of a size that the mirror holds, so the mirror knows the root at that size.
    fn not_newer(&self, parts: &Parts<'_>, held: &LogNote, offered: &LogNote) -> Result<Round, PullError> {
        if held.checkpoint == offered.checkpoint {
            return Ok(Round::Current);
        }
        let objects = Objects::new(parts.own, None, parts.repaired);
        let reader =
            AuthenticatedReader::new(&objects, held.checkpoint.size, &held.checkpoint.root).map_err(tile)?;
        continues(parts.cosigner, &reader, offered, held, Shown::Older)?;
        Ok(Round::RolledBack { offered: offered.checkpoint.size, held: held.checkpoint.size })
    }

    /// Signs consistency as `/witness`, if the note is newer than the one that this role signed last. If the
    /// note is older, somebody showed the witness a newer one. The two roles must not vouch for two
    /// histories, so this function judges that newer note here and now.
    fn witness<S: TileSource<Error = ObjectError>>(
        parts: &Parts<'_>,
        reader: &AuthenticatedReader<S>,
        offered: &LogNote,
    ) -> Result<(), PullError> {
        let cosigner = parts.cosigner;
        loop {
            let last = cosigner.last(Role::Witness).map(|last| last.log);
            let old = last.as_ref().map_or(0, |last| last.checkpoint.size);
            if let Some(last) = &last {
                if old > offered.checkpoint.size {
                    return ahead(parts, last, offered);
                }
                continues(cosigner, reader, last, offered, Shown::Newer)?;
            }
            match cosigner.sign(Role::Witness, old, offered) {
                Ok(_) => return Ok(()),
                // The witness answered somebody in between.
                Err(CosignError::Moved { size }) if size != old => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Judges and keeps entries, bundle by bundle, up to the note's size.
    fn entries(&mut self, parts: &Parts<'_>, objects: &Objects<'_>, note: &LogNote) -> Result<(), PullError> {
        let size = note.checkpoint.size;
        let reader = objects
            .verified(|| AuthenticatedReader::new(objects, size, &note.checkpoint.root))
            .map_err(tile)?;
        // An earlier round may have ended between taking the entry and this check.
        self.vouched(parts, &reader)?;
        while self.grown < size {
            let bundle = self.grown >> 8;
            let first = bundle << 8;
            let bodies = objects.verified(|| reader.entries(bundle)).map_err(tile)?;
            for (index, body) in (first..).zip(&bodies) {
                if index < self.rules.next() {
                    continue;
                }
                self.rules.step(body, objects).map_err(|refused| {
                    objects.discard_pending();
                    match refused {
                        Refused::Rule(broken) => PullError::Rule { index, broken },
                        Refused::Object(error) => PullError::Object(error),
                        Refused::NotKnown { type_ } => PullError::NotKnown { index, type_ },
                    }
                })?;
                self.vouched(parts, &reader)?;
            }
            self.store_bundle(parts, objects, bundle, &bodies)?;
            if !(parts.progress)(self.grown, size) {
                return Err(PullError::Stopped);
            }
        }
        Ok(())
    }

    /// Checks that the tree contains the history for which an entry vouches. Called until the answer is known.
    fn vouched<S: TileSource<Error = ObjectError>>(
        &mut self,
        parts: &Parts<'_>,
        reader: &AuthenticatedReader<S>,
    ) -> Result<(), PullError> {
        let Some(vouched) = self.rules.vouched() else {
            return Ok(());
        };
        log_keys::vouched(reader, vouched)?;
        self.rules.vouched_holds();
        // Only now is it known where the previous key's term ended.
        let aside = parts.cosigner.put_aside();
        aside.map_err(|error| PullError::Own(chain(&error)))
    }

    /// Makes a bundle durable, with the tiles that it completes.
    fn store_bundle(
        &mut self,
        parts: &Parts<'_>,
        objects: &Objects<'_>,
        bundle: u64,
        bodies: &[Vec<u8>],
    ) -> Result<(), PullError> {
        let width = u16::try_from(bodies.len()).map_err(|error| malformed(&error))?;
        let path = TilePath::new(TileKind::Entries, bundle, width).map_err(|error| malformed(&error))?;
        let bytes = ledger::tile::encode_bundle(bodies).map_err(|error| malformed(&error))?;
        create(parts, objects, &path, &bytes)?;
        let fresh = (self.grown & 0xff) as usize;
        let leaves: Vec<Hash> = bodies.iter().skip(fresh).map(|body| leaf_hash(body)).collect();
        let edge = Edge { follower: self, own: parts.own };
        let tiles = grow(&edge, self.grown, &leaves).map_err(|error| PullError::Own(chain(&error)))?;
        // A level that grew has a new partial tile, or none. The other levels keep theirs.
        let grew: Vec<TileKind> = tiles.iter().map(|(path, _)| path.kind()).collect();
        self.edge.retain(|path, _| !grew.contains(&path.kind()));
        for (path, tile) in tiles {
            if path.is_partial() {
                self.edge.insert(path, tile.encode());
            } else {
                create(parts, objects, &path, &tile.encode())?;
            }
        }
        self.grown = (bundle << 8) + u64::from(width);
        Ok(())
    }

    /// Writes the right edge at a size that somebody signed, then reads all of it back.
    fn finish(&mut self, parts: &Parts<'_>, note: &LogNote) -> Result<(), PullError> {
        let (size, root) = (note.checkpoint.size, note.checkpoint.root);
        let objects = Objects::new(parts.own, parts.source, parts.repaired);
        for (path, bytes) in &self.edge {
            create(parts, &objects, path, bytes)?;
        }
        let own = Objects::new(parts.own, None, parts.repaired);
        let reader = AuthenticatedReader::new(&own, size, &root).map_err(tile)?;
        // The newest bundle stands for the earlier ones: each of those was read back when its level was
        // completed. Saturating is correct here: an empty tree has no last entry, and its first bundle does
        // not exist.
        reader.entries(size.saturating_sub(1) >> 8).map_err(tile)?;
        for store in parts.own.stores() {
            store
                .replace_checkpoint(note.note.to_string().as_bytes())
                .map_err(|error| PullError::Own(chain(&error)))?;
        }
        self.edge.clear();
        Ok(())
    }
}

/// Creates a tile. The bytes are verified, so other bytes under the key mean that the own store is damaged.
fn create(parts: &Parts<'_>, objects: &Objects<'_>, path: &TilePath, bytes: &[u8]) -> Result<(), PullError> {
    let key = Key::tile(path);
    match parts.own.create(&key, bytes) {
        Ok(_) => Ok(()),
        Err(store::ReplicaError::Conflict { store, .. }) => Err(PullError::Own(format!(
            "store {store} holds other bytes as {key}, which the log's root does not allow: move that file away, the mirror writes it again"
        ))),
        Err(_) => objects.keep(&key, bytes).map_err(PullError::Object),
    }
}

/// Checks that the witnessed tree begins with `offered`. A collector publishes a tree before it shows the
/// tree's head to anybody, so an honest collector has that tree.
fn ahead(parts: &Parts<'_>, witnessed: &LogNote, offered: &LogNote) -> Result<(), PullError> {
    let objects = Objects::new(parts.own, parts.source, parts.repaired);
    let checkpoint = &witnessed.checkpoint;
    let judged = objects
        .verified(|| AuthenticatedReader::new(&objects, checkpoint.size, &checkpoint.root))
        .map_err(tile)
        .and_then(|reader| continues(parts.cosigner, &reader, offered, witnessed, Shown::Older));
    match judged {
        Err(
            PullError::Spoiled(_)
            | PullError::Object(
                ObjectError::Source(SourceError::Missing { .. } | SourceError::Damaged { .. })
                | ObjectError::Lost { .. },
            ),
        ) => Err(PullError::Unshown { witnessed: checkpoint.size, offered: offered.checkpoint.size }),
        other => other,
    }
}

/// Checks that the reader's tree begins with `older`. If it does not, the two notes convict the log.
fn continues<S: TileSource<Error = ObjectError>>(
    cosigner: &Cosigner,
    reader: &AuthenticatedReader<S>,
    older: &LogNote,
    newer: &LogNote,
    shown: Shown,
) -> Result<(), PullError> {
    let (old, new) = (&older.checkpoint, &newer.checkpoint);
    if old.size == 0 {
        return Ok(());
    }
    let root = ledger::root(&Nodes(reader), old.size).map_err(|error| prove(&error))?;
    if root == old.root {
        return Ok(());
    }
    let proof = consistency_proof(&Nodes(reader), old.size, new.size).map_err(|error| prove(&error))?;
    let grown = (old.size != new.size).then_some((&root, proof.as_slice()));
    Err(convict(cosigner, older, newer, grown, shown))
}

fn convict(
    cosigner: &Cosigner,
    older: &LogNote,
    newer: &LogNote,
    grown: Option<(&Hash, &[Hash])>,
    shown: Shown,
) -> PullError {
    match cosigner.convict(older, newer, grown, shown) {
        Ok(conviction) if conviction.is_acknowledged => PullError::Known { file: conviction.file },
        Ok(conviction) => PullError::Fraud { file: conviction.file },
        Err(error) => error.into(),
    }
}

/// Passes a reader on by reference.
pub(crate) struct Nodes<'a, S>(pub(crate) &'a AuthenticatedReader<S>);

impl<S: TileSource<Error = ObjectError>> HashReader for Nodes<'_, S> {
    type Error = ledger::tile::TileReadError<ObjectError>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        self.0.node(level, index)
    }
}

/// Reads tiles of the tree of `grown` leaves: the edge from memory, the rest from the own store.
struct Edge<'a> {
    follower: &'a Follower,
    own: &'a Replicas,
}

impl TileSource for Edge<'_> {
    type Error = ObjectError;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, ObjectError> {
        match self.follower.edge.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => Ok(self.own.read(&Key::tile(path))?),
        }
    }
}

fn tile(error: ledger::tile::TileReadError<ObjectError>) -> PullError {
    match error {
        ledger::tile::TileReadError::Source { source, .. } => PullError::Object(source),
        other => PullError::Spoiled(chain(&other)),
    }
}

pub(crate) fn prove(
    error: &ledger::proof::ProveError<ledger::tile::TileReadError<ObjectError>>,
) -> PullError {
    PullError::Spoiled(chain(error))
}

fn malformed(error: &dyn std::error::Error) -> PullError {
    PullError::Spoiled(chain(error))
}

/// Why a round stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The state or the signature failed.
    #[error(transparent)]
    Cosign(#[from] CosignError),
    /// The log has two histories. The mirror keeps the proof.
    #[error("the log signed two histories; the proof is fraud/{file}")]
    Fraud {
        /// Name of the proof.
        file: String,
    },
    /// The note belongs to the other history of a fraud that a person has already seen.
    #[error(
        "the log goes on with the history that fraud/{file} convicts: nothing of it is taken. Only a new log (succession) ends this"
    )]
    Known {
        /// Name of the proof.
        file: String,
    },
    /// An entry is of a type of a later version. `/witness` goes on; `/mirror` and the statements wait.
    #[error("entry {index}: this mirror does not know {type_}: upgrade it")]
    NotKnown {
        /// Index in the log.
        index: u64,
        type_: EntryType,
    },
    /// The offered note is not one of the log.
    #[error("the source's note")]
    Note(#[from] NoteRefused),
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The own store failed.
    #[error("the mirror's own store: {0}")]
    Own(String),
    /// An entry breaks the rules.
    #[error("entry {index} breaks the rules: {broken}")]
    Rule {
        /// Index in the log.
        index: u64,
        broken: Broken,
    },
    /// Tiles or bundles differ from those that the note commits to.
    #[error("the tree as served is not the one the note signs: {0}")]
    Spoiled(String),
    /// The process must end.
    #[error("stopped")]
    Stopped,
    /// The mirror has witnessed a head whose tree the source does not have.
    #[error(
        "size {witnessed} was shown to /witness, and the collector, at {offered}, cannot show its tree: it was rolled back, or its key is in other hands. /mirror waits until the two can be compared"
    )]
    Unshown { witnessed: u64, offered: u64 },
}
