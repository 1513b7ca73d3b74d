//! Facts about the machine for greetings and manifests. The warden records them and decides nothing by them.

use std::io::{self, Read as _};

use evidence::digest::{Digest, Hasher};

/// Facts that do not change while the agent runs.
#[derive(Debug, Clone)]
pub struct Host {
    /// SHA-256 of the agent's program file.
    pub build_sha256: Digest,
    /// The kernel's boot id.
    pub boot_id: Option<String>,
    /// machine-id(5).
    pub machine_id: Option<String>,
}

impl Host {
    /// Reads them.
    ///
    /// # Errors
    /// If the program's own file cannot be read.
    pub fn read() -> io::Result<Self> {
        Ok(Self {
            build_sha256: build_sha256()?,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            machine_id: line("/etc/machine-id"),
        })
    }

    /// Whether a time service says that the clock is synchronised. `None` if no service says anything.
    #[must_use]
    pub(crate) fn synchronised() -> Option<bool> {
        // systemd-timesyncd creates it at the first answer of a time server after boot.
        std::path::Path::new("/run/systemd/timesync/synchronized").exists().then_some(true)
    }
}

/// SHA-256 of the running program's file.
pub fn build_sha256() -> io::Result<Digest> {
    let mut file = fs_err::File::open("/proc/self/exe")?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => {
                hasher.update(buffer.get(..read).ok_or_else(|| io::Error::other("a read gave too much"))?)
            }
        }
    }
}

fn line(path: &str) -> Option<String> {
    let text = fs_err::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty() && text.len() <= 64).then(|| text.to_owned())
}
