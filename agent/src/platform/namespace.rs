//! Neighbour table of our network namespace by rtnetlink (`RTM_GETNEIGH`), which knows IPv6 where `/proc/net/arp`
//! knows only IPv4.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

use super::CallError;

/// Most bytes of one dump: 4 MiB, about 40,000 neighbours.
pub const NEIGHBOUR_BYTES_MAX: usize = 4 << 20;

const RTM_GETNEIGH: u16 = 30;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x100 | 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The raw netlink messages of one dump, as the kernel sent them, and whether the dump was cut at the limit.
///
/// # Errors
/// The kernel's answer.
pub fn neighbours() -> Result<(Vec<u8>, bool), CallError> {
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
    let mut dump = Vec::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let (len, _) = recv(socket.as_fd(), buffer.as_mut_slice(), RecvFlags::empty())
            .map_err(CallError::of("recvfrom"))?;
        let Some(part) = buffer.get(..len) else {
            return Ok((dump, true));
        };
        if dump.len() + part.len() > NEIGHBOUR_BYTES_MAX {
            return Ok((dump, true));
        }
        dump.extend_from_slice(part);
        if len == 0 || is_last(part) {
            return Ok((dump, false));
        }
    }
}

/// True if a datagram holds the end of the dump or an error.
fn is_last(mut part: &[u8]) -> bool {
    while let Some(header) = part.first_chunk::<16>() {
        let [a, b, c, d, e, f, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(0);
        if matches!(u16::from_ne_bytes([e, f]), NLMSG_DONE | NLMSG_ERROR) {
            return true;
        }
        let Some(rest) = part.get(len.max(16).next_multiple_of(4)..) else {
            return false;
        };
        part = rest;
    }
    false
}
