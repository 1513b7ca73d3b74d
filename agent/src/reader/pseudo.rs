//! Reads files whose bytes the kernel makes up, in a helper process that can be left behind.
//!
//! Guarantee: a read that never returns (a process in D state, a stalled control group) costs its deadline and the
//! helper, never the collection. The reader never reads a file whose reading consumes, blocks or exposes memory
//! ([`is_forbidden`]). Not here: which files to read ([`crate::collect`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use cage::datagram::{self, DatagramError, EVERY_SOCKET_BYTES_MAX, Form};
use rustix::io::Errno;

use crate::platform::{self, CallError, Child};

/// How many helpers may hang. After that, the reader gives up the rest of the collection's pseudo-files. Each
/// hanging helper holds a slot in the machine's process table until the kernel releases it.
pub(crate) const STUCK_MAX: usize = 4;

/// Bytes of one read: 16 KiB. Many files of `/proc/sys` give only what fits into the first read, so it is longer than
/// a datagram of the helper.
const READ_BYTES: usize = 16 << 10;

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It reached the end of the file.
    Whole,
    /// It reached `bytes_max`.
    Cut,
    /// The kernel refused.
    Failed(Errno),
    /// The deadline passed. The helper is left behind.
    Timeout,
}

const REQUEST: u8 = 0;
const REPLY_DATA: u8 = 4;
const REPLY_WHOLE: u8 = 1;
const REPLY_CUT: u8 = 2;
const REPLY_ERROR: u8 = 3;

/// The current helper, and those left behind.
#[derive(Debug, Default)]
pub struct Pseudo {
    helper: Option<(Child, OwnedFd)>,
    stuck: Vec<i32>,
}

impl Pseudo {
    /// Process ids of helpers that hang.
    #[must_use]
    pub(crate) fn stuck(&self) -> &[i32] {
        &self.stuck
    }

    /// Starts a helper unless one is waiting. Returns its process id if it is new.
    pub fn start(&mut self) -> Result<Option<i32>, CallError> {
        if self.helper.is_some() {
            return Ok(None);
        }
        let (ours, theirs) =
            datagram::pair().map_err(|error| CallError::of("socketpair")(errno_of(&error)))?;
        let mut buffer = vec![0_u8; READ_BYTES];
        let child = platform::fork(theirs, move |socket| serve(socket, &mut buffer))?;
        let pid = child.pid();
        self.helper = Some((child, ours));
        Ok(Some(pid))
    }

    /// Reads `file` to its end, at most `bytes_max` bytes, within `deadline`. Gives every piece to `sink`.
    pub fn read<E>(
        &mut self,
        file: BorrowedFd<'_>,
        bytes_max: u64,
        deadline: Duration,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<End, E> {
        if self.stuck.len() >= STUCK_MAX {
            return Ok(End::Timeout);
        }
        let Some((child, socket)) = self.helper.take() else {
            return Ok(End::Failed(Errno::CHILD));
        };
        if send(socket.as_fd(), REQUEST, &bytes_max.to_ne_bytes(), &[file]).is_err() {
            return Ok(End::Failed(Errno::CHILD));
        }
        // Only the kernel's time counts. While `sink` waits for a slow sealer, the helper is not to blame.
        let mut waited = Duration::ZERO;
        let mut buffer = datagram::buffer();
        loop {
            let started = std::time::Instant::now();
            // Saturating is correct here: with no time left, the helper is late at once.
            let left = deadline.saturating_sub(waited);
            let received = datagram::receive_before(socket.as_fd(), &mut buffer, left);
            waited += started.elapsed();
            let received = match received {
                Ok(received) => received,
                Err(DatagramError::Timeout) => {
                    self.stuck.push(child.pid());
                    child.abandon();
                    return Ok(End::Timeout);
                }
                Err(_gone) => return Ok(End::Failed(Errno::CHILD)),
            };
            let end = match (received.kind, received.body) {
                (REPLY_DATA, bytes) => {
                    sink(bytes)?;
                    continue;
                }
                (REPLY_WHOLE, _) => End::Whole,
                (REPLY_CUT, _) => End::Cut,
                (REPLY_ERROR, [a, b, c, d]) => {
                    End::Failed(Errno::from_raw_os_error(i32::from_ne_bytes([*a, *b, *c, *d])))
                }
                _ => return Ok(End::Failed(Errno::CHILD)),
            };
            self.helper = Some((child, socket));
            return Ok(end);
        }
    }
}

/// The error number in an error of the system.
fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Sends one datagram, waiting for room.
fn send(
    socket: BorrowedFd<'_>,
    kind: u8,
    body: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), DatagramError> {
    datagram::send(socket, (kind, Form::Here), &[body], descriptors)
}

/// The helper. It takes a descriptor and a limit, and answers with pieces and with how the read ended, until
/// the reader is gone.
fn serve(socket: BorrowedFd<'_>, buffer: &mut [u8]) {
    let mut space = datagram::buffer();
    while let Ok(request) = datagram::receive(socket, &mut space) {
        let (Some(file), Ok(bytes_max)) = (request.descriptors.first(), request.body.try_into()) else {
            return;
        };
        if copy(socket, file.as_fd(), u64::from_ne_bytes(bytes_max), buffer).is_err() {
            return;
        }
    }
}

/// Reads `file` to its end or to `left` bytes, and says how it ended.
fn copy(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    mut left: u64,
    buffer: &mut [u8],
) -> Result<(), DatagramError> {
    while left > 0 {
        let piece = match usize::try_from(left).ok().and_then(|left| buffer.get_mut(..left)) {
            Some(last) => last,
            None => &mut *buffer,
        };
        match rustix::io::read(file, &mut *piece) {
            Ok(0) => return send(socket, REPLY_WHOLE, &[], &[]),
            Ok(length) => {
                let bytes = piece.get(..length).ok_or(DatagramError::TooLarge)?;
                // This process is confined, and may not ask the kernel for larger socket buffers.
                for part in bytes.chunks(EVERY_SOCKET_BYTES_MAX) {
                    send(socket, REPLY_DATA, part, &[])?;
                }
                left -= bytes.len() as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return send(socket, REPLY_ERROR, &errno.raw_os_error().to_ne_bytes(), &[]),
        }
    }
    send(socket, REPLY_CUT, &[], &[])
}

/// True for files of `/proc` and `/sys` that are never read, because reading them consumes what others wait
/// for (`kmsg`, `trace_pipe`), acts (`clear_refs`), or is a process's or the machine's memory (its own
/// approval, its own tool).
#[must_use]
pub(crate) fn is_forbidden(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let last = path.rsplit(|byte| *byte == b'/').next();
    let is_forbidden_below_top = match parts.next() {
        Some(b"dev") => true,
        Some(b"sys") => {
            parts.next() == Some(b"kernel") && matches!(parts.next(), Some(b"debug" | b"tracing"))
        }
        Some(b"proc") => {
            matches!(last, Some(b"mem" | b"pagemap" | b"clear_refs"))
                || parts.next().is_some_and(|second| {
                    matches!(second, b"kmsg" | b"kcore") || second.starts_with(b"kpage")
                })
        }
        _ => false,
    };
    is_forbidden_below_top
        || path == b"/proc/acpi/event"
        || last.is_some_and(|last| last.starts_with(b"trace_pipe"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn bytes_come_whole_or_cut_and_errors_keep_their_number() {
        let mut pseudo = Pseudo::default();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let mut bytes = Vec::new();
        assert!(pseudo.start().unwrap().is_some());
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok::<(), ()>(())
        };
        assert_eq!(pseudo.read(file.as_fd(), 1 << 20, Duration::from_secs(5), &mut take), Ok(End::Whole));
        assert!(bytes.starts_with(b"Name:"));
        let long = std::fs::File::open("/dev/zero").unwrap();
        let mut len = 0;
        let count = |piece: &[u8]| {
            assert!(piece.len() <= EVERY_SOCKET_BYTES_MAX, "no socket refuses it");
            len += piece.len();
            Ok::<(), ()>(())
        };
        assert_eq!(pseudo.read(long.as_fd(), 200_000, Duration::from_secs(5), count), Ok(End::Cut));
        assert_eq!(len, 200_000);
        let directory = std::fs::File::open("/").unwrap();
        let nothing = |_: &[u8]| Ok::<(), ()>(());
        let end = pseudo.read(directory.as_fd(), 10, Duration::from_secs(5), nothing);
        assert_eq!(end, Ok(End::Failed(Errno::ISDIR)));
        assert_eq!(pseudo.start().unwrap(), None, "the same helper serves on");
    }

    #[test]
    fn a_read_that_never_returns_costs_its_deadline_and_the_next_one_works() {
        let (blocking, mut writer) = std::io::pipe().unwrap();
        let mut pseudo = Pseudo::default();
        pseudo.start().unwrap();
        let nothing = |_: &[u8]| Ok::<(), ()>(());
        let end = pseudo.read(blocking.as_fd(), 10, Duration::from_millis(50), nothing);
        assert_eq!(end, Ok(End::Timeout));
        assert_eq!(pseudo.stuck().len(), 1);
        assert!(pseudo.start().unwrap().is_some(), "a new helper");
        writer.write_all(b"x").unwrap();
        drop(writer);
        let end = pseudo.read(blocking.as_fd(), 10, Duration::from_secs(5), nothing);
        assert_eq!(end, Ok(End::Whole));
    }

    #[test]
    fn consuming_and_memory_files_are_forbidden() {
        for path in [
            "/proc/kmsg",
            "/proc/kcore",
            "/proc/kpagecount",
            "/proc/1/mem",
            "/proc/1/task/1/pagemap",
            "/proc/1/clear_refs",
            "/sys/kernel/tracing/trace_pipe",
            "/sys/kernel/debug/x",
            "/dev/sda",
            "/proc/acpi/event",
        ] {
            assert!(is_forbidden(path.as_bytes()), "{path}");
        }
        for path in ["/proc/1/maps", "/proc/meminfo", "/sys/block/sda/size"] {
            assert!(!is_forbidden(path.as_bytes()), "{path}");
        }
    }
}
