//! One process for each network namespace. `/proc/net` shows only our own namespace; `/proc/PID/net` shows
//! that of the process, and we need not enter it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use evidence::item::AtimeMethod;

use crate::platform::{self, CallError, CrossDevice, Directory};
use crate::reader::Reader;

/// The process ids under `/proc`, ascending.
pub(super) fn process_ids(reader: &Reader<'_>) -> Result<Vec<i32>, CallError> {
    let mut ids = Vec::new();
    let mut listing = Directory::open(&reader.fds, reader.proc.as_fd(), AtimeMethod::RoView)?;
    loop {
        let batch = listing.next_batch()?;
        if batch.is_empty() {
            break;
        }
        ids.extend(batch.iter().filter_map(|entry| str::from_utf8(&entry.name).ok()?.parse::<i32>().ok()));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The lowest process id of each network namespace, by the namespace's link text. Also how many processes did
/// not reveal theirs.
pub(super) fn networks(reader: &Reader<'_>) -> Result<(BTreeMap<Vec<u8>, i32>, usize), CallError> {
    let mut networks = BTreeMap::new();
    let mut refused = 0;
    for pid in process_ids(reader)? {
        let name = pid.to_string();
        let link = platform::open_beneath(reader.proc.as_fd(), name.as_bytes(), CrossDevice::Allowed)
            .and_then(|process| platform::open_beneath(process.as_fd(), b"ns", CrossDevice::Allowed))
            .and_then(|namespaces| platform::read_link_at(namespaces.as_fd(), b"net"));
        match link {
            // A process that is ending no longer belongs to a namespace.
            Ok(link) if !link.is_empty() => {
                networks.entry(link).or_insert(pid);
            }
            Ok(_) => {}
            Err(error) if error.is_absent() => {}
            Err(_) => refused += 1,
        }
    }
    Ok((networks, refused))
}
