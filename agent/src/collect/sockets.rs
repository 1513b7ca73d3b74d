//! Open sockets of every network namespace. `/proc/PID/net/*` is a walk, not a snapshot: a socket opened or closed
//! during it may be missing or twice.

use std::os::fd::AsFd;

use evidence::item::Kind;

use super::namespaces::networks;
use crate::ipc::CollectorEnd;
use crate::reader::{Absent, Flow, Reader};

const TABLES: &[&str] = &[
    "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "unix", "packet",
    "netlink",
];

pub(super) fn run(reader: &mut Reader<'_>) -> Flow<CollectorEnd> {
    of_each_network(reader, TABLES)
}

/// Collects tables of `/proc/PID/net` for one process of each network namespace.
pub(super) fn of_each_network(reader: &mut Reader<'_>, tables: &[&str]) -> Flow<CollectorEnd> {
    let (mut found, refused) = match networks(reader) {
        Ok(found) => found,
        Err(error) => return Ok(reader.failed(format!("list processes: {error}"))),
    };
    if refused > 0 {
        reader.limitation(format!("network namespaces of {refused} processes could not be told: permission"));
    }
    if found.is_empty() {
        // Our own namespace is the least that can be shown.
        found.insert(Vec::new(), rustix::process::getpid().as_raw_nonzero().get());
    }
    for (namespace, pid) in found {
        let name = pid.to_string();
        let process = match super::proc_directory(reader, &[name.as_bytes()]) {
            Ok(process) => process,
            Err(error) => {
                let path = format!("/proc/{pid}");
                reader.record_failure(path.as_bytes(), Kind::Dir, error, None)?;
                continue;
            }
        };
        // The link says to which namespace the tables below belong.
        if !namespace.is_empty()
            && let Ok(namespaces) =
                crate::platform::open_beneath(process.as_fd(), b"ns", crate::platform::CrossDevice::Allowed)
        {
            let path = format!("/proc/{pid}/ns/net");
            reader.link(namespaces.as_fd(), b"net", path.as_bytes())?;
        }
        let directory = match super::proc_directory(reader, &[name.as_bytes(), b"net"]) {
            Ok(directory) => directory,
            Err(error) => {
                let path = format!("/proc/{pid}/net");
                reader.record_failure(path.as_bytes(), Kind::Dir, error, None)?;
                continue;
            }
        };
        for table in tables {
            let path = format!("/proc/{pid}/net/{table}");
            reader.pseudo(directory.as_fd(), table.as_bytes(), path.as_bytes(), Absent::Ignored)?;
        }
    }
    Ok(CollectorEnd::Done)
}
