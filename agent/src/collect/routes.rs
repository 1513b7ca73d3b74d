//! Routes, interfaces and neighbours of every network namespace. The collector also asks rtnetlink for the
//! neighbours of our own namespace, because rtnetlink knows IPv6.

use evidence::item::outcome::Outcome;

use super::sockets::of_each_network;
use crate::ipc::CollectorEnd;
use crate::platform::{self, DumpEnd};
use crate::reader::{Flow, Reader};

const TABLES: &[&str] = &[
    "route",
    "ipv6_route",
    "arp",
    "fib_trie",
    "if_inet6",
    "dev",
    "dev_mcast",
    "igmp",
    "igmp6",
    "snmp",
    "netstat",
];

/// The raw netlink messages of one `RTM_GETNEIGH` dump.
pub(crate) const NEIGHBOURS: &str = "live/routes.neighbours.bin";

pub(super) fn run(reader: &mut Reader<'_>) -> Flow<CollectorEnd> {
    match platform::neighbours() {
        Ok(dump) => {
            let (outcome, note) = match dump.end {
                DumpEnd::Whole => (Outcome::Ok, None),
                DumpEnd::Cut => (Outcome::SkippedLimit, Some("neighbour table cut at 4 MiB".to_owned())),
                DumpEnd::Failed(errno) => (
                    Outcome::IoError,
                    Some(format!("the kernel ended the neighbour table with an error: {errno}")),
                ),
            };
            if dump.is_changed {
                reader.limitation("routes: the neighbour table changed while the kernel listed it; neighbours may be missing");
            }
            reader.stream(NEIGHBOURS, &dump.bytes, outcome, note)?;
        }
        Err(error) => reader.limitation(format!("IPv6 neighbours: {error}")),
    }
    reader.limitation("routes: policy routing rules and tables beyond the main ones are not collected");
    of_each_network(reader, TABLES)
}
