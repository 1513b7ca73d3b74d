//! One datagram between two of our own processes, over an inherited `SOCK_SEQPACKET` pair.
//!
//! Guarantee: a datagram has a kind, a form, at most [`BODY_BYTES_MAX`] bytes of body and at most
//! [`DESCRIPTORS_MAX`] descriptors. It arrives whole or is an error. Boundaries and order are kept, and each
//! side notices when the other process ends. Not here: longer bodies ([`crate::channel`], [`crate::pieces`]).
//!
//! ```text
//! kind   1 byte   the caller's
//! form   1 byte   where the body is: 0 here, 1 in the first descriptor, 2 begins here, 3 goes on here
//! body   the rest
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Longest body in one datagram: 128 KiB. The kernel's default socket buffer (208 KiB) takes one whole.
pub const BODY_BYTES_MAX: usize = 128 << 10;

/// Most descriptors of one datagram. The reader gets five, and a body may need one for a memory file.
pub const DESCRIPTORS_MAX: usize = 8;

/// Kind and form.
pub const HEAD_BYTES: usize = 2;

/// Where the body of a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In this datagram.
    Here,
    /// In the sealed memory file that is the first descriptor.
    InMemoryFile,
    /// This datagram has the length of the whole body (u32, little-endian) and its first piece.
    Begins,
    /// This datagram has the next piece.
    GoesOn,
}

impl Form {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Here => 0,
            Self::InMemoryFile => 1,
            Self::Begins => 2,
            Self::GoesOn => 3,
        }
    }

    pub(crate) const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Here),
            1 => Some(Self::InMemoryFile),
            2 => Some(Self::Begins),
            3 => Some(Self::GoesOn),
            _ => None,
        }
    }
}

/// Why a message was not sent or received. The conversation is then over, except after a timeout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The other process is gone.
    #[error("the other process closed the connection")]
    Closed,
    /// The body is not the message that the receiver expects.
    #[error("the other process sent a message that is not understood")]
    Decode {
        /// What the decoder reported.
        #[source]
        source: prost::DecodeError,
    },
    /// The other process breaks the protocol.
    #[error("the other process sent {0}")]
    Protocol(&'static str),
    /// The kernel refused the call.
    #[error("{call} between two of our processes")]
    System {
        /// The system call.
        call: &'static str,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// Nothing arrived in time.
    #[error("no answer in time")]
    Timeout,
    /// The message is longer, or has more descriptors, than the protocol allows.
    #[error("message is larger than the protocol allows")]
    TooLarge,
}

impl DatagramError {
    /// For `map_err`.
    pub(crate) fn system(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { call, source: errno.into() }
    }

    /// True when the other process ended the conversation.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// Whether a call may wait for the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it is possible. This wait is the back-pressure.
    Forever,
    /// Do not wait.
    Never,
}

/// A received datagram. Its body lies in the caller's buffer.
#[derive(Debug)]
pub struct Received<'buffer> {
    /// The caller's kind.
    pub kind: u8,
    /// Where the body travels.
    pub form: Form,
    /// Number of bytes after the head.
    pub body: &'buffer [u8],
    /// The descriptors, in the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// A connected pair of `SOCK_SEQPACKET` sockets.
///
/// # Errors
/// The process has no descriptors left.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// A buffer that is large enough for any datagram.
#[must_use]
pub fn buffer() -> Vec<u8> {
    vec![0; HEAD_BYTES + BODY_BYTES_MAX]
}

/// Sends the parts as the body of one datagram. `Ok(false)` means that the socket is full, which happens only
/// with [`Wait::Never`].
///
/// # Errors
/// After [`DatagramError::TooLarge`] the conversation continues; after any other error it is over.
pub fn send(
    socket: BorrowedFd<'_>,
    (kind, form): (u8, Form),
    parts: &[&[u8]],
    descriptors: &[BorrowedFd<'_>],
    wait: Wait,
) -> Result<bool, DatagramError> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > BODY_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(DatagramError::TooLarge);
    }
    let head = [kind, form.byte()];
    let slices: Vec<IoSlice<'_>> =
        std::iter::once(head.as_slice()).chain(parts.iter().copied()).map(IoSlice::new).collect();
    let flags = match wait {
        Wait::Forever => SendFlags::NOSIGNAL,
        Wait::Never => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(DatagramError::TooLarge);
        }
        match sendmsg(socket, &slices, &mut control, flags) {
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(false),
            // Too many descriptors are in flight: the other process must first receive some.
            Err(Errno::TOOMANYREFS) if wait == Wait::Never => return Ok(false),
            Err(Errno::TOOMANYREFS) => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(DatagramError::Closed),
            Err(Errno::MSGSIZE) => return Err(DatagramError::TooLarge),
            Err(errno) => return Err(DatagramError::system("sendmsg")(errno)),
        }
    }
}

/// Receives the next datagram into `buffer`. `None` means that there is none now, which happens only with
/// [`Wait::Never`].
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn receive<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
    wait: Wait,
) -> Result<Option<Received<'buffer>>, DatagramError> {
    let flags = match wait {
        Wait::Forever => RecvFlags::CMSG_CLOEXEC,
        Wait::Never => RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    };
    let (length, descriptors) = loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = match recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(message) => message,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET | Errno::NOTCONN) => return Err(DatagramError::Closed),
            Err(errno) => return Err(DatagramError::system("recvmsg")(errno)),
        };
        // Take the descriptors in any case: one that stays in the control message would never be closed.
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(DatagramError::TooLarge);
        }
        break (message.bytes, descriptors);
    };
    let (kind, form, body) = parse(buffer, length)?;
    Ok(Some(Received { kind, form, body, descriptors }))
}

/// Reads the head of a datagram of `length` bytes in `buffer`. Our datagrams are never empty, so length 0
/// means the end.
pub(crate) fn parse(buffer: &[u8], length: usize) -> Result<(u8, Form, &[u8]), DatagramError> {
    match buffer.get(..length) {
        Some([]) => Err(DatagramError::Closed),
        Some([kind, form, body @ ..]) => {
            let form = Form::of(*form).ok_or(DatagramError::Protocol("a message of unknown form"))?;
            Ok((*kind, form, body))
        }
        Some(_) => Err(DatagramError::Protocol("a message without a head")),
        None => Err(DatagramError::TooLarge),
    }
}

/// As [`receive`], but gives up after `timeout` with [`DatagramError::Timeout`]; the conversation then goes on.
///
/// # Errors
/// [`DatagramError`].
pub fn receive_before<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
    timeout: Duration,
) -> Result<Received<'buffer>, DatagramError> {
    let mut waiting = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    // Saturating is correct here: a timeout beyond the kernel's range is the same as none.
    let limit = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(&mut waiting, Some(&limit)) {
        Ok(0) => return Err(DatagramError::Timeout),
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(DatagramError::system("poll")(errno)),
    }
    receive(socket, buffer, Wait::Forever)?.ok_or(DatagramError::Timeout)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    const HERE: (u8, Form) = (7, Form::Here);

    fn temporary(content: &[u8]) -> std::fs::File {
        let mut file = std::fs::File::from(crate::memory_file::memory_file("test", &[content]).unwrap());
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_datagram_arrives_whole_with_its_descriptors_in_order() {
        let (left, right) = pair().unwrap();
        let files = [temporary(b"one"), temporary(b"two")];
        let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        assert!(send(left.as_fd(), HERE, &[b"a", b"", b"bc"], &descriptors, Wait::Forever).unwrap());
        drop(left);
        let mut space = buffer();
        let got = receive(right.as_fd(), &mut space, Wait::Forever).unwrap().unwrap();
        assert_eq!((got.kind, got.form, got.body), (7, Form::Here, b"abc".as_slice()));
        let texts: Vec<String> = got
            .descriptors
            .into_iter()
            .map(|fd| {
                let mut text = String::new();
                std::fs::File::from(fd).read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(texts, ["one", "two"]);
        assert!(receive(right.as_fd(), &mut space, Wait::Forever).unwrap_err().is_closed());
    }

    #[test]
    fn what_is_too_large_is_neither_sent_nor_taken() {
        let (left, right) = pair().unwrap();
        let longest = vec![1; BODY_BYTES_MAX];
        let too_long = send(left.as_fd(), HERE, &[&longest, b"x"], &[], Wait::Never);
        assert!(matches!(too_long, Err(DatagramError::TooLarge)), "{too_long:?}");
        let file = temporary(b"");
        let many = vec![file.as_fd(); DESCRIPTORS_MAX + 1];
        let too_many = send(left.as_fd(), HERE, &[], &many, Wait::Never);
        assert!(matches!(too_many, Err(DatagramError::TooLarge)), "{too_many:?}");
        assert!(send(left.as_fd(), HERE, &[&longest], &[], Wait::Never).unwrap());
        assert_eq!(
            receive(right.as_fd(), &mut buffer(), Wait::Never).unwrap().unwrap().body.len(),
            BODY_BYTES_MAX
        );
        // Refuse a datagram that does not fit the buffer. Never cut it.
        rustix::net::send(&left, &vec![0; BODY_BYTES_MAX + HEAD_BYTES + 1], SendFlags::empty()).unwrap();
        let cut = receive(right.as_fd(), &mut buffer(), Wait::Never).map(drop);
        assert!(matches!(cut, Err(DatagramError::TooLarge)), "{cut:?}");
    }

    #[test]
    fn garbage_is_refused_and_an_empty_socket_is_told_apart_from_a_closed_one() {
        let (left, right) = pair().unwrap();
        for wrong in [&b"\x01"[..], b"\x01\x09", b"\x01\xff\xff"] {
            rustix::net::send(&left, wrong, SendFlags::empty()).unwrap();
            let answer = receive(right.as_fd(), &mut buffer(), Wait::Never).map(drop);
            assert!(matches!(answer, Err(DatagramError::Protocol(_))), "{wrong:?}: {answer:?}");
        }
        assert!(receive(right.as_fd(), &mut buffer(), Wait::Never).unwrap().is_none());
        let late = receive_before(right.as_fd(), &mut buffer(), Duration::from_millis(1)).map(drop);
        assert!(matches!(late, Err(DatagramError::Timeout)), "{late:?}");
        drop(left);
        assert!(receive(right.as_fd(), &mut buffer(), Wait::Never).unwrap_err().is_closed());
    }

    #[test]
    fn a_socket_of_another_program_is_written_to_without_a_signal() {
        let (left, right) = pair().unwrap();
        drop(right);
        assert!(send(left.as_fd(), HERE, &[b"x"], &[], Wait::Forever).unwrap_err().is_closed());
        std::io::stderr().flush().unwrap();
    }
}
