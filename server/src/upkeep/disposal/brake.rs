//! Stops the destroyer when somebody records that evidence must stay.
//!
//! Guarantee: whoever holds the brake runs before the next object is destroyed. Entries about holds and entries about
//! destruction never overlap. Not here: what a hold is (`rows::retention`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, Notify, OwnedMutexGuard};

/// Admits one destroyer at a time and lets others stop it.
#[derive(Debug, Default)]
pub struct Brake {
    turn: Arc<Mutex<()>>,
    pulled: Arc<AtomicUsize>,
    wake: Notify,
}

/// While this value lives, nothing is destroyed. The task that commits the entry owns it, even if the caller gave up waiting.
#[derive(Debug)]
pub struct Pulled {
    _turn: OwnedMutexGuard<()>,
}

/// Counts one waiting caller. Dropping it ends the count, even if the caller gave up.
struct Waiting<'b>(&'b AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Brake {
    /// Waits until nothing is being destroyed. That takes at most the destruction of one stored object.
    pub async fn pull(&self) -> Pulled {
        self.pulled.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.pulled);
        Pulled { _turn: Arc::clone(&self.turn).lock_owned().await }
    }

    /// The destroyer's turn. It begins when nobody waits for the brake.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        loop {
            let turn = self.turn.lock().await;
            // A caller is counted before it stands in the queue of the lock. Without this look, the destroyer could overtake it there.
            if self.pulled.load(Ordering::SeqCst) == 0 {
                return turn;
            }
            drop(turn);
            tokio::task::yield_now().await;
        }
    }

    /// Returns a check for use between two stored objects: true while nobody waits for the brake.
    pub(super) fn is_free(&self) -> impl Fn() -> bool + Send + 'static {
        let pulled = Arc::clone(&self.pulled);
        move || pulled.load(Ordering::SeqCst) == 0
    }

    /// Wakes the destroyer, because there may be something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_destroyer_does_not_overtake_a_caller_that_is_counted_and_not_yet_in_the_queue() {
        let brake = Arc::new(Brake::default());
        let caller = Waiting(&brake.pulled);
        brake.pulled.fetch_add(1, Ordering::SeqCst);
        let destroyer = Arc::clone(&brake);
        let turn = tokio::spawn(async move { drop(destroyer.turn().await) });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!turn.is_finished());
        drop(caller);
        turn.await.unwrap();
    }

    #[tokio::test]
    async fn who_pulls_is_seen_and_waits_for_the_turn_to_end() {
        let brake = Arc::new(Brake::default());
        let is_free = brake.is_free();
        let turn = brake.turn().await;
        assert!(is_free());
        let waiting = Arc::clone(&brake);
        let pulled = tokio::spawn(async move { drop(waiting.pull().await) });
        while is_free() {
            tokio::task::yield_now().await;
        }
        assert!(!pulled.is_finished());
        drop(turn);
        pulled.await.unwrap();
        assert!(is_free());
        // A caller that gives up is no longer counted.
        let turn = brake.turn().await;
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), brake.pull()).await;
        assert!(given_up.is_err() && is_free());
        drop(turn);
    }
}
