//! Asks the running kernel what each profile permits and forbids. Every probe runs in a process of its
//! own, this test program again, because no process can leave its cage.

#![cfg(test)]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use cage::Profile;

/// The probe's name in the environment of the child. No product reads it.
const PROBE: &str = "EXHIBIT_CAGE_PROBE";

/// The probe did what it tried.
const DONE: i32 = 0;
/// The kernel answered EPERM.
const REFUSED: i32 = 10;
/// It failed otherwise.
const FAILED: i32 = 11;

fn profile(name: &str) -> Profile {
    match name {
        "reader" => Profile::Reader,
        "sealer" => Profile::Sealer,
        "link" => Profile::Link,
        "verifier" => Profile::Verifier { memory_bytes_max: 4 << 30, cpu_s_max: 2 },
        "signer" => Profile::Signer,
        other => panic!("no profile {other}"),
    }
}

fn code<T>(result: std::io::Result<T>) -> i32 {
    match result {
        Ok(_) => DONE,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => REFUSED,
        Err(_) => FAILED,
    }
}

/// Enters the cage, then tries what it must be able, or unable, to do.
#[test]
fn probe() {
    let Ok(probe) = std::env::var(PROBE) else { return };
    let (name, attempt) = probe.split_once(':').unwrap();
    let mut before = fs_err::File::open("/proc/self/maps").unwrap();
    let target = std::env::temp_dir().join(format!("exhibit-cage-{}", std::process::id()));
    let parent = rustix::process::getppid().unwrap();
    cage::enter(profile(name)).unwrap();
    let code = match attempt {
        "nothing" => DONE,
        "allocate" => {
            let sum: u64 = vec![1_u8; 64 << 20].iter().map(|&byte| u64::from(byte)).sum();
            i32::from(sum != 64 << 20)
        }
        "open" => code(std::fs::File::open("/etc/hostname")),
        "write" => code(std::fs::File::create(&target)),
        "read-leaked" => code(before.read(&mut [0; 16])),
        "socket" => code(std::net::UdpSocket::bind("127.0.0.1:0")),
        "exec" => code(Command::new("/bin/true").status()),
        "thread" => code(std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().unwrap())),
        // Taking a descriptor of another process needs the right to trace it.
        "trace" => code(
            rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty())
                .and_then(|parent| {
                    rustix::process::pidfd_getfd(parent, 0, rustix::process::PidfdGetfdFlags::empty())
                })
                .map_err(std::io::Error::from),
        ),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "memory" => {
            std::hint::black_box(vec![1_u8; 8 << 30]);
            DONE
        }
        other => panic!("no probe {other}"),
    };
    // Exit directly: the harness would report through calls that the cage forbids.
    std::process::exit(code);
}

fn run(probe: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "probe", "--test-threads=1", "--nocapture"])
        .env(PROBE, probe)
        // The real child is started without it as well: a backtrace would open files.
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn every_profile_lets_its_process_work() {
    for name in ["reader", "sealer", "link", "verifier", "signer"] {
        for attempt in ["nothing", "allocate"] {
            let probe = format!("{name}:{attempt}");
            assert_eq!(run(&probe).code(), Some(DONE), "{probe}");
        }
    }
    for probe in ["reader:open", "reader:thread", "sealer:thread", "link:open", "link:thread", "link:socket"]
    {
        assert_eq!(run(probe).code(), Some(DONE), "{probe}");
    }
}

#[test]
fn reader_sealer_and_link_are_refused_what_they_do_not_need() {
    for probe in [
        "reader:write",
        "reader:socket",
        "reader:exec",
        "reader:trace",
        "sealer:open",
        "sealer:write",
        "sealer:socket",
        "sealer:exec",
        "sealer:trace",
        "link:write",
        "link:exec",
        "link:trace",
    ] {
        assert_eq!(run(probe).code(), Some(REFUSED), "{probe}");
    }
}

#[test]
fn files_sockets_programs_threads_and_leaked_descriptors_kill_verifier_and_signer() {
    for name in ["verifier", "signer"] {
        for attempt in ["open", "write", "socket", "exec", "thread", "read-leaked", "trace"] {
            let probe = format!("{name}:{attempt}");
            assert_eq!(run(&probe).signal(), Some(libc::SIGSYS), "{probe}");
        }
    }
}

#[test]
fn time_and_memory_are_bounded() {
    assert_eq!(run("verifier:spin").signal(), Some(libc::SIGKILL));
    for probe in ["verifier:memory", "signer:memory", "sealer:memory"] {
        assert_eq!(run(probe).signal(), Some(libc::SIGABRT), "{probe}");
    }
}
