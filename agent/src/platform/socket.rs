//! Datagrams with descriptors between the agent's own processes.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::CallError;

/// Why a datagram did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The other side closed.
    #[error("the other process closed the connection")]
    Closed,
    /// Longer than the buffer, or with more descriptors than one.
    #[error("message is larger than the protocol allows")]
    TooLarge,
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
}

/// One datagram.
#[derive(Debug)]
pub struct Received {
    /// Bytes written to the buffer.
    pub len: usize,
    /// The descriptor that came with it.
    pub descriptor: Option<OwnedFd>,
}

/// A connected pair of `SOCK_SEQPACKET` sockets: boundaries kept, order kept, end of file seen.
///
/// # Errors
/// What `socketpair` answered.
pub fn pair() -> Result<(OwnedFd, OwnedFd), CallError> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(CallError::of("socketpair"))
}

/// Sends the parts as one datagram; waits while the other side is busy (that is the back-pressure).
///
/// # Errors
/// [`SocketError::Closed`] when nobody will read it.
pub fn send(
    socket: BorrowedFd<'_>,
    parts: &[&[u8]],
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), SocketError> {
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(SocketError::TooLarge);
        }
        match sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(SocketError::Closed),
            // Too many descriptors in flight: the other side has to take some first.
            Err(Errno::TOOMANYREFS) => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::MSGSIZE) => return Err(SocketError::TooLarge),
            Err(errno) => return Err(CallError { op: "sendmsg", errno }.into()),
        }
    }
}

/// Waits for the next datagram.
///
/// # Errors
/// [`SocketError::Closed`] at the end of the conversation.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, SocketError> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = match recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message,
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET) => return Err(SocketError::Closed),
            Err(errno) => return Err(CallError { op: "recvmsg", errno }.into()),
        };
        let mut descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let descriptor = descriptors.next().and_then(|mut rights| rights.next());
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(SocketError::TooLarge);
        }
        // Our messages are never empty, so nothing means the end.
        if message.bytes == 0 && descriptor.is_none() {
            return Err(SocketError::Closed);
        }
        return Ok(Received { len: message.bytes, descriptor });
    }
}

/// Like [`receive`], but gives up after `timeout`.
///
/// # Errors
/// [`SocketError::Timeout`] when nothing came.
pub fn receive_before(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    timeout: Duration,
) -> Result<Received, SocketError> {
    let mut waiting = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(&mut waiting, Some(&limit)) {
        Ok(0) => Err(SocketError::Timeout),
        Ok(_) | Err(Errno::INTR) => receive(socket, buffer),
        Err(errno) => Err(CallError { op: "poll", errno }.into()),
    }
}
