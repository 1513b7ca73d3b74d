//! All uses of Linux that the standard library does not offer. The only room of the agent with `unsafe`.
//!
//! Guarantee: every failed call returns its name and error number ([`CallError`]), so that an item record can
//! hold the failure. Nothing here follows a symbolic link, opens a special file or changes the file system.
//! Not here: what to read ([`crate::reader`]) and how to use the bytes ([`crate::sealer`]).

mod call;
mod clock;
mod directory;
mod fork;
mod handle;
mod namespace;
mod object;
mod page_cache;
mod proc_view;
mod root_view;
mod xattr;

pub use call::CallError;
pub(crate) use clock::duration;
pub use clock::{Clock, SystemClock};
pub use directory::{Directory, Entry};
pub use fork::{Child, fork};
pub use handle::SelfFds;
pub use namespace::{Dump, DumpEnd, NEIGHBOUR_BYTES_MAX, neighbours};
pub use object::{
    CrossDevice, FsKind, Identity, Look, fs_kind, kind_of, look, look_at, open_beneath, open_magic,
    read_link, read_link_at, reopen, reopen_magic,
};
pub use page_cache::{Residence, drop_range};
pub use proc_view::proc_view;
pub use root_view::{RootView, root_view};
pub use xattr::{XATTR_BYTES_MAX, Xattrs, xattrs};
