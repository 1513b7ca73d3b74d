//! Neighbour table of our network namespace by rtnetlink (`RTM_GETNEIGH`), which knows IPv6 where `/proc/net/arp`
//! knows only IPv4.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

use rustix::io::Errno;

use super::CallError;

/// Most bytes of one dump: 4 MiB, about 40,000 neighbours.
pub const NEIGHBOUR_BYTES_MAX: usize = 4 << 20;

const RTM_GETNEIGH: u16 = 30;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x100 | 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// NLM_F_DUMP_INTR: the table changed while the kernel listed it.
const CHANGED: u16 = 0x10;

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpEnd {
    /// The kernel says that it is complete.
    Whole,
    /// At [`NEIGHBOUR_BYTES_MAX`].
    Cut,
    /// The kernel ended it with an error.
    Failed(Errno),
}

/// One dump of the table.
#[derive(Debug)]
pub struct Dump {
    /// The raw netlink messages, as the kernel sent them.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: DumpEnd,
    /// True if the table changed meanwhile. Neighbours may be missing then.
    pub is_changed: bool,
}

/// The neighbours of our network namespace.
///
/// # Errors
/// The error of a call. What the kernel answers is in [`Dump::end`].
pub fn neighbours() -> Result<Dump, CallError> {
    // NETLINK_ROUTE is protocol 0. `None` stands for it.
    let kind = SocketType::RAW;
    let socket = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, None)
        .map_err(CallError::of("socket"))?;
    sockopt::set_socket_timeout(socket.as_fd(), sockopt::Timeout::Recv, Some(Duration::from_secs(5)))
        .map_err(CallError::of("setsockopt"))?;
    // struct nlmsghdr (16 bytes), struct ndmsg (12 bytes, all zero: every family, every interface).
    let mut request = Vec::with_capacity(28);
    request.extend_from_slice(&28_u32.to_ne_bytes());
    request.extend_from_slice(&RTM_GETNEIGH.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(&[0; 20]);
    send(socket.as_fd(), &request, SendFlags::empty()).map_err(CallError::of("sendto"))?;
    let mut dump = Dump { bytes: Vec::new(), end: DumpEnd::Cut, is_changed: false };
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let (_, len) = recv(socket.as_fd(), buffer.as_mut_slice(), RecvFlags::TRUNC)
            .map_err(CallError::of("recvfrom"))?;
        // The kernel's messages are at most 32 KiB. If one were longer than the buffer, its end would be lost.
        let part = buffer.get(..len).ok_or(CallError { op: "recvfrom", errno: Errno::MSGSIZE })?;
        if dump.bytes.len() + part.len() > NEIGHBOUR_BYTES_MAX {
            return Ok(dump);
        }
        dump.bytes.extend_from_slice(part);
        let seen = look_through(part);
        dump.is_changed |= seen.is_changed;
        if let Some(end) = seen.end {
            dump.end = end;
            return Ok(dump);
        }
    }
}

/// The content of one datagram's headers.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    end: Option<DumpEnd>,
    is_changed: bool,
}

/// Looks for the end of the dump. A datagram that does not follow netlink(7) is its end as well.
fn look_through(mut part: &[u8]) -> Seen {
    let mut is_changed = false;
    let malformed = Some(DumpEnd::Failed(Errno::BADMSG));
    while !part.is_empty() {
        let Some((header, _)) = part.split_first_chunk::<16>() else {
            return Seen { end: malformed, is_changed };
        };
        let [a, b, c, d, e, f, g, h, ..] = *header;
        let body = usize::try_from(u32::from_ne_bytes([a, b, c, d]))
            .ok()
            .and_then(|len| Some((part.get(16..len)?, len.next_multiple_of(4))));
        let Some((body, padded)) = body else {
            return Seen { end: malformed, is_changed };
        };
        is_changed |= u16::from_ne_bytes([g, h]) & CHANGED != 0;
        // Both carry a negative error number, or 0.
        let answer = || match body.first_chunk::<4>().map(|number| i32::from_ne_bytes(*number)) {
            Some(0) => DumpEnd::Whole,
            Some(number) => DumpEnd::Failed(Errno::from_raw_os_error(number.checked_neg().unwrap_or(number))),
            None => DumpEnd::Whole,
        };
        if matches!(u16::from_ne_bytes([e, f]), NLMSG_DONE | NLMSG_ERROR) {
            return Seen { end: Some(answer()), is_changed };
        }
        // The last message may end without its padding.
        part = part.get(padded..).unwrap_or(&[]);
    }
    Seen { end: None, is_changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(16 + body.len()).unwrap();
        let mut bytes = [len.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &flags.to_ne_bytes()].concat();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn an_error_of_the_kernel_is_no_end_of_a_whole_dump() {
        let neighbour = message(28, 2, &[0; 12]);
        let number = |number: i32| number.to_ne_bytes();
        for (part, end, is_changed) in [
            (neighbour.clone(), None, false),
            (message(28, 2 | CHANGED, &[0; 12]), None, true),
            ([neighbour.clone(), message(NLMSG_DONE, 2, &number(0))].concat(), Some(DumpEnd::Whole), false),
            (message(NLMSG_DONE, 2, &[]), Some(DumpEnd::Whole), false),
            (message(NLMSG_DONE, 2, &number(-12)), Some(DumpEnd::Failed(Errno::NOMEM)), false),
            (
                [neighbour.clone(), message(NLMSG_ERROR, 0, &number(-1))].concat(),
                Some(DumpEnd::Failed(Errno::PERM)),
                false,
            ),
            (vec![1; 8], Some(DumpEnd::Failed(Errno::BADMSG)), false),
            (vec![0; 16], Some(DumpEnd::Failed(Errno::BADMSG)), false),
        ] {
            assert_eq!(look_through(&part), Seen { end, is_changed }, "{part:?}");
        }
    }

    #[test]
    fn the_kernel_s_own_dump_is_whole() {
        assert_eq!(neighbours().unwrap().end, DumpEnd::Whole);
    }
}
