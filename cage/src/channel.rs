//! Typed messages with descriptors between our own processes.
//!
//! Guarantee: a message arrives whole or not at all, with the descriptors it was sent with. A body over 32
//! KiB travels in a sealed memory file, so that neither side waits in the middle of a message and nobody can
//! change the body while the receiver reads it. The receiver checks lengths before it allocates. Not here:
//! what messages mean.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use prost::Message;

use crate::datagram::{self, DatagramError, Form, Wait};
use crate::memory_file::{self, memory_file};

/// Longest body carried in the datagram itself; a longer one goes into a memory file. Far below the kernel's default
/// socket buffer (208 KiB), so that several fit.
const HERE_BYTES_MAX: usize = 32 << 10;

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
        if body.len() <= HERE_BYTES_MAX {
            return Ok(Self { form: Form::Here, body, descriptors });
        }
        let mut all = vec![memory_file("exhibit-message", &[&body])?];
        all.extend(descriptors);
        Ok(Self { form: Form::InMemoryFile, body: Vec::new(), descriptors: all })
    }

    /// Sends the message. `Ok(false)` means that the socket is full, which happens only with [`Wait::Never`].
    ///
    /// # Errors
    /// [`DatagramError::Closed`] if nobody will read the message.
    pub fn send(&self, socket: BorrowedFd<'_>, wait: Wait) -> Result<bool, DatagramError> {
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(|fd| fd.as_fd()).collect();
        datagram::send(socket, (TYPED, self.form), &[&self.body], &descriptors, wait)
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
    Outgoing::new(message, descriptors)?.send(socket, Wait::Forever).map(drop)
}

/// Receives the next message. `None` means that there is none now, which happens only with [`Wait::Never`].
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn receive<M: Message + Default>(
    socket: BorrowedFd<'_>,
    wait: Wait,
) -> Result<Option<(M, Vec<OwnedFd>)>, DatagramError> {
    let mut buffer = datagram::buffer();
    let Some(received) = datagram::receive(socket, &mut buffer, wait)? else { return Ok(None) };
    let mut descriptors = received.descriptors;
    let message = match (received.kind, received.form) {
        (TYPED, Form::Here) => M::decode(received.body),
        (TYPED, Form::InMemoryFile) if !descriptors.is_empty() => {
            let body = memory_file::read(&descriptors.remove(0), BODY_BYTES_MAX)?;
            M::decode(body.as_slice())
        }
        _ => return Err(DatagramError::Protocol("a message of unknown form")),
    };
    message.map(|message| Some((message, descriptors))).map_err(|source| DatagramError::Decode { source })
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
        for length in [0, 1, HERE_BYTES_MAX - 8, HERE_BYTES_MAX + 1, 5 << 20] {
            let with = memory_file("x", &[b"a", b"b"]).unwrap();
            send(left.as_fd(), &blob(length), vec![with]).unwrap();
            let (message, files) = receive::<Blob>(right.as_fd(), Wait::Forever).unwrap().unwrap();
            assert_eq!(message, blob(length));
            assert_eq!(files.len(), 1);
            assert_eq!(sealed_len(files[0].as_fd()).unwrap(), 2);
        }
        assert!(receive::<Blob>(right.as_fd(), Wait::Never).unwrap().is_none());
        drop(left);
        assert!(matches!(receive::<Blob>(right.as_fd(), Wait::Forever), Err(DatagramError::Closed)));
    }

    #[test]
    fn a_full_socket_is_reported_and_never_blocks_the_sender() {
        let (left, right) = pair().unwrap();
        let outgoing = Outgoing::new(&blob(20_000), Vec::new()).unwrap();
        let mut sent = 0;
        while outgoing.send(left.as_fd(), Wait::Never).unwrap() {
            sent += 1;
            assert!(sent < 10_000);
        }
        assert!(sent > 0);
        for _ in 0..sent {
            assert!(receive::<Blob>(right.as_fd(), Wait::Never).unwrap().is_some());
        }
        assert!(outgoing.send(left.as_fd(), Wait::Never).unwrap());
    }

    #[test]
    fn a_file_that_could_still_change_and_garbage_are_refused() {
        let (left, right) = pair().unwrap();
        let open = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let file = (TYPED, Form::InMemoryFile);
        assert!(datagram::send(left.as_fd(), file, &[], &[open.as_fd()], Wait::Never).unwrap());
        for (head, body) in [
            (file, &b""[..]),
            ((9, Form::Here), b""),
            ((TYPED, Form::GoesOn), b""),
            ((TYPED, Form::Here), b"\xff\xff"),
        ] {
            assert!(datagram::send(left.as_fd(), head, &[body], &[], Wait::Never).unwrap());
        }
        for _ in 0..5 {
            let answer = receive::<Blob>(right.as_fd(), Wait::Never);
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
        assert!(datagram::send(left.as_fd(), head, &[], &[long.as_fd()], Wait::Never).unwrap());
        let answer = receive::<Blob>(right.as_fd(), Wait::Never);
        assert!(matches!(answer, Err(DatagramError::TooLarge)), "{answer:?}");
    }
}
