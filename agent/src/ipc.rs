//! The messages between reader and sealer, one in each datagram, over `SOCK_SEQPACKET` socket pairs from
//! [`pair`].
//!
//! Guarantee: a message is at most [`MESSAGE_BYTES_MAX`] bytes and carries at most one descriptor. Sender and
//! receiver both enforce this, and a full socket makes the sender wait. The sealer trusts nothing it receives
//! to be well-formed: the reader touches hostile names, so its messages are parsed like a stranger's. Not
//! here: what an item means ([`crate::sealer::intake`]); the datagrams ([`cage::datagram`]).
//!
//! Messages are JSON, unlike those of [`crate::message`]: an item carries types that `evidence` defines and
//! serialises ([`Stat`], [`Outcome`], [`Kind`]). A second description of them in protobuf would have to be kept
//! equal by hand, field by field, between the object that was seen and the record that is sealed. A message costs
//! a few microseconds beside the file that it announces; the bytes of a file are never in JSON.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use cage::datagram::{self, DatagramError, Form};
use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, ItemError, Kind, RawBytes, Stat};
use evidence::time::FileTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest message: 128 KiB, a whole datagram.
pub(crate) const MESSAGE_BYTES_MAX: usize = datagram::BODY_BYTES_MAX;

/// Longest path of an item: 32 KiB. With base64, attributes and a symlink text the message still fits.
pub(crate) const PATH_BYTES_MAX: usize = 32 << 10;

/// Content bytes in one data message: 64 KiB.
pub(crate) const DATA_BYTES_MAX: usize = 64 << 10;

/// Why a message was not sent or not understood. The conversation is then over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    /// The connection failed.
    #[error(transparent)]
    Datagram(#[from] DatagramError),
    /// The message is over [`MESSAGE_BYTES_MAX`], or has more than one descriptor.
    #[error("message of {len} bytes is too long")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The body is not a message of this version.
    #[error("message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// No message has this kind.
    #[error("message has unknown form {form}")]
    Form {
        /// The kind.
        form: u8,
    },
}

/// What the sealer does with the bytes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// They become a member.
    Member,
    /// Only their digest goes into a row. Used for the program of a process.
    Digest,
    /// They become a member, and the entries of this journal also become rows.
    Journal,
}

/// What the reader saw of one object. The sealer turns it into an item record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Raw absolute path.
    pub path: RawBytes,
    /// The kind of object.
    pub kind: Kind,
    /// Outcome so far: `ok` if the sealer must still read it, otherwise final.
    pub outcome: Outcome,
    /// The first look at the object.
    pub before: Option<Stat>,
    /// Symlink text.
    pub target: Option<RawBytes>,
    /// Extended attributes, sorted.
    pub xattrs: Vec<(RawBytes, RawBytes)>,
    /// How the access time is protected.
    pub atime_method: Option<AtimeMethod>,
    /// The call that failed.
    pub error: Option<ItemError>,
    /// Why it failed, for people.
    pub note: Option<String>,
    /// Start of the item.
    pub begun: FileTime,
    /// For an item with content: the number under which the sealer can ask the reader to look at the path
    /// again.
    pub key: Option<u64>,
    /// For an item with content: take at most this many bytes (`on_larger = head`).
    pub bytes_max: Option<u64>,
}

impl Seen {
    /// An object of which nothing is known yet except its path.
    #[must_use]
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, begun: FileTime) -> Self {
        Self {
            path: RawBytes(path.into()),
            kind,
            outcome: Outcome::Ok,
            before: None,
            target: None,
            xattrs: Vec::new(),
            atime_method: None,
            error: None,
            note: None,
            begun,
            key: None,
            bytes_max: None,
        }
    }
}

/// What a collector says of its step. The sealer judges how the step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectorEnd {
    /// It ran to its end.
    Done,
    /// The collector could not do its work.
    Failed,
}

/// From the reader to the sealer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The next step of the plan begins.
    StepBegin {
        /// Position in the plan.
        step: u32,
        /// Its collector.
        collector: String,
    },
    /// An object. If a descriptor comes with it, the sealer reads the content from it.
    Item {
        /// The object as the reader saw it.
        seen: Box<Seen>,
        /// The purpose of the bytes.
        use_as: Use,
    },
    /// Bytes that the reader reads itself follow, in [`Received::Data`], until `DataEnd`.
    DataBegin {
        /// The object as the reader saw it.
        seen: Box<Seen>,
    },
    /// The end of such bytes.
    DataEnd {
        /// `ok` if the reader reached the end of the file.
        outcome: Outcome,
        /// The call that failed.
        error: Option<ItemError>,
        /// Why, for people.
        note: Option<String>,
        /// The last look at the object.
        after: Option<Stat>,
    },
    /// The step ended.
    StepEnd {
        /// How.
        end: CollectorEnd,
        /// What this step does not show, for the manifest.
        limitations: Vec<String>,
    },
    /// The plan has run to its end.
    End,
}

/// One received message.
#[derive(Debug)]
pub enum Received<'buffer> {
    /// A message, perhaps with a descriptor.
    Message(Box<Message>, Option<OwnedFd>),
    /// Content bytes.
    Data(&'buffer [u8]),
}

const MESSAGE: u8 = 1;
const DATA: u8 = 2;

/// A pair of sockets that take the longest message.
///
/// # Errors
/// The kernel's limit of socket buffers is too small; the error says what to do.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    datagram::pair_for(MESSAGE_BYTES_MAX)
}

/// Sends one message.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), IpcError> {
    send_json(socket, message, descriptor)
}

/// Sends content bytes, at most [`DATA_BYTES_MAX`].
pub fn send_data(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), IpcError> {
    if bytes.len() > DATA_BYTES_MAX {
        return Err(IpcError::TooLong { len: bytes.len() });
    }
    Ok(datagram::send(socket, (DATA, Form::Here), &[bytes], &[])?)
}

/// A buffer that is large enough for any message.
#[must_use]
pub fn buffer() -> Vec<u8> {
    datagram::buffer()
}

/// Waits for the next message.
pub fn receive<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
) -> Result<Received<'buffer>, IpcError> {
    understand(datagram::receive(socket, buffer)?)
}

/// As [`receive`]; `None` if nothing came within `timeout`.
pub(crate) fn receive_before<'buffer>(
    socket: BorrowedFd<'_>,
    buffer: &'buffer mut [u8],
    timeout: Duration,
) -> Result<Option<Received<'buffer>>, IpcError> {
    match datagram::receive_before(socket, buffer, timeout) {
        Ok(received) => understand(received).map(Some),
        Err(DatagramError::Timeout) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn understand(received: datagram::Received<'_>) -> Result<Received<'_>, IpcError> {
    let (kind, body, descriptor) = alone(received)?;
    match kind {
        DATA => Ok(Received::Data(body)),
        MESSAGE => {
            let message = serde_json::from_slice(body).map_err(IpcError::Malformed)?;
            Ok(Received::Message(Box::new(message), descriptor))
        }
        form => Err(IpcError::Form { form }),
    }
}

/// Kind, body and descriptor of a datagram that carries its whole body and at most one descriptor.
fn alone(received: datagram::Received<'_>) -> Result<(u8, &[u8], Option<OwnedFd>), IpcError> {
    let datagram::Received { kind, form, body, mut descriptors } = received;
    let descriptor = descriptors.pop();
    if !descriptors.is_empty() || body.len() > MESSAGE_BYTES_MAX {
        return Err(IpcError::TooLong { len: body.len() });
    }
    match form {
        Form::Here => Ok((kind, body, descriptor)),
        Form::InMemoryFile | Form::Begins | Form::GoesOn => {
            Err(DatagramError::Protocol("a message of unknown form").into())
        }
    }
}

/// From the sealer to the reader, on the check socket: "look at the path of item `key` again" or, if `look`
/// is false, only "forget it". The sealer asks exactly once for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The item's key.
    pub key: u64,
    /// True if the sealer wants an answer.
    pub look: bool,
}

/// From the reader to the sealer, on the check socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Checked {
    /// The path now means this object.
    Found(Box<Stat>),
    /// The path no longer means anything.
    Gone,
    /// The look failed in another way, or the key is not known.
    Unknown,
}

/// Sends a small document, as the one message of a connection of its own.
pub fn send_json<T: Serialize>(
    socket: BorrowedFd<'_>,
    value: &T,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), IpcError> {
    let text = serde_json::to_vec(value).map_err(IpcError::Malformed)?;
    if text.len() >= MESSAGE_BYTES_MAX {
        return Err(IpcError::TooLong { len: text.len() });
    }
    Ok(datagram::send(socket, (MESSAGE, Form::Here), &[&text], descriptor.as_slice())?)
}

/// Waits for a small document.
pub fn receive_json<T: DeserializeOwned>(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<T, IpcError> {
    document(datagram::receive(socket, buffer)?)
}

/// As [`receive_json`], but gives up after `timeout`.
pub(crate) fn receive_json_before<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    timeout: Duration,
) -> Result<T, IpcError> {
    document(datagram::receive_before(socket, buffer, timeout)?)
}

fn document<T: DeserializeOwned>(received: datagram::Received<'_>) -> Result<T, IpcError> {
    match alone(received)? {
        (MESSAGE, text, _) => serde_json::from_slice(text).map_err(IpcError::Malformed),
        (form, ..) => Err(IpcError::Form { form }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptor_and_data_keeps_its_bytes() {
        let (left, right) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        let mut seen = Seen::new(b"/a\xff\n".as_slice(), Kind::File, FileTime::default());
        seen.key = Some(7);
        let message = Message::Item { seen: Box::new(seen), use_as: Use::Member };
        send(left.as_fd(), &message, Some(file.as_fd())).unwrap();
        send_data(left.as_fd(), b"\x00\xffraw").unwrap();
        drop(left);
        let mut space = buffer();
        let Received::Message(got, Some(descriptor)) = receive(right.as_fd(), &mut space).unwrap() else {
            panic!("no descriptor")
        };
        assert_eq!(*got, message);
        let mut content = String::new();
        std::fs::File::from(descriptor).read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        let Received::Data(bytes) = receive(right.as_fd(), &mut space).unwrap() else { panic!("no data") };
        assert_eq!(bytes, b"\x00\xffraw");
        let ended = receive(right.as_fd(), &mut space).map(drop);
        assert!(matches!(ended, Err(IpcError::Datagram(DatagramError::Closed))), "{ended:?}");
    }

    #[test]
    fn what_is_too_long_or_malformed_is_refused() {
        let (left, right) = pair().unwrap();
        assert!(send_data(left.as_fd(), &vec![0; DATA_BYTES_MAX + 1]).is_err());
        let note = "x".repeat(MESSAGE_BYTES_MAX);
        let end = Message::StepEnd { end: CollectorEnd::Done, limitations: vec![note] };
        assert!(matches!(send(left.as_fd(), &end, None), Err(IpcError::TooLong { .. })));
        for wrong in [&b"\x01\x00{}"[..], b"\x01\x00{\"end\":1}", b"\x07\x00", b"\x01\x00", b"\x01"] {
            rustix::net::send(&left, wrong, rustix::net::SendFlags::empty()).unwrap();
            assert!(receive(right.as_fd(), &mut buffer()).is_err(), "{wrong:?}");
        }
        let file = tempfile::tempfile().unwrap();
        let two = [file.as_fd(), file.as_fd()];
        datagram::send(left.as_fd(), (DATA, Form::Here), &[b"x"], &two).unwrap();
        assert!(receive(right.as_fd(), &mut buffer()).is_err(), "two descriptors");
    }

    #[test]
    fn the_longest_path_with_most_attributes_fits_one_message() {
        let (left, right) = pair().unwrap();
        let mut seen = Seen::new(vec![0xff; PATH_BYTES_MAX], Kind::Symlink, FileTime::default());
        seen.target = Some(RawBytes(vec![0xff; 4096]));
        seen.xattrs =
            vec![(RawBytes(vec![b'u'; 255]), RawBytes(vec![0; crate::platform::XATTR_BYTES_MAX - 255]))];
        seen.note = Some("n".repeat(200));
        let message = Message::Item { seen: Box::new(seen), use_as: Use::Member };
        send(left.as_fd(), &message, None).unwrap();
        assert!(
            matches!(receive(right.as_fd(), &mut buffer()).unwrap(), Received::Message(got, None) if *got == message)
        );
    }
    #[test]
    fn items_data_and_answers_wait_for_room_and_none_is_lost() {
        let (left, right) = pair().unwrap();
        rustix::io::ioctl_fionbio(&left, true).unwrap();
        let items = 300_u64;
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                for key in 0..items {
                    let mut seen = Seen::new(vec![b'a'; 4000], Kind::File, FileTime::default());
                    seen.key = Some(key);
                    let message = Message::Item { seen: Box::new(seen), use_as: Use::Member };
                    send(left.as_fd(), &message, None).unwrap();
                    send_data(left.as_fd(), &key.to_le_bytes().repeat(1000)).unwrap();
                    send_json(left.as_fd(), &Check { key, look: true }, None).unwrap();
                }
            });
            let mut space = buffer();
            for key in 0..items {
                let Received::Message(got, None) = receive(right.as_fd(), &mut space).unwrap() else {
                    panic!("item {key} is lost")
                };
                assert!(matches!(*got, Message::Item { seen, .. } if seen.key == Some(key)));
                let Received::Data(got) = receive(right.as_fd(), &mut space).unwrap() else {
                    panic!("data {key} is lost")
                };
                assert_eq!(got, key.to_le_bytes().repeat(1000));
                let check: Check = receive_json(right.as_fd(), &mut space).unwrap();
                assert_eq!(check, Check { key, look: true });
            }
            sending.join().unwrap();
        });
    }
}
