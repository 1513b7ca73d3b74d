//! Tells systemd that the agent is up, and that it is still alive.
//!
//! Guarantee: the watchdog is fed only while every process of the agent has shown progress lately. If one
//! hangs, systemd restarts the whole agent. Without systemd this does nothing. Not here: which process is
//! stuck (`warden`).

use std::time::Duration;

use sd_notify::NotifyState;

/// The connection with the service manager.
#[derive(Debug)]
pub struct Service {
    interval: Option<Duration>,
    fed: Duration,
    is_ready: bool,
}

impl Service {
    /// Reads what the service manager asked for.
    #[must_use]
    pub fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self { interval, fed: Duration::ZERO, is_ready: false }
    }

    /// Reports once that the agent is up: the link is running, either connected or waiting for a collector
    /// that is away.
    pub fn ready(&mut self, status: &str) {
        if !std::mem::replace(&mut self.is_ready, true) {
            notify(&[NotifyState::Ready, NotifyState::Status(status)]);
        }
    }

    /// Shows one line in `systemctl status`.
    pub fn status(&self, status: &str) {
        if self.is_ready {
            notify(&[NotifyState::Status(status)]);
        }
    }

    /// Feeds the watchdog if it is due. Call it only while every lane makes progress.
    pub(crate) fn alive(&mut self, boot: Duration) {
        // Saturating is correct here: a rate.
        if self.interval.is_some_and(|interval| boot.saturating_sub(self.fed) >= interval) {
            self.fed = boot;
            notify(&[NotifyState::Watchdog]);
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // If the service manager cannot be reached, it may restart us. Evidence does not depend on it.
    drop(sd_notify::notify(states));
}
