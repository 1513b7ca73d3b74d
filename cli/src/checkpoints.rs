//! Checks each ledger proof under the pinned log key, and remembers the newest checkpoint that this home accepted.
//! Guarantee: if a collector shows this home two histories, the home keeps both signed notes and the command fails.
//! Not here: cosigning; counting the quorum of a policy (the verification of a bundle does that).

use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use ledger::{Checkpoint, Note, ProofFile, leaf_hash, verify_consistency, verify_inclusion};
use proto::{convert, v1};

use crate::failure::{because, failed};
use crate::home::write_durably;
use crate::session::{Session, refused};

const CHECKPOINT: &str = "checkpoint";
const LIED: &str =
    "keep this home as it is and tell the operator and the admins: the ledger does not hold together";

/// A ledger entry with a proven place in the log.
#[derive(Debug, Clone)]
pub struct RecordedEntry {
    /// The entry.
    pub entry: Entry,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its `.tlog-proof`.
    pub proof: Vec<u8>,
    /// Its index in the log.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Digest,
    /// Entries of the tree in which it is proven.
    pub size: u64,
}

impl RecordedEntry {
    /// Checks that the collector recorded the act that was sent.
    /// Fails if the collector recorded something else.
    pub fn expect(&self, type_: EntryType, event: &Digest, refs: &[(&str, String)]) -> anyhow::Result<()> {
        let envelope = &self.entry.envelope;
        let other = refs.iter().find(|(name, value)| envelope.reference(name) != Some(value));
        if envelope.type_ != type_ || envelope.event != *event || other.is_some() {
            return Err(failed(
                format!(
                    "the collector recorded {} of {} where {type_} of {event} was due",
                    envelope.type_, envelope.event
                ),
                LIED,
            ));
        }
        Ok(())
    }
}

impl Session {
    /// Verifies an entry's proof, and that its checkpoint continues the last one seen here.
    /// Fails if the entry is missing, malformed or unproven, or if the log contradicts itself.
    pub async fn prove_recorded(
        &self,
        field: &'static str,
        message: Option<v1::ProvenEntry>,
    ) -> anyhow::Result<RecordedEntry> {
        let proven = convert::proven(field, message)?;
        let (recorded, note) = self.prove(&proven.entry, &proven.proof)?;
        self.accept_checkpoint(&note).await?;
        Ok(recorded)
    }

    fn prove(&self, bytes: &[u8], proof: &[u8]) -> anyhow::Result<(RecordedEntry, Note)> {
        let broken =
            |cause: &dyn std::error::Error| failed(format!("ledger entry: {}", because(cause)), LIED);
        let entry = Entry::parse(bytes).map_err(|cause| broken(&cause))?;
        if entry.envelope.deployment != self.config.deployment {
            return Err(failed(format!("ledger entry of deployment {}", entry.envelope.deployment), LIED));
        }
        let file = ProofFile::parse(proof).map_err(|cause| broken(&cause))?;
        // The quorum is not checked here: cosigners may sign after the collector answers.
        let verified = self.pins.policy.verify_note(file.checkpoint()).map_err(|cause| broken(&cause))?;
        let leaf = leaf_hash(bytes);
        let checkpoint = &verified.checkpoint;
        verify_inclusion(file.index(), checkpoint.size, &leaf, file.hashes(), &checkpoint.root)
            .map_err(|cause| broken(&cause))?;
        let recorded = RecordedEntry {
            entry,
            bytes: bytes.to_vec(),
            proof: proof.to_vec(),
            index: file.index(),
            leaf: leaf.into(),
            size: checkpoint.size,
        };
        Ok((recorded, file.checkpoint().clone()))
    }

    /// Checks a signed checkpoint against the last one seen here, and keeps the larger.
    /// Fails if the pinned log did not sign it, or if the two checkpoints cannot both be true. In the second case both notes are kept.
    pub async fn accept_checkpoint(&self, note: &Note) -> anyhow::Result<Checkpoint> {
        let verified = self.pins.policy.verify_note(note);
        let new = verified.map_err(|cause| failed(because(&cause), LIED))?.checkpoint;
        let Some(kept) = self.newest_checkpoint()? else {
            self.remember(note, &new)?;
            return Ok(new);
        };
        let (kept_note, old) = kept;
        if old.size == 0 || (old.size == new.size && old.root == new.root) {
            self.remember(note, &new)?;
            return Ok(new);
        }
        let (smaller, larger) = if old.size <= new.size { (&old, &new) } else { (&new, &old) };
        let proof = if smaller.size == larger.size || smaller.size == 0 {
            Vec::new()
        } else {
            let mut client = proto::service::ledger_client(self.channel());
            let request = v1::ConsistencyRequest { from: smaller.size, to: larger.size };
            let answer = client.consistency(request).await.map_err(refused)?.into_inner();
            convert::hashes("proof", &answer.proof)?
        };
        if smaller.size != 0 {
            verify_consistency(smaller.size, &smaller.root, larger.size, &larger.root, &proof)
                .or_else(|cause| Err(self.keep_contradiction(&kept_note, note, &because(&cause))?))?;
        }
        self.remember(note, &new)?;
        Ok(new)
    }

    /// The last checkpoint seen here.
    /// Fails if it cannot be read, or the pinned log did not sign it.
    pub fn newest_checkpoint(&self) -> anyhow::Result<Option<(Note, Checkpoint)>> {
        let Some(bytes) = self.home.read(CHECKPOINT)? else {
            return Ok(None);
        };
        let next = "the home's checkpoint file was changed: restore it from a backup";
        let note = Note::parse(&bytes).map_err(|cause| failed(because(&cause), next))?;
        // When the home kept this note, the note lay within its key's term, as far as the home knew. If a thief signed it later than that,
        // the proof that the log continues it fails, and the home keeps both notes.
        let policy = self.pins.log_keys.policy_of_any_size();
        let verified = policy
            .map_err(|cause| failed(because(&cause), next))?
            .verify_note(&note)
            .map_err(|cause| failed(because(&cause), next))?;
        Ok(Some((note, verified.checkpoint)))
    }

    /// Keeps `note` unless another process has kept a larger one meanwhile.
    fn remember(&self, note: &Note, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let _guard = self.home.lock()?;
        if self.newest_checkpoint()?.is_none_or(|(_, kept)| kept.size < checkpoint.size) {
            self.home.write(CHECKPOINT, note.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Stores both notes for ever. Returns the error that names the files.
    fn keep_contradiction(&self, kept: &Note, shown: &Note, why: &str) -> anyhow::Result<anyhow::Error> {
        // The name is the digest of the content, so that the same contradiction makes the same file.
        let text = format!("{kept}\n{shown}");
        let name = format!("contradictions/{}", Digest::of(text.as_bytes()));
        let _guard = self.home.lock()?;
        self.home.write(&format!("{name}.kept"), kept.to_string().as_bytes())?;
        write_durably(&self.home.path(&format!("{name}.shown")), shown.to_string().as_bytes())?;
        Ok(failed(
            format!("the collector shows a ledger that does not continue the one seen before: {why}"),
            format!(
                "both signed checkpoints are kept as {}.*: hand them to the admins and every other holder of a checkpoint",
                self.home.path(&name).display()
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ledger::{KeyType, Policy};
    use rustls::pki_types::CertificateDer;
    use testkit::log::Log;
    use testkit::people;

    use super::*;
    use crate::failure::{Exit, Failure};
    use crate::home::{Config, Home};
    use crate::output::{Format, Output};
    use crate::pins::Pins;

    fn note(key: u8, entries: &[&[u8]]) -> Note {
        let mut log = Log::new("exhibit/acme", key);
        for entry in entries {
            log.append(entry);
        }
        log.note()
    }

    fn session(root: &Path) -> Session {
        let config = Config {
            deployment: "acme".parse().unwrap(),
            collector: "c1".parse().unwrap(),
            person: "alice".parse().unwrap(),
            key: "key".into(),
            address: "127.0.0.1:1".to_owned(),
            enrol_address: "127.0.0.1:2".to_owned(),
        };
        let key = Log::new("exhibit/acme", 8).signer.verifier_key(KeyType::Ed25519);
        let pins = Pins {
            authority: people::authority(1, &[1]),
            policy: Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).unwrap(),
            log_keys: evidence::log_key::LogKeys::unchanged(key),
            ca: CertificateDer::from(vec![0]),
            roster_version_min: 1,
        };
        Session::unconnected(Home::create(root).unwrap(), config, pins, Output { format: Format::Json })
    }

    fn exit(error: &anyhow::Error) -> Exit {
        error.downcast_ref::<Failure>().unwrap().exit
    }

    #[tokio::test]
    async fn two_checkpoints_that_cannot_both_be_true_are_kept_and_fail() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(&folder.path().join("home"));
        let (first, other) = (note(8, &[b"a", b"b"]), note(8, &[b"a", b"x"]));
        assert_eq!(session.accept_checkpoint(&first).await.unwrap().size, 2);
        assert_eq!(
            session.accept_checkpoint(&first).await.unwrap().size,
            2,
            "the same again is no contradiction"
        );
        let refused = session.accept_checkpoint(&other).await.unwrap_err();
        assert_eq!(exit(&refused), Exit::Failed);
        let mut kept: Vec<(String, Vec<u8>)> = fs_err::read_dir(session.home.path("contradictions"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| (path.extension().unwrap().to_str().unwrap().to_owned(), fs_err::read(path).unwrap()))
            .collect();
        kept.sort();
        let both = [
            ("kept".to_owned(), first.to_string().into_bytes()),
            ("shown".to_owned(), other.to_string().into_bytes()),
        ];
        assert_eq!(kept, both);
        assert_eq!(session.newest_checkpoint().unwrap().unwrap().0, first, "the first one seen stays");
    }

    #[tokio::test]
    async fn a_checkpoint_of_another_key_is_refused_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(&folder.path().join("home"));
        let refused = session.accept_checkpoint(&note(9, &[b"a"])).await.unwrap_err();
        assert_eq!(exit(&refused), Exit::Failed);
        assert!(session.newest_checkpoint().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_later_checkpoint_counts_only_with_a_proof() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(&folder.path().join("home"));
        session.accept_checkpoint(&note(8, &[b"a"])).await.unwrap();
        // Nobody answers: neither a contradiction nor a step.
        let refused = session.accept_checkpoint(&note(8, &[b"a", b"b"])).await.unwrap_err();
        assert_eq!(exit(&refused), Exit::CouldNot);
        assert_eq!(session.newest_checkpoint().unwrap().unwrap().1.size, 1);
        assert!(!session.home.path("contradictions").exists());
    }
}
