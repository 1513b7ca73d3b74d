//! Small trees to collect from.

use std::path::Path;

use fs_err as fs;
use rustix::time::{ClockId, clock_getres, clock_gettime};
use tempfile::TempDir;
use testkit::wait;

use crate::bench::must;

/// A tree whose times are long ago, so that nothing is `possibly_changed`.
pub fn make_old(root: &Path) {
    must(&format!("find '{}' -exec touch -h -d 2020-01-01 {{}} +", root.display()));
    // The change time cannot be set: wait until it is more than two ticks old.
    let tick = clock_getres(ClockId::RealtimeCoarse);
    let changed = clock_gettime(ClockId::Realtime);
    wait::until("a change time that is old", || clock_gettime(ClockId::Realtime) - changed > tick + tick);
}

pub fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::create_dir_all(root.path().join("var/log")).unwrap();
    fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.path().join("var/log/syslog"), vec![b'l'; 3 << 20]).unwrap();
    fs::write(root.path().join("var/log/empty"), "").unwrap();
    root
}
