//! The Debian packages in a booted Debian: a systemd-nspawn container over an overlay of this host's own root, so that nothing is
//! downloaded and nothing of this host changes. The test installs them, enrols, starts the hardened units, collects once, removes and
//! purges them.

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{attempt, bin_dir, checkout, is_root, run};

const SCRIPT: &str = include_str!("packages/in-container.sh");

const UNIT: &str = "[Unit]\nDescription=Exhibit package test\nRequires=basic.target dbus.service\nAfter=basic.target dbus.service\n\
SuccessAction=poweroff-force\nFailureAction=poweroff-force\n\n[Service]\nType=oneshot\nExecStart=/bin/bash /exhibit-test/run.sh\n\
StandardOutput=file:/exhibit-test/out\nStandardError=inherit\nTimeoutStartSec=150\n";

/// An overlay of `/`, unmounted at the end.
struct Overlay {
    merged: PathBuf,
}

impl Overlay {
    fn over_root(scratch: &Path) -> Option<Self> {
        // The upper layer must not lie on an overlay itself: a tmpfs always works.
        let disk = scratch.join("disk");
        fs_err::create_dir(&disk).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2g", "tmpfs"]).arg(&disk)).unwrap();
        for name in ["upper", "work", "merged"] {
            fs_err::create_dir(disk.join(name)).unwrap();
        }
        let merged = disk.join("merged");
        let options = format!(
            "lowerdir=/,upperdir={},workdir={}",
            disk.join("upper").display(),
            disk.join("work").display()
        );
        let mounted =
            attempt(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged))
                .unwrap();
        let overlay = Self { merged };
        mounted.status.success().then_some(overlay)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for path in [Some(self.merged.as_path()), self.merged.parent()].into_iter().flatten() {
            // Best effort: the test has its verdict by now.
            drop(attempt(Command::new("umount").arg("--lazy").arg(path)));
        }
    }
}

/// Why nspawn could not even begin to boot, in its own words: the kernel or the outer container denies what it needs. A machine that
/// boots and then does not run the service has a broken unit or package, and that is a failure.
fn no_boot_here(log: &str) -> Option<String> {
    let booted = ["systemd[1]", "Welcome to", "Reached target", "Started ", "Starting "];
    if booted.iter().any(|sign| log.contains(sign)) {
        return None;
    }
    let denied = [
        "Operation not permitted",
        "Permission denied",
        "Read-only file system",
        "Failed to mount",
        "cgroup",
        "No such device",
    ];
    log.lines().find(|line| denied.iter().any(|word| line.contains(word))).map(str::to_owned)
}

#[test]
fn only_a_container_that_cannot_boot_is_skipped() {
    for log in
        ["", "Welcome to Debian\nFailed to mount x", "systemd[1]: exhibit-test.service: Permission denied"]
    {
        assert_eq!(no_boot_here(log), None, "{log}");
    }
    assert!(no_boot_here("Failed to allocate cgroup: Operation not permitted").is_some());
}

#[test]
fn packages_install_run_as_services_collect_and_leave() {
    let name = "packages_install_run_as_services_collect_and_leave";
    if !is_root(name) {
        return;
    }
    if !Path::new("/usr/bin/systemd-nspawn").exists() {
        println!("SKIPPED {name}: systemd-nspawn is not installed (systemd-container)");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let debs = scratch.path().join("debs");
    let mut build = Command::new("bash");
    build.arg(checkout().join("packaging/build-deb.sh")).arg("--bin").arg(bin_dir()).arg("--out").arg(&debs);
    run(&mut build).unwrap();
    let Some(overlay) = Overlay::over_root(scratch.path()) else {
        println!("SKIPPED {name}: this kernel mounts no overlay here");
        return;
    };
    let inside = overlay.merged.join("exhibit-test");
    fs_err::create_dir(&inside).unwrap();
    for entry in fs_err::read_dir(&debs).unwrap() {
        let path = entry.unwrap().path();
        fs_err::copy(&path, inside.join(path.file_name().unwrap())).unwrap();
    }
    fs_err::write(inside.join("run.sh"), SCRIPT).unwrap();
    fs_err::write(overlay.merged.join("etc/systemd/system/exhibit-test.service"), UNIT).unwrap();
    let mut boot = Command::new("timeout");
    boot.args([
        "--kill-after=10",
        "160",
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--console=pipe",
        "--machine=exhibit-test",
    ]);
    boot.arg("--directory").arg(&overlay.merged).arg("systemd.unit=exhibit-test.service");
    let booted = attempt(&mut boot).unwrap();
    let out = fs_err::read_to_string(inside.join("out")).unwrap_or_default();
    if out.is_empty() {
        let log = [booted.stdout.as_slice(), booted.stderr.as_slice()].concat();
        let log = String::from_utf8_lossy(&log).into_owned();
        if let Some(why) = no_boot_here(&log) {
            println!("SKIPPED {name}: systemd does not boot in a container here: {why}");
            return;
        }
        panic!("the container ended with {} and its service wrote nothing:\n{log}", booted.status);
    }
    println!("{out}");
    assert!(out.trim_end().ends_with("PACKAGES OK"), "the script in the container did not reach its end");
}
