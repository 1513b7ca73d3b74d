//! The standing call of an endpoint: it sends heartbeats and answers, the collector sends orders and cancellations.
//!
//! Guarantee: level-triggered. Each time something changes, the collector derives from the records and the clock what to send.
//! A lost message, a restart or a week offline therefore need no special handling: the collector sends the order again until
//! the endpoint answers. Not here: which call of an endpoint is the live one (`endpoints`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certs::connection::PeerInfo;
use evidence::admission::Reason;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::state::AttemptState;
use evidence::id::{Chain, EndpointId, Generation};
use evidence::time::FileTime;
use proto::v1::attend_request::Message;
use proto::v1::{self, AttendRequest, AttendResponse, attend_response};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::package::{Known, package};
use super::queries::{attempt_state, newest_by_endpoint};
use super::state::Target;
use crate::collector::Collector;
use crate::endpoints::{HEARTBEAT_S, Moment, Session};
use crate::failure::{Failure, chain};
use crate::metrics;
use crate::rows::{self, DbError};
use crate::services::ingest::ended::Ended;
use crate::services::orders::OrderDesk;

/// Most answers that wait for the endpoint.
pub const ANSWERS_LEN: usize = 16;

/// How often to check what an endpoint should get when nothing changed: orders expire, and a wake-up may get lost.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// How long to wait before sending an order again to a busy endpoint.
const BUSY_AGAIN: Duration = Duration::from_secs(30);

/// The longest text of an endpoint that the collector stores.
const DETAIL_BYTES_MAX: usize = 4096;

/// Orders that were sent and not answered, for display.
#[derive(Debug, Default)]
pub struct Sent(Mutex<BTreeSet<(Digest, String)>>);

impl Sent {
    /// True if the order waits for this endpoint's answer.
    pub fn is_sent(&self, order: &Digest, endpoint: &str) -> bool {
        self.lock().contains(&(*order, endpoint.to_owned()))
    }

    fn insert(&self, order: Digest, endpoint: &str) {
        self.lock().insert((order, endpoint.to_owned()));
    }

    fn remove(&self, order: Digest, endpoint: &str) {
        self.lock().remove(&(order, endpoint.to_owned()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Digest, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answers = mpsc::Sender<Result<AttendResponse, Status>>;

/// Serves one standing call until it ends.
pub async fn serve<S>(
    desk: std::sync::Arc<OrderDesk>,
    peer: std::sync::Arc<PeerInfo>,
    endpoint: EndpointId,
    generation: Generation,
    requests: S,
    answers: Answers,
) where
    S: Stream<Item = Result<AttendRequest, Status>> + Unpin + Send,
{
    let mut call = Call {
        desk: &desk,
        collector: &desk.collector,
        endpoint: &endpoint,
        generation,
        answers: answers.clone(),
        known: Known { checkpoint_size: 0, roster_version: 0 },
        delivered: BTreeMap::new(),
    };
    let result = call.run(&peer, requests).await;
    for order in call.delivered.keys() {
        desk.sent.remove(*order, endpoint.as_str());
    }
    if let Err(failure) = result {
        drop(answers.send(Err(failure.into())).await);
    }
}

struct Call<'c> {
    desk: &'c OrderDesk,
    collector: &'c Collector,
    endpoint: &'c EndpointId,
    generation: Generation,
    answers: Answers,
    known: Known,
    /// Orders sent on this call, each with the number of attempts at that time and the time from which it may be sent again.
    delivered: BTreeMap<Digest, (u32, Option<Instant>)>,
}

impl Call<'_> {
    async fn run<S>(&mut self, peer: &PeerInfo, mut requests: S) -> Result<(), Failure>
    where
        S: Stream<Item = Result<AttendRequest, Status>> + Unpin + Send,
    {
        let Some(Ok(AttendRequest { message: Some(Message::Hello(hello)) })) = requests.next().await else {
            return Err(Failure::malformed("a standing call begins with hello"));
        };
        self.known = Known { checkpoint_size: hello.checkpoint_size, roster_version: hello.roster_version };
        let number = u64::from(self.generation.number());
        let wall = unix_ms(&hello.wall);
        let live = &self.collector.live;
        let mut session = live.attach(self.endpoint.as_str(), number, &hello, wall, Moment::now());
        let result = self.attend(peer, &hello, &mut session, &mut requests).await;
        live.detach(self.endpoint.as_str(), session.number);
        result
    }

    async fn attend<S>(
        &mut self,
        peer: &PeerInfo,
        hello: &v1::Hello,
        session: &mut Session,
        requests: &mut S,
    ) -> Result<(), Failure>
    where
        S: Stream<Item = Result<AttendRequest, Status>> + Unpin + Send,
    {
        if let Some(alarm) = session.alarm {
            tracing::error!(endpoint = %self.endpoint, boot_id = %hello.boot_id,
                state_generation = hello.state_generation, "Clone alarm: {alarm}");
        }
        self.remember(hello).await?;
        self.send(attend_response::Message::Welcome(v1::Welcome {
            collector: self.collector.id.to_string(),
            wall: wall_now(),
            heartbeat_s: HEARTBEAT_S,
        }))
        .await?;
        // Send these before anything that depends on the newest key.
        let keys = self.collector.log_key_changes().await?;
        if !keys.changes.is_empty() {
            self.send(attend_response::Message::LogKeys(keys)).await?;
        }
        self.deliver().await?;
        loop {
            let again = self.next_look();
            tokio::select! {
                biased;
                () = self.collector.intake.cancelled() => return Ok(()),
                () = peer.closed.cancelled() => return Ok(()),
                request = requests.next() => match request {
                    Some(Ok(AttendRequest { message: Some(message) })) => {
                        if !self.handle(session, message).await? {
                            return Ok(());
                        }
                    }
                    Some(Ok(AttendRequest { message: None })) => {
                        return Err(Failure::malformed("a message of an unknown kind"));
                    }
                    Some(Err(_)) | None => return Ok(()),
                },
                outgoing = session.outgoing.recv() => match outgoing {
                    Some(AttendResponse { message: Some(message) }) => self.send(message).await?,
                    Some(AttendResponse { message: None }) => {}
                    // Another call took the place, or the identity was retired.
                    None => return Ok(()),
                },
                () = session.wake.notified() => self.deliver().await?,
                () = tokio::time::sleep_until(again) => self.deliver().await?,
            }
        }
    }

    /// Handles one message. False if another call is the live one.
    async fn handle(&mut self, session: &Session, message: Message) -> Result<bool, Failure> {
        let (wall, inventory) = match &message {
            Message::Heartbeat(heartbeat) => (unix_ms(&heartbeat.wall), heartbeat.inventory_json.as_str()),
            _ => (None, ""),
        };
        let live = &self.collector.live;
        if !live.heard(self.endpoint.as_str(), session.number, wall, inventory, Moment::now()) {
            return Ok(false);
        }
        match message {
            Message::Hello(_) => return Err(Failure::malformed("a second hello on one call")),
            Message::Heartbeat(_) => {}
            Message::Answer(answer) => self.handle_answer(answer).await?,
            Message::AttemptEnded(ended) => self.attempt_ended(&ended).await?,
        }
        Ok(true)
    }

    /// Sends every order that the records say this endpoint should have.
    async fn deliver(&mut self) -> Result<(), Failure> {
        for (order, attempt) in self.wanted_orders().await? {
            let now = Instant::now();
            let is_due = match self.delivered.get(&order) {
                Some((sent_for, Some(again))) => *sent_for != attempt || *again <= now,
                Some((sent_for, None)) => *sent_for != attempt,
                None => true,
            };
            if !is_due {
                continue;
            }
            let Some(open) = self.collector.order(&order).await? else {
                continue;
            };
            let package = package(self.collector, &open, self.endpoint, self.known).await?;
            self.send(attend_response::Message::Order(package)).await?;
            metrics::order_delivered();
            tracing::info!(order = %order, endpoint = %self.endpoint, "Order sent");
            self.delivered.insert(order, (attempt, None));
            self.desk.sent.insert(order, self.endpoint.as_str());
            self.desk.watches.changed(&order);
        }
        Ok(())
    }

    /// Orders in force that should go to this endpoint, with the number of the newest attempt.
    async fn wanted_orders(&self) -> Result<Vec<(Digest, u32)>, Failure> {
        let (endpoint, generation, now) = (self.endpoint.clone(), self.generation, crate::clock::now());
        self.collector
            .db
            .read_async(move |db| {
                let mut wanted = Vec::new();
                for order in rows::orders::open_for(db, &endpoint, generation, now)? {
                    let mut newest = newest_by_endpoint(rows::orders::attempts(db, &order.id)?);
                    let newest = newest.remove(&endpoint);
                    let attempt = newest.as_ref().map_or(0, |row| row.attempt);
                    let target = Target { state: attempt_state(newest.as_ref(), false), attempt };
                    if target.wants_delivery(order.attempts_max) {
                        wanted.push((order.id, attempt));
                    }
                }
                Ok::<_, DbError>(wanted)
            })
            .await
            .map_err(Failure::from)
    }

    async fn handle_answer(&mut self, answer: v1::OrderAnswer) -> Result<(), Failure> {
        let order: Digest = proto::convert::digest("order", &answer.order)
            .map_err(|error| Failure::malformed(error.to_string()))?;
        self.desk.sent.remove(order, self.endpoint.as_str());
        if answer.admitted {
            let delegation = proto::convert::signed("delegation", answer.delegation)
                .map_err(|error| Failure::malformed(chain(&error)))?;
            let admitted = crate::services::ingest::begin::admit(
                &self.desk.ingest,
                self.endpoint,
                self.generation,
                delegation,
            )
            .await;
            return match admitted {
                Ok(_) => Ok(()),
                Err(Ended::Failed(failure)) => Err(failure),
                Err(Ended::Gone) => Ok(()),
                // The upload call gets the same refusal. Here it is only logged.
                Err(Ended::Rejected(rejection)) => {
                    tracing::warn!(order = %order, endpoint = %self.endpoint, reason = rejection.reason.as_str(),
                        "Admitted attempt is not taken: {}", rejection.detail);
                    Ok(())
                }
            };
        }
        let reason: Reason =
            answer.reason.parse().map_err(|_unknown| Failure::malformed("a refusal of no known reason"))?;
        if reason == Reason::Busy {
            if let Some(delivered) = self.delivered.get_mut(&order) {
                delivered.1 = Some(Instant::now() + BUSY_AGAIN);
            }
            return Ok(());
        }
        self.record_refusal(order, reason, &answer.detail).await
    }

    async fn record_refusal(&self, order: Digest, reason: Reason, detail: &str) -> Result<(), Failure> {
        let Some(open) = self.collector.order(&order).await? else {
            return Err(Failure::missing("there is no such order"));
        };
        let (id, endpoint) = (order, self.endpoint.clone());
        let (is_target, is_refused) = self
            .collector
            .db
            .read_async(move |db| {
                let is_target =
                    rows::orders::targets(db, &id)?.iter().any(|target| target.endpoint == endpoint);
                let newest = newest_by_endpoint(rows::orders::attempts(db, &id)?);
                Ok::<_, DbError>((
                    is_target,
                    newest.get(&endpoint).is_some_and(|row| row.state == AttemptState::Refused),
                ))
            })
            .await?;
        if !is_target {
            return Err(Failure::forbidden("the order does not address this endpoint"));
        }
        if is_refused {
            return Ok(());
        }
        // The endpoint's words may name paths. They go into an erasable object; the leaf gets the reason alone.
        let text: String = detail.chars().take(DETAIL_BYTES_MAX).collect();
        let digest = match text.is_empty() {
            true => None,
            false => Some(crate::acts::store_text(self.collector, &text).await?),
        };
        let refs = [
            ("endpoint", self.endpoint.to_string()),
            ("order", order.to_string()),
            ("reason", reason.as_str().to_owned()),
        ];
        let incident = Chain::from(open.order.incident);
        self.collector
            .recorder
            .record_own_with(EntryType::OrderRefused, incident, &refs, &[], digest)
            .await?;
        self.desk.watches.changed(&order);
        tracing::info!(order = %order, endpoint = %self.endpoint, reason = reason.as_str(), "Order refused");
        Ok(())
    }

    async fn attempt_ended(&mut self, ended: &v1::AttemptEnded) -> Result<(), Failure> {
        let collection: Digest = proto::convert::digest("collection", &ended.collection)
            .map_err(|error| Failure::malformed(error.to_string()))?;
        let Some(row) = self.collector.collection(&collection).await? else {
            return Ok(());
        };
        if row.endpoint != *self.endpoint || row.generation != self.generation {
            return Err(Failure::forbidden("an endpoint ends its own attempts only"));
        }
        if ended.result.parse() == Ok(AttemptState::Interrupted) {
            crate::services::ingest::interrupt::end(&self.desk.ingest, &collection).await?;
            self.deliver().await?;
        }
        Ok(())
    }

    /// Stores the count of starts, so that it survives restarts of the collector. Writes once a call, never at a heartbeat.
    async fn remember(&self, hello: &v1::Hello) -> Result<(), Failure> {
        let row = rows::endpoints::LiveRow {
            endpoint: self.endpoint.clone(),
            generation: self.generation,
            last_seen: crate::clock::now(),
            agent: hello.agent_version.chars().take(64).collect(),
            boot_id: hello.boot_id.chars().take(64).collect(),
            state_generation: hello.state_generation,
        };
        self.collector.db.write_async(move |tx| rows::endpoints::seen(tx, &row)).await.map_err(Failure::from)
    }

    fn next_look(&self) -> Instant {
        let busy = self.delivered.values().filter_map(|(_, again)| *again).min();
        let regular = Instant::now() + LOOK_AGAIN;
        busy.map_or(regular, |busy| busy.min(regular).max(Instant::now() + Duration::from_secs(1)))
    }

    async fn send(&self, message: attend_response::Message) -> Result<(), Failure> {
        let response = AttendResponse { message: Some(message) };
        self.answers
            .send(Ok(response))
            .await
            .map_err(|_closed| Failure::new(proto::status::Class::Unavailable, "the endpoint is gone"))
    }
}

/// Milliseconds of a file time; `None` if the text is not one.
fn unix_ms(wall: &str) -> Option<u64> {
    let wall: FileTime = wall.parse().ok()?;
    let ms = i128::from(wall.seconds()) * 1000 + i128::from(wall.nanos() / 1_000_000);
    u64::try_from(ms).ok()
}

/// The collector's clock as a file time.
fn wall_now() -> String {
    let now = crate::clock::now().unix_ms();
    format!("{}.{:03}000000", now / 1000, now % 1000)
}
