//! Looks at a path again after the sealer has read the bytes, to detect `replaced` and `vanished`.
//!
//! Guarantee: the reader remembers every item with content until the sealer has asked about it once. It
//! remembers at most [`IN_FLIGHT_MAX`] items, then it waits.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::ipc::{self, Check, Checked};
use crate::platform;

/// Most items that were handed to the sealer and about which it has not asked yet: 512. Each holds a
/// directory descriptor (shared) and a name.
pub(crate) const IN_FLIGHT_MAX: usize = 512;

/// The place where an item was found.
#[derive(Debug)]
struct FoundAt {
    directory: Arc<OwnedFd>,
    name: Vec<u8>,
}

#[derive(Debug, Default)]
struct Table {
    items: BTreeMap<u64, FoundAt>,
    next: u64,
    is_closed: bool,
}

/// The items that the sealer is still working on.
#[derive(Debug, Default)]
pub struct InFlight {
    table: Mutex<Table>,
    room: Condvar,
}

impl InFlight {
    /// Remembers where an item was found and returns its key; `None` once the sealer asks no more questions.
    pub fn add(&self, directory: &Arc<OwnedFd>, name: &[u8]) -> Option<u64> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |table: &mut Table| table.items.len() >= IN_FLIGHT_MAX && !table.is_closed;
        let mut table = self.room.wait_while(table, is_full).unwrap_or_else(PoisonError::into_inner);
        if table.is_closed {
            return None;
        }
        let key = table.next;
        table.next += 1;
        table.items.insert(key, FoundAt { directory: Arc::clone(directory), name: name.to_vec() });
        Some(key)
    }

    fn forget(&self, key: u64) -> Option<FoundAt> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let found_at = table.items.remove(&key);
        self.room.notify_all();
        found_at
    }

    fn close(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.is_closed = true;
        table.items.clear();
        self.room.notify_all();
    }
}

/// The reader's end of the check socket.
#[derive(Debug)]
pub struct PathChecks {
    socket: OwnedFd,
    in_flight: Arc<InFlight>,
}

impl PathChecks {
    pub(super) fn new(socket: OwnedFd, in_flight: Arc<InFlight>) -> Self {
        Self { socket, in_flight }
    }

    /// Answers the sealer's questions until it closes the socket. Runs on its own thread.
    pub fn answer(self) {
        let mut buffer = ipc::buffer();
        while let Ok(Check { key, look }) = ipc::receive_json::<Check>(self.socket.as_fd(), &mut buffer) {
            let found_at = self.in_flight.forget(key);
            if !look {
                continue;
            }
            let checked = match found_at.map(|at| platform::look_at(at.directory.as_fd(), &at.name)) {
                Some(Ok(look)) => Checked::Found(Box::new(look.stat)),
                Some(Err(error)) if error.is_absent() => Checked::Gone,
                Some(Err(_)) | None => Checked::Unknown,
            };
            if ipc::send_json(self.socket.as_fd(), &checked, None).is_err() {
                break;
            }
        }
        self.in_flight.close();
    }
}
