//! The objects that a store destroys on a warrant, and the names under which their bytes may lie there.
//! Guarantee: only objects of the warrant's plan are destroyed. The types here cannot name documents, the
//! ledger or the marker. Not here: whether a plan is approved (`evidence::disposal`), and the destruction
//! itself (each store).
//! itself (each store).

use evidence::disposal::Warrant;

use crate::error::StoreError;
use crate::identity::StoreIdentity;
use crate::key::{Key, KeyKind};

/// Key prefixes for the bytes of a collection, each followed by the collection's id.
const ROOMS: [&str; 3] = ["segments", "seals", "quarantine"];

/// How far a call of `dispose` got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Stored objects that this call destroyed.
    pub count: u64,
    /// True if nothing is left, even after a power loss. False if `go_on` returned false before that.
    pub is_all: bool,
}

/// Something that is destroyed only as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposable {
    /// Segments, seals and quarantined bytes of a collection.
    Collection([u8; 32]),
    Detail([u8; 32]),
}

impl Disposable {
    /// The disposable object that a key belongs to; `None` for a key that must never be destroyed.
    #[must_use]
    pub fn of(key: &Key) -> Option<Self> {
        match key.kind() {
            KeyKind::Segment | KeyKind::Seal | KeyKind::Quarantine => key.collection().map(Self::Collection),
            KeyKind::Detail => key.digest().map(Self::Detail),
            _ => None,
        }
    }

    /// Prefixes below which only bytes of this object lie.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        match self {
            Self::Collection(id) => {
                let id = hex::encode(id);
                ROOMS.iter().map(|room| format!("{room}/{id}/")).collect()
            }
            Self::Detail(digest) => vec![Key::detail(digest).to_string()],
        }
    }

    /// Whether a name below `damaged/` is a displaced copy of this object: `<key with / as _>.<random>`. No
    /// such key contains a `_` of its own.
    pub(crate) fn was(&self, damaged: &str) -> bool {
        let key = damaged.rsplit_once('.').and_then(|(key, _)| Key::parse(&key.replace('_', "/")).ok());
        key.is_some_and(|key| Self::of(&key) == Some(*self))
    }

    /// Refuses an object that the warrant's plan does not name.
    pub(crate) fn check(&self, warrant: &Warrant, store: &StoreIdentity) -> Result<(), StoreError> {
        let is_covered = match self {
            Self::Collection(id) => warrant.covers_collection(id),
            Self::Detail(digest) => warrant.covers_detail(digest),
        };
        if is_covered {
            return Ok(());
        }
        Err(StoreError::Refused {
            store: store.store.clone(),
            key: self.prefixes().concat(),
            reason: "the approved plan does not name it",
        })
    }
}

#[cfg(feature = "faults")]
pub mod warrants {
    //! For tests: a warrant as the approvals of two persons produce it.

    use evidence::digest::Digest;
    use evidence::disposal::{Course, Fact, Warrant};
    use evidence::entry::EntryType;
    use evidence::id::Actor;
    use evidence::time::Time;

    /// The warrant of a plan that names these collections and texts.
    ///
    /// # Panics
    /// If the chain does not hold. Only tests call this.
    #[expect(clippy::unwrap_used, reason = "for tests, which other rooms may call")]
    pub fn over(collections: &[[u8; 32]], details: &[[u8; 32]]) -> Warrant {
        let now: Time = "2030-01-01T00:00:00.000Z".parse().unwrap();
        let mut course = Course::new("acme".parse().unwrap(), "INC-2026-0001".parse().unwrap());
        let mut add = |type_, refs: Vec<(&str, String)>, by: &str, detail: Option<[u8; 32]>| {
            let refs: Vec<_> = refs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let actor: Actor = by.parse().unwrap();
            let fact = Fact {
                index: course.len(),
                time: now,
                type_,
                event: Digest::ZERO,
                refs: &refs,
                by: Some(&actor),
                detail: detail.map(Digest),
                is_approver: by == "person:bob",
            };
            course.judge(&fact).unwrap();
            course.apply(&fact);
            course.plan(course.len())
        };
        for id in collections {
            let refs = vec![("collection", Digest(*id).to_string())];
            add(EntryType::CollectionStarted, refs, "collector:one", None);
        }
        for digest in details {
            add(EntryType::IncidentNoted, Vec::new(), "person:ada", Some(*digest));
        }
        add(EntryType::IncidentClosed, Vec::new(), "person:ada", None);
        let until = vec![("until", "2029-01-01T00:00:00.000Z".to_owned())];
        let plan = add(EntryType::RetentionChanged, until, "person:bob", None);
        let approval = || vec![("count", plan.count.to_string()), ("plan", plan.digest().to_string())];
        add(EntryType::DispositionApproved, approval(), "person:ada", None);
        add(EntryType::DispositionApproved, approval(), "person:bob", None);
        course.warrant(&plan.digest(), now).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_an_object_and_no_other_belongs_to_it() {
        let (one, two) = ([0x11; 32], [0x22; 32]);
        let target = Disposable::Collection(one);
        for key in [
            Key::segment(&one, 0, &two),
            Key::seal(&one, 3, &two),
            Key::quarantined_segment(&one, 3, &two),
            Key::quarantined_seal(&one, 3, &two),
        ] {
            assert_eq!(Disposable::of(&key), Some(target));
            assert!(target.prefixes().iter().any(|prefix| key.as_str().starts_with(prefix)));
            let damaged = format!("{}.0123456789abcdef", key.as_str().replace('/', "_"));
            assert!(target.was(&damaged) && !Disposable::Collection(two).was(&damaged));
        }
        for key in [
            Key::document(&one),
            Key::targets(&one),
            Key::checkpoint(),
            Key::marker(),
            Key::stamped_checkpoint(1),
        ] {
            assert_eq!(Disposable::of(&key), None);
        }
        assert_eq!(Disposable::of(&Key::detail(&one)), Some(Disposable::Detail(one)));
        assert!(!target.was("segments_11"));
    }
}
