//! The warden: decides what is collected here, and starts everything else.
//!
//! Guarantee: it opens no sockets except pairs to its own children. It alone holds the evidence key, pins,
//! roster and the count of attempts. It obeys an order only after `judge` has accepted the order's raw bytes
//! and the attempt is durable. One collection runs at a time, and up to four admitted orders wait. There is
//! no orderly stop: the process may be killed at any moment. The next start reports, in its log and its
//! answers, what was cut off (one recovery path). Not here: network (`link`), reading (`reader`), packing
//! (`sealer`).

mod claims;
mod judge;
pub mod lane;
mod manifest;
mod renewal;
mod running;

mod attempt;
mod conversation;
mod host;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use cage::User;
use cage::datagram::DatagramError;
use evidence::admission::Reason;
use evidence::digest::Digest;
use proto::backoff::Backoff;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::diary::Fields;
use crate::message::{FromLink, FromReader, FromSealer, from_link, from_sealer};
use crate::service::Service;
use crate::state::clock::{self, Reading};
use crate::state::endpoint::{EndpointState, EndpointStateError};
use crate::state::seen::End;
use host::Host;

pub use host::build_sha256;
use judge::Judged;
use lane::{Lane, Stuck};
use renewal::Renewals;
use running::Running;

/// Most admitted orders that wait for the running one: 4. To any further order the warden answers `busy`, and
/// the collector asks again later.
const QUEUE_MAX: usize = 4;

/// Most processes stuck in the kernel that may be left behind: 3. With more, a person must look at the
/// machine first.
const STUCK_MAX: usize = 3;

/// A link that has shown no life for this long is replaced. It speaks every five seconds.
const LINK_SILENCE: Duration = Duration::from_secs(60);

/// Longest wait before a link that ended is started again.
const LINK_WAIT_MAX: Duration = Duration::from_secs(60);

/// Most refusals that one life of the warden writes to the endpoint's log: a collector that sends garbage
/// must not fill the disk. The first of each kind for each order is written.
const REFUSALS_MAX: usize = 1024;

/// How to run the warden.
#[derive(Debug)]
pub struct Settings {
    /// State directory.
    pub state: PathBuf,
    /// The owner's policy; `None` for its default place.
    pub policy: Option<PathBuf>,
    /// The tree to collect from: `/` in service.
    pub root: PathBuf,
    /// The program of all children: this very program.
    pub program: PathBuf,
    /// The source of the link.
    pub link: LinkSource,
    /// Shortest wait between connections, and between attempts.
    pub backoff_min: Duration,
    /// Longest wait between connections.
    pub backoff_max: Duration,
    /// Ends the warden when the other end is closed. For tests.
    pub stop: Option<OwnedFd>,
}

/// The source of the link.
#[derive(Debug)]
pub enum LinkSource {
    /// A child process, started again whenever it ends.
    Start,
    /// Somebody else holds the other end of this socket. For tests.
    Given(OwnedFd),
}

/// Why the warden ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WardenError {
    /// The state cannot be used.
    #[error(transparent)]
    EndpointState(#[from] EndpointStateError),
    /// Something that must be durable is not. Nothing may be collected then, and systemd restarts the agent.
    #[error("the state directory does not take writes. Check space and health of its disk")]
    State(#[source] io::Error),
    /// The system refused something basic.
    #[error("{op}")]
    System {
        /// The failed operation.
        op: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn state_error(source: io::Error) -> WardenError {
    WardenError::State(source)
}

/// An admitted order that waits.
#[derive(Debug)]
struct Waiting {
    judged: Judged,
    /// CLOCK_BOOTTIME before which the order is not tried again.
    not_before: Duration,
}

#[derive(Debug)]
struct Warden {
    settings: Settings,
    state: EndpointState,
    host: Host,
    service: Service,
    user: Option<User>,
    link: Option<Lane>,
    link_alive: Duration,
    link_failures: u32,
    link_not_before: Duration,
    is_connected: bool,
    offset_ms: Option<i64>,
    running: Option<Running>,
    waiting: VecDeque<Waiting>,
    stuck: Vec<Stuck>,
    stuck_helpers: BTreeSet<i32>,
    renewals: Renewals,
    refused: BTreeSet<(Digest, Reason)>,
    /// The order for which the warden asked for a fresh package, because the proof began at an older
    /// checkpoint.
    asked_again: Option<Digest>,
}

/// Runs the warden until the process is killed.
pub fn run(settings: Settings) -> Result<(), WardenError> {
    // Before the evidence key is read.
    cage::hide_memory().map_err(|error| WardenError::System {
        op: "hide the agent's memory",
        source: io::Error::other(error),
    })?;
    let now = Reading::now();
    let state = EndpointState::open(&settings.state, now)?;
    let host =
        Host::read().map_err(|source| WardenError::System { op: "read the agent's own program", source })?;
    let mut warden = Warden {
        user: lane::user_named(crate::SERVICE_USER),
        state,
        host,
        service: Service::new(),
        link: None,
        link_alive: now.boot,
        link_failures: 0,
        link_not_before: Duration::ZERO,
        is_connected: false,
        offset_ms: None,
        running: None,
        waiting: VecDeque::new(),
        stuck: Vec::new(),
        stuck_helpers: BTreeSet::new(),
        renewals: Renewals::default(),
        refused: BTreeSet::new(),
        asked_again: None,
        settings,
    };
    warden.record_start()?;
    if let LinkSource::Given(socket) = std::mem::replace(&mut warden.settings.link, LinkSource::Start) {
        // This is given only once. When it closes, the caller that gave it is done.
        warden.settings.stop = warden.settings.stop.take().or_else(|| socket.try_clone().ok());
        warden.link = Some(Lane::given(socket));
        warden.introduce();
    }
    loop {
        if warden.turn()? == Turn::Stop {
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    On,
    Stop,
}

#[derive(Debug, Default)]
struct Ready {
    link: bool,
    sealer: bool,
    reader: bool,
    stop: bool,
}

impl Warden {
    fn record_start(&mut self) -> Result<(), WardenError> {
        let roster = self.state.roster.roster().version;
        let fields = Fields::new()
            .text("version", crate::VERSION)
            .text("build_sha256", self.host.build_sha256)
            .number("state_generation", self.state.state_generation)
            .text("boot_id", self.host.boot_id.as_deref().unwrap_or(""))
            .number("roster", roster)
            .number("checkpoint", self.state.checkpoint.size);
        self.record("started", fields)?;
        // Opening the state ended the attempts that the last life left behind. This tells the owner about
        // them.
        for (order, attempt) in self.state.seen.unreported() {
            let (_, detail) = attempt.end.clone().unwrap_or((End::Interrupted, String::new()));
            let fields = Fields::new()
                .text("order", order)
                .number("attempt", u64::from(attempt.number))
                .text("collection", attempt.collection)
                .text("detail", detail);
            self.record("attempt_unreported", fields)?;
        }
        Ok(())
    }

    /// Writes an event to the endpoint's log.
    fn record(&mut self, event: &str, fields: Fields) -> Result<(), WardenError> {
        let at = self.state.clock.time(Reading::now());
        self.state.diary.record(at, event, fields).map(drop).map_err(state_error)
    }

    /// One round: wait, listen, look at the clock.
    fn turn(&mut self) -> Result<Turn, WardenError> {
        let now = Reading::now();
        self.start_link(now);
        self.start_waiting(now)?;
        self.keep_time(now)?;
        let ready = self.wait()?;
        if ready.stop {
            return Ok(Turn::Stop);
        }
        if ready.link {
            self.hear_link()?;
        }
        if ready.sealer {
            self.hear_sealer()?;
        }
        if ready.reader {
            self.hear_reader();
        }
        Ok(Turn::On)
    }

    fn wait(&self) -> Result<Ready, WardenError> {
        let mut polled = Vec::with_capacity(4);
        let interest = |lane: &Lane| {
            if lane.has_waiting() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
        };
        let link = self.link.as_ref().map(|lane| PollFd::from_borrowed_fd(lane.as_fd(), interest(lane)));
        let sealer = self
            .running
            .as_ref()
            .map(|running| PollFd::from_borrowed_fd(running.sealer.as_fd(), interest(&running.sealer)));
        let reader = self.running.as_ref().and_then(|running| running.reader.as_ref());
        let reader = reader.map(|lane| PollFd::from_borrowed_fd(lane.as_fd(), interest(lane)));
        let stop = self.settings.stop.as_ref();
        // Nothing is ever sent on it. Only its end matters.
        let stop = stop.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::RDHUP));
        let kinds: Vec<u8> = [(1, link), (2, sealer), (3, reader), (4, stop)]
            .into_iter()
            .filter_map(|(kind, fd)| {
                polled.push(fd?);
                Some(kind)
            })
            .collect();
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        match poll(&mut polled, Some(&second)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                return Err(WardenError::System { op: "poll", source: errno.into() });
            }
        }
        let mut ready = Ready::default();
        for (kind, fd) in kinds.into_iter().zip(&polled) {
            let is_ready = !fd.revents().is_empty();
            match kind {
                1 => ready.link = is_ready,
                2 => ready.sealer = is_ready,
                3 => ready.reader = is_ready,
                _ => ready.stop = fd.revents().intersects(PollFlags::RDHUP | PollFlags::HUP),
            }
        }
        Ok(ready)
    }

    fn start_link(&mut self, now: Reading) {
        if self.link.is_some() || now.boot < self.link_not_before || self.settings.stop.is_some() {
            return;
        }
        match Lane::start(&self.settings.program, crate::LINK_ROLE, self.user) {
            Ok(lane) => {
                self.link = Some(lane);
                self.link_alive = now.boot;
                self.introduce();
            }
            Err(error) => {
                tracing::error!(%error, "Cannot start the link");
                self.link_gone(now.boot);
            }
        }
    }

    /// The link ended or was replaced. The running collection waits, and its window holds what is not
    /// acknowledged.
    fn link_gone(&mut self, boot: Duration) {
        if let Some(lane) = self.link.take() {
            self.stuck.extend(lane.end());
        }
        self.is_connected = false;
        // Saturating is correct here: from the eighth failure on, the wait stays the same.
        self.link_failures = self.link_failures.saturating_add(1);
        let backoff = Backoff::new(self.settings.backoff_min, LINK_WAIT_MAX);
        self.link_not_before = boot + backoff.wait_after(self.link_failures.min(8));
        self.upload_cut();
    }

    fn keep_time(&mut self, now: Reading) -> Result<(), WardenError> {
        self.stuck.retain_mut(|stuck| !stuck.is_gone());
        let is_overdue = self.running.as_ref().is_some_and(|running| now.boot > running.deadline);
        if is_overdue {
            self.end_attempt("the deadline passed", attempt::Again::IfAttemptsAllow)?;
        }
        // Saturating is correct here: the link may have spoken after `now` was read.
        let is_silent = now.boot.saturating_sub(self.link_alive) > LINK_SILENCE;
        if is_silent && self.link.as_ref().is_some_and(|lane| lane.pid() != 0) {
            tracing::warn!("The link shows no life; replacing it");
            self.link_gone(now.boot);
        }
        // Feed the watchdog while the link is alive and no collection is past its deadline. A reader or
        // sealer that hangs reaches that deadline, and a link that hangs was replaced above.
        if !is_silent {
            self.service.alive(now.boot);
        }
        if self.is_connected {
            match self.renewals.due(&self.state.identity, self.state.clock.time(now), now.boot) {
                Ok(Some(renew)) => self.say_link(crate::message::to_link::Say::Renew(renew), Vec::new()),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "Cannot ask for a new certificate"),
            }
        } else if let Ok(Some(renew)) =
            self.renewals.due_expired(&self.state.identity, self.state.clock.time(now), now.boot)
        {
            self.say_link(crate::message::to_link::Say::Renew(renew), Vec::new());
        }
        Ok(())
    }

    fn hear_link(&mut self) -> Result<(), WardenError> {
        loop {
            let Some(lane) = self.link.as_mut() else {
                return Ok(());
            };
            let received = lane.flush().and_then(|()| lane.receive::<FromLink>());
            match received {
                Ok(Some((message, _))) => {
                    // Drop descriptors from the link: it has none to give.
                    self.link_alive = clock::boot();
                    if let Some(say) = message.say {
                        self.take_from_link(say)?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    if !matches!(error, DatagramError::Closed) {
                        tracing::warn!(%error, "The link does not keep to the form");
                    }
                    self.link_gone(clock::boot());
                    return Ok(());
                }
            }
        }
    }

    fn take_from_link(&mut self, say: from_link::Say) -> Result<(), WardenError> {
        match say {
            from_link::Say::Ready(_) => self.service.ready("waiting for the collector"),
            from_link::Say::Alive(_) => {}
            from_link::Say::Connected(welcome) => self.connected(&welcome)?,
            from_link::Say::Disconnected(detail) => self.disconnected(&detail.text),
            from_link::Say::Order(package) => self.take_order(&package)?,
            from_link::Say::Cancel(cancel) => self.take_cancel(&cancel)?,
            from_link::Say::Checkpoint(update) => self.take_checkpoint(&update)?,
            from_link::Say::LogKeys(keys) => self.take_log_keys(&keys)?,
            from_link::Say::Receipt(receipt) => self.take_receipt(&receipt.collection, receipt.stored)?,
            from_link::Say::Position(position) => self.take_position(position)?,
            from_link::Say::UploadCut(_) => self.upload_cut(),
            from_link::Say::Stored(stored) => self.take_receipt(&stored.collection, stored.receipt)?,
            from_link::Say::Rejected(rejected) => self.take_rejection(&rejected)?,
            from_link::Say::Renewed(answer) => self.take_renewal(answer)?,
        }
        Ok(())
    }

    fn hear_sealer(&mut self) -> Result<(), WardenError> {
        loop {
            let Some(running) = self.running.as_mut() else {
                return Ok(());
            };
            let received = running.sealer.flush().and_then(|()| running.sealer.receive::<FromSealer>());
            match received {
                Ok(Some((message, descriptors))) => match message.say {
                    Some(from_sealer::Say::Ready(_) | from_sealer::Say::Alive(_)) | None => {}
                    Some(from_sealer::Say::Segment(segment)) => self.take_segment(segment, descriptors)?,
                    Some(from_sealer::Say::Manifest(manifest)) => self.take_manifest(manifest)?,
                    Some(from_sealer::Say::Contradiction(found)) => self.take_contradiction(&found)?,
                    Some(from_sealer::Say::Failed(detail)) => {
                        self.end_attempt(
                            &format!("the sealer failed: {}", detail.text),
                            attempt::Again::IfAttemptsAllow,
                        )?;
                    }
                },
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.end_attempt(
                        &format!("the sealer is gone: {error}"),
                        attempt::Again::IfAttemptsAllow,
                    )?;
                    return Ok(());
                }
            }
        }
    }

    /// The reader tells how far it is. When its socket closes, the reader has ended. The sealer sees the same
    /// on its own socket, and knows whether the plan had ended.
    fn hear_reader(&mut self) {
        loop {
            let Some(reader) = self.running.as_mut().and_then(|running| running.reader.as_mut()) else {
                return;
            };
            match reader.flush().and_then(|()| reader.receive::<FromReader>()) {
                Ok(Some((progress, _))) => self.stuck_helpers.extend(progress.stuck_helpers),
                Ok(None) => return,
                Err(_gone) => {
                    let reader = self.running.as_mut().and_then(|running| running.reader.take());
                    self.stuck.extend(reader.and_then(Lane::end));
                    return;
                }
            }
        }
    }
}
