//! Mounted file systems, swap and block devices.

use std::os::fd::AsFd;

use crate::ipc::{CollectorEnd, Use};
use crate::platform::{self, CrossDevice, Directory};
use crate::reader::{Absent, Flow, Reader};
use evidence::item::{AtimeMethod, Kind};

const FILES: &[&str] = &["/etc/fstab", "/etc/crypttab", "/etc/mdadm/mdadm.conf", "/etc/exports"];

const PROC: &[&str] = &["swaps", "partitions", "filesystems", "mdstat"];

pub(super) fn run(reader: &mut Reader<'_>) -> Flow<CollectorEnd> {
    // Process 1's table is the machine's; ours may be that of a sandbox.
    if !super::proc_file(reader, "1/mountinfo", Absent::Recorded)? {
        let own = format!("{}/mountinfo", std::process::id());
        super::proc_file(reader, &own, Absent::Recorded)?;
        reader.limitation("mounts: the table is that of the agent's own mount namespace");
    }
    for path in PROC {
        super::proc_file(reader, path, Absent::Ignored)?;
    }
    block_devices(reader)?;
    super::fixed(reader, FILES, Use::Member)
}

/// Names, sizes and kinds of block devices. `/sys/block` holds links into `/sys/devices`. The links become
/// items, and their targets are then read by their own path.
fn block_devices(reader: &mut Reader<'_>) -> Flow {
    let found =
        [&b"sys"[..], b"block"].iter().try_fold(std::sync::Arc::clone(&reader.root), |directory, name| {
            platform::open_beneath(directory.as_fd(), name, CrossDevice::Allowed).map(std::sync::Arc::new)
        });
    let listed = found.and_then(|directory| {
        let mut names = Vec::new();
        let mut listing = Directory::open(&reader.fds, directory.as_fd(), AtimeMethod::RoView)?;
        loop {
            let batch = listing.next_batch()?;
            if batch.is_empty() {
                return Ok((directory, names));
            }
            names.extend(batch.into_iter().map(|entry| entry.name));
        }
    });
    let (directory, names) = match listed {
        Ok(listed) => listed,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return reader.record_failure(b"/sys/block", Kind::Dir, error, None),
    };
    let mut globs = Vec::new();
    for name in names {
        let path = [b"/sys/block/".as_slice(), &name].concat();
        let Some(target) = reader.link(directory.as_fd(), &name, &path)? else {
            continue;
        };
        let Ok(target) = String::from_utf8(target) else {
            continue;
        };
        let is_plain =
            target.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._:!-".contains(letter));
        if let (Some(below), true) = (target.strip_prefix("../devices/"), is_plain) {
            globs.push(format!("/sys/devices/{below}/{{size,ro,removable}}"));
        }
    }
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    super::fixed(reader, &globs, Use::Member).map(drop)
}
