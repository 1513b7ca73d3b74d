//! Child processes without files, network or keys, and datagrams with descriptors between our own programs.
//!
//! Guarantee: a process that has entered its [`Profile`] keeps it for good, with all its threads; no setting, variable or
//! argument switches it off. A message arrives whole or not at all, with the descriptors that were sent with it, and the
//! receiver's limits hold before it allocates. Not here: what the messages mean, and what runs inside.
//!
//! | module | what |
//! |---|---|
//! | [`Launch`] | starts one of our own programs as a child: one socket, no other descriptor, no environment |
//! | [`enter`] | confines the calling process: limits, capabilities, system calls |
//! | [`datagram`] | one datagram over a `SOCK_SEQPACKET` pair, with at most eight descriptors |
//! | [`channel`] | typed messages; a large body travels in a sealed memory file |
//! | [`pieces`] | messages of a process that may hold no second descriptor: a large body travels in pieces |

pub mod channel;
mod confine;
#[cfg(feature = "tokio")]
mod connection;
pub mod datagram;
mod filter;
mod launch;
mod memory_file;
pub mod pieces;
mod profile;

pub use confine::{CageError, drop_capabilities, effective_capabilities, enter, hide_memory};
#[cfg(feature = "tokio")]
pub use connection::{Connection, Socket};
pub use launch::{Errors, Launch, User, parent_socket};
pub use memory_file::{memory_file, sealed_len};
pub use profile::{Profile, capabilities};
