//! Every parser over seeded mutations of good input: no panic, and what is accepted prints as the same bytes.

use ledger::tile::{Tile, decode_bundle, encode_bundle};
use ledger::{
    Checkpoint, Hash, KeyType, Leaves, Note, NoteSignature, NoteSigner, Policy, ProofFile, TilePath,
    VerifierKey, inclusion_proof, root_of,
};

/// Mutations per parser.
const ROUNDS: u32 = 10_000;

/// xorshift64: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// Flips, cuts, repeats, swaps or inserts something that means something to one of the formats.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let pieces: [&[u8]; 12] = [
            b"\n",
            b"\n\n",
            b" ",
            "— ".as_bytes(),
            b"+",
            b"=",
            b"0",
            b"x",
            b"/",
            b".p/",
            b"\xff",
            b"18446744073709551615",
        ];
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            let other = self.below(bytes.len() + 1);
            let (start, end) = (at.min(other), at.max(other));
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 if end - start < 64 => drop(bytes.drain(start..end)),
                3 => {
                    let piece = bytes[start..end].to_vec();
                    bytes.splice(at..at, piece.into_iter().take(300));
                }
                4 if at < bytes.len() && other < bytes.len() => bytes.swap(at, other),
                _ => {
                    let piece = pieces[self.below(pieces.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
    }
}

/// Runs `parse` over mutations of `good`; it returns the printed form of what it accepted.
fn damage(good: &[u8], parse: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    assert_eq!(parse(good).as_deref(), Some(good), "the undamaged input is accepted as it is");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut bytes = good.to_vec();
        random.mutate(&mut bytes);
        if let Some(printed) = parse(&bytes) {
            assert_eq!(printed, bytes, "two spellings of one value");
        }
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

fn signer() -> NoteSigner {
    NoteSigner::new("ledger.example/one", &[3; 32]).unwrap()
}

fn note() -> Note {
    let checkpoint = Checkpoint::new("ledger.example/one", 9, root_of(&crate::leaves(9))).unwrap().to_text();
    let lines = vec![signer().sign(&checkpoint).unwrap(), signer().cosign(&checkpoint, 5).unwrap()];
    Note::new(&checkpoint, lines).unwrap()
}

#[test]
fn damaged_hashes_do_not_panic() {
    let hash = root_of(&crate::leaves(2));
    damage(hash.to_base64().as_bytes(), |bytes| {
        Some(Hash::from_base64(text(bytes)?).ok()?.to_base64().into_bytes())
    });
    damage(hash.to_string().as_bytes(), |bytes| {
        Some(Hash::from_hex(text(bytes)?).ok()?.to_string().into_bytes())
    });
}

#[test]
fn damaged_notes_do_not_panic() {
    let keys = [signer().verifier_key(KeyType::Ed25519), signer().verifier_key(KeyType::CosignatureV1)];
    let good = note();
    damage(good.to_string().as_bytes(), |bytes| {
        let note = Note::parse(bytes).ok()?;
        // Lines may get lost; what a key signed is the text that it signed.
        if note.verify(&keys).is_ok() {
            assert_eq!(note.text(), good.text());
        }
        Some(note.to_string().into_bytes())
    });
    let line = note().signatures()[1].to_string();
    damage(line.as_bytes(), |bytes| Some(NoteSignature::parse(text(bytes)?).ok()?.to_string().into_bytes()));
    let key = keys[1].to_string();
    damage(key.as_bytes(), |bytes| Some(VerifierKey::parse(text(bytes)?).ok()?.to_string().into_bytes()));
}

#[test]
fn damaged_checkpoints_do_not_panic() {
    damage(note().text().as_bytes(), |bytes| {
        Some(Checkpoint::from_text(text(bytes)?).ok()?.to_text().into_bytes())
    });
}

#[test]
fn damaged_proof_files_do_not_panic() {
    let leaves = crate::leaves(9);
    let path = inclusion_proof(&Leaves(&leaves), 6, 9).unwrap();
    let file = ProofFile::new(6, path, note(), Some(vec![1, 2, 3])).unwrap().encode();
    damage(file.as_bytes(), |bytes| Some(ProofFile::parse(bytes).ok()?.encode().into_bytes()));
}

#[test]
fn damaged_policies_do_not_panic() {
    let mut file = format!("# trust\nlog {}\n", signer().verifier_key(KeyType::Ed25519));
    for number in 1..=3 {
        let witness = NoteSigner::new("m.example", &[number; 32]).unwrap();
        file.push_str(&format!("witness m{number} {}\n", witness.verifier_key(KeyType::CosignatureV1)));
    }
    file.push_str("group g 2 m1 m2 m3\nquorum g\n");
    let signed = note().to_string();
    // A policy has many spellings, so there is nothing to print: acceptance is enough.
    damage(file.as_bytes(), |bytes| {
        let policy = Policy::parse(bytes).ok()?;
        drop(policy.verify_checkpoint(signed.as_bytes()));
        Some(bytes.to_vec())
    });
}

#[test]
fn damaged_tiles_and_paths_do_not_panic() {
    for path in ["tile/0/x001/x234/067", "tile/entries/000.p/7", "tile/63/x018/x446/x744/x073/x709/x551/615"]
    {
        damage(path.as_bytes(), |bytes| Some(TilePath::parse(text(bytes)?).ok()?.to_string().into_bytes()));
    }
    let bundle = encode_bundle(&[&b"first"[..], b"", b"third entry"]).unwrap();
    damage(&bundle, |bytes| encode_bundle(&decode_bundle(bytes, 3).ok()?).ok());
    let tile = Tile::new(crate::leaves(5)).unwrap().encode();
    damage(&tile, |bytes| Some(Tile::decode(bytes, 5).ok()?.encode()));
}
