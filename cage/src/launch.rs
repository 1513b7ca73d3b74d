//! The only launcher of our own programs as child processes.
//!
//! Guarantee: a child has one socket and no other descriptor of its parent (all of ours are closed on exec).
//! Its environment holds only the variables named here, and its directory is `/`. If it becomes another user,
//! it keeps no supplementary group of its parent's user. Not here: what the child gives up by itself
//! ([`crate::enter`]).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::datagram;

/// The user that a child becomes before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Where the child's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// It goes to the parent's standard error.
    Inherited,
    /// It goes nowhere: a process that parses a stranger's bytes must not write to our log.
    Discarded,
}

/// How to start a child.
#[derive(Debug)]
pub struct Launch<'launch> {
    /// The program: our own executable.
    pub program: &'launch Path,
    /// Its name in the process list; `None` for the program's path.
    pub name: Option<&'launch str>,
    /// Its arguments.
    pub arguments: &'launch [OsString],
    /// The only environment variables that it gets.
    pub environment: &'launch [(&'launch str, OsString)],
    /// The user that it becomes.
    pub user: Option<User>,
    /// True if the socket is also its standard output, for a child that only writes there.
    pub answers_on_stdout: bool,
    /// Where its standard error goes.
    pub errors: Errors,
}

impl Launch<'_> {
    /// The command to spawn, and our end of the child's socket. The command holds the child's end. Drop the
    /// command after the spawn: otherwise we never notice that the child has ended.
    ///
    /// # Errors
    /// This process has no free descriptors, or the kernel's socket buffers are too small.
    pub fn prepare(&self) -> io::Result<(Command, OwnedFd)> {
        let (ours, theirs) = datagram::pair_for(datagram::SHORT_BYTES_MAX)?;
        let mut command = Command::new(self.program);
        let output = if self.answers_on_stdout { Stdio::from(theirs.try_clone()?) } else { Stdio::null() };
        let errors = match self.errors {
            Errors::Inherited => Stdio::inherit(),
            Errors::Discarded => Stdio::null(),
        };
        command
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(output)
            .stderr(errors);
        if let Some(name) = self.name {
            command.arg0(name);
        }
        if let Some(user) = self.user {
            // This also drops the supplementary groups (std calls setgroups when it changes the user as
            // root).
            command.uid(user.uid).gid(user.gid);
        }
        Ok((command, ours))
    }
}

/// The child's end of its socket, which is its standard input. From this call on, the child dies with the
/// thread that started it.
///
/// # Errors
/// `Other` if this process was not started by [`Launch`], or if its parent is gone already.
pub fn parent_socket() -> io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above. Then init or a reaper has adopted this process, and the
    // socket is closed.
    if getppid().is_none() {
        return Err(io::Error::other("the parent process is gone"));
    }
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    match rustix::net::sockopt::socket_type(&socket) {
        Ok(rustix::net::SocketType::SEQPACKET) => Ok(socket),
        _ => Err(io::Error::other("this is not a command: the program starts it by itself")),
    }
}
