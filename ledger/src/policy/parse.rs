//! Reads a trust file line by line. Refuses everything that the specification does not define.

use std::collections::{BTreeMap, BTreeSet};

use super::quorum::{Group, Member};
use super::{POLICY_BYTES_MAX, POLICY_NAMES_MAX, Policy, PolicyError, PolicyLog, PolicyWitness};
use crate::encoding::decimal;
use crate::note::{KeyType, VerifierKey};

pub(super) fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
    if bytes.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLarge);
    }
    let mut file = File::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\n").ok_or(PolicyError::Character { line: number })?;
        if line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(PolicyError::Character { line: number });
        }
        let items: Vec<&[u8]> =
            line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        if let Some((keyword, rest)) = items.split_first()
            && !keyword.starts_with(b"#")
        {
            // Comments may hold any octets; names and keys are also names of notes, which are UTF-8.
            let rest: Option<Vec<&str>> = rest.iter().map(|item| str::from_utf8(item).ok()).collect();
            file.line(number, keyword, &rest.ok_or(PolicyError::Character { line: number })?)?;
        }
    }
    file.finish()
}

/// The part of the file that was read so far.
#[derive(Default)]
struct File {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    names: BTreeMap<String, Member>,
    in_a_group: BTreeSet<Member>,
    quorum: Option<Option<Member>>,
}

impl File {
    fn line(&mut self, line: usize, keyword: &[u8], items: &[&str]) -> Result<(), PolicyError> {
        match (keyword, items) {
            (b"log", [key]) => self.log(line, key, None),
            (b"log", [key, url]) => self.log(line, key, Some(url)),
            (b"witness", [name, key]) => self.witness(line, name, key, None),
            (b"witness", [name, key, url]) => self.witness(line, name, key, Some(url)),
            (b"group", [name, threshold, members @ ..]) if !members.is_empty() => {
                self.group(line, name, threshold, members)
            }
            (b"quorum", [name]) => self.quorum(line, name),
            (b"log" | b"witness" | b"group" | b"quorum", _) => Err(PolicyError::Items { line }),
            _ => Err(PolicyError::UnknownKeyword { line }),
        }
    }

    fn log(&mut self, line: usize, key: &str, url: Option<&str>) -> Result<(), PolicyError> {
        let key = usable_key(line, key, KeyType::Ed25519)?;
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err(PolicyError::DuplicateKey { line });
        }
        room_for_one_more(&self.logs)?;
        self.logs.push(PolicyLog { key, url: checked_url(line, url)?, from: 0, to: u64::MAX });
        Ok(())
    }

    fn witness(&mut self, line: usize, name: &str, key: &str, url: Option<&str>) -> Result<(), PolicyError> {
        let key = usable_key(line, key, KeyType::CosignatureV1)?;
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(PolicyError::DuplicateKey { line });
        }
        room_for_one_more(&self.witnesses)?;
        self.define(line, name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness { name: name.to_owned(), key, url: checked_url(line, url)? });
        Ok(())
    }

    fn group(
        &mut self,
        line: usize,
        name: &str,
        threshold: &str,
        members: &[&str],
    ) -> Result<(), PolicyError> {
        room_for_one_more(&self.groups)?;
        let mut group = Group { threshold: 0, members: Vec::new() };
        for member in members {
            let member = *self.names.get(*member).ok_or(PolicyError::UnknownName { line })?;
            // Each name counts in one way only, so that no witness can vote twice.
            if !self.in_a_group.insert(member) {
                return Err(PolicyError::DuplicateMember { line });
            }
            group.members.push(member);
        }
        let count = members.len();
        group.threshold = match threshold {
            "all" => count,
            "any" => 1,
            number => decimal(number)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=count).contains(number))
                .ok_or(PolicyError::Threshold { line })?,
        };
        // Define it last, so that a group cannot be its own member.
        self.define(line, name, Member::Group(self.groups.len()))?;
        self.groups.push(group);
        Ok(())
    }

    fn quorum(&mut self, line: usize, name: &str) -> Result<(), PolicyError> {
        let quorum = match name {
            "none" => None,
            name => Some(*self.names.get(name).ok_or(PolicyError::UnknownName { line })?),
        };
        if self.quorum.replace(quorum).is_some() { Err(PolicyError::Quorum) } else { Ok(()) }
    }

    fn define(&mut self, line: usize, name: &str, member: Member) -> Result<(), PolicyError> {
        if name == "none" || self.names.insert(name.to_owned(), member).is_some() {
            return Err(PolicyError::DuplicateName { line });
        }
        Ok(())
    }

    fn finish(self) -> Result<Policy, PolicyError> {
        let quorum = self.quorum.ok_or(PolicyError::Quorum)?;
        let logs = self.logs.iter().map(|log| log.key.clone());
        let keys = logs.chain(self.witnesses.iter().map(|witness| witness.key.clone())).collect();
        Ok(Policy { logs: self.logs, witnesses: self.witnesses, groups: self.groups, quorum, keys })
    }
}

fn usable_key(line: usize, key: &str, kind: KeyType) -> Result<VerifierKey, PolicyError> {
    let key = VerifierKey::parse(key).map_err(|source| PolicyError::Key { line, source: Some(source) })?;
    if key.kind() == kind { Ok(key) } else { Err(PolicyError::Key { line, source: None }) }
}

/// Checks a URL. It has no fixed form, but a comment after the key is refused, so that nobody takes it for a URL.
fn checked_url(line: usize, url: Option<&str>) -> Result<Option<String>, PolicyError> {
    match url {
        Some(url) if url.starts_with('#') => Err(PolicyError::Items { line }),
        url => Ok(url.map(str::to_owned)),
    }
}

fn room_for_one_more<T>(list: &[T]) -> Result<(), PolicyError> {
    if list.len() < POLICY_NAMES_MAX { Ok(()) } else { Err(PolicyError::TooLarge) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::hash::leaf_hash;
    use crate::note::{Note, NoteError, NoteSigner};

    const ORIGIN: &str = "ledger.example/one";

    fn witness(number: u8) -> NoteSigner {
        NoteSigner::new(&format!("m{number}.example/mirror"), &[number; 32]).unwrap()
    }

    fn log() -> NoteSigner {
        NoteSigner::new(ORIGIN, &[100; 32]).unwrap()
    }

    fn head() -> String {
        let mut file = format!("# trust\n\n log\t{} \n", log().verifier_key(KeyType::Ed25519));
        for number in 1..=3 {
            let key = witness(number).verifier_key(KeyType::CosignatureV1);
            file.push_str(&format!("witness m{number} {key} https://m{number}.example/\n"));
        }
        file
    }

    fn refused(tail: &str) -> PolicyError {
        Policy::parse(format!("{}{tail}", head()).as_bytes()).unwrap_err()
    }

    fn checkpoint(signers: &[u8]) -> Vec<u8> {
        let text = Checkpoint::new(ORIGIN, 1, leaf_hash(b"entry")).unwrap().to_text();
        let mut note = Note::new(&text, vec![log().sign(&text).unwrap()]).unwrap();
        for number in signers {
            note.add(witness(*number).cosign(&text, 1000 + u64::from(*number)).unwrap()).unwrap();
        }
        note.to_string().into_bytes()
    }

    #[test]
    fn two_of_three_mirrors_make_the_quorum_and_one_does_not() {
        let policy = Policy::parse(format!("{}group g 2 m1 m2 m3\nquorum g\n", head()).as_bytes()).unwrap();
        assert_eq!((policy.logs().len(), policy.witnesses().len(), policy.needs_cosigners()), (1, 3, true));
        let verified = policy.verify_checkpoint(&checkpoint(&[3, 1, 9])).unwrap();
        assert!(verified.quorum_met);
        assert_eq!(verified.cosigners, [("m1".to_owned(), 1001), ("m3".to_owned(), 1003)]);
        let verified = policy.verify_checkpoint(&checkpoint(&[2, 2])).unwrap();
        assert!(!verified.quorum_met);
        assert_eq!(verified.checkpoint.size, 1);
    }

    #[test]
    fn a_checkpoint_without_its_log_is_refused_however_many_cosign() {
        let policy = Policy::parse(format!("{}quorum m1\n", head()).as_bytes()).unwrap();
        let other = Checkpoint::new("ledger.example/two", 1, leaf_hash(b"entry")).unwrap().to_text();
        let lines = vec![log().sign(&other).unwrap(), witness(1).cosign(&other, 5).unwrap()];
        let note = Note::new(&other, lines).unwrap().to_string();
        let unknown = PolicyError::UnknownLog { origin: "ledger.example/two".into() };
        assert_eq!(policy.verify_checkpoint(note.as_bytes()), Err(unknown));
        let forged = String::from_utf8(checkpoint(&[1])).unwrap().replacen("\n1\n", "\n2\n", 1);
        let bad = PolicyError::Note(NoteError::BadSignature { name: ORIGIN.into() });
        assert_eq!(policy.verify_checkpoint(forged.as_bytes()), Err(bad));
        let no_logs = Policy::parse(b"quorum none\n").unwrap();
        let unsigned = PolicyError::Note(NoteError::NoKnownSignature);
        assert_eq!(no_logs.verify_checkpoint(&checkpoint(&[])), Err(unsigned));
    }

    #[test]
    fn what_the_specification_does_not_define_is_refused() {
        let line = 7;
        assert_eq!(refused(""), PolicyError::Quorum);
        assert_eq!(refused("quorum none\nquorum none\n"), PolicyError::Quorum);
        assert_eq!(refused("quorum m4\n"), PolicyError::UnknownName { line });
        assert_eq!(refused("mirror m4\n"), PolicyError::UnknownKeyword { line });
        assert_eq!(refused("quorum none # why\n"), PolicyError::Items { line });
        assert_eq!(refused("quorum\n"), PolicyError::Items { line });
        assert_eq!(refused("group g 1\n"), PolicyError::Items { line });
        assert_eq!(refused("group g 1 g\n"), PolicyError::UnknownName { line });
        assert_eq!(refused("group g 1 none\n"), PolicyError::UnknownName { line });
        assert_eq!(refused("group none 1 m1\n"), PolicyError::DuplicateName { line });
        assert_eq!(refused("group m1 1 m2\n"), PolicyError::DuplicateName { line });
        assert_eq!(refused("group g 1 m1 m1\n"), PolicyError::DuplicateMember { line });
        assert_eq!(refused("group g 1 m1\ngroup h 1 m1\n"), PolicyError::DuplicateMember { line: 8 });
        for threshold in ["0", "3", "02", "-1", "most", "99999999999999999999"] {
            assert_eq!(refused(&format!("group g {threshold} m1 m2\n")), PolicyError::Threshold { line });
        }
        assert_eq!(refused("quorum none"), PolicyError::Character { line });
        assert_eq!(refused("quorum none\r\n"), PolicyError::Character { line });
        assert_eq!(Policy::parse(b"quorum \xff\n"), Err(PolicyError::Character { line: 1 }));
        assert_eq!(Policy::parse(&vec![b'#'; POLICY_BYTES_MAX + 1]), Err(PolicyError::TooLarge));
        assert!(Policy::parse(b"# \xff\nquorum none\n").is_ok());
    }

    #[test]
    fn keys_count_once_and_only_in_their_role() {
        let line = 7;
        let renamed = NoteSigner::new("other.example", &[1; 32]).unwrap();
        let repeated = format!("witness m4 {}\n", renamed.verifier_key(KeyType::CosignatureV1));
        assert_eq!(refused(&repeated), PolicyError::DuplicateKey { line });
        let second_log = format!("log {}\n", log().verifier_key(KeyType::Ed25519));
        assert_eq!(refused(&second_log), PolicyError::DuplicateKey { line });
        let log_as_witness = format!("witness m4 {}\n", witness(4).verifier_key(KeyType::Ed25519));
        assert_eq!(refused(&log_as_witness), PolicyError::Key { line, source: None });
        let witness_as_log = format!("log {}\n", witness(4).verifier_key(KeyType::CosignatureV1));
        assert_eq!(refused(&witness_as_log), PolicyError::Key { line, source: None });
        assert!(matches!(refused("log nonsense\n"), PolicyError::Key { source: Some(_), .. }));
        let commented = format!("witness m4 {} #fourth\n", witness(4).verifier_key(KeyType::CosignatureV1));
        assert_eq!(refused(&commented), PolicyError::Items { line });
    }
}
