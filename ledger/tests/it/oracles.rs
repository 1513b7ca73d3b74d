//! Other implementations say the same: ct-merkle (roots), tlog_tiles (proofs, checkpoints), signed_note (notes).

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ledger::{
    Checkpoint, Hash, KeyType, Leaves, Note, NoteSigner, VerifierKey, consistency_proof, inclusion_proof,
    root_of, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{check_record, check_tree, prove_record, prove_tree, stored_hash_index, stored_hashes};

/// Stored hashes in the numbering of tlog_tiles.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

fn stored(count: u32) -> Stored {
    let mut store = Stored(Vec::new());
    for number in 0..count {
        let new = stored_hashes(u64::from(number), &number.to_be_bytes(), &store).unwrap();
        assert_eq!(store.0.len() as u64, stored_hash_index(0, u64::from(number)));
        store.0.extend(new);
    }
    store
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

#[test]
fn ct_merkle_has_the_same_roots() {
    let leaves = crate::leaves(600);
    let mut tree = MemoryBackedTree::<sha2::Sha256, [u8; 4]>::new();
    for (size, number) in (1..).zip(0..600_u32) {
        tree.push(number.to_be_bytes());
        assert_eq!(tree.root().as_bytes()[..], root_of(&leaves[..size]).0, "size {size}");
    }
}

#[test]
fn tlog_tiles_makes_the_same_proofs_and_believes_ours() {
    let leaves = crate::leaves(130);
    let store = stored(130);
    for size in 1..=130_u64 {
        let tree = Leaves(&leaves[..crate::place(size)]);
        let root = root_of(tree.0);
        for number in 0..size {
            let leaf = leaves[crate::place(number)];
            let ours = inclusion_proof(&tree, number, size).unwrap();
            assert_eq!(theirs(&ours), prove_record(size, number, &store).unwrap());
            let (their_root, their_leaf) = (tlog_tiles::Hash(root.0), tlog_tiles::Hash(leaf.0));
            check_record(&theirs(&ours), size, their_root, number, their_leaf).unwrap();

            let old_size = number + 1;
            let ours = consistency_proof(&tree, old_size, size).unwrap();
            assert_eq!(theirs(&ours), prove_tree(size, old_size, &store).unwrap());
            let old_root = tlog_tiles::Hash(root_of(&leaves[..crate::place(old_size)]).0);
            check_tree(&theirs(&ours), size, their_root, old_size, old_root).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is changed in a proof, both implementations decide alike.
    #[test]
    fn tlog_tiles_and_we_refuse_the_same_altered_proofs(
        size in 1_u32..200, place in any::<u32>(), flip in any::<u16>(), claim in 0_u64..200, cut in any::<bool>(),
    ) {
        let leaves = crate::leaves(size);
        let (size, index) = (u64::from(size), u64::from(place % size));
        let tree = Leaves(&leaves);
        let root = root_of(&leaves);
        let leaf = leaves[crate::place(index)];
        let mut proof = inclusion_proof(&tree, index, size).unwrap();
        if cut {
            proof.pop();
        } else if let Some(hash) = proof.get_mut(usize::from(flip) % 9) {
            hash.0[usize::from(flip) % 32] ^= 1;
        }
        let ours = verify_inclusion(claim, size, &leaf, &proof, &root).is_ok();
        let other = check_record(
            &theirs(&proof), size, tlog_tiles::Hash(root.0), claim, tlog_tiles::Hash(leaf.0),
        );
        prop_assert_eq!(ours, other.is_ok());

        let old_size = index + 1;
        let old_root = root_of(&leaves[..crate::place(old_size)]);
        let mut proof = consistency_proof(&tree, old_size, size).unwrap();
        if cut {
            proof.pop();
        } else if let Some(hash) = proof.get_mut(usize::from(flip) % 9) {
            hash.0[usize::from(flip) % 32] ^= 1;
        }
        let claim = claim.clamp(1, size);
        let ours = verify_consistency(claim, &old_root, size, &root, &proof).is_ok();
        let other = check_tree(
            &theirs(&proof), size, tlog_tiles::Hash(root.0), claim, tlog_tiles::Hash(old_root.0),
        );
        prop_assert_eq!(ours, other.is_ok());
    }
}

#[test]
fn tlog_tiles_reads_our_checkpoints() {
    let root = root_of(&crate::leaves(3));
    let text = Checkpoint::new("ledger.example/one", 3, root).unwrap().to_text();
    let read = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((read.origin(), read.size(), read.hash().0), ("ledger.example/one", 3, root.0));
    assert_eq!(read.to_bytes(), text.as_bytes());
}

#[test]
fn signed_note_verifies_our_notes_and_we_verify_its() {
    let signer = NoteSigner::new("ledger.example/one", &[42; 32]).unwrap();
    let text = "some text\n\nof a note\n";
    let ours = Note::new(text, vec![signer.sign(text).unwrap()]).unwrap();
    let vkey = signer.verifier_key(KeyType::Ed25519).to_string();
    let read = signed_note::Note::from_bytes(ours.to_string().as_bytes()).unwrap();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
    let (verified, unverified) = read.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));

    // Its signer takes `PRIVATE+KEY+name+id+base64(type || secret)`.
    let secret =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [&[1][..], &[42; 32]].concat());
    let id = hex::encode(signer.verifier_key(KeyType::Ed25519).id());
    let skey = format!("PRIVATE+KEY+ledger.example/one+{id}+{secret}");
    let their_signer = signed_note::StandardSigner::new(&skey).unwrap();
    let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&their_signer]).unwrap();
    assert_eq!(theirs.to_bytes(), ours.to_string().as_bytes());
    let read = Note::parse(&theirs.to_bytes()).unwrap();
    assert_eq!(read.verify(&[VerifierKey::parse(&vkey).unwrap()]).unwrap().len(), 1);
}
