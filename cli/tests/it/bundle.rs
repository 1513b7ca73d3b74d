//! A bundle whose order needs no second person, and whose container does not compress: it has several segments.

use std::path::PathBuf;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::manifest::Manifest;
use evidence::order::{Order, Plan, Sensitivity, Step};
use testkit::bundles::{Draft, Files, Laid, Paper, Recipe, stored_id, trust_files};
use testkit::containers::noise;

/// Bundle and trust directory in one temporary folder.
pub struct Made {
    _laid: Laid,
    /// The bundle.
    pub bundle: PathBuf,
    /// What a verifier pins.
    pub trust: PathBuf,
    /// The collection that web-03 stored.
    pub collection: Digest,
}

fn plan() -> Plan {
    Plan::new(vec![Step::Host {}, Step::Sockets {}])
}

/// Makes one.
pub fn make() -> Made {
    let recipe = Recipe {
        order: Box::new(|paper: &mut Paper<Order>| {
            (paper.document.plan, paper.document.sensitivity) = (plan(), Sensitivity::Normal);
        }),
        manifest: Box::new(|paper: &mut Paper<Manifest>| {
            paper.document.steps.truncate(2);
            for (step, planned) in paper.document.steps.iter_mut().zip(plan().steps()) {
                step.collector = planned.collector().to_owned();
            }
        }),
        drafts: Box::new(|drafts: &mut Vec<Draft>| {
            drafts.retain(|draft| draft.type_ != EntryType::OrderApproved);
        }),
        files: Box::new(|files: &mut Files| files.retain(|name, _| !name.starts_with("approvals/"))),
        long: noise(9 << 20),
        cuts: vec![4, 4],
        ..Recipe::default()
    };
    let files = recipe.build().files;
    let laid = Laid::out(&files, &trust_files());
    let (bundle, trust) = (laid.bundle(), laid.trust());
    Made { _laid: laid, bundle, trust, collection: stored_id(&files) }
}
