//! Wakes those who watch an order when something about it changed.
//!
//! Guarantee: level-triggered. A watcher that missed ten changes sees one wake-up and reads the present state; nothing
//! queues, however slow the watcher. Not here: the state itself (`orders::queries`).

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::watch;

/// One wake-up counter for each order somebody watches.
#[derive(Debug, Default)]
pub struct OrderWatches {
    counters: Mutex<BTreeMap<String, watch::Sender<u64>>>,
}

impl OrderWatches {
    /// Wakes up at every later change of `order`.
    pub fn subscribe(&self, order: &str) -> watch::Receiver<u64> {
        self.lock().entry(order.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Something about `order` changed.
    pub fn changed(&self, order: &str) {
        let mut counters = self.lock();
        if let Some(counter) = counters.get(order) {
            if counter.receiver_count() == 0 {
                counters.remove(order);
            } else {
                counter.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, watch::Sender<u64>>> {
        self.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_changes_are_one_wake_up_and_other_orders_none() {
        let watches = OrderWatches::default();
        let mut mine = watches.subscribe("a");
        let other = watches.subscribe("b");
        for _ in 0..10 {
            watches.changed("a");
        }
        mine.changed().await.unwrap();
        assert!(!mine.has_changed().unwrap());
        assert!(!other.has_changed().unwrap());
    }

    #[test]
    fn an_order_nobody_watches_costs_nothing() {
        let watches = OrderWatches::default();
        drop(watches.subscribe("a"));
        watches.changed("a");
        watches.changed("never watched");
        assert!(watches.lock().is_empty());
    }
}
