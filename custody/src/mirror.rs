//! `mirror-*`: which mirrors the deployment admitted, and what they state.

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::act::Act as ActV1;
use evidence::id::MirrorId;
use evidence::keys::{Fingerprint, PublicKey};
use ledger::{KeyType, VerifierKey};

use crate::collection::CollectionChange;
use crate::entry::{refs, value};
use crate::line::Vouched;
use crate::rule::{Broken, RuleId, must, must_have, must_hold};
use crate::{Case, Effect, State};

/// A mirror that was admitted.
#[derive(Debug, Clone)]
pub struct AdmittedMirror {
    /// Its act key.
    pub act: Fingerprint,
    pub is_retired: bool,
    /// Index of the entry that admitted it.
    pub since: u64,
}

impl State {
    /// A mirror that was admitted.
    #[must_use]
    pub fn mirror(&self, id: &MirrorId) -> Option<&AdmittedMirror> {
        self.mirrors.get(id)
    }

    pub(crate) fn mirror_admitted(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        let mirror: MirrorId = value(case.envelope, "mirror")?;
        must(
            RuleId::Mirror2,
            !self.mirrors.contains_key(&mirror),
            format_args!("mirror {mirror} was admitted before"),
        )?;
        for (name, role) in [("witness_key", "witness"), ("mirror_key", "mirror")] {
            let key = VerifierKey::parse(case.envelope.reference(name).unwrap_or_default());
            let key = must_hold(RuleId::Mirror1, key)?;
            must(
                RuleId::Mirror1,
                key.kind() == KeyType::CosignatureV1 && key.name() == format!("{mirror}/{role}"),
                format_args!("{name} is no cosigner key named {mirror}/{role}"),
            )?;
        }
        let act = value(case.envelope, "key")?;
        let admitted = AdmittedMirror { act, is_retired: false, since: case.at.index };
        Ok(Effect::Mirror(mirror, Box::new(admitted)))
    }

    pub(crate) fn mirror_retired(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        let mirror: MirrorId = value(case.envelope, "mirror")?;
        let says = format_args!("there is no mirror {mirror}").to_string();
        let admitted = must_have(RuleId::Mirror4, self.mirrors.get(&mirror), says)?;
        must(RuleId::Mirror5, !admitted.is_retired, format_args!("mirror {mirror} was retired before"))?;
        Ok(Effect::MirrorRetired(mirror))
    }

    /// `evidence.replicated`, `disposition.confirmed`
    pub(crate) fn mirror_states(
        &self,
        case: &Case<'_>,
        act: &ActV1,
        mirror: &MirrorId,
        key: &PublicKey,
    ) -> Result<Effect, Broken> {
        let says = format_args!("no mirror {mirror} was admitted before").to_string();
        let admitted = must_have(RuleId::Mirror7, self.mirrors.get(mirror), says)?;
        must(RuleId::Mirror8, !admitted.is_retired, format_args!("mirror {mirror} was retired before"))?;
        must(
            RuleId::Mirror7,
            admitted.act == key.fingerprint(),
            format_args!("signed by {}, not the act key of {mirror}", key.fingerprint()),
        )?;
        match act.act {
            // The incident's course judges whether an approved plan names the object.
            EntryType::DispositionConfirmed => Ok(Effect::Nothing),
            _ => self.replicated(case, mirror),
        }
    }

    fn replicated(&self, case: &Case<'_>, mirror: &MirrorId) -> Result<Effect, Broken> {
        let (id, collection) = self.begun(RuleId::Collection15, case)?;
        let stored = must_have(RuleId::Mirror9, collection.stored, "the collection was not stored before")?;
        let (index, manifest) = stored;
        refs(case.envelope, RuleId::Mirror9, &[("manifest", manifest.to_string())])?;
        let size: u64 = value(case.envelope, "size")?;
        must(
            RuleId::Mirror10,
            size > index && size <= case.at.index,
            "it names a size that the log did not have between",
        )?;
        let is_first = !collection.held_by.contains(mirror);
        must(RuleId::Mirror11, is_first, "the mirror stated it before")?;
        let root: Digest = value(case.envelope, "root")?;
        let vouched = Vouched { rule: RuleId::Mirror12, index: case.at.index, size, root: root.into() };
        Ok(Effect::Collection(id, CollectionChange::Held(mirror.clone(), vouched)))
    }
}
