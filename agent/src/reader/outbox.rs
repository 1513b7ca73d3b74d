//! The reader's side of the conversation with the sealer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cage::datagram::DatagramError;

use super::ReaderError;
use super::check::InFlight;
use crate::ipc::{self, Message, Seen, Use};

/// Sends items. Waits if the sealer is slower.
#[derive(Debug)]
pub(super) struct Outbox {
    socket: OwnedFd,
    in_flight: Arc<InFlight>,
    items: u64,
}

impl Outbox {
    pub(super) fn new(socket: OwnedFd, in_flight: Arc<InFlight>) -> Self {
        Self { socket, in_flight, items: 0 }
    }

    /// Items sent so far.
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<(), ReaderError> {
        ipc::send(self.socket.as_fd(), message, None).map_err(ReaderError::Sealer)
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), ReaderError> {
        ipc::send_data(self.socket.as_fd(), bytes).map_err(ReaderError::Sealer)
    }

    pub(super) fn item(
        &mut self,
        seen: Seen,
        use_as: Use,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), ReaderError> {
        self.items += 1;
        let message = Message::Item { seen: Box::new(seen), use_as };
        ipc::send(self.socket.as_fd(), &message, file).map_err(ReaderError::Sealer)
    }

    /// Sends an item with its open file, and remembers where it was found until the sealer has asked.
    pub(super) fn content(
        &mut self,
        mut seen: Seen,
        use_as: Use,
        file: BorrowedFd<'_>,
        directory: &Arc<OwnedFd>,
        name: &[u8],
    ) -> Result<(), ReaderError> {
        let key = self.in_flight.add(directory, name);
        if key.is_none() {
            return Err(ReaderError::Sealer(DatagramError::Closed.into()));
        }
        seen.key = key;
        self.item(seen, use_as, Some(file))
    }
}
