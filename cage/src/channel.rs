//! Typed messages with descriptors between our own processes.
//!
//! Guarantee: a message arrives whole or not at all, with the descriptors it was sent with. A body over 16
//! KiB travels in a sealed memory file, so that neither side waits in the middle of a message and nobody can
//! change the body while the receiver reads it. The receiver checks lengths before it allocates. Not here:
//! what messages mean.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use prost::Message;

use crate::datagram::{self, DatagramError, Form, Received, SHORT_BYTES_MAX, Sent};
use crate::memory_file::{self, memory_file};

/// Longest body: one collector message (16 MiB, `proto::limits::RESPONSE_BYTES_MAX`) and a frame around it.
const BODY_BYTES_MAX: usize = (16 << 20) + (64 << 10);

/// The kind of every typed message. Both ends know the type of the message.
const TYPED: u8 = 0;

/// An encoded message, which can be sent again if the socket is full.
#[derive(Debug)]
pub struct Outgoing {
    form: Form,
    body: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Outgoing {
    /// Encodes `message` and owns `descriptors` until they are sent.
    ///
    /// # Errors
    /// No memory file could be made for a long body.
    pub fn new(message: &impl Message, descriptors: Vec<OwnedFd>) -> Result<Self, DatagramError> {
        let body = message.encode_to_vec();
        if body.len() <= SHORT_BYTES_MAX {
            return Ok(Self { form: Form::Here, body, descriptors });
        }
        let mut all = vec![memory_file("exhibit-message", &[&body])?];
        all.extend(descriptors);
        Ok(Self { form: Form::InMemoryFile, body: Vec::new(), descriptors: all })
    }

    /// Sends the message and waits until there is room.
    ///
    /// # Errors
    /// [`DatagramError::Closed`] if nobody will read the message.
    pub fn send(&self, socket: BorrowedFd<'_>) -> Result<(), DatagramError> {
        datagram::send(socket, (TYPED, self.form), &[&self.body], &self.borrowed())
    }

    /// Sends the message if there is room.
    pub fn try_send(&self, socket: BorrowedFd<'_>) -> Result<Sent, DatagramError> {
        datagram::try_send(socket, (TYPED, self.form), &[&self.body], &self.borrowed())
    }

    fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        self.descriptors.iter().map(|fd| fd.as_fd()).collect()
    }
}

/// Encodes and sends a message, waiting until the other process has room.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &impl Message,
    descriptors: Vec<OwnedFd>,
) -> Result<(), DatagramError> {
    Outgoing::new(message, descriptors)?.send(socket)
}

/// Waits for the next message.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn receive<M: Message + Default>(socket: BorrowedFd<'_>) -> Result<(M, Vec<OwnedFd>), DatagramError> {
    decode(datagram::receive(socket, &mut datagram::buffer())?)
}

/// The next message; `None` if there is none now.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn try_receive<M: Message + Default>(
    socket: BorrowedFd<'_>,
) -> Result<Option<(M, Vec<OwnedFd>)>, DatagramError> {
    datagram::try_receive(socket, &mut datagram::buffer())?.map(decode).transpose()
}

fn decode<M: Message + Default>(received: Received<'_>) -> Result<(M, Vec<OwnedFd>), DatagramError> {
    let mut descriptors = received.descriptors;
    let message = match (received.kind, received.form) {
        (TYPED, Form::Here) => M::decode(received.body),
        (TYPED, Form::InMemoryFile) if !descriptors.is_empty() => {
            let body = memory_file::read(&descriptors.remove(0), BODY_BYTES_MAX)?;
            M::decode(body.as_slice())
        }
        _ => return Err(DatagramError::Protocol("a message of unknown form")),
    };
    message.map(|message| (message, descriptors)).map_err(|source| DatagramError::Decode { source })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;
    use crate::datagram::pair;
    use crate::memory_file::sealed_len;

    /// A message of our own: the bytes of any other are as good.
    #[derive(Clone, PartialEq, Message)]
    struct Blob {
        #[prost(bytes = "vec", tag = "1")]
        bytes: Vec<u8>,
    }

    fn blob(length: usize) -> Blob {
        Blob { bytes: vec![7; length] }
    }

    #[test]
    fn messages_of_every_size_arrive_whole_and_in_order_with_their_descriptors() {
        let (left, right) = pair().unwrap();
        for length in [0, 1, SHORT_BYTES_MAX - 8, SHORT_BYTES_MAX + 1, 5 << 20] {
            let with = memory_file("x", &[b"a", b"b"]).unwrap();
            send(left.as_fd(), &blob(length), vec![with]).unwrap();
            let (message, files) = receive::<Blob>(right.as_fd()).unwrap();
            assert_eq!(message, blob(length));
            assert_eq!(files.len(), 1);
            assert_eq!(sealed_len(files[0].as_fd()).unwrap(), 2);
        }
        assert!(try_receive::<Blob>(right.as_fd()).unwrap().is_none());
        drop(left);
        assert!(matches!(receive::<Blob>(right.as_fd()), Err(DatagramError::Closed)));
    }

    #[test]
    fn a_full_socket_is_reported_and_never_blocks_the_sender() {
        let (left, right) = pair().unwrap();
        let outgoing = Outgoing::new(&blob(15_000), Vec::new()).unwrap();
        let mut sent = 0;
        while outgoing.try_send(left.as_fd()).unwrap() == Sent::Yes {
            sent += 1;
            assert!(sent < 10_000);
        }
        assert!(sent > 0);
        for _ in 0..sent {
            assert!(try_receive::<Blob>(right.as_fd()).unwrap().is_some());
        }
        assert_eq!(outgoing.try_send(left.as_fd()).unwrap(), Sent::Yes);
    }

    #[test]
    fn a_file_that_could_still_change_and_garbage_are_refused() {
        let (left, right) = pair().unwrap();
        let open = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let file = (TYPED, Form::InMemoryFile);
        datagram::send(left.as_fd(), file, &[], &[open.as_fd()]).unwrap();
        for (head, body) in [
            (file, &b""[..]),
            ((9, Form::Here), b""),
            ((TYPED, Form::GoesOn), b""),
            ((TYPED, Form::Here), b"\xff\xff"),
        ] {
            datagram::send(left.as_fd(), head, &[body], &[]).unwrap();
        }
        for _ in 0..5 {
            let answer = try_receive::<Blob>(right.as_fd());
            assert!(
                matches!(answer, Err(DatagramError::Protocol(_) | DatagramError::Decode { .. })),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn a_memory_file_over_the_longest_body_is_refused_before_it_is_read() {
        let (left, right) = pair().unwrap();
        let long = memory_file("x", &[&vec![0; BODY_BYTES_MAX + 1]]).unwrap();
        let head = (TYPED, Form::InMemoryFile);
        datagram::send(left.as_fd(), head, &[], &[long.as_fd()]).unwrap();
        let answer = try_receive::<Blob>(right.as_fd());
        assert!(matches!(answer, Err(DatagramError::TooLarge)), "{answer:?}");
    }
}
