//! Messages for a process that may hold no second descriptor. The body travels in pieces. The child uses only
//! `read` and `write`, on its standard input and output.
//!
//! Guarantee: neither side holds more than the receiver's `bytes_max` bytes, whatever the other side claims.
//! A message that is cut off, or whose pieces do not follow each other, is an error; nothing is guessed. Not
//! here: what the messages mean.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::datagram::{self, DatagramError, Form, SHORT_BYTES_MAX};

const LENGTH_BYTES: usize = 4;

/// Bytes of a message in one piece. With the length before the first, a piece is a short body, which every socket
/// takes. Several fit the kernel's default socket buffer, so that both sides can work at the same time.
pub const PIECE_BYTES: usize = SHORT_BYTES_MAX - LENGTH_BYTES;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The caller's kind.
    pub kind: u8,
    /// Its body.
    pub body: Vec<u8>,
}

/// A datagram of a message: its form, and where its bytes are.
pub(crate) struct Piece<'body> {
    pub(crate) form: Form,
    length: [u8; LENGTH_BYTES],
    bytes: &'body [u8],
}

impl Piece<'_> {
    /// The datagram's body, in parts.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        match self.form {
            Form::Begins => vec![&self.length, self.bytes],
            _ => vec![self.bytes],
        }
    }
}

/// Cuts a message into its datagrams.
pub(crate) fn cut(body: &[u8]) -> Result<Vec<Piece<'_>>, DatagramError> {
    let length = u32::try_from(body.len()).or(Err(DatagramError::TooLarge))?.to_le_bytes();
    let (first, rest) = body.split_at_checked(PIECE_BYTES).unwrap_or((body, &[]));
    let begins = Piece { form: Form::Begins, length, bytes: first };
    let goes_on = rest.chunks(PIECE_BYTES).map(|bytes| Piece { form: Form::GoesOn, length, bytes });
    Ok(std::iter::once(begins).chain(goes_on).collect())
}

/// Joins the datagrams of a message.
#[derive(Debug)]
pub(crate) struct Assembly {
    frame: Option<(Frame, usize)>,
    bytes_max: usize,
}

impl Assembly {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { frame: None, bytes_max }
    }

    /// Adds the next datagram. Returns the message with its last piece.
    pub(crate) fn add(
        &mut self,
        (kind, form, body): (u8, Form, &[u8]),
    ) -> Result<Option<Frame>, DatagramError> {
        let (frame, length) = match (form, self.frame.take()) {
            (Form::Begins, None) => {
                let (length, first) = body
                    .split_first_chunk::<LENGTH_BYTES>()
                    .ok_or(DatagramError::Protocol("a message without a length"))?;
                let length = usize::try_from(u32::from_le_bytes(*length)).or(Err(DatagramError::TooLarge))?;
                if length > self.bytes_max {
                    return Err(DatagramError::TooLarge);
                }
                let mut body = Vec::with_capacity(length);
                body.extend_from_slice(first);
                (Frame { kind, body }, length)
            }
            (Form::GoesOn, Some((mut frame, length))) if frame.kind == kind && !body.is_empty() => {
                // The body may exceed the announced length by at most one datagram. The check below then
                // refuses it.
                frame.body.extend_from_slice(body);
                (frame, length)
            }
            _ => return Err(DatagramError::Protocol("a piece that does not follow")),
        };
        if frame.body.len() > length {
            return Err(DatagramError::Protocol("more bytes than it announced"));
        }
        if frame.body.len() == length {
            return Ok(Some(frame));
        }
        self.frame = Some((frame, length));
        Ok(None)
    }

    /// The other process has ended. Returns `None` between two messages and an error within one.
    pub(crate) fn end(&self) -> Result<Option<Frame>, DatagramError> {
        if self.frame.is_some() {
            return Err(DatagramError::Protocol("the beginning of a message and ended"));
        }
        Ok(None)
    }
}

/// The child's side: writes a message with `write` alone.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn write(output: BorrowedFd<'_>, kind: u8, body: &[u8]) -> Result<(), DatagramError> {
    for piece in cut(body)? {
        let head = [kind, piece.form.byte()];
        let bytes = [&[head.as_slice()], piece.parts().as_slice()].concat().concat();
        loop {
            match rustix::io::write(output, &bytes) {
                Ok(sent) if sent == bytes.len() => break,
                Ok(_) => return Err(DatagramError::Protocol("no room for a whole datagram")),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(DatagramError::Closed),
                Err(errno) => return Err(DatagramError::system("write")(errno)),
            }
        }
    }
    Ok(())
}

/// The child's side: reads the next message with `read` alone. `None` if the parent has ended the
/// conversation.
///
/// `read` cannot tell that a datagram was cut. But our own parent sends none that is longer than the buffer.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn read(
    input: BorrowedFd<'_>,
    buffer: &mut [u8],
    bytes_max: usize,
) -> Result<Option<Frame>, DatagramError> {
    let mut assembly = Assembly::new(bytes_max);
    loop {
        let length = match rustix::io::read(input, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET) => return assembly.end(),
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(DatagramError::system("read")(errno)),
        };
        if let Some(frame) = assembly.add(datagram::parse(buffer, length)?)? {
            return Ok(Some(frame));
        }
    }
}

/// The parent's side: sends a message and waits for room.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn send(socket: BorrowedFd<'_>, kind: u8, body: &[u8]) -> Result<(), DatagramError> {
    for piece in cut(body)? {
        datagram::send(socket, (kind, piece.form), &piece.parts(), &[])?;
    }
    Ok(())
}

/// The parent's side: waits for the next message. `None` if the child ended between two messages.
///
/// # Errors
/// [`DatagramError`]: the conversation is over.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    bytes_max: usize,
) -> Result<Option<Frame>, DatagramError> {
    let mut assembly = Assembly::new(bytes_max);
    loop {
        match datagram::receive(socket, buffer) {
            Ok(piece) => {
                if let Some(frame) = assembly.add((piece.kind, piece.form, piece.body))? {
                    return Ok(Some(frame));
                }
            }
            Err(DatagramError::Closed) => return assembly.end(),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::datagram::{buffer, pair};

    const BYTES_MAX: usize = 1 << 20;

    fn body(length: usize) -> Vec<u8> {
        (0..=u8::MAX).cycle().take(length).collect()
    }

    #[test]
    fn a_message_survives_the_way_there_and_back() {
        let (ours, theirs) = pair().unwrap();
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, BYTES_MAX] {
            let frame = Frame { kind: 9, body: body(length) };
            let echoed = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let frame = read(theirs.as_fd(), &mut buffer(), BYTES_MAX).unwrap().unwrap();
                    write(theirs.as_fd(), frame.kind, &frame.body).unwrap();
                });
                send(ours.as_fd(), frame.kind, &frame.body).unwrap();
                receive(ours.as_fd(), &mut buffer(), BYTES_MAX).unwrap().unwrap()
            });
            assert_eq!(echoed, frame, "{length}");
        }
        drop(theirs);
        assert_eq!(receive(ours.as_fd(), &mut buffer(), BYTES_MAX).unwrap(), None);
    }

    #[test]
    fn messages_of_every_length_pass_sockets_with_small_buffers() {
        let (ours, theirs) = pair().unwrap();
        for socket in [&ours, &theirs] {
            // The kernel doubles what it is given: 18 KiB, which is less than two pieces.
            rustix::net::sockopt::set_socket_send_buffer_size(socket, 9 << 10).unwrap();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = buffer();
                while let Some(frame) = read(theirs.as_fd(), &mut buffer, BYTES_MAX).unwrap() {
                    write(theirs.as_fd(), frame.kind, &frame.body).unwrap();
                }
            });
            for length in [0, PIECE_BYTES, PIECE_BYTES + 1, BYTES_MAX] {
                send(ours.as_fd(), 9, &body(length)).unwrap();
                let echoed = receive(ours.as_fd(), &mut buffer(), BYTES_MAX).unwrap().unwrap();
                assert_eq!(echoed.body, body(length));
            }
            rustix::net::shutdown(&ours, rustix::net::Shutdown::Write).unwrap();
        });
    }

    #[test]
    fn a_claimed_length_is_refused_before_it_is_allocated() {
        let (ours, theirs) = pair().unwrap();
        let head = (1, Form::Begins);
        for claimed in [u32::MAX, u32::try_from(BYTES_MAX + 1).unwrap()] {
            datagram::send(theirs.as_fd(), head, &[&claimed.to_le_bytes()], &[]).unwrap();
            let refused = receive(ours.as_fd(), &mut buffer(), BYTES_MAX);
            assert!(matches!(refused, Err(DatagramError::TooLarge)), "{refused:?}");
        }
    }

    #[test]
    fn a_cut_message_and_pieces_that_do_not_follow_are_errors() {
        let four = 4_u32.to_le_bytes();
        let begins = [four.as_slice(), b"ab"].concat();
        let over = [four.as_slice(), b"abcde"].concat();
        for (what, pieces) in [
            ("cut", vec![(1, Form::Begins, begins.as_slice())]),
            ("no length", vec![(1, Form::Begins, b"abc")]),
            ("too many bytes", vec![(1, Form::Begins, over.as_slice())]),
            ("begins twice", vec![(1, Form::Begins, &begins), (1, Form::Begins, &begins)]),
            ("another kind", vec![(1, Form::Begins, &begins), (2, Form::GoesOn, b"cd")]),
            ("an empty piece", vec![(1, Form::Begins, &begins), (1, Form::GoesOn, b"")]),
            ("no beginning", vec![(1, Form::GoesOn, b"cd")]),
            ("another form", vec![(1, Form::Here, b"cd")]),
        ] {
            let (ours, theirs) = pair().unwrap();
            for (kind, form, body) in pieces {
                datagram::send(theirs.as_fd(), (kind, form), &[body], &[]).unwrap();
            }
            drop(theirs);
            let answer = receive(ours.as_fd(), &mut buffer(), BYTES_MAX);
            assert!(matches!(answer, Err(DatagramError::Protocol(_))), "{what}: {answer:?}");
        }
    }
}
