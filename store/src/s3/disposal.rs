//! Destroys an object in a bucket: deletes every version and delete marker by its id, then lists to check
//! that nothing is left. Guarantee: "all gone" means that the server listed nothing of the object afterwards.
//! Not here: whether the object may be destroyed (the warrant).

use std::time::SystemTime;

use super::failure::{Failure, FailureKind};
use super::writing::BucketObjects;
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;

/// One thing to delete: its name, and its version where the bucket keeps versions.
struct Doomed {
    name: String,
    version: Option<String>,
    is_marker: bool,
}

impl BucketObjects {
    pub(super) fn dispose(
        &self,
        object: &Disposable,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError> {
        let mut destroyed = Destroyed::default();
        for doomed in self.doomed(object)? {
            if !go_on() {
                return Ok(destroyed);
            }
            match self.bucket.delete(&doomed.name, doomed.version.as_deref(), false) {
                Ok(()) => destroyed.count += u64::from(!doomed.is_marker),
                Err(failure) if failure.kind == FailureKind::Absent => {}
                Err(failure) if failure.kind == FailureKind::Denied => return Err(self.locked(&doomed)),
                Err(failure) => return Err(failure.at(&self.name, "destroy", &doomed.name)),
            }
        }
        match self.doomed(object)?.first() {
            None => {
                destroyed.is_all = true;
                Ok(destroyed)
            }
            Some(left) => Err(Failure::ours(
                FailureKind::Permanent,
                "the server said that it was deleted, and still lists it",
            )
            .at(&self.name, "destroy", &left.name)),
        }
    }

    /// Everything that the server lists of an object.
    fn doomed(&self, object: &Disposable) -> Result<Vec<Doomed>, StoreError> {
        let root = &self.settings.prefix;
        let damaged = format!("{root}damaged/");
        let mut found = Vec::new();
        let prefixes = object.prefixes().into_iter().map(|prefix| format!("{root}{prefix}"));
        for prefix in prefixes.chain([damaged.clone()]) {
            let failed = |failure: Failure| failure.at(&self.name, "list", &prefix);
            let is_it = |name: &str| match name.strip_prefix(damaged.as_str()) {
                Some(name) => object.was(name),
                None => true,
            };
            if self.capabilities.versions {
                let versions = self.bucket.versions(&prefix).map_err(failed)?;
                let versions = versions.into_iter().filter(|version| is_it(&version.name));
                found.extend(versions.map(|version| Doomed {
                    name: version.name,
                    version: Some(version.id),
                    is_marker: version.is_marker,
                }));
            } else {
                let names = self.bucket.list(&prefix).map_err(failed)?;
                found.extend(names.into_iter().filter(|name| is_it(name)).map(|name| Doomed {
                    name,
                    version: None,
                    is_marker: false,
                }));
            }
        }
        Ok(found)
    }

    /// The server refused. The error carries the lock's date if the server reports one.
    fn locked(&self, doomed: &Doomed) -> StoreError {
        let lock = self.bucket.retention(&doomed.name, doomed.version.as_deref());
        let until = lock.ok().flatten().map(|lock| lock.until);
        StoreError::Locked {
            store: self.name.clone(),
            key: doomed.name.clone(),
            until: until.filter(|until| *until > SystemTime::now()),
        }
    }
}
