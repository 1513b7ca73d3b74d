//! Facts about the machine in each heartbeat, for people who choose targets. For display only: evidence comes
//! from the `host` collector's raw bytes.

use serde::{Deserialize, Serialize};
use sysinfo::System;

/// The machine in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Host name.
    pub hostname: Option<String>,
    /// Distribution and version.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Processor architecture.
    pub architecture: String,
    /// Logical processors.
    pub processors: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// One-minute load average in hundredths.
    pub load_hundredths: u64,
}

impl Inventory {
    /// Reads the facts now. This costs a few milliseconds; once per heartbeat, every 15 minutes, is often
    /// enough.
    #[must_use]
    pub fn read() -> Self {
        let memory_bytes = System::new().map_or(0, |mut system| {
            system.refresh_memory();
            system.total_memory()
        });
        let load = System::load_average().map(|load| (load.one * 100.0).round().to_string());
        Self {
            hostname: System::host_name().ok(),
            os: System::long_os_version().ok(),
            kernel: System::kernel_version().ok(),
            architecture: System::cpu_arch(),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes,
            uptime_s: System::uptime().unwrap_or(0),
            load_hundredths: load.ok().and_then(|load| load.parse().ok()).unwrap_or(0),
        }
    }

    /// The facts as a heartbeat carries them.
    #[expect(
        clippy::expect_used,
        reason = "an inventory has only texts and numbers, under names that are texts"
    )]
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an inventory is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let inventory = Inventory::read();
        assert!(inventory.memory_bytes > 1 << 20 && inventory.processors > 0);
        assert!(inventory.kernel.is_some());
        assert_eq!(serde_json::from_str::<Inventory>(&inventory.to_json()).unwrap(), inventory);
    }
}
