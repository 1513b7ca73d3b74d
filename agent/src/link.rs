//! The link: the only process with network. It holds nothing worth stealing except the TLS key.
//!
//! Guarantee: it reports what the collector says and sends what the warden gives it, in order, with bounded
//! queues. It decides nothing. It reconnects with back-off and jitter, and an upload continues where the
//! collector stands. Not here: whether an order is obeyed or a receipt is worth anything (`warden`).

mod attend;
mod backoff;
mod connection;
mod renew;
mod upload;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cage::datagram::DatagramError;
use cage::{Profile, Socket};
use tokio::sync::{mpsc, watch};

use crate::message::{Empty, FromLink, ToLink, from_link, to_link};
use attend::Attend;
use connection::Connector;
use upload::Uploads;

/// Messages waiting for the warden: 64. The warden reads them at once or is gone.
const POST_MAX: usize = 64;

/// Messages waiting for the collector on the standing call.
const ATTEND_MAX: usize = 32;

/// How often the link tells the warden that it is alive.
const ALIVE: Duration = Duration::from_secs(5);

// What failed, for the log.
const SET_UP: &str = "set up the link";
const TALK: &str = "talk to the warden";

/// Runs the link's process. Returns when the warden is gone.
///
/// # Errors
/// The warden starts another link. The log of the service shows the text.
pub fn run(socket: OwnedFd) -> anyhow::Result<()> {
    cage::enter(Profile::Link).context("confine the link")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only the resolver blocks a thread.
        .max_blocking_threads(2)
        .thread_stack_size(512 << 10)
        .build()
        .context(SET_UP)?;
    let result = runtime.block_on(serve(socket));
    // A name lookup may still be under way. Do not wait for it.
    runtime.shutdown_background();
    result
}

async fn serve(socket: OwnedFd) -> anyhow::Result<()> {
    let (post, mut posted) = mpsc::channel(POST_MAX);
    let socket = Socket::new(socket).context(SET_UP)?;
    let (identity, identities) = watch::channel(None);
    let (hello, hellos) = watch::channel(None);
    let (channel, channels) = watch::channel(None);
    let (reconnect, reconnects) = watch::channel(0_u64);
    let (outgoing, outgoings) = mpsc::channel(ATTEND_MAX);
    let connector = Connector::new(identities);
    let attend =
        Attend { connector: connector.clone(), hellos, channel, reconnects, outgoings, post: post.clone() };
    let attending = tokio::spawn(attend.run());
    let mut uploads = Uploads::new(channels.clone(), connector.clone(), post.clone());
    let mut alive = tokio::time::interval(ALIVE);
    let result = loop {
        tokio::select! {
            // Cancellation-safe: a message leaves the socket only once the socket is ready, without a wait.
            message = socket.receive::<ToLink>() => match message {
                Ok((message, descriptors)) => match message.say {
                    Some(to_link::Say::Identity(new)) => {
                        identity.send_replace(Some(Arc::new(new)));
                        post_to_warden(&post, from_link::Say::Ready(Empty {})).await;
                    }
                    Some(to_link::Say::Standing(new)) => {
                        hello.send_replace(new.hello);
                    }
                    // With no call open there is nobody to tell. The warden repeats the message after
                    // `Connected`.
                    Some(to_link::Say::Attend(request)) => drop(outgoing.try_send(request)),
                    Some(to_link::Say::Reconnect(_)) => reconnect.send_modify(|count| *count = count.wrapping_add(1)),
                    Some(to_link::Say::OpenUpload(open)) => uploads.open(open),
                    Some(to_link::Say::Segment(segment)) => uploads.segment(segment, descriptors),
                    Some(to_link::Say::Manifest(manifest)) => uploads.manifest(manifest),
                    Some(to_link::Say::CloseUpload(close)) => uploads.close(&close.collection),
                    Some(to_link::Say::Renew(renew)) => renew::start(renew, &channels, &connector, post.clone()),
                    None => {}
                },
                Err(DatagramError::Closed) => break Ok(()),
                Err(error) => break Err(error).context(TALK),
            },
            Some(message) = posted.recv() => {
                if let Err(error) = socket.send(&message).await {
                    break if matches!(error, DatagramError::Closed) { Ok(()) } else { Err(error).context(TALK) };
                }
            }
            _ = alive.tick() => {
                // If the queue is full, the warden already has signs of life to read.
                drop(post.try_send(FromLink { say: Some(from_link::Say::Alive(Empty {})) }));
            }
        }
    };
    attending.abort();
    result
}

/// Waits for room in the queue to the warden.
async fn post_to_warden(post: &mpsc::Sender<FromLink>, say: from_link::Say) {
    // The other end closes only when the process ends.
    drop(post.send(FromLink { say: Some(say) }).await);
}
