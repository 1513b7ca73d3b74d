//! The commands: one file for each group, with its arguments and the code that runs them.

pub(crate) mod authority;
pub(crate) mod bundle;
pub(crate) mod collect;
pub(crate) mod collection;
pub(crate) mod disposition;
pub(crate) mod endpoint;
pub(crate) mod evidence;
pub(crate) mod incident;
pub(crate) mod ledger;
pub(crate) mod login;
pub(crate) mod mirror;
pub(crate) mod order;
pub(crate) mod profile;
pub(crate) mod setup;
pub(crate) mod shell;
pub(crate) mod store;
pub(crate) mod trust;
pub(crate) mod verify;
