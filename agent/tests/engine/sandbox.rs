//! Asks what reader and sealer can and cannot do once they are confined. Each test runs in a forked child, because no process can
//! leave its sandbox.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use agent::collect::plan;
use agent::platform::{self, SystemClock};
use agent::{ipc, reader};
use cage::Profile;
use cage::datagram::{self, Form};
use evidence::item::AtimeMethod;
use evidence::order::{ProcessesStep, Step};
use testkit::containers::lab::verify_parts;
use testkit::wait;

use crate::bench::{self, Kept, LIMITS, Sleeper, files, is_root};

/// Runs `body` confined by `profile` in a child and gives back the lines it said.
fn confined(profile: Profile, body: impl FnOnce() -> Vec<String>) -> Vec<String> {
    let (ours, theirs) = datagram::pair().unwrap();
    let child = platform::fork(theirs, |socket| {
        let said = match cage::enter(profile) {
            Ok(()) => body(),
            Err(error) => vec![format!("sandbox: {error:?}")],
        };
        ipc::send_json(socket, &said, None).ok();
    })
    .unwrap();
    let said = ipc::receive_json(ours.as_fd(), &mut ipc::buffer()).unwrap();
    drop(child);
    said
}

fn give_descriptor(socket: &OwnedFd, descriptor: &OwnedFd) {
    let head = (0, Form::Here);
    datagram::send(socket.as_fd(), head, &[b"fd"], &[descriptor.as_fd()]).unwrap();
}

fn take_descriptor(socket: BorrowedFd<'_>) -> OwnedFd {
    let mut buffer = datagram::buffer();
    datagram::receive(socket, &mut buffer).unwrap().descriptors.pop().unwrap()
}

fn word<T, E: std::fmt::Debug>(what: &str, result: Result<T, E>) -> String {
    match result {
        Ok(_) => format!("{what}: ok"),
        Err(error) => format!("{what}: {error:?}"),
    }
}

#[test]
fn the_sealer_opens_nothing_connects_nowhere_and_starts_nothing() {
    let said = confined(Profile::Sealer, || {
        vec![
            word("open", fs_err::File::open("/etc/passwd")),
            word("connect", std::net::TcpStream::connect("127.0.0.1:1")),
            word("spawn", Command::new("/bin/true").status()),
            word("socket", std::os::unix::net::UnixDatagram::unbound()),
            word("thread", std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().unwrap())),
            format!("capabilities: {}", cage::effective_capabilities()),
        ]
    });
    for refused in ["open", "connect", "spawn", "socket"] {
        assert!(
            said.iter().any(|line| line.starts_with(refused) && line.contains("PermissionDenied")),
            "{said:?}"
        );
    }
    assert!(said.contains(&"thread: ok".to_owned()), "{said:?}");
    assert!(said.contains(&"capabilities: 0000000000000000".to_owned()), "{said:?}");
}

#[test]
fn the_reader_reads_other_processes_but_writes_traces_and_connects_nothing() {
    if !is_root("the_reader_reads_other_processes_but_writes_traces_and_connects_nothing") {
        return;
    }
    let mut other = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"])
        .spawn()
        .unwrap();
    let pid = other.id();
    let name = format!("/proc/{pid}/comm");
    wait::until("setpriv becoming sleep", || {
        fs_err::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
    });
    let said = confined(Profile::Reader, || {
        let proc = |name: &str| format!("/proc/{pid}/{name}");
        vec![
            word("exe", rustix::fs::readlinkat(rustix::fs::CWD, proc("exe"), Vec::new())),
            word("environ", fs_err::read(proc("environ"))),
            word("maps", fs_err::read(proc("maps"))),
            word("fd", rustix::fs::readlinkat(rustix::fs::CWD, proc("fd/0"), Vec::new())),
            word("shadow", fs_err::read("/etc/shadow")),
            word("neighbours", platform::neighbours()),
            word("write", fs_err::File::create("/tmp/exhibit-sandbox-test")),
            word("memory", std::fs::OpenOptions::new().write(true).open(proc("mem"))),
            word("spawn", Command::new("/bin/true").status()),
            word("connect", std::net::TcpStream::connect("127.0.0.1:1")),
            word("kill-open", fs_err::remove_file("/etc/hostname-does-not-exist")),
            format!("capabilities: {}", cage::effective_capabilities()),
        ]
    });
    other.kill().unwrap();
    other.wait().unwrap();
    for allowed in ["exe", "environ", "maps", "fd", "shadow", "neighbours"] {
        assert!(said.contains(&format!("{allowed}: ok")), "{allowed}: {said:#?}");
    }
    for refused in ["write", "memory", "spawn", "connect", "kill-open"] {
        assert!(
            said.iter().any(|line| line.starts_with(refused) && line.contains("PermissionDenied")),
            "{refused}: {said:#?}"
        );
    }
    // CAP_DAC_READ_SEARCH (2) and CAP_SYS_PTRACE (19).
    assert!(said.contains(&"capabilities: 0000000000080004".to_owned()), "{said:#?}");
}

/// A whole collection by a confined reader and a confined sealer, in processes of their own.
#[test]
fn confined_reader_and_sealer_collect_a_whole_plan() {
    if !is_root("confined_reader_and_sealer_collect_a_whole_plan") {
        return;
    }
    let other = Sleeper(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"])
            .spawn()
            .unwrap(),
    );
    let (reader_end, sealer_end) = agent::ipc::pair().unwrap();
    let (check_end, ask_end) = datagram::pair().unwrap();
    let steps = vec![
        Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ: true }),
        Step::Sockets {},
        Step::Routes {},
        Step::Host {},
        Step::Mounts {},
        files(&["/etc/**", "/usr/bin/sleep"]),
    ];
    let collectors: Vec<String> = steps.iter().map(|step| step.collector().to_owned()).collect();
    let view = platform::root_view(std::path::Path::new("/")).unwrap();
    assert_eq!(view.method, AtimeMethod::RoView, "{:?}", view.refused);
    let scope = reader::Scope { limits: LIMITS, view: view.method, deny: vec![], processes: vec![] };
    let params = plan::Params { steps, scope };
    // A forked child keeps one descriptor; the others travel over it.
    let (give, take) = datagram::pair().unwrap();
    let proc = platform::proc_view().unwrap().0;
    let parts = [view.directory, proc, reader_end, check_end];
    for part in &parts {
        give_descriptor(&give, part);
    }
    drop(parts);
    let reading = platform::fork(take, |socket| {
        let next = || take_descriptor(socket);
        let (root, proc, sealer, check) = (next(), next(), next(), next());
        let handles = reader::Handles { root, proc, sealer, check, state: vec![] };
        let said = match cage::enter(Profile::Reader) {
            Ok(()) => word("run", plan::run(&params, handles, None, &SystemClock)),
            Err(error) => format!("sandbox: {error:?}"),
        };
        ipc::send_json(socket, &vec![said], None).ok();
    })
    .unwrap();
    // The sealer hands its segments to the test through a pipe of messages: seal and bytes in pieces.
    let (collect, hand_over) = datagram::pair().unwrap();
    let (give_sealer, take_sealer) = datagram::pair().unwrap();
    for part in [&sealer_end, &ask_end, &hand_over] {
        give_descriptor(&give_sealer, part);
    }
    drop((sealer_end, ask_end, hand_over));
    let sealing = platform::fork(take_sealer, |socket| {
        let next = || take_descriptor(socket);
        let (reader, check, out) = (next(), next(), next());
        let said = match cage::enter(Profile::Sealer) {
            Ok(()) => {
                let params =
                    agent::sealer::intake::Params { container: bench::params(2), collectors, limits: LIMITS };
                let sockets = agent::sealer::intake::Sockets { reader, check };
                let mut sink = Kept::default();
                let done =
                    agent::sealer::intake::run(sockets, params, bench::signer(), &mut sink, &SystemClock);
                for segment in &sink.segments {
                    for bytes in [&segment.seal, &segment.bytes] {
                        for part in bytes.chunks(60_000) {
                            ipc::send_data(out.as_fd(), part).ok();
                        }
                        ipc::send_json(out.as_fd(), &"next", None).ok();
                    }
                }
                match done {
                    Ok(summary) => format!("complete {} {}", summary.is_complete(), summary.container.items),
                    Err(error) => format!("{error:?}"),
                }
            }
            Err(error) => format!("sandbox: {error:?}"),
        };
        ipc::send_json(socket, &vec![said], None).ok();
    })
    .unwrap();
    let mut buffer = ipc::buffer();
    let (mut blobs, mut blob) = (Vec::new(), Vec::new());
    loop {
        match datagram::receive(collect.as_fd(), &mut buffer) {
            Ok(got) if got.kind == 2 => blob.extend_from_slice(got.body),
            Ok(_) => blobs.push(std::mem::take(&mut blob)),
            Err(_) => break,
        }
    }
    let sealed: Vec<String> = ipc::receive_json(give_sealer.as_fd(), &mut buffer).unwrap();
    let read: Vec<String> = ipc::receive_json(give.as_fd(), &mut buffer).unwrap();
    drop((reading, sealing));
    assert_eq!(read, ["run: ok"], "{sealed:?}");
    assert!(sealed[0].starts_with("complete true"), "{sealed:?}");
    let parts = blobs.chunks_exact(2).map(|pair| (pair[0].as_slice(), pair[1].as_slice()));
    let (_, records) = verify_parts(parts).unwrap();
    // What root itself may not read here (process 1 of some containers) is no failure of the two capabilities.
    let refused_to_root = |path: &str| {
        let process = path.split('/').nth(2).unwrap_or_default();
        path.starts_with("/proc/") && fs_err::read_link(format!("/proc/{process}/exe")).is_err()
    };
    let is_denied = |record: &&evidence::item::ItemRecord| record.outcome.as_str() == "denied";
    let denied: Vec<_> =
        records.iter().filter(is_denied).map(|record| (&record.shown, &record.error)).collect();
    assert!(denied.iter().all(|(path, _)| refused_to_root(path)), "{denied:#?}");
    assert!(records.iter().any(|record| record.path.0 == b"/etc/shadow" && record.member.is_some()));
    let environ = format!("/proc/{}/environ", other.0.id());
    assert!(records.iter().any(|record| record.path.0 == environ.as_bytes() && record.member.is_some()));
}

/// What a kernel or a container without these calls answers.
fn old_kernel() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
    let missing = [libc::SYS_openat2, libc::SYS_statx, libc::SYS_open_tree, libc::SYS_mount_setattr, 451];
    let rules = missing.into_iter().map(|call| (call, Vec::new())).collect();
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, enosys, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

#[test]
fn an_old_kernel_costs_the_view_and_birth_times_and_nothing_else() {
    let root = tempfile::TempDir::new().unwrap();
    fs_err::create_dir(root.path().join("dir")).unwrap();
    fs_err::write(root.path().join("dir/file"), "content").unwrap();
    std::os::unix::fs::symlink("dir", root.path().join("link")).unwrap();
    let (ours, theirs) = datagram::pair().unwrap();
    let child = platform::fork(theirs, |socket| {
        old_kernel();
        let view = platform::root_view(root.path()).unwrap();
        let refused = view.refused.map(|error| error.to_string()).unwrap_or_default();
        let run =
            bench::Plan { is_viewed: true, ..bench::Plan::files(root.path(), &["/**", "/link/file"]) }.run();
        let file = run.one("/dir/file");
        let said = vec![
            format!("{:?} {}", view.method, refused.contains("open_tree")),
            format!("{} {}", String::from_utf8(run.content(file)).unwrap(), file.sha256.is_some()),
            format!("{:?} {:?}", file.atime_method, file.before.as_ref().unwrap().btime),
            run.outcome("/link/file"),
        ];
        ipc::send_json(socket, &said, None).ok();
    })
    .unwrap();
    let said: Vec<String> = ipc::receive_json(ours.as_fd(), &mut ipc::buffer()).unwrap();
    drop(child);
    assert_eq!(said, ["None true", "content true", "Some(Noatime) None", "absent"]);
}
