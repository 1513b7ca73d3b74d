//! Identity of the machine: names, release, kernel, accounts, clock sources, hardware serials.
//! Sensitive hashes (`/etc/shadow`) are not here: they take a `files` step and its approval.

use crate::ipc::{CollectorEnd, Use};
use crate::reader::{Absent, Flow, Reader};

/// Read through the file engine.
const FILES: &[&str] = &[
    // Forensic tools that open the container recognise a Linux system by these three.
    "/etc",
    "/var",
    "/run",
    "/etc/hostname",
    "/etc/machine-id",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/*-release",
    "/etc/debian_version",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/timezone",
    "/etc/localtime",
    "/sys/devices/virtual/dmi/id/{sys_vendor,product_name,product_uuid,product_serial,board_serial,chassis_serial}",
    "/sys/devices/virtual/dmi/id/{bios_vendor,bios_version,bios_date}",
    "/sys/kernel/security/lockdown",
    "/sys/kernel/security/lsm",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
];

/// Read from the process file system.
const PROC: &[&str] = &[
    "version",
    "cmdline",
    "uptime",
    "stat",
    "loadavg",
    "meminfo",
    "cpuinfo",
    "modules",
    "sys/kernel/hostname",
    "sys/kernel/domainname",
    "sys/kernel/osrelease",
    "sys/kernel/version",
    "sys/kernel/random/boot_id",
    "sys/kernel/tainted",
];

pub(super) fn run(reader: &mut Reader<'_>) -> Flow<CollectorEnd> {
    for path in PROC {
        super::proc_file(reader, path, Absent::Ignored)?;
    }
    super::fixed(reader, FILES, Use::Member)
}
