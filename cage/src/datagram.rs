//! One datagram between two of our own processes, over an inherited `SOCK_SEQPACKET` pair.
//!
//! Guarantee: a datagram has a kind, a form, at most [`BODY_BYTES_MAX`] bytes of body and at most
//! [`DESCRIPTORS_MAX`] descriptors. It arrives whole or is an error. Boundaries and order are kept, and each
//! side notices when the other process ends. A call that waits never reports a message as sent that the kernel
//! did not take. Not here: longer bodies ([`crate::channel`], [`crate::pieces`]).
//!
//! ```text
//! kind   1 byte   the caller's
//! form   1 byte   where the body is: 0 here, 1 in the first descriptor, 2 begins here, 3 goes on here
//! body   the rest
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};

/// Longest body in one datagram: 128 KiB. A socket takes one whole if [`pair_for`] made it for this length.
pub const BODY_BYTES_MAX: usize = 128 << 10;

/// Longest body that our conversations put into one datagram: 16 KiB. A socket takes one if [`pair_for`] made it for
/// this length, and with the kernel's own buffers.
pub const SHORT_BYTES_MAX: usize = 16 << 10;

/// Longest body of which every socket takes a datagram, however small the administrator has made socket buffers: 4 KiB.
/// The kernel gives no socket less than twice 2 KiB and the size of an `sk_buff` (`SOCK_MIN_SNDBUF` in
/// `include/net/sock.h`; 4,608 bytes on x86-64).
pub const EVERY_SOCKET_BYTES_MAX: usize = 4 << 10;

/// Most descriptors of one datagram. The reader gets five, and a body may need one for a memory file.
pub const DESCRIPTORS_MAX: usize = 8;

/// Kind and form.
pub const HEAD_BYTES: usize = 2;

/// What the kernel needs in the buffer of a Unix socket beyond the datagram (`unix_dgram_sendmsg`: a datagram of
/// more than `sk_sndbuf - 32` bytes is refused with EMSGSIZE).
const KERNEL_BYTES: usize = 32;

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

/// What an administrator does about a socket buffer that is too small.
const MORE_ROOM: &str = "Run `sysctl -w net.core.wmem_default=212992 net.core.wmem_max=212992` (the kernel's own values), or give more";

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
        /// The decoder's error.
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
    /// The kernel takes no datagram of this length on this socket.
    #[error("the kernel's socket buffer is too small for a message of {bytes} bytes. {MORE_ROOM}")]
    NoRoom {
        /// Length of the datagram.
        bytes: usize,
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

/// The result of [`try_send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a message that did not fit is lost if it is not sent again"]
pub enum Sent {
    /// The kernel has the message.
    Yes,
    /// The socket is full, and the message was not sent.
    Full,
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

/// A connected pair of `SOCK_SEQPACKET` sockets, for bodies of at most [`EVERY_SOCKET_BYTES_MAX`] bytes. A confined
/// process may call it.
///
/// # Errors
/// The process has no descriptors left.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// A connected pair of `SOCK_SEQPACKET` sockets that take bodies of `body_bytes` bytes, whatever
/// `net.core.wmem_default` says. Call it before the process enters a profile: no profile allows `getsockopt`.
///
/// # Errors
/// The kernel grants no buffer of this size (`net.core.wmem_max`), or the process has no descriptors left.
pub fn pair_for(body_bytes: usize) -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = pair()?;
    for socket in [&one, &other] {
        make_room(socket.as_fd(), HEAD_BYTES + body_bytes)?;
    }
    Ok((one, other))
}

/// Enlarges the socket's buffer if a datagram of `bytes` does not fit.
fn make_room(socket: BorrowedFd<'_>, bytes: usize) -> std::io::Result<()> {
    let needed = bytes + KERNEL_BYTES;
    if sockopt::socket_send_buffer_size(socket)? >= needed {
        return Ok(());
    }
    // The kernel doubles what it is given, and cuts it to `net.core.wmem_max` first without an error (socket(7)).
    // So look at what it gave.
    sockopt::set_socket_send_buffer_size(socket, needed)?;
    let given = sockopt::socket_send_buffer_size(socket)?;
    if given < needed {
        return Err(std::io::Error::other(format!(
            "the kernel gives a socket only {given} bytes of buffer, and our processes need {needed}. {MORE_ROOM}"
        )));
    }
    Ok(())
}

/// A buffer that is large enough for any datagram.
#[must_use]
pub fn buffer() -> Vec<u8> {
    vec![0; HEAD_BYTES + BODY_BYTES_MAX]
}

/// Sends the parts as the body of one datagram. Waits until there is room; this wait is the back-pressure.
///
/// # Errors
/// After [`DatagramError::TooLarge`] and [`DatagramError::NoRoom`] the conversation continues without the message;
/// after any other error it is over.
pub fn send(
    socket: BorrowedFd<'_>,
    head: (u8, Form),
    parts: &[&[u8]],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), DatagramError> {
    // The socket may be one that never blocks: its other user may have made it so. Then the wait is here.
    while send_with(socket, head, parts, descriptors, SendFlags::NOSIGNAL)? == Sent::Full {
        wait(socket, PollFlags::OUT, None)?;
    }
    Ok(())
}

/// As [`send`], but does not wait.
pub fn try_send(
    socket: BorrowedFd<'_>,
    head: (u8, Form),
    parts: &[&[u8]],
    descriptors: &[BorrowedFd<'_>],
) -> Result<Sent, DatagramError> {
    send_with(socket, head, parts, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

fn send_with(
    socket: BorrowedFd<'_>,
    (kind, form): (u8, Form),
    parts: &[&[u8]],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<Sent, DatagramError> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > BODY_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(DatagramError::TooLarge);
    }
    let head = [kind, form.byte()];
    let slices: Vec<IoSlice<'_>> =
        std::iter::once(head.as_slice()).chain(parts.iter().copied()).map(IoSlice::new).collect();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(DatagramError::TooLarge);
        }
        match sendmsg(socket, &slices, &mut control, flags) {
            Ok(_) => return Ok(Sent::Yes),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Sent::Full),
            // Too many descriptors are in flight: the other process must first receive some.
            Err(Errno::TOOMANYREFS) if flags.contains(SendFlags::DONTWAIT) => return Ok(Sent::Full),
            Err(Errno::TOOMANYREFS) => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(DatagramError::Closed),
            Err(Errno::MSGSIZE) => return Err(DatagramError::NoRoom { bytes: HEAD_BYTES + length }),
            Err(errno) => return Err(DatagramError::system("sendmsg")(errno)),
        }
    }
}

/// Waits until the socket is ready, at most until `deadline`.
fn wait(socket: BorrowedFd<'_>, interest: PollFlags, deadline: Option<Instant>) -> Result<(), DatagramError> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A time beyond the kernel's range is the same as none.
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(socket, interest)], limit.as_ref()) {
            Ok(0) => return Err(DatagramError::Timeout),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DatagramError::system("poll")(errno)),
        }
    }
}

/// Waits for the next datagram and receives it into `buffer`.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn receive<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
) -> Result<Received<'buffer>, DatagramError> {
    receive_waiting(socket, buffer, RecvFlags::empty(), None)
}

/// As [`receive`], but gives up after `timeout` with [`DatagramError::Timeout`]; the conversation then goes on.
pub fn receive_before<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
    timeout: Duration,
) -> Result<Received<'buffer>, DatagramError> {
    // Without a deadline if it lies beyond what the clock can say.
    receive_waiting(socket, buffer, RecvFlags::DONTWAIT, Instant::now().checked_add(timeout))
}

fn receive_waiting<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
    flags: RecvFlags,
    deadline: Option<Instant>,
) -> Result<Received<'buffer>, DatagramError> {
    let (length, descriptors) = loop {
        if let Some(arrived) = arrived(socket, buffer, flags)? {
            break arrived;
        }
        wait(socket, PollFlags::IN, deadline)?;
    };
    let (kind, form, body) = parse(buffer, length)?;
    Ok(Received { kind, form, body, descriptors })
}

/// Receives the next datagram into `buffer`; `None` if there is none now.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn try_receive<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
) -> Result<Option<Received<'buffer>>, DatagramError> {
    let Some((length, descriptors)) = arrived(socket, buffer, RecvFlags::DONTWAIT)? else { return Ok(None) };
    let (kind, form, body) = parse(buffer, length)?;
    Ok(Some(Received { kind, form, body, descriptors }))
}

/// Length and descriptors of the next datagram; `None` if there is none now.
fn arrived(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Option<(usize, Vec<OwnedFd>)>, DatagramError> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
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
        return Ok(Some((message.bytes, descriptors)));
    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

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
        send(left.as_fd(), HERE, &[b"a", b"", b"bc"], &descriptors).unwrap();
        drop(left);
        let mut space = buffer();
        let got = receive(right.as_fd(), &mut space).unwrap();
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
        assert!(receive(right.as_fd(), &mut space).unwrap_err().is_closed());
    }

    #[test]
    fn what_is_too_large_is_neither_sent_nor_taken() {
        let (left, right) = pair_for(BODY_BYTES_MAX + 1).unwrap();
        let longest = vec![1; BODY_BYTES_MAX];
        let too_long = try_send(left.as_fd(), HERE, &[&longest, b"x"], &[]);
        assert!(matches!(too_long, Err(DatagramError::TooLarge)), "{too_long:?}");
        let file = temporary(b"");
        let many = vec![file.as_fd(); DESCRIPTORS_MAX + 1];
        let too_many = try_send(left.as_fd(), HERE, &[], &many);
        assert!(matches!(too_many, Err(DatagramError::TooLarge)), "{too_many:?}");
        assert_eq!(try_send(left.as_fd(), HERE, &[&longest], &[]).unwrap(), Sent::Yes);
        assert_eq!(try_receive(right.as_fd(), &mut buffer()).unwrap().unwrap().body.len(), BODY_BYTES_MAX);
        // Refuse a datagram that does not fit the buffer. Never cut it.
        rustix::net::send(&left, &vec![0; BODY_BYTES_MAX + HEAD_BYTES + 1], SendFlags::empty()).unwrap();
        let cut = try_receive(right.as_fd(), &mut buffer()).map(drop);
        assert!(matches!(cut, Err(DatagramError::TooLarge)), "{cut:?}");
    }

    #[test]
    fn garbage_is_refused_and_an_empty_socket_is_told_apart_from_a_closed_one() {
        let (left, right) = pair().unwrap();
        for wrong in [&b"\x01"[..], b"\x01\x09", b"\x01\xff\xff"] {
            rustix::net::send(&left, wrong, SendFlags::empty()).unwrap();
            let answer = try_receive(right.as_fd(), &mut buffer()).map(drop);
            assert!(matches!(answer, Err(DatagramError::Protocol(_))), "{wrong:?}: {answer:?}");
        }
        assert!(try_receive(right.as_fd(), &mut buffer()).unwrap().is_none());
        let late = receive_before(right.as_fd(), &mut buffer(), Duration::from_millis(1)).map(drop);
        assert!(matches!(late, Err(DatagramError::Timeout)), "{late:?}");
        drop(left);
        assert!(try_receive(right.as_fd(), &mut buffer()).unwrap_err().is_closed());
    }

    #[test]
    fn a_socket_of_another_program_is_written_to_without_a_signal() {
        let (left, right) = pair().unwrap();
        drop(right);
        assert!(send(left.as_fd(), HERE, &[b"x"], &[]).unwrap_err().is_closed());
        std::io::stderr().flush().unwrap();
    }
    /// Fills the socket's buffer. Returns how many datagrams it took.
    fn fill(socket: BorrowedFd<'_>, body: &[u8]) -> usize {
        let mut taken = 0;
        while try_send(socket, HERE, &[body], &[]).unwrap() == Sent::Yes {
            taken += 1;
            assert!(taken < 10_000, "the buffer has no end");
        }
        taken
    }

    #[test]
    fn a_send_that_waits_loses_nothing_on_a_socket_that_never_blocks() {
        let (left, right) = pair().unwrap();
        rustix::io::ioctl_fionbio(&left, true).unwrap();
        rustix::io::ioctl_fionbio(&right, true).unwrap();
        let taken = fill(left.as_fd(), &[7; 4096]);
        std::thread::scope(|scope| {
            // The kernel answers EAGAIN until the other side has received something.
            let last = scope.spawn(|| send(left.as_fd(), HERE, &[b"the last"], &[]));
            let mut space = buffer();
            for _ in 0..taken {
                assert_eq!(receive(right.as_fd(), &mut space).unwrap().body, [7; 4096]);
            }
            assert_eq!(receive(right.as_fd(), &mut space).unwrap().body, b"the last");
            last.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_send_that_waits_ends_when_nobody_will_receive() {
        let (left, right) = pair().unwrap();
        rustix::io::ioctl_fionbio(&left, true).unwrap();
        fill(left.as_fd(), &[7; 4096]);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| send(left.as_fd(), HERE, &[b"lost"], &[]));
            drop(right);
            assert!(waiting.join().unwrap().unwrap_err().is_closed());
        });
    }

    #[test]
    fn the_smallest_socket_buffer_takes_the_body_that_every_socket_takes() {
        let (left, right) = pair().unwrap();
        // The kernel raises this to its minimum, as it does with `net.core.wmem_default`.
        sockopt::set_socket_send_buffer_size(&left, 0).unwrap();
        let body = vec![7; EVERY_SOCKET_BYTES_MAX];
        send(left.as_fd(), HERE, &[&body], &[]).unwrap();
        assert_eq!(receive(right.as_fd(), &mut buffer()).unwrap().body.len(), EVERY_SOCKET_BYTES_MAX);
    }

    #[test]
    fn where_socket_buffers_are_small_the_error_says_what_to_do_and_more_room_is_asked_for() {
        let (left, right) = pair().unwrap();
        // As `net.core.wmem_default` of 9 KiB: the kernel doubles what it is given.
        sockopt::set_socket_send_buffer_size(&left, 9 << 10).unwrap();
        let body = vec![7; 64 << 10];
        let refused = try_send(left.as_fd(), HERE, &[&body], &[]).unwrap_err();
        assert!(matches!(refused, DatagramError::NoRoom { bytes } if bytes == HEAD_BYTES + (64 << 10)));
        assert!(refused.to_string().contains("net.core.wmem_max"), "{refused}");
        // The conversation goes on, and short bodies fit.
        send(left.as_fd(), HERE, &[&body[..SHORT_BYTES_MAX]], &[]).unwrap();
        assert_eq!(receive(right.as_fd(), &mut buffer()).unwrap().body.len(), SHORT_BYTES_MAX);
        make_room(left.as_fd(), HEAD_BYTES + body.len()).unwrap();
        send(left.as_fd(), HERE, &[&body], &[]).unwrap();
        assert_eq!(receive(right.as_fd(), &mut buffer()).unwrap().body.len(), body.len());
        let refused = make_room(left.as_fd(), 1 << 30).unwrap_err();
        assert!(refused.to_string().contains("net.core.wmem_max"), "{refused}");
    }
}
