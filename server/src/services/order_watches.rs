//! Wakes the watchers of an order when something about it changed.
//!
//! Guarantee: level-triggered. A watcher that missed ten changes sees one wake-up and reads the present state. Nothing
//! queues, however slow the watcher is. Not here: the state itself (`orders::queries`).

use std::collections::BTreeMap;
use std::sync::Mutex;

use evidence::digest::Digest;
use tokio::sync::watch;

/// One wake-up counter for each order that somebody watches.
#[derive(Debug, Default)]
pub struct OrderWatches {
    counters: Mutex<BTreeMap<Digest, watch::Sender<u64>>>,
}

impl OrderWatches {
    /// Wakes up at every later change of `order`.
    pub fn subscribe(&self, order: &Digest) -> watch::Receiver<u64> {
        self.lock().entry(*order).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Wakes the watchers of `order`.
    pub fn changed(&self, order: &Digest) {
        let mut counters = self.lock();
        if let Some(counter) = counters.get(order) {
            if counter.receiver_count() == 0 {
                counters.remove(order);
            } else {
                counter.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, watch::Sender<u64>>> {
        self.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_changes_are_one_wake_up_and_other_orders_none() {
        let watches = OrderWatches::default();
        let mut mine = watches.subscribe(&Digest::of(b"a"));
        let other = watches.subscribe(&Digest::of(b"b"));
        for _ in 0..10 {
            watches.changed(&Digest::of(b"a"));
        }
        mine.changed().await.unwrap();
        assert!(!mine.has_changed().unwrap());
        assert!(!other.has_changed().unwrap());
    }

    #[test]
    fn an_order_nobody_watches_costs_nothing() {
        let watches = OrderWatches::default();
        drop(watches.subscribe(&Digest::of(b"a")));
        watches.changed(&Digest::of(b"a"));
        watches.changed(&Digest::of(b"never watched"));
        assert!(watches.lock().is_empty());
    }
}
