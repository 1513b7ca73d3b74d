//! Tells the service manager (sd_notify(3)) that the collector is ready, alive or stopping. Without a service manager it is silent.
//!
//! Guarantee: it feeds the watchdog only after the ledger's database answered, so that the service manager restarts a collector
//! that hangs. Not here: what to do on stop (`run`).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Reports that the collector serves.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// Reports that the collector drains. `deadline` is how long that may take.
pub fn stopping(deadline: Duration) {
    // The message holds 32 bits: a longer drain asks for the longest time that it can name, 71 minutes.
    let micros = u32::try_from(deadline.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Feeds the watchdog, if there is one, at half its interval, as long as `is_alive` returns true.
pub async fn feed_watchdog<F, A>(is_alive: F, stop: CancellationToken)
where
    F: Fn() -> A + Send,
    A: Future<Output = bool> + Send,
{
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let half = (interval / 2).max(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(half) => {}
        }
        if is_alive().await {
            send(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("The collector does not answer itself: the watchdog is not fed");
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The service manager could not be told");
    }
}
