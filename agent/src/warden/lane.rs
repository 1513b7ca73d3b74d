//! A child process of the warden, with the socket between them.
//!
//! Guarantee: a child is this very program. It gets one socket as its standard input, no other descriptor,
//! and no environment but the log setting, and it dies with the warden. The warden never waits for a child
//! that does not read. Not here: what the child gives up by itself (`cage`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use cage::channel::{self, Outgoing};
use cage::datagram::{DatagramError, Sent};
use cage::{Errors, Launch, User};
use prost::Message;

/// Most messages that wait for one child: 64. With more, the child does not read, and it is replaced.
const QUEUE_MAX: usize = 64;

/// One child.
#[derive(Debug)]
pub struct Lane {
    socket: OwnedFd,
    child: Option<Child>,
    queue: VecDeque<Outgoing>,
}

impl Lane {
    /// Starts `program role` as `user`.
    pub fn start(program: &Path, role: &str, user: Option<User>) -> io::Result<Self> {
        let environment: Vec<_> = std::env::var_os(crate::LOG_VARIABLE)
            .map(|level| (crate::LOG_VARIABLE, level))
            .into_iter()
            .collect();
        let (mut command, ours) = Launch {
            program,
            name: Some("exhibit-agent"),
            arguments: &[role.into()],
            environment: &environment,
            user,
            answers_on_stdout: false,
            errors: Errors::Inherited,
        }
        .prepare()?;
        let child = command.spawn()?;
        Ok(Self { socket: ours, child: Some(child), queue: VecDeque::new() })
    }

    /// A lane whose other end somebody else holds. For tests that play the child.
    #[must_use]
    pub fn given(socket: OwnedFd) -> Self {
        Self { socket, child: None, queue: VecDeque::new() }
    }

    /// Its process id; 0 if the lane was given a socket.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, pid_of)
    }

    /// True while messages wait for room in the socket.
    #[must_use]
    pub(crate) fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends the message now, or as soon as there is room.
    ///
    /// # Errors
    /// [`DatagramError`] if the child is gone or does not read.
    pub fn send(&mut self, message: &impl Message, descriptors: Vec<OwnedFd>) -> Result<(), DatagramError> {
        if self.queue.len() >= QUEUE_MAX {
            return Err(DatagramError::Protocol("no sign of reading its messages"));
        }
        self.queue.push_back(Outgoing::new(message, descriptors)?);
        self.flush()
    }

    /// Sends as many waiting messages as there is room for.
    ///
    /// # Errors
    /// [`DatagramError::Closed`] if the child is gone.
    pub fn flush(&mut self) -> Result<(), DatagramError> {
        while let Some(first) = self.queue.front() {
            if first.try_send(self.socket.as_fd())? == Sent::Full {
                break;
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// [`DatagramError`] if the child is gone or breaks the protocol.
    pub fn receive<M: Message + Default>(&self) -> Result<Option<(M, Vec<OwnedFd>)>, DatagramError> {
        channel::try_receive(self.socket.as_fd())
    }

    /// Kills the child and gives it a moment. A child that is stuck in the kernel (uninterruptible sleep) is
    /// returned and left behind. Its sockets are closed here, so it can reach nobody if it ever wakes up.
    #[must_use]
    pub fn end(mut self) -> Option<Stuck> {
        self.kill(Duration::from_millis(500))
    }

    fn kill(&mut self, patience: Duration) -> Option<Stuck> {
        let mut child = self.child.take()?;
        // If it is already gone, that is as good as killed.
        drop(child.kill());
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            match child.try_wait() {
                Ok(Some(_)) | Err(_) => return None,
                Ok(None) if waited >= patience => return Some(Stuck(child)),
                Ok(None) => {
                    std::thread::sleep(step);
                    waited += step;
                }
            }
        }
    }
}

fn pid_of(child: &Child) -> i32 {
    rustix::process::Pid::from_child(child).as_raw_nonzero().get()
}

/// A child that SIGKILL has not ended yet.
#[derive(Debug)]
pub struct Stuck(Child);

impl Stuck {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        pid_of(&self.0)
    }

    /// True once the child has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A caller that wanted the outcome has already called `end`.
        drop(self.kill(Duration::from_millis(100)));
    }
}

impl AsFd for Lane {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The ids of user `name`, if this process may become another user. If no user has that name, ids that belong
/// to nobody: the children are then kept from root's files just as well.
#[must_use]
pub(crate) fn user_named(name: &str) -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    in_passwd(name).or_else(|| {
        let is_mapped = |map: &str| fs_err::read_to_string(map).is_ok_and(|map| maps(&map, UNNAMED));
        (is_mapped("/proc/self/uid_map") && is_mapped("/proc/self/gid_map"))
            .then_some(User { uid: UNNAMED, gid: UNNAMED })
    })
}

/// A user and group id that no tool assigns: between systemd's container ranges and 2^31.
const UNNAMED: u32 = 2_010_426_573;

fn in_passwd(name: &str) -> Option<User> {
    let passwd = fs_err::read_to_string("/etc/passwd").ok()?;
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { uid, gid })
}

/// Whether a `uid_map` (first id inside, first outside, length) contains `id`. In a container it may not.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let id = u64::from(id);
        matches!(numbers.as_slice(), [first, _, length] if id.checked_sub(*first).is_some_and(|at| at < *length))
    })
}
