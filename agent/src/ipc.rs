//! What reader and sealer say to each other, one datagram a message, over `SOCK_SEQPACKET` socket pairs.
//!
//! Guarantee: a message is at most [`MESSAGE_BYTES_MAX`] bytes and carries at most one descriptor; sender and
//! receiver both enforce it, and a full socket makes the sender wait. The sealer trusts nothing it receives to be
//! well-formed: the reader touches hostile names, so its messages are parsed like a stranger's.
//! Not here: what an item means ([`crate::sealer::intake`]).

use std::os::fd::{BorrowedFd, OwnedFd};

use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, ItemError, Kind, RawBytes, Stat};
use evidence::time::FileTime;
use serde::{Deserialize, Serialize};

use crate::platform::{self, SocketError};

/// Longest message: 128 KiB. The kernel's default socket buffer (208 KiB) takes one whole.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;

/// Longest path of an item: 32 KiB. With base64, attributes and a symlink text the message still fits.
pub const PATH_BYTES_MAX: usize = 32 << 10;

/// Content bytes in one data message: 64 KiB.
pub const DATA_BYTES_MAX: usize = 64 << 10;

/// Why a message was not sent or not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    /// The connection failed.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("message of {len} bytes is too long")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not a message of this version.
    #[error("message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// A first byte that no message has.
    #[error("message has unknown form {form}")]
    Form {
        /// The byte.
        form: u8,
    },
}

impl IpcError {
    /// True when the other side ended the conversation.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Socket(SocketError::Closed))
    }
}

/// What the sealer does with the bytes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// They become a member.
    Member,
    /// Only their digest goes into a row: the program of a process.
    Digest,
    /// They become a member, and the entries of this journal become rows.
    Journal,
}

/// What the reader saw of one object. The sealer turns it into an item record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Raw absolute path.
    pub path: RawBytes,
    /// What it is.
    pub kind: Kind,
    /// Outcome so far: `ok` when the sealer is to take it, else final.
    pub outcome: Outcome,
    /// First look.
    pub before: Option<Stat>,
    /// Symlink text.
    pub target: Option<RawBytes>,
    /// Extended attributes, sorted.
    pub xattrs: Vec<(RawBytes, RawBytes)>,
    /// How the access time is protected.
    pub atime_method: Option<AtimeMethod>,
    /// The call that failed.
    pub error: Option<ItemError>,
    /// Why, for people.
    pub note: Option<String>,
    /// Start of the item.
    pub begun: FileTime,
    /// With content: number under which the reader can look at the path again.
    pub key: Option<u64>,
    /// With content: take this many bytes at most (`on_larger = head`).
    pub bytes_max: Option<u64>,
}

impl Seen {
    /// An object of which nothing is known yet but its path.
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

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// Through.
    Done,
    /// The collector could not do its work.
    Failed,
}

/// Reader to sealer.
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
    /// An object. With a descriptor: its content is to be read from it.
    Item {
        /// What was seen.
        seen: Box<Seen>,
        /// What for.
        use_as: Use,
    },
    /// Bytes the reader reads itself follow, in [`Received::Data`], up to `DataEnd`.
    DataBegin {
        /// What was seen.
        seen: Box<Seen>,
    },
    /// The end of such bytes.
    DataEnd {
        /// `ok` when the end of the file was reached.
        outcome: Outcome,
        /// The call that failed.
        error: Option<ItemError>,
        /// Why, for people.
        note: Option<String>,
        /// Last look.
        after: Option<Stat>,
    },
    /// The step ended.
    StepEnd {
        /// How.
        end: StepEnd,
        /// What this step does not show, for the manifest.
        limitations: Vec<String>,
    },
    /// The plan is through.
    End,
}

/// One received message.
#[derive(Debug)]
pub enum Received {
    /// A message, perhaps with a descriptor.
    Message(Box<Message>, Option<OwnedFd>),
    /// `len` content bytes, in the caller's buffer behind its first byte.
    Data {
        /// How many.
        len: usize,
    },
}

const FORM_MESSAGE: u8 = 1;
const FORM_DATA: u8 = 2;

/// Sends one message.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), IpcError> {
    send_json(socket, message, descriptor)
}

/// Sends content bytes, at most [`DATA_BYTES_MAX`].
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn send_data(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), IpcError> {
    if bytes.len() > DATA_BYTES_MAX {
        return Err(IpcError::TooLong { len: bytes.len() });
    }
    Ok(platform::send(socket, &[&[FORM_DATA], bytes], None)?)
}

/// A buffer that takes any message.
#[must_use]
pub fn buffer() -> Vec<u8> {
    vec![0; MESSAGE_BYTES_MAX]
}

/// Waits for the next message.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, IpcError> {
    understand(platform::receive(socket, buffer)?, buffer)
}

/// Like [`receive`]; `None` when nothing came within `timeout`.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn receive_before(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    timeout: std::time::Duration,
) -> Result<Option<Received>, IpcError> {
    match platform::receive_before(socket, buffer, timeout) {
        Ok(got) => understand(got, buffer).map(Some),
        Err(SocketError::Timeout) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn understand(got: platform::Received, buffer: &[u8]) -> Result<Received, IpcError> {
    let len = got.len.saturating_sub(1);
    match buffer.split_first() {
        Some((&FORM_DATA, _)) => Ok(Received::Data { len }),
        Some((&FORM_MESSAGE, rest)) => {
            let text = rest.get(..len).unwrap_or_default();
            let message = serde_json::from_slice(text).map_err(IpcError::Malformed)?;
            Ok(Received::Message(Box::new(message), got.descriptor))
        }
        Some((&form, _)) => Err(IpcError::Form { form }),
        None => Err(IpcError::TooLong { len: got.len }),
    }
}

/// Sealer to reader, on the check socket: "look at the path of item `key` again", or with `look` false only
/// "forget it". Each key is asked exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The item's key.
    pub key: u64,
    /// Whether an answer is wanted.
    pub look: bool,
}

/// Reader to sealer, on the check socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Checked {
    /// The path means this object now.
    Found(Box<Stat>),
    /// The path means nothing now.
    Gone,
    /// The look failed otherwise, or the key is not known.
    Unknown,
}

/// Sends any small document as a message of its own connection.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn send_json<T: Serialize>(
    socket: BorrowedFd<'_>,
    value: &T,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), IpcError> {
    let text = serde_json::to_vec(value).map_err(IpcError::Malformed)?;
    if text.len() >= MESSAGE_BYTES_MAX {
        return Err(IpcError::TooLong { len: text.len() });
    }
    Ok(platform::send(socket, &[&[FORM_MESSAGE], &text], descriptor)?)
}

/// Waits for a small document.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn receive_json<T: for<'de> Deserialize<'de>>(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<T, IpcError> {
    document(platform::receive(socket, buffer)?, buffer)
}

/// Like [`receive_json`]; gives up after `timeout`.
///
/// # Errors
/// [`IpcError`]; after it the conversation is over.
pub fn receive_json_before<T: for<'de> Deserialize<'de>>(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    timeout: std::time::Duration,
) -> Result<T, IpcError> {
    document(platform::receive_before(socket, buffer, timeout)?, buffer)
}

fn document<T: for<'de> Deserialize<'de>>(got: platform::Received, buffer: &[u8]) -> Result<T, IpcError> {
    match buffer.get(..got.len).and_then(<[u8]>::split_first) {
        Some((&FORM_MESSAGE, text)) => serde_json::from_slice(text).map_err(IpcError::Malformed),
        Some((&form, _)) => Err(IpcError::Form { form }),
        None => Err(IpcError::TooLong { len: got.len }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptor_and_data_keeps_its_bytes() {
        let (left, right) = platform::pair().unwrap();
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
        let Received::Data { len } = receive(right.as_fd(), &mut space).unwrap() else { panic!("no data") };
        assert_eq!(&space[1..=len], b"\x00\xffraw");
        assert!(receive(right.as_fd(), &mut space).unwrap_err().is_closed());
    }

    #[test]
    fn what_is_too_long_or_malformed_is_refused() {
        let (left, right) = platform::pair().unwrap();
        assert!(send_data(left.as_fd(), &vec![0; DATA_BYTES_MAX + 1]).is_err());
        let note = "x".repeat(MESSAGE_BYTES_MAX);
        let end = Message::StepEnd { end: StepEnd::Done, limitations: vec![note] };
        assert!(matches!(send(left.as_fd(), &end, None), Err(IpcError::TooLong { .. })));
        for wrong in [&b"\x01{}"[..], b"\x01{\"end\":1}", b"\x07", b"\x01"] {
            platform::send(left.as_fd(), &[wrong], None).unwrap();
            assert!(receive(right.as_fd(), &mut buffer()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_longest_path_with_most_attributes_fits_one_message() {
        let (left, right) = platform::pair().unwrap();
        let mut seen = Seen::new(vec![0xff; PATH_BYTES_MAX], Kind::Symlink, FileTime::default());
        seen.target = Some(RawBytes(vec![0xff; 4096]));
        seen.xattrs = vec![(RawBytes(vec![b'u'; 255]), RawBytes(vec![0; platform::XATTR_BYTES_MAX - 255]))];
        seen.note = Some("n".repeat(200));
        let message = Message::Item { seen: Box::new(seen), use_as: Use::Member };
        send(left.as_fd(), &message, None).unwrap();
        assert!(
            matches!(receive(right.as_fd(), &mut buffer()).unwrap(), Received::Message(got, None) if *got == message)
        );
    }
}
