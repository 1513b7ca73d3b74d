//! Our sockets on tokio: waits for readiness without blocking the runtime. Also holds the parent's end of a
//! child that sends pieces.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::channel::{self, Outgoing};
use crate::datagram::{self, DatagramError, Sent};
use crate::pieces::{self, Assembly, Frame};

/// A socket whose readiness the runtime watches.
///
/// A `SOCK_SEQPACKET` socket wrapped as a stream. Only its readiness is used; datagrams go through
/// [`crate::datagram`].
#[derive(Debug)]
pub struct Socket(UnixStream);

impl Socket {
    /// Registers the socket with the running runtime.
    ///
    /// # Errors
    /// The runtime accepts no further descriptor.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(socket)?))
    }

    /// Receives the next typed message. Cancellation-safe: it takes a message only once the socket is ready,
    /// and does not wait while it does so.
    ///
    /// # Errors
    /// [`DatagramError`]: the conversation is over.
    pub async fn receive<M: Message + Default>(&self) -> Result<(M, Vec<OwnedFd>), DatagramError> {
        self.when(Interest::READABLE, || channel::try_receive(self.0.as_fd())).await
    }

    /// Sends a typed message as soon as there is room.
    ///
    /// # Errors
    /// [`DatagramError`]: the conversation is over.
    pub async fn send(&self, message: &impl Message) -> Result<(), DatagramError> {
        let outgoing = Outgoing::new(message, Vec::new())?;
        let send = || Ok(sent(outgoing.try_send(self.0.as_fd())?));
        self.when(Interest::WRITABLE, send).await
    }

    /// Repeats `action` until it returns a value, and waits for the socket in between. Cancellation-safe: the
    /// wait takes nothing from the socket.
    async fn when<T>(
        &self,
        interest: Interest,
        mut action: impl FnMut() -> Result<Option<T>, DatagramError>,
    ) -> Result<T, DatagramError> {
        let failed = |source| DatagramError::System { call: "epoll_wait", source };
        loop {
            self.0.ready(interest).await.map_err(failed)?;
            let tried = self.0.try_io(interest, || match action() {
                Ok(Some(value)) => Ok(Ok(value)),
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Ok(Err(error)),
            });
            match tried {
                Ok(done) => return done,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }
}

/// `None`: try again once there is room.
fn sent(sent: Sent) -> Option<()> {
    match sent {
        Sent::Yes => Some(()),
        Sent::Full => None,
    }
}

/// The parent's end of a child that sends its messages in pieces.
///
/// Guarantee: as in [`crate::pieces`]. Not cancellation-safe: after a dropped call the two sides are out of
/// step, and the caller must end the child.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Connection {
    /// As for [`Socket::new`].
    ///
    /// # Errors
    /// The runtime accepts no further descriptor.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: Socket::new(socket)?, buffer: datagram::buffer() })
    }

    /// Sends a message. Waits while the child has no room.
    ///
    /// # Errors
    /// [`DatagramError`]: the conversation is over.
    pub async fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), DatagramError> {
        for piece in pieces::cut(body)? {
            let (head, parts) = ((kind, piece.form), piece.parts());
            let action = || Ok(sent(datagram::try_send(self.socket.0.as_fd(), head, &parts, &[])?));
            self.socket.when(Interest::WRITABLE, action).await?;
        }
        Ok(())
    }

    /// Receives the next message of at most `bytes_max` bytes. `None` if the child ended between two
    /// messages.
    ///
    /// # Errors
    /// [`DatagramError`]: the conversation is over.
    pub async fn receive(&mut self, bytes_max: usize) -> Result<Option<Frame>, DatagramError> {
        let mut assembly = Assembly::new(bytes_max);
        let Self { socket, buffer } = self;
        loop {
            let taken = socket
                .when(Interest::READABLE, || {
                    let Some(piece) = datagram::try_receive(socket.0.as_fd(), buffer)? else {
                        return Ok(None);
                    };
                    assembly.add((piece.kind, piece.form, piece.body)).map(Some)
                })
                .await;
            match taken {
                Ok(None) => {}
                Ok(Some(frame)) => return Ok(Some(frame)),
                Err(DatagramError::Closed) => return assembly.end(),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_message_crosses_while_neither_side_blocks_the_runtime() {
        let (ours, theirs) = datagram::pair().unwrap();
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(3 << 20).collect();
        let child = std::thread::spawn(move || {
            let mut buffer = datagram::buffer();
            while let Some(frame) = pieces::read(theirs.as_fd(), &mut buffer, 4 << 20).unwrap() {
                pieces::write(theirs.as_fd(), frame.kind, &frame.body).unwrap();
            }
        });
        let mut connection = Connection::new(ours).unwrap();
        for _ in 0..3 {
            connection.send(7, &body).await.unwrap();
            let frame = connection.receive(4 << 20).await.unwrap().unwrap();
            assert_eq!(frame, Frame { kind: 7, body: body.clone() });
        }
        drop(connection);
        child.join().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_told_apart_from_a_cut_message() {
        for (pieces_sent, is_clean) in [(0, true), (1, false)] {
            let (ours, theirs) = datagram::pair().unwrap();
            let body = vec![1; 2 * pieces::PIECE_BYTES];
            for piece in pieces::cut(&body).unwrap().iter().take(pieces_sent) {
                datagram::send(theirs.as_fd(), (1, piece.form), &piece.parts(), &[]).unwrap();
            }
            drop(theirs);
            let ended = Connection::new(ours).unwrap().receive(1 << 20).await;
            assert_eq!(ended.is_ok_and(|frame| frame.is_none()), is_clean);
        }
    }
}
