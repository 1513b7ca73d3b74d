//! The operator's commands: make a collector, run it, check it, rebuild it, restore it.

pub(crate) mod capabilities;
pub(crate) mod commands;
pub mod foundation;
pub mod init;
pub mod log_key;
pub(crate) mod mirror_cmd;
pub(crate) mod mirror_judge;
pub(crate) mod places;
pub mod program;
pub mod rebuild;
pub(crate) mod restore_cmd;
pub(crate) mod restored;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod store_cmd;
pub(crate) mod store_probe;
