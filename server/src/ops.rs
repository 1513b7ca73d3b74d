//! What an operator does with a collector: make it, run it, check it, rebuild it, restore it.

pub mod capabilities;
pub mod commands;
pub mod foundation;
pub mod init;
pub mod log_key;
pub mod mirror_cmd;
pub mod mirror_judge;
pub mod places;
pub mod rebuild;
pub mod restore_cmd;
pub mod restored;
pub mod run;
pub mod serve;
pub mod store_cmd;
pub mod store_probe;
