//! Hands sealed segments to the warden, which passes them on to the link. Keeps them until they are
//! acknowledged.
//!
//! Guarantee: a segment's bytes are in memory only once, in a sealed memory file that sealer and link share.
//! `push` waits while the window is full, so a slow collector slows the reading down and nothing is spooled
//! to disk. A second thread answers positions at once, even while the first waits for a slow file. Not here:
//! the rules (`window`).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cage::channel;
use cage::datagram::DatagramError;
use evidence::digest::Digest;

use super::window::Window;
use crate::message::{
    ContradictionFound, Detail, Empty, FromSealer, Position, Progress, Segment, ToSealer, from_sealer,
    to_sealer,
};

/// Why nothing more can be handed over. The collection stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The warden is gone or breaks the protocol.
    #[error("hand a segment to the warden")]
    Channel {
        /// Why.
        #[source]
        source: Arc<DatagramError>,
    },
    /// The warden ended the collection.
    #[error("the warden ended the collection")]
    Left,
    /// The collector contradicted itself.
    #[error("{0}")]
    Contradiction(super::window::Contradiction),
}

/// The sealer's side of its connection with the warden.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    window: Window<Files>,
    stopped: Option<Stop>,
}

#[derive(Debug, Clone)]
enum Stop {
    Channel(Arc<DatagramError>),
    Left,
    Contradiction(super::window::Contradiction),
}

#[derive(Debug)]
struct Files {
    seal: OwnedFd,
    stored: OwnedFd,
    message: Segment,
}

impl Outbox {
    /// Starts listening for positions on `socket`.
    ///
    /// # Errors
    /// The system's error if there can be no second thread.
    pub fn start(socket: OwnedFd) -> std::io::Result<Self> {
        let inner = Inner { window: Window::default(), stopped: None };
        let shared = Arc::new(Shared { socket, inner: Mutex::new(inner), changed: Condvar::new() });
        let listening = Arc::clone(&shared);
        let listener = std::thread::Builder::new().name("outbox".into()).spawn(move || listening.listen())?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// Takes a sealed segment. Waits while the window is full.
    ///
    /// # Errors
    /// [`OutboxError`]. The collection cannot continue.
    pub fn push(
        &self,
        seal_digest: Digest,
        seal: &[u8],
        stored: &[u8],
        is_final: bool,
    ) -> Result<(), OutboxError> {
        let seal = cage::memory_file("exhibit-seal", &[seal]).map_err(failed)?;
        let file = cage::memory_file("exhibit-segment", &[stored]).map_err(failed)?;
        let message = Segment {
            collection: String::new(),
            index: 0,
            seal: seal_digest.to_string(),
            stored_len: stored.len() as u64,
            is_final,
        };
        let mut payload = Files { seal, stored: file, message };
        let mut inner = self.shared.lock();
        loop {
            if let Some(stop) = &inner.stopped {
                return Err(stop.clone().into());
            }
            payload.message.index = inner.window.pushed();
            match inner.window.push(seal_digest, payload) {
                Ok(_) => break,
                Err(back) => payload = back,
            }
            inner = self.shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        self.shared.flush(&mut inner);
        Ok(())
    }

    /// Tells the warden that the sandbox is in place.
    pub fn ready(&self) -> Result<(), OutboxError> {
        self.shared.send(from_sealer::Say::Ready(Empty {}))
    }

    /// Tells the warden that work continues.
    pub(crate) fn alive(&self, items: u64, plain_bytes: u64) -> Result<(), OutboxError> {
        self.shared.send(from_sealer::Say::Alive(Progress { items, plain_bytes }))
    }

    /// Hands the manifest over and waits until the warden releases the sealer. Until then the collector may
    /// ask for unacknowledged segments again.
    ///
    /// # Errors
    /// [`OutboxError`] if it ended in another way.
    pub fn finish(mut self, manifest: &evidence::signed::Signed) -> Result<(), OutboxError> {
        let mut inner = self.shared.lock();
        // The warden signs only a manifest of segments that it saw pass. The last ones may still wait for the
        // first position of a connection.
        while inner.stopped.is_none() && !inner.window.is_all_sent() {
            inner = self.shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(stop) = &inner.stopped {
            return Err(stop.clone().into());
        }
        drop(inner);
        self.shared.send(from_sealer::Say::Manifest(manifest.into()))?;
        if let Some(listener) = self.listener.take() {
            // The listener ends when the warden says so or is gone. If the listener had panicked, the process
            // would have ended already.
            drop(listener.join());
        }
        match self.shared.lock().stopped.clone() {
            Some(Stop::Left) | None => Ok(()),
            Some(stop) => Err(stop.into()),
        }
    }

    /// Tells the warden that the collection cannot continue.
    pub fn fail(&self, detail: &str) {
        // If the message does not reach the warden, the warden notices the closed connection.
        drop(self.shared.send(from_sealer::Say::Failed(Detail { text: detail.to_owned() })));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, say: from_sealer::Say) -> Result<(), OutboxError> {
        channel::send(self.socket.as_fd(), &FromSealer { say: Some(say) }, Vec::new()).map_err(failed)
    }

    /// Sends what may be sent. A failure stops everything, because the warden is gone.
    fn flush(&self, inner: &mut Inner) {
        while let Some((index, files)) = inner.window.next_to_send() {
            let message = Segment { index, ..files.message.clone() };
            let sent = files.seal.try_clone().and_then(|seal| Ok(vec![seal, files.stored.try_clone()?]));
            let sent = sent.map_err(|source| DatagramError::System { call: "dup", source }).and_then(
                |descriptors| {
                    let say = Some(from_sealer::Say::Segment(message));
                    channel::send(self.socket.as_fd(), &FromSealer { say }, descriptors)
                },
            );
            if let Err(error) = sent {
                self.stop(inner, Stop::Channel(Arc::new(error)));
                return;
            }
        }
    }

    fn stop(&self, inner: &mut Inner, stop: Stop) {
        inner.stopped.get_or_insert(stop);
        self.changed.notify_all();
    }

    fn listen(&self) {
        loop {
            let received = channel::receive::<ToSealer>(self.socket.as_fd());
            let mut inner = self.lock();
            let say = match received {
                Ok((message, _)) => message.say,
                Err(error) => return self.stop(&mut inner, Stop::Channel(Arc::new(error))),
            };
            match say {
                Some(to_sealer::Say::Position(position)) => {
                    if let Err(contradiction) = apply_position(&mut inner.window, &position) {
                        let detail = contradiction.to_string();
                        let found =
                            ContradictionFound { index: contradiction.index(), seal: position.seal, detail };
                        drop(self.send(from_sealer::Say::Contradiction(found)));
                        return self.stop(&mut inner, Stop::Contradiction(contradiction));
                    }
                    self.flush(&mut inner);
                    self.changed.notify_all();
                }
                Some(to_sealer::Say::Cut(_)) => inner.window.disconnected(),
                Some(to_sealer::Say::Leave(_)) => return self.stop(&mut inner, Stop::Left),
                // `Start` came before the outbox existed. A sealer has no use for anything else.
                Some(to_sealer::Say::Start(_)) | None => {}
            }
        }
    }
}

fn apply_position(
    window: &mut Window<Files>,
    position: &Position,
) -> Result<(), super::window::Contradiction> {
    if position.is_first {
        window.disconnected();
    }
    // A digest in another spelling cannot name a seal of ours.
    let seal =
        if position.seal.is_empty() { None } else { Some(position.seal.parse().unwrap_or(Digest::ZERO)) };
    window.position(position.next_index, seal)
}

fn failed(source: DatagramError) -> OutboxError {
    OutboxError::Channel { source: Arc::new(source) }
}

impl From<Stop> for OutboxError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Channel(source) => Self::Channel { source },
            Stop::Left => Self::Left,
            Stop::Contradiction(contradiction) => Self::Contradiction(contradiction),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seal(index: u8) -> Digest {
        Digest::of(&[index])
    }

    fn send(warden: &OwnedFd, say: to_sealer::Say) {
        channel::send(warden.as_fd(), &ToSealer { say: Some(say) }, Vec::new()).unwrap();
    }

    fn position(next_index: u64, seal: &str, is_first: bool) -> to_sealer::Say {
        to_sealer::Say::Position(Position {
            collection: String::new(),
            next_index,
            seal: seal.to_owned(),
            copies: 2,
            is_first,
        })
    }

    fn next(warden: &OwnedFd) -> (from_sealer::Say, Vec<OwnedFd>) {
        let (message, files) = channel::receive::<FromSealer>(warden.as_fd()).unwrap();
        (message.say.unwrap(), files)
    }

    fn segment(warden: &OwnedFd) -> u64 {
        match next(warden) {
            (from_sealer::Say::Segment(segment), files) => {
                assert_eq!(cage::sealed_len(files[1].as_fd()).unwrap(), segment.stored_len);
                segment.index
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn back_pressure_reaches_the_sealer_and_a_cut_sends_the_rest_again() {
        let (warden, sealer) = cage::datagram::pair().unwrap();
        let outbox = Arc::new(Outbox::start(sealer).unwrap());
        send(&warden, position(0, "", true));
        let (pushed, count) = std::sync::mpsc::sync_channel(16);
        let pushing = Arc::clone(&outbox);
        let thread = std::thread::spawn(move || {
            for index in 0..5 {
                pushing.push(seal(index), b"seal", &[index; 100], index == 4).unwrap();
                pushed.send(index).unwrap();
            }
        });
        for index in 0..3 {
            assert_eq!(segment(&warden), index);
            assert_eq!(u64::from(count.recv().unwrap()), index);
        }
        // The fourth waits: nothing was acknowledged.
        assert!(count.recv_timeout(Duration::from_millis(50)).is_err());
        send(&warden, to_sealer::Say::Cut(Empty {}));
        send(&warden, position(1, &seal(0).to_string(), true));
        assert_eq!(count.recv().unwrap(), 3);
        assert_eq!([segment(&warden), segment(&warden), segment(&warden)], [1, 2, 3]);
        send(&warden, position(4, &seal(3).to_string(), false));
        assert_eq!(segment(&warden), 4);
        thread.join().unwrap();
        send(&warden, position(4, &seal(9).to_string(), false));
        let (from_sealer::Say::Contradiction(found), _) = next(&warden) else { panic!() };
        assert_eq!(found.index, 3);
        assert!(matches!(outbox.push(seal(5), b"", b"", false), Err(OutboxError::Contradiction(_))));
    }
}
