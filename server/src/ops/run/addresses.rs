//! Writes the addresses on which the collector really listens to `run/addresses.json`: a configured port may be 0.
//!
//! Guarantee: the file appears whole, after the listeners are bound and before the first call is taken. A clean stop removes it.
//! Not here: binding (`listeners`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bound addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// The main listener: agents and people, mutual TLS.
    pub collector: SocketAddr,
    /// The enrolment listener.
    pub enrol: SocketAddr,
    /// `/metrics` over HTTP, when configured.
    pub metrics: Option<SocketAddr>,
}

/// The published file; removed when dropped.
#[derive(Debug)]
pub struct Published(PathBuf);

impl Addresses {
    /// Writes `addresses.json` below the run directory, which is made if missing.
    pub fn publish(&self, run_directory: &Path) -> io::Result<Published> {
        durable::create_private_folder(run_directory)?;
        let path = run_directory.join("addresses.json");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        durable::replace(&path, &text, 0o644)?;
        Ok(Published(path))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = durable::remove(&self.0) {
            tracing::warn!(%error, "The address file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_while_published_and_gone_after() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let addresses = Addresses {
            collector: "127.0.0.1:40001".parse().unwrap(),
            enrol: "[::1]:40002".parse().unwrap(),
            metrics: None,
        };
        let published = addresses.publish(&run).unwrap();
        let read: Addresses =
            serde_json::from_slice(&fs_err::read(run.join("addresses.json")).unwrap()).unwrap();
        assert_eq!(read, addresses);
        drop(published);
        assert!(!run.join("addresses.json").exists());
    }
}
