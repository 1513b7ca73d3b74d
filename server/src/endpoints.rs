//! The connected endpoints: their standing calls, heartbeats and clocks, and alarms when one identity is two machines.
//!
//! Guarantee: each identity has at most one live call, the newest; a displaced call ends. The collector raises an alarm when a state
//! generation goes back or an identity keeps displacing itself. The alarm stays until the collector restarts or the endpoint enrols
//! anew. Live state is not custody: it is not in the ledger and does not survive a restart. Not here: enrolment
//! (`services::enrol`); the messages to send (`services::orders::attend`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1::{AttendResponse, Hello};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Most messages that wait for one endpoint's call: more than its open orders at any time. Delivery skips a full queue and
/// tries again at the next change, so a slow link loses nothing.
pub const QUEUE_LEN: usize = 64;

/// Seconds between heartbeats that the collector asks of endpoints. 10,000 endpoints send 11 messages a second.
pub const HEARTBEAT_S: u32 = 900;

/// Longest heartbeat inventory, for display: 64 KiB each bounds 10,000 endpoints to 640 MB at the very worst.
const INVENTORY_BYTES_MAX: usize = 64 << 10;

/// This many displacements within [`FLAPPING_WINDOW`] mean two machines, not a bad network: an agent that reconnects
/// closes its old call first, and waits between attempts.
const FLAPPING_MAX: usize = 5;
const FLAPPING_WINDOW: Duration = Duration::from_secs(300);

/// A live call of an endpoint, as its handler holds it.
#[derive(Debug)]
pub struct Session {
    /// Names this call among all of this process.
    pub number: u64,
    /// Messages to send down the call. Closed when another call takes its place.
    pub outgoing: mpsc::Receiver<AttendResponse>,
    /// The alarm, if this call's arrival is suspicious.
    pub alarm: Option<&'static str>,
    /// Wakes the call when an order that addresses the endpoint changed.
    pub wake: Arc<Notify>,
}

/// What the collector knows of one endpoint, for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveView {
    /// True if a call stands now.
    pub connected: bool,
    /// Collector's time of the last message, in Unix milliseconds; 0 if there was none.
    pub last_seen_unix_ms: u64,
    /// Version of the agent, as it says.
    pub agent_version: String,
    /// Endpoint's clock minus the collector's, in milliseconds.
    pub clock_offset_ms: i64,
    /// The inventory, for display only.
    pub inventory_json: String,
    /// An alarm, or empty.
    pub warning: &'static str,
    /// Size of the last checkpoint its warden keeps.
    pub checkpoint_size: u64,
    /// Its roster version.
    pub roster_version: u64,
}

#[derive(Default)]
struct Record {
    view: LiveView,
    generation: u64,
    session: u64,
    sender: Option<mpsc::Sender<AttendResponse>>,
    wake: Arc<Notify>,
    boot_id: String,
    state_generation: u64,
    heard: Option<Instant>,
    displaced: Vec<Instant>,
}

/// Every endpoint that connected since this process started.
#[derive(Default)]
pub struct LiveEndpoints {
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    by_endpoint: BTreeMap<String, Record>,
    sessions: u64,
}

/// The two clocks of one moment, taken by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock.
    pub unix_ms: u64,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), unix_ms: crate::clock::now().unix_ms() }
    }
}

impl LiveEndpoints {
    /// Takes a new call of `endpoint`. Ends the previous one, if any.
    pub fn attach(
        &self,
        endpoint: &str,
        generation: u64,
        hello: &Hello,
        local_unix_ms: Option<u64>,
        at: Moment,
    ) -> Session {
        let (sender, outgoing) = mpsc::channel(QUEUE_LEN);
        let mut records = self.lock();
        records.sessions += 1;
        let number = records.sessions;
        let record = records.by_endpoint.entry(endpoint.to_owned()).or_default();
        if record.generation != generation {
            // Another enrolment has its own keys and its own count of starts.
            *record = Record { generation, ..Record::default() };
        }
        let alarm = record.suspicion(hello, at);
        if let Some(warning) = alarm {
            record.view.warning = warning;
            crate::metrics::clone_alarm();
        }
        record.session = number;
        record.sender = Some(sender);
        record.wake = Arc::new(Notify::new());
        let wake = Arc::clone(&record.wake);
        record.boot_id.clone_from(&hello.boot_id);
        record.state_generation = record.state_generation.max(hello.state_generation);
        record.heard = Some(at.instant);
        record.view.connected = true;
        record.view.last_seen_unix_ms = at.unix_ms;
        record.view.agent_version.clone_from(&hello.agent_version);
        record.view.checkpoint_size = hello.checkpoint_size;
        record.view.roster_version = hello.roster_version;
        record.note_clock(local_unix_ms, at);
        records.count();
        Session { number, outgoing, alarm, wake }
    }

    /// Starts from the counts of an endpoint in the database, so that a restart of the collector forgets no count of
    /// starts. Changes nothing if the endpoint has connected since.
    pub fn remember(&self, endpoint: &str, generation: u64, boot_id: &str, state_generation: u64) {
        let mut records = self.lock();
        records.by_endpoint.entry(endpoint.to_owned()).or_insert_with(|| Record {
            generation,
            boot_id: boot_id.to_owned(),
            state_generation,
            ..Record::default()
        });
    }

    /// Wakes the endpoint's live call, if any, because an order that addresses it changed.
    pub fn wake(&self, endpoint: &str) {
        if let Some(record) = self.lock().by_endpoint.get(endpoint) {
            record.wake.notify_one();
        }
    }

    /// Notes a message on the call `session`. False if another call has taken its place: then end this one.
    pub fn heard(
        &self,
        endpoint: &str,
        session: u64,
        local_unix_ms: Option<u64>,
        inventory_json: &str,
        at: Moment,
    ) -> bool {
        let mut records = self.lock();
        let Some(record) = records.by_endpoint.get_mut(endpoint).filter(|record| record.session == session)
        else {
            return false;
        };
        record.heard = Some(at.instant);
        record.view.last_seen_unix_ms = at.unix_ms;
        record.note_clock(local_unix_ms, at);
        if !inventory_json.is_empty() && inventory_json.len() <= INVENTORY_BYTES_MAX {
            inventory_json.clone_into(&mut record.view.inventory_json);
        }
        true
    }

    /// Ends the call `session`. Does not touch a later call of the same endpoint.
    pub fn detach(&self, endpoint: &str, session: u64) {
        let mut records = self.lock();
        if let Some(record) = records.by_endpoint.get_mut(endpoint).filter(|record| record.session == session)
        {
            record.sender = None;
            record.view.connected = false;
        }
        records.count();
    }

    /// Queues a message for the endpoint's live call. False if there is none, or its queue is full: the caller's
    /// state stays as it was, and delivery tries again.
    pub fn send(&self, endpoint: &str, generation: u64, message: AttendResponse) -> bool {
        let records = self.lock();
        records
            .by_endpoint
            .get(endpoint)
            .filter(|record| record.generation == generation)
            .and_then(|record| record.sender.as_ref())
            .is_some_and(|sender| sender.try_send(message).is_ok())
    }

    /// Ends the live call, if any, because the identity was retired or revoked.
    pub fn cut(&self, endpoint: &str) {
        let mut records = self.lock();
        if let Some(record) = records.by_endpoint.get_mut(endpoint) {
            record.sender = None;
            record.session = 0;
            record.view.connected = false;
        }
        records.count();
    }

    /// What the collector knows of `endpoint` in this generation; an empty view if it has not spoken yet.
    pub fn view(&self, endpoint: &str, generation: u64) -> LiveView {
        let records = self.lock();
        records
            .by_endpoint
            .get(endpoint)
            .filter(|record| record.generation == generation)
            .map(|record| record.view.clone())
            // On the wire an empty text says that there is none.
            .unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Records> {
        // A panic elsewhere leaves only plain data behind, whose fields do not depend on each other.
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Records {
    fn count(&self) {
        let connected = self.by_endpoint.values().filter(|record| record.sender.is_some()).count();
        crate::metrics::endpoints_connected(connected);
    }
}

impl Record {
    /// Why this arrival looks like a second machine under one identity, if it does.
    fn suspicion(&mut self, hello: &Hello, at: Moment) -> Option<&'static str> {
        if hello.state_generation < self.state_generation {
            return Some("the endpoint's state went back: a restored snapshot or a clone");
        }
        let same_start = hello.state_generation == self.state_generation && self.state_generation > 0;
        if same_start && !self.boot_id.is_empty() && hello.boot_id != self.boot_id {
            return Some("one start counter on two boots: the identity is live twice");
        }
        if self.sender.is_some() {
            self.displaced.retain(|&when| at.instant.duration_since(when) < FLAPPING_WINDOW);
            self.displaced.push(at.instant);
            if self.displaced.len() >= FLAPPING_MAX {
                self.displaced.clear();
                return Some("two callers keep displacing each other: the identity is live twice");
            }
        }
        None
    }

    fn note_clock(&mut self, local_unix_ms: Option<u64>, at: Moment) {
        if let Some(local) = local_unix_ms {
            let offset = i128::from(local) - i128::from(at.unix_ms);
            // For display: if an endpoint names a time in the far future, show the largest offset.
            self.view.clock_offset_ms = i64::try_from(offset).unwrap_or(i64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(boot: &str, starts: u64) -> Hello {
        Hello { boot_id: boot.into(), state_generation: starts, ..Hello::default() }
    }

    fn at(seconds: u64) -> Moment {
        thread_local! { static START: Instant = Instant::now(); }
        Moment { instant: START.with(|start| *start) + Duration::from_secs(seconds), unix_ms: seconds * 1000 }
    }

    #[test]
    fn a_new_call_displaces_the_old_one_and_only_its_own_end_counts() {
        let live = LiveEndpoints::default();
        let mut first = live.attach("web-03", 1, &hello("a", 1), None, at(0));
        let second = live.attach("web-03", 1, &hello("a", 1), None, at(1));
        assert!(first.outgoing.try_recv().is_err() && first.outgoing.is_closed());
        assert!(!live.heard("web-03", first.number, None, "", at(2)));
        live.detach("web-03", first.number);
        assert!(live.view("web-03", 1).connected);
        assert!(live.send("web-03", 1, AttendResponse::default()));
        assert!(!live.send("web-03", 2, AttendResponse::default()), "another generation is another endpoint");
        live.detach("web-03", second.number);
        assert!(!live.view("web-03", 1).connected);
    }

    #[test]
    fn a_restart_and_a_reboot_are_no_clones() {
        let live = LiveEndpoints::default();
        for (boot, starts) in [("a", 1), ("a", 1), ("a", 2), ("b", 3)] {
            assert_eq!(live.attach("web-03", 1, &hello(boot, starts), None, at(starts)).alarm, None);
        }
    }

    #[test]
    fn a_state_that_goes_back_and_one_start_on_two_boots_raise_the_alarm() {
        let live = LiveEndpoints::default();
        live.attach("web-03", 1, &hello("a", 7), None, at(0));
        assert!(live.attach("web-03", 1, &hello("a", 6), None, at(1)).alarm.is_some());
        let live = LiveEndpoints::default();
        live.attach("web-03", 1, &hello("a", 7), None, at(0));
        assert!(live.attach("web-03", 1, &hello("b", 7), None, at(1)).alarm.is_some());
        assert!(!live.view("web-03", 1).warning.is_empty());
        assert!(live.attach("web-03", 2, &hello("b", 1), None, at(2)).alarm.is_none(), "re-enrolled");
        assert!(live.view("web-03", 2).warning.is_empty());
    }

    #[test]
    fn callers_that_keep_displacing_each_other_raise_the_alarm() {
        let live = LiveEndpoints::default();
        let mut alarms = 0;
        let mut sessions = Vec::new();
        for second in 0..8 {
            let session = live.attach("web-03", 1, &hello("a", 1), None, at(second));
            alarms += usize::from(session.alarm.is_some());
            sessions.push(session);
        }
        assert_eq!(alarms, 1);
    }

    #[test]
    fn a_full_queue_refuses_instead_of_growing() {
        let live = LiveEndpoints::default();
        let _session = live.attach("web-03", 1, &hello("a", 1), None, at(0));
        for _ in 0..QUEUE_LEN {
            assert!(live.send("web-03", 1, AttendResponse::default()));
        }
        assert!(!live.send("web-03", 1, AttendResponse::default()));
    }

    #[test]
    fn the_clock_offset_is_local_minus_collector() {
        let live = LiveEndpoints::default();
        live.attach("web-03", 1, &hello("a", 1), Some(9_000), at(10));
        assert_eq!(live.view("web-03", 1).clock_offset_ms, -1_000);
    }
}
