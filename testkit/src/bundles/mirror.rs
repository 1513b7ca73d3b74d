//! A mirror of the deployment, and its statement about the stored collection. A test can falsify each part.

use evidence::digest::Digest;
use evidence::entry::{EntryType, pairs};
use evidence::id::Chain;

use super::*;

/// Act key of the mirror.
pub const BACKUP: u8 = 70;
/// Keys with which the mirror cosigns.
pub const BACKUP_WITNESS: u8 = 72;
pub const BACKUP_MIRROR: u8 = 73;

/// The parts of the statement.
pub struct Told {
    pub signer: u8,
    pub by: &'static str,
    pub mirror: &'static str,
    /// A manifest to state instead of the stored one.
    pub manifest: Option<Digest>,
    /// The number to add to the index of `collection.stored` for `size`.
    pub above: i64,
    pub retired: Retired,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    Before,
    After,
    Never,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            signer: BACKUP,
            by: "mirror:backup-1",
            mirror: "backup-1",
            manifest: None,
            above: 1,
            retired: Retired::Never,
        }
    }
}

fn retired(time: &str) -> Draft {
    Draft::new(EntryType::MirrorRetired, Chain::Deployment, time, [("mirror", "backup-1".into())], |draft| {
        draft.signed("person:cat", CAT)
    })
}

/// Drafts `mirror.admitted`, before the first incident.
pub fn mirror_admitted() -> Draft {
    let vkey = |number, role: &str| {
        signer(number, &format!("backup-1/{role}")).verifier_key(ledger::KeyType::CosignatureV1).to_string()
    };
    Draft::new(
        EntryType::MirrorAdmitted,
        Chain::Deployment,
        "09:05:00",
        [
            ("key", key(BACKUP).public().fingerprint().to_string()),
            ("tls_spki_sha256", Digest([71; 32]).to_string()),
            ("mirror", "backup-1".into()),
            ("witness_key", vkey(BACKUP_WITNESS, "witness")),
            ("mirror_key", vkey(BACKUP_MIRROR, "mirror")),
        ],
        |draft| draft.signed("person:cat", CAT),
    )
}

/// Adds `mirror.admitted` before the incident, and `evidence.replicated` right after `collection.stored`.
pub fn mirrored(drafts: &mut Vec<Draft>, told: &Told) {
    let opened = drafts.iter().position(|draft| draft.type_ == EntryType::IncidentOpened).unwrap();
    drafts.insert(opened, mirror_admitted());
    let stored = drafts.iter().position(|draft| draft.type_ == EntryType::CollectionStored).unwrap();
    let reference = |name: &str| pairs::find(&drafts[stored].refs, name).unwrap().to_owned();
    let size = i64::try_from(stored).unwrap() + told.above;
    let statement = Draft::new(
        EntryType::EvidenceReplicated,
        incident(),
        "10:40:00",
        [
            ("collection", reference("collection")),
            ("manifest", told.manifest.map_or_else(|| reference("manifest"), |digest| digest.to_string())),
            ("mirror", told.mirror.into()),
            ("root", Digest::of(b"a root").to_string()),
            ("size", size.to_string()),
        ],
        |draft| draft.signed(told.by, told.signer),
    );
    let mut behind = vec![statement];
    match told.retired {
        Retired::Before => behind.insert(0, retired("10:35:00")),
        Retired::After => behind.push(retired("10:45:00")),
        Retired::Never => {}
    }
    drafts.splice(stored + 1..stored + 1, behind);
}
