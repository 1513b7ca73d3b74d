//! Messages with descriptors between warden, link and sealer, over inherited `SOCK_SEQPACKET` pairs.
//!
//! Guarantee: a message arrives whole or not at all, with the descriptors it was sent with; a body over 32 KiB travels in
//! a sealed memory file, so that no side waits in the middle of a message and nobody can change it under the reader;
//! lengths are checked before anything is allocated. Not here: what messages mean (`message`), the reader's own traffic.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Body bytes carried in the datagram itself; a larger body goes into a memory file. Far below the kernel's default
/// socket buffer (208 KiB), so several fit.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// Largest body: one collector message (16 MiB, `proto::limits::RESPONSE_BYTES_MAX`) and a frame around it.
const BODY_BYTES_MAX: u64 = (16 << 20) + (64 << 10);

/// Descriptors of one message: a reader gets six, and the body may be a memory file.
const DESCRIPTORS_MAX: usize = 8;

const IN_DATAGRAM: u8 = 0;
const IN_MEMORY_FILE: u8 = 1;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The other process is gone.
    #[error("the other process closed the connection")]
    Closed,
    /// The other process does not keep to the form.
    #[error("the other process sent {0}")]
    Protocol(&'static str),
    /// The body is not the message that is due.
    #[error("the other process sent a message that is not understood")]
    Decode {
        /// What the decoder said.
        #[source]
        source: prost::DecodeError,
    },
    /// The system refused.
    #[error("{op} between the agent's processes")]
    System {
        /// The call.
        op: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn system(op: &'static str) -> impl Fn(Errno) -> ChannelError {
    move |errno| ChannelError::System { op, source: errno.into() }
}

/// A message as it will be sent, ready to be tried again when the socket is full.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Outgoing {
    /// Encodes `message` and takes duplicates of nothing: `descriptors` are owned until sent.
    ///
    /// # Errors
    /// The system's error while a memory file is made.
    pub fn new(message: &impl Message, descriptors: Vec<OwnedFd>) -> Result<Self, ChannelError> {
        let body = message.encode_to_vec();
        if body.len() <= INLINE_BYTES_MAX {
            let mut bytes = Vec::with_capacity(body.len() + 1);
            bytes.push(IN_DATAGRAM);
            bytes.extend_from_slice(&body);
            return Ok(Self { bytes, descriptors });
        }
        let mut all = vec![memory_file("exhibit-message", &[&body])?];
        all.extend(descriptors);
        Ok(Self { bytes: vec![IN_MEMORY_FILE], descriptors: all })
    }

    /// Sends it. `Ok(false)`: the socket is full (only with `SendFlags::DONTWAIT`).
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when nobody will read it.
    pub fn send(&self, socket: BorrowedFd<'_>, wait: Wait) -> Result<bool, ChannelError> {
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(AsFd::as_fd).collect();
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(ChannelError::Protocol("too many descriptors"));
            }
            let flags = SendFlags::NOSIGNAL
                | if wait == Wait::Never { SendFlags::DONTWAIT } else { SendFlags::empty() };
            match sendmsg(socket, &[IoSlice::new(&self.bytes)], &mut control, flags) {
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                // TOOMANYREFS: too many descriptors in flight, the other side has to take some first.
                Err(Errno::AGAIN | Errno::TOOMANYREFS) => return Ok(false),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(ChannelError::Closed),
                Err(errno) => return Err(system("sendmsg")(errno)),
            }
        }
    }
}

/// Whether a call may wait for the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it can be done.
    Forever,
    /// Not at all.
    Never,
}

/// Encodes and sends, waiting until the other process has room.
///
/// # Errors
/// [`ChannelError`].
pub fn send(
    socket: BorrowedFd<'_>,
    message: &impl Message,
    descriptors: Vec<OwnedFd>,
) -> Result<(), ChannelError> {
    let outgoing = Outgoing::new(message, descriptors)?;
    while !outgoing.send(socket, Wait::Forever)? {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(())
}

/// Receives the next message. `None`: there is none now (only with [`Wait::Never`]).
///
/// # Errors
/// [`ChannelError`]; the connection is of no use any more.
pub fn receive<M: Message + Default>(
    socket: BorrowedFd<'_>,
    wait: Wait,
) -> Result<Option<(M, Vec<OwnedFd>)>, ChannelError> {
    let mut bytes = vec![0; INLINE_BYTES_MAX + 1];
    let flags =
        RecvFlags::CMSG_CLOEXEC | if wait == Wait::Never { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
    let (len, mut descriptors) = loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(received) => received,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET | Errno::NOTCONN) => return Err(ChannelError::Closed),
            Err(errno) => return Err(system("recvmsg")(errno)),
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(ChannelError::Protocol("a message that is too large"));
        }
        break (received.bytes, descriptors);
    };
    // Our messages are never empty, so nothing means the end.
    let Some((form, inline)) = bytes.get(..len).and_then(<[u8]>::split_first) else {
        return Err(ChannelError::Closed);
    };
    let message = match *form {
        IN_DATAGRAM => M::decode(inline),
        IN_MEMORY_FILE if !descriptors.is_empty() => {
            let body = read_memory_file(descriptors.remove(0), BODY_BYTES_MAX)?;
            M::decode(bytes::Bytes::from(body))
        }
        _ => return Err(ChannelError::Protocol("a message of unknown form")),
    };
    message.map(|message| Some((message, descriptors))).map_err(|source| ChannelError::Decode { source })
}

/// A memory file with the parts' bytes, sealed: whoever gets it can neither write, grow nor shrink it.
///
/// # Errors
/// The system's error.
pub fn memory_file(name: &str, parts: &[&[u8]]) -> Result<OwnedFd, ChannelError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(system("memfd_create"))?;
    let mut file = std::fs::File::from(file);
    for part in parts {
        file.write_all(part).map_err(|source| ChannelError::System { op: "write", source })?;
    }
    let file = OwnedFd::from(file);
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(system("fcntl"))?;
    Ok(file)
}

/// The length of a memory file that can change no more.
///
/// # Errors
/// [`ChannelError::Protocol`] when it is not sealed.
pub fn sealed_len(file: BorrowedFd<'_>) -> Result<u64, ChannelError> {
    let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    match fcntl_get_seals(file) {
        Ok(seals) if seals.contains(sealed) => {}
        _ => return Err(ChannelError::Protocol("a file that could still change")),
    }
    let len = fstat(file).map_err(system("fstat"))?.st_size;
    u64::try_from(len).or(Err(ChannelError::Protocol("a file of negative length")))
}

fn read_memory_file(file: OwnedFd, bytes_max: u64) -> Result<Vec<u8>, ChannelError> {
    let len = sealed_len(file.as_fd())?;
    if len > bytes_max {
        return Err(ChannelError::Protocol("a message that is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    let mut file = std::fs::File::from(file);
    // The writer's position is shared with us; start over.
    io::Seek::rewind(&mut file).map_err(|source| ChannelError::System { op: "lseek", source })?;
    file.take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(|source| ChannelError::System { op: "read", source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        crate::platform::pair().unwrap()
    }

    fn blob(len: usize) -> proto::v1::RenewRequest {
        proto::v1::RenewRequest { renewal: None, csr: vec![7; len].into() }
    }

    #[test]
    fn messages_of_every_size_arrive_whole_and_in_order_with_their_descriptors() {
        let (left, right) = pair();
        for len in [0, 1, INLINE_BYTES_MAX - 8, INLINE_BYTES_MAX + 1, 5 << 20] {
            let with = memory_file("x", &[b"a", b"b"]).unwrap();
            send(left.as_fd(), &blob(len), vec![with]).unwrap();
            let (message, files) =
                receive::<proto::v1::RenewRequest>(right.as_fd(), Wait::Forever).unwrap().unwrap();
            assert_eq!(message, blob(len));
            assert_eq!(files.len(), 1);
            assert_eq!(sealed_len(files[0].as_fd()).unwrap(), 2);
        }
        assert!(receive::<proto::v1::RenewRequest>(right.as_fd(), Wait::Never).unwrap().is_none());
        drop(left);
        assert!(matches!(
            receive::<proto::v1::RenewRequest>(right.as_fd(), Wait::Forever),
            Err(ChannelError::Closed)
        ));
    }

    #[test]
    fn a_full_socket_is_reported_and_never_blocks_the_warden() {
        let (left, right) = pair();
        let outgoing = Outgoing::new(&blob(20_000), Vec::new()).unwrap();
        let mut sent = 0;
        while outgoing.send(left.as_fd(), Wait::Never).unwrap() {
            sent += 1;
            assert!(sent < 10_000);
        }
        assert!(sent > 0);
        for _ in 0..sent {
            assert!(receive::<proto::v1::RenewRequest>(right.as_fd(), Wait::Never).unwrap().is_some());
        }
        assert!(outgoing.send(left.as_fd(), Wait::Never).unwrap());
    }

    #[test]
    fn a_file_that_could_still_change_and_garbage_are_refused() {
        let (left, right) = pair();
        let open = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let raw = Outgoing { bytes: vec![IN_MEMORY_FILE], descriptors: vec![open] };
        raw.send(left.as_fd(), Wait::Never).unwrap();
        for bytes in [vec![IN_MEMORY_FILE], vec![9], vec![IN_DATAGRAM, 0xff, 0xff]] {
            Outgoing { bytes, descriptors: Vec::new() }.send(left.as_fd(), Wait::Never).unwrap();
        }
        for _ in 0..4 {
            let answer = receive::<proto::v1::RenewRequest>(right.as_fd(), Wait::Never);
            assert!(
                matches!(answer, Err(ChannelError::Protocol(_) | ChannelError::Decode { .. })),
                "{answer:?}"
            );
        }
    }
}
