//! Stands for a configured store that could not be opened, so that a collector starts degraded with one disk gone. Every call fails.

use crate::contract::{ObjectWriter, Store};
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;
use crate::guarantees::Guarantees;
use crate::identity::StoreIdentity;
use crate::key::Key;
use evidence::disposal::Warrant;

/// Takes the place of a store until the next start.
#[derive(Debug)]
pub struct UnavailableStore {
    identity: StoreIdentity,
    why: String,
}

impl UnavailableStore {
    /// The store that `identity` names, and why it could not be opened.
    pub fn new(identity: StoreIdentity, why: String) -> Self {
        Self { identity, why }
    }

    fn failed<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Away { store: self.identity.store.clone(), why: self.why.clone() })
    }
}

impl Store for UnavailableStore {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn domain(&self) -> &str {
        &self.identity.domain
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::UNKNOWN
    }

    fn create(&self, _: &Key, _: &[u8]) -> Result<(), StoreError> {
        self.failed()
    }

    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.failed()
    }

    fn replace_checkpoint(&self, _: &[u8]) -> Result<(), StoreError> {
        self.failed()
    }

    fn read(&self, _: &Key) -> Result<Vec<u8>, StoreError> {
        self.failed()
    }

    fn read_range(&self, _: &Key, _: u64, _: u64) -> Result<Vec<u8>, StoreError> {
        self.failed()
    }

    fn size(&self, _: &Key) -> Result<u64, StoreError> {
        self.failed()
    }

    fn list(&self, _: &str) -> Result<Vec<Key>, StoreError> {
        self.failed()
    }

    fn remove(&self, _: &Key) -> Result<(), StoreError> {
        self.failed()
    }

    fn dispose(&self, _: &Disposable, _: &Warrant, _: &dyn Fn() -> bool) -> Result<Destroyed, StoreError> {
        self.failed()
    }

    fn displace(&self, _: &Key) -> Result<(), StoreError> {
        self.failed()
    }

    fn make_way(&self, _: &Key, _: &[u8]) -> Result<(), StoreError> {
        self.failed()
    }
}
