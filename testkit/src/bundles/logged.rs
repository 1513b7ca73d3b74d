//! The log behind a bundle, for a test that folds it: every leaf in its order, and beside it what a reader fetches.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use evidence::digest::Digest;
use evidence::entry::ActObject;
use evidence::json;
use evidence::order::TargetProof;

use super::*;

/// A log, and what its entries name.
#[derive(Default)]
pub struct Logged {
    /// The bytes of each entry, in the order of the log.
    pub leaves: Vec<Vec<u8>>,
    /// The acts, by event.
    pub acts: BTreeMap<Digest, ActObject>,
    /// The proofs of targets, by order and endpoint.
    pub targets: BTreeMap<(String, String), TargetProof>,
}

impl Recipe<'_> {
    /// Runs all steps, and keeps the log instead of the bundle.
    pub fn logged(self) -> Logged {
        let logged = Mutex::new(Logged::default());
        let keep = || logged.lock().unwrap_or_else(PoisonError::into_inner);
        let (drafts, leaf, files) = (self.drafts, self.leaf, self.files);
        let recipe = Recipe {
            drafts: Box::new(|all| {
                drafts(all);
                keep().acts.extend(all.iter().map(|draft| (draft.act.event(), draft.act.clone())));
            }),
            leaf: Box::new(|entry| {
                leaf(entry);
                keep().leaves.push(entry.1.clone());
            }),
            files: Box::new(|all| {
                files(all);
                let proofs = all.iter().filter_map(|(name, bytes)| {
                    let (order, endpoint) = name.strip_prefix("orders/")?.split_once(".targets/")?;
                    let endpoint = endpoint.strip_suffix(".json")?;
                    let proof = json::parse_document(bytes).ok()?;
                    Some(((order.to_owned(), endpoint.to_owned()), proof))
                });
                keep().targets.extend(proofs);
            }),
            ..self
        };
        drop(recipe.build());
        drop(recipe);
        logged.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
