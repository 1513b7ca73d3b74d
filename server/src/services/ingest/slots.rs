//! Allows one running upload for each collection. A newer call replaces the older one and inherits its verifier.
//!
//! Guarantee: two calls never work on one collection at the same time. When a connection is cut, its verifier, which has seen
//! every durable segment, is kept for a limited time, so that a reconnect need not re-read the collection. The number of kept
//! verifiers is limited as well. Not here: what is kept (`ingest::warm`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evidence::digest::Digest;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::upkeep::disposal::chore::Uploads;

/// How long a warm verifier waits for its endpoint: a little more than an agent's longest pause between attempts.
pub const KEPT_FOR: Duration = Duration::from_secs(180);

/// Slots by collection.
#[derive(Debug)]
pub struct Slots<K, W> {
    by_collection: Mutex<BTreeMap<K, Slot<W>>>,
    kept_max: usize,
}

#[derive(Debug)]
struct Slot<W> {
    /// Ends the call that holds the slot.
    current: CancellationToken,
    room: Arc<AsyncMutex<Room<W>>>,
    /// When the last call left; `None` while a call works or waits.
    left: Option<Instant>,
    /// Calls that hold the slot or wait for it.
    callers: usize,
}

#[derive(Debug)]
struct Room<W>(Option<W>);

/// The right to work on a collection. Dropping it lets the next caller work.
#[derive(Debug)]
pub struct Turn<K: Ord + Clone, W> {
    collection: K,
    slots: Arc<Slots<K, W>>,
    room: OwnedMutexGuard<Room<W>>,
    /// Cancelled when a newer call wants the collection.
    pub displaced: CancellationToken,
}

/// A place in the queue for a collection. It makes sure that a caller that gives up is no longer counted.
struct Waiting<K: Ord + Clone, W> {
    collection: Option<K>,
    slots: Arc<Slots<K, W>>,
}

impl<K: Ord + Clone, W> Slots<K, W> {
    /// Makes the slots. At most `kept_max` warm verifiers wait without a call.
    #[must_use]
    pub fn new(kept_max: usize) -> Arc<Self> {
        Arc::new(Self { by_collection: Mutex::new(BTreeMap::new()), kept_max })
    }

    /// Ends the call that works on `collection`, if any, and takes its place.
    pub async fn enter(self: &Arc<Self>, collection: K) -> Turn<K, W> {
        let displaced = CancellationToken::new();
        let (room, mut waiting) = {
            let mut slots = self.by_collection.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = slots.entry(collection.clone()).or_insert_with(|| Slot {
                current: CancellationToken::new(),
                room: Arc::new(AsyncMutex::new(Room(None))),
                left: None,
                callers: 0,
            });
            slot.current.cancel();
            slot.current = displaced.clone();
            slot.callers += 1;
            slot.left = None;
            let waiting = Waiting { collection: Some(collection.clone()), slots: Arc::clone(self) };
            (Arc::clone(&slot.room), waiting)
        };
        let room = room.lock_owned().await;
        // From here on the turn counts for the caller.
        waiting.collection = None;
        Turn { collection, slots: Arc::clone(self), room, displaced }
    }

    /// Whether a call works on `collection` or waits for it.
    pub fn is_busy(&self, collection: &K) -> bool {
        let slots = self.by_collection.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(collection).is_some_and(|slot| slot.callers > 0)
    }

    /// Drops verifiers that waited too long or are too many, the oldest first. Every leaving call and a timer call this.
    pub fn sweep(&self, now: Instant) {
        let mut slots = self.by_collection.lock().unwrap_or_else(PoisonError::into_inner);
        // A call that left after `now` was read has not waited at all.
        slots.retain(|_, slot| slot.left.is_none_or(|left| now.saturating_duration_since(left) < KEPT_FOR));
        let mut left: Vec<(Instant, K)> =
            slots.iter().filter_map(|(key, slot)| Some((slot.left?, key.clone()))).collect();
        left.sort();
        // No excess while fewer wait than may.
        let excess = left.len().saturating_sub(self.kept_max);
        for (_, key) in left.into_iter().take(excess) {
            slots.remove(&key);
        }
    }

    fn leave(&self, collection: &K) {
        let now = Instant::now();
        {
            let mut slots = self.by_collection.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = slots.get_mut(collection) {
                // Each call is counted once when it enters, and leaves once.
                slot.callers -= 1;
                if slot.callers == 0 {
                    slot.left = Some(now);
                }
            }
        }
        self.sweep(now);
    }
}

impl<K: Ord + Clone, W> Turn<K, W> {
    /// Takes the state that the previous call left, if any.
    pub fn take_warm(&mut self) -> Option<W> {
        self.room.0.take()
    }

    /// Leaves `warm` for the next call.
    pub fn keep_warm(&mut self, warm: W) {
        self.room.0 = Some(warm);
    }
}

impl<K: Ord + Clone, W> Drop for Turn<K, W> {
    fn drop(&mut self) {
        self.slots.leave(&self.collection);
    }
}

impl<K: Ord + Clone, W> Drop for Waiting<K, W> {
    fn drop(&mut self) {
        if let Some(collection) = &self.collection {
            self.slots.leave(collection);
        }
    }
}

impl<W: Send + 'static> Uploads for Arc<Slots<Digest, W>> {
    fn keep_out(&self, collection: Digest) -> Pin<Box<dyn Future<Output = Box<dyn Send>> + Send + '_>> {
        Box::pin(async move {
            let turn: Box<dyn Send> = Box::new(self.enter(collection).await);
            turn
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_call_displaces_the_older_waits_for_it_and_finds_what_it_kept() {
        let slots: Arc<Slots<u8, &str>> = Slots::new(4);
        let mut first = slots.enter(1).await;
        assert_eq!(first.take_warm(), None);
        let second = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.enter(1).await.take_warm() }
        });
        first.displaced.cancelled().await;
        assert!(!second.is_finished());
        first.keep_warm("warm");
        drop(first);
        assert_eq!(second.await.unwrap(), Some("warm"));
        assert!(!slots.is_busy(&1));
    }

    #[tokio::test]
    async fn collections_do_not_disturb_each_other() {
        let slots: Arc<Slots<u8, ()>> = Slots::new(4);
        let one = slots.enter(1).await;
        let two = slots.enter(2).await;
        assert!(!one.displaced.is_cancelled() && !two.displaced.is_cancelled());
        assert!(slots.is_busy(&1) && slots.is_busy(&2));
    }

    #[tokio::test]
    async fn what_waits_is_given_up_after_a_while_and_beyond_its_number() {
        let slots: Arc<Slots<u8, u8>> = Slots::new(2);
        for collection in 1..=3 {
            slots.enter(collection).await.keep_warm(collection);
        }
        assert_eq!(slots.enter(1).await.take_warm(), None, "the oldest gave way");
        assert_eq!(slots.enter(3).await.take_warm(), Some(3));
        slots.enter(2).await.keep_warm(2);
        slots.sweep(Instant::now() + KEPT_FOR);
        assert_eq!(slots.enter(2).await.take_warm(), None);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_waiting_is_not_counted() {
        let slots: Arc<Slots<u8, ()>> = Slots::new(4);
        let first = slots.enter(1).await;
        let waiting = tokio::time::timeout(Duration::from_millis(10), slots.enter(1)).await;
        assert!(waiting.is_err());
        drop(first);
        assert!(!slots.is_busy(&1));
    }
}
