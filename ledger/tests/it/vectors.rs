//! Proof vectors of transparency-dev/merkle (Apache-2.0), positive and negative.

use ledger::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use serde::Deserialize;

const INCLUSION: &str = include_str!("../../../docs/spec/vectors/merkle-inclusion.jsonl");
const CONSISTENCY: &str = include_str!("../../../docs/spec/vectors/merkle-consistency.jsonl");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    name: String,
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    name: String,
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

/// Consistency vectors use roots that are no hashes ("dont care"), one of them accepted as both sides are the same.
/// Our type cannot hold those; another hash, the same for the same bytes, stands in for each.
fn hash(text: &str) -> Hash {
    Hash::from_base64(text).unwrap_or_else(|_| leaf_hash(text.as_bytes()))
}

fn hashes(texts: Option<Vec<String>>) -> Vec<Hash> {
    texts.unwrap_or_default().iter().map(|text| hash(text)).collect()
}

fn lines<'text, T: Deserialize<'text>>(text: &'text str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn inclusion_vectors_are_accepted_and_refused_as_they_say() {
    let vectors: Vec<Inclusion> = lines(INCLUSION);
    assert_eq!(vectors.len(), 68);
    assert!(vectors.iter().any(|vector| !vector.want_err));
    for vector in vectors {
        // Here whatever is no hash is to be refused, and our type does it.
        let ends = Hash::from_base64(&vector.leaf_hash).ok().zip(Hash::from_base64(&vector.root).ok());
        let proof = hashes(vector.proof);
        let accepted = ends.is_some_and(|(leaf, root)| {
            verify_inclusion(vector.leaf_idx, vector.tree_size, &leaf, &proof, &root).is_ok()
        });
        assert_eq!(accepted, !vector.want_err, "{}", vector.name);
    }
}

#[test]
fn consistency_vectors_are_accepted_and_refused_as_they_say() {
    let vectors: Vec<Consistency> = lines(CONSISTENCY);
    assert_eq!(vectors.len(), 64);
    assert!(vectors.iter().any(|vector| !vector.want_err));
    for vector in vectors {
        let (old, new, proof) = (hash(&vector.root1), hash(&vector.root2), hashes(vector.proof));
        let accepted = verify_consistency(vector.size1, &old, vector.size2, &new, &proof).is_ok();
        assert_eq!(accepted, !vector.want_err, "{}", vector.name);
    }
}
