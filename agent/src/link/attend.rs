//! The standing call: heartbeats and answers up, orders down.
//!
//! Guarantee: there is one call at a time, and the link reopens it for ever. It queues nothing for a call
//! that is gone, because the warden repeats what still matters. Not here: uploads, which share the
//! connection.

use std::time::Duration;

use evidence::time::FileTime;
use proto::v1::{self, AttendRequest, attend_request, attend_response};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::backoff::Reconnects;
use super::connection::Connector;
use crate::inventory::Inventory;
use crate::message::{Detail, FromLink, from_link};
use crate::platform::{Clock as _, SystemClock};

/// The collector must welcome us within this time.
const WELCOME: Duration = Duration::from_secs(30);

/// Bounds for the heartbeat interval that a collector may ask for.
const HEARTBEAT_S: std::ops::RangeInclusive<u32> = 5..=3600;

/// The parts of the standing call.
#[derive(Debug)]
pub struct Attend {
    /// Makes connections.
    pub connector: Connector,
    /// How to introduce ourselves.
    pub hellos: watch::Receiver<Option<v1::Hello>>,
    /// The connection, shared with uploads.
    pub channel: watch::Sender<Option<Channel>>,
    /// Changes when the warden wants a new connection.
    pub reconnects: watch::Receiver<u64>,
    /// Messages from the warden.
    pub outgoings: mpsc::Receiver<AttendRequest>,
    /// Messages to the warden.
    pub post: mpsc::Sender<FromLink>,
}

#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Connection(#[from] anyhow::Error),
    #[error("standing call")]
    Call(#[from] tonic::Status),
    #[error("the collector closed the standing call")]
    Closed,
    #[error("no welcome in time")]
    NoWelcome,
    #[error("the warden asked for a new connection")]
    Asked,
    #[error("this process is ending")]
    Ending,
}

impl Attend {
    /// Keeps the call open until the process ends.
    pub async fn run(mut self) {
        let Some(identity) = self.connector.identity().await else {
            return;
        };
        let mut reconnects = Reconnects::of(&identity);
        let mut kept = None;
        loop {
            let mut since = None;
            let cut = match self.call(kept.take(), &mut since).await {
                Err(Cut::Ending) => return,
                Err(cut) => cut,
                Ok(()) => Cut::Closed,
            };
            // A new greeting needs no new connection. An upload under way keeps the connection that it has.
            kept = if matches!(cut, Cut::Asked) { self.channel.borrow().clone() } else { None };
            if kept.is_none() {
                self.channel.send_replace(None);
            }
            while self.outgoings.try_recv().is_ok() {}
            let text = evidence::causes::chain(&cut);
            tracing::info!(cause = %text, "Disconnected");
            super::post_to_warden(&self.post, from_link::Say::Disconnected(Detail { text })).await;
            let stood = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let random = super::backoff::random();
            // If the warden wants a new greeting, send it at once. The warden must see to it that this is
            // rare.
            let wait =
                if matches!(cut, Cut::Asked) { Duration::ZERO } else { reconnects.next_wait(stood, random) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.reconnects.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn call(&mut self, kept: Option<Channel>, since: &mut Option<Instant>) -> Result<(), Cut> {
        let identity = self.connector.identity().await.ok_or(Cut::Ending)?;
        // This call answers everything that was asked for up to here.
        self.reconnects.mark_unchanged();
        let channel = match kept {
            Some(channel) => channel,
            None => self.connector.main(&identity).await?,
        };
        let mut hello = match &*self.hellos.wait_for(Option::is_some).await.or(Err(Cut::Ending))? {
            Some(hello) => hello.clone(),
            None => return Err(Cut::Ending),
        };
        hello.wall = wall().to_string();
        let (up, requests) = mpsc::channel(4);
        let mut client = proto::service::agent_client(channel.clone());
        let first = AttendRequest { message: Some(attend_request::Message::Hello(hello)) };
        up.try_send(first).or(Err(Cut::Ending))?;
        let mut down = tokio::time::timeout(WELCOME, client.attend(ReceiverStream::new(requests)))
            .await
            .or(Err(Cut::NoWelcome))??
            .into_inner();
        let answer = tokio::time::timeout(WELCOME, down.message()).await.or(Err(Cut::NoWelcome))??;
        let Some(attend_response::Message::Welcome(welcome)) = answer.and_then(|answer| answer.message)
        else {
            return Err(Cut::NoWelcome);
        };
        *since = Some(Instant::now());
        let every = welcome.heartbeat_s.clamp(*HEARTBEAT_S.start(), *HEARTBEAT_S.end());
        let mut heartbeat = tokio::time::interval(Duration::from_secs(u64::from(every)));
        tracing::info!(collector = %welcome.collector, "Connected");
        self.channel.send_replace(Some(channel));
        super::post_to_warden(&self.post, from_link::Say::Connected(welcome)).await;
        loop {
            // Each branch is cancellation-safe: channel and stream receives lose nothing when another branch wins.
            tokio::select! {
                message = down.message() => match message? {
                    Some(answer) => self.pass(answer).await,
                    None => return Ok(()),
                },
                request = self.outgoings.recv() => {
                    up.send(request.ok_or(Cut::Ending)?).await.or(Err(Cut::Closed))?;
                }
                _ = heartbeat.tick() => {
                    let inventory_json = Inventory::read().to_json();
                    let beat = v1::Heartbeat { wall: wall().to_string(), inventory_json };
                    let request = AttendRequest { message: Some(attend_request::Message::Heartbeat(beat)) };
                    up.send(request).await.or(Err(Cut::Closed))?;
                }
                changed = self.reconnects.changed() => {
                    return Err(if changed.is_ok() { Cut::Asked } else { Cut::Ending });
                }
            }
        }
    }

    async fn pass(&self, answer: v1::AttendResponse) {
        let say = match answer.message {
            Some(attend_response::Message::Order(order)) => from_link::Say::Order(order),
            Some(attend_response::Message::Cancel(cancel)) => from_link::Say::Cancel(cancel),
            Some(attend_response::Message::Checkpoint(checkpoint)) => from_link::Say::Checkpoint(checkpoint),
            Some(attend_response::Message::LogKeys(keys)) => from_link::Say::LogKeys(keys),
            Some(attend_response::Message::Receipt(receipt)) => from_link::Say::Receipt(receipt),
            Some(attend_response::Message::Welcome(_)) | None => return,
        };
        super::post_to_warden(&self.post, say).await;
    }
}

fn wall() -> FileTime {
    SystemClock.wall()
}
