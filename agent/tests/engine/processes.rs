//! The live collectors against real processes, sockets and namespaces.

use fs_err as fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use evidence::order::{JournalStep, ProcessesStep, Step};
use serde_json::Value;
use tempfile::TempDir;
use testkit::wait;

use crate::bench::{Plan, Run, Sleeper, is_root, must};

fn collect(steps: Vec<Step>) -> Run {
    Plan { is_viewed: rustix::process::geteuid().is_root(), ..Plan::of(Path::new("/"), steps) }.run()
}

const PROCESSES: Step = Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ: true });

fn row(run: &Run, pid: u32) -> Value {
    run.rows("processes").into_iter().find(|row| row["row"] == "process" && row["pid"] == pid).unwrap()
}

#[test]
fn rows_tell_odd_arguments_deleted_programs_and_digests() {
    if !is_root("rows_tell_odd_arguments_deleted_programs_and_digests") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("tool");
    fs::copy("/bin/sleep", &program).unwrap();
    let misleading = dir.path().join("kept (deleted)");
    fs::copy("/bin/sleep", &misleading).unwrap();
    let mut odd = Command::new("/bin/sleep");
    odd.arg0(std::ffi::OsString::from_vec(b"[kworker/0:1]\xff".to_vec())).arg("60").env("SECRET", "\u{e9}");
    let odd = Sleeper(odd.spawn().unwrap());
    let deleted = Sleeper(Command::new(&program).arg("60").spawn().unwrap());
    // `spawn` returns when the new program is in place: nothing has to be awaited.
    let kept = Sleeper(Command::new(&misleading).arg("60").spawn().unwrap());
    let expected = Command::new("sha256sum").arg(&program).output().unwrap().stdout;
    fs::remove_file(&program).unwrap();
    let run = collect(vec![PROCESSES]);
    let odd_row = row(&run, odd.0.id());
    assert_eq!(odd_row["argv"][0]["shown"], "[kworker/0:1]\u{fffd}");
    assert_eq!(odd_row["kernel_thread"], false, "the name does not make it one");
    assert_eq!(odd_row["exe_deleted"], false);
    let deleted_row = row(&run, deleted.0.id());
    assert_eq!(deleted_row["exe_deleted"], true);
    assert_eq!(deleted_row["exe_sha256"].as_str().unwrap().as_bytes(), &expected[..64]);
    let kept_row = row(&run, kept.0.id());
    assert_eq!(kept_row["exe_deleted"], false);
    assert!(kept_row["exe"].as_str().unwrap().ends_with("kept (deleted)"));
    let environ = run.one(&format!("/proc/{}/environ", odd.0.id()));
    assert!(run.content(environ).windows(9).any(|bytes| bytes == b"SECRET=\xc3\xa9"));
    // Our own process is in the list, its secrets are not.
    let own = std::process::id();
    assert_eq!(run.outcome(&format!("/proc/{own}/environ")), "skipped_policy");
    assert_eq!(run.outcome(&format!("/proc/{own}/fd")), "skipped_policy");
    assert_eq!(
        row(&run, own)["comm"],
        run.rows("processes").iter().find(|row| row["pid"] == own).unwrap()["comm"]
    );
}

#[test]
fn a_program_without_file_is_hashed() {
    if !is_root("a_program_without_file_is_hashed") {
        return;
    }
    let script = "import os,sys\nfd=os.memfd_create('ghost',0)\nos.write(fd,open('/bin/sleep','rb').read())\n\
        os.execve(fd,['ghost','60'],{})\n";
    let ghost = Sleeper(Command::new("python3").args(["-c", script]).stdout(Stdio::null()).spawn().unwrap());
    let exe = format!("/proc/{}/exe", ghost.0.id());
    wait::until("the program without file", || {
        fs::read_link(&exe).unwrap().to_string_lossy().contains("memfd")
    });
    let run = collect(vec![PROCESSES]);
    let row = row(&run, ghost.0.id());
    assert_eq!(row["exe"], "/memfd:ghost (deleted)");
    let expected = Command::new("sha256sum").arg("/bin/sleep").output().unwrap().stdout;
    assert_eq!(row["exe_sha256"].as_str().unwrap().as_bytes(), &expected[..64]);
}

#[test]
fn a_program_whose_path_the_kernel_does_not_print_is_hashed_unless_a_path_is_denied() {
    if !is_root("a_program_whose_path_the_kernel_does_not_print_is_hashed_unless_a_path_is_denied") {
        return;
    }
    let script = "import os,sys\nos.chdir(sys.argv[1])\nfor _ in range(25):\n os.mkdir('d'*200)\n os.chdir('d'*200)\n\
        with open('tool','wb') as tool: tool.write(open('/bin/sleep','rb').read())\nos.chmod('tool',0o755)\n\
        os.execve('tool',['tool','60'],{})\n";
    let dir = TempDir::new().unwrap();
    let deep = Sleeper(Command::new("python3").args(["-c", script]).arg(dir.path()).spawn().unwrap());
    let exe = format!("/proc/{}/exe", deep.0.id());
    wait::until("the program behind a long path", || fs::read_link(&exe).is_err());
    let expected = Command::new("sha256sum").arg("/bin/sleep").output().unwrap().stdout;
    let given = row(&collect(vec![PROCESSES]), deep.0.id());
    assert_eq!(given["exe_sha256"].as_str().unwrap().as_bytes(), &expected[..64]);
    // Nobody can say whether a path of more than a page is among those that the owner denies.
    let deny = vec!["/nowhere/private".to_owned()];
    let run = Plan { deny, is_viewed: true, ..Plan::of(Path::new("/"), vec![PROCESSES]) }.run();
    let refused = row(&run, deep.0.id());
    assert_eq!(refused["exe_sha256"], Value::Null);
    assert_eq!(refused["exe_note"], "readlinkat failed: 36");
}

#[test]
fn listeners_are_seen_here_and_in_other_namespaces() {
    if !is_root("listeners_are_seen_here_and_in_other_namespaces") {
        return;
    }
    let here = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = here.local_addr().unwrap().port();
    let script = "import socket,time\ns=socket.socket()\ns.bind(('0.0.0.0',4242))\ns.listen()\nprint('up',flush=True)\ntime.sleep(60)\n";
    let mut there =
        Command::new("unshare").args(["-n", "python3", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 2];
    std::io::Read::read_exact(there.stdout.as_mut().unwrap(), &mut up).unwrap();
    let there = Sleeper(there);
    let run = collect(vec![Step::Sockets {}, Step::Routes {}]);
    drop(there);
    assert!(run.summary.is_complete());
    let rows = run.rows("sockets");
    let listener = |port: u64| {
        rows.iter()
            .find(|row| row["protocol"] == "tcp" && row["state"] == "listen" && row["local"]["port"] == port)
            .unwrap()
    };
    let (ours, theirs) = (listener(port.into()), listener(4242));
    assert!(ours["namespace"].is_string());
    assert_ne!(ours["namespace"], theirs["namespace"]);
    assert!(rows.iter().any(|row| row["protocol"] == "unix"));
    assert!(
        run.records
            .iter()
            .any(|record| record.path.0.ends_with(b"/net/tcp") && record.kind == evidence::item::Kind::File)
    );
    assert_eq!(run.all(b"live/routes.neighbours.bin").len(), 1);
}

#[test]
fn machine_sessions_mounts_and_journal_are_collected() {
    let run = collect(vec![
        Step::Host {},
        Step::Sessions {},
        Step::Mounts {},
        Step::Journal(JournalStep { rows: true }),
    ]);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let host = run.rows("host").into_iter().find(|row| row["row"] == "host").unwrap();
    assert_eq!(host["kernel_release"], kernel.trim());
    assert!(run.rows("mounts").iter().any(|row| row["row"] == "mount" && row["mounted_at"] == "/"));
    for path in ["/etc", "/var", "/run"] {
        assert_eq!(run.outcome(path), "ok");
    }
    let boot_id = run.one("/proc/sys/kernel/random/boot_id");
    assert_eq!(run.content(boot_id), fs::read("/proc/sys/kernel/random/boot_id").unwrap());
}

#[test]
fn without_privileges_what_is_refused_is_said() {
    if !is_root("without_privileges_what_is_refused_is_said") {
        return;
    }
    let out = TempDir::new().unwrap();
    must(&format!("chmod 755 '{}'", out.path().display()));
    let mut secret = Command::new("sleep");
    let secret = Sleeper(secret.arg("60").spawn().unwrap());
    let run = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let nobody = rustix::thread::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            Plan::of(Path::new("/"), vec![PROCESSES, Step::Sockets {}]).run()
        });
        reading.join().unwrap()
    });
    let pid = secret.0.id();
    for name in ["exe", "cwd", "environ", "fd"] {
        assert_eq!(run.outcome(&format!("/proc/{pid}/{name}")), "denied", "{name}");
    }
    let row = row(&run, pid);
    assert_eq!(row["argv"][0], "sleep");
    assert_eq!(row["exe"], Value::Null);
    assert!(
        run.summary.limitations.iter().any(|text| text.contains("permission")),
        "{:?}",
        run.summary.limitations
    );
}

#[test]
fn policy_denials_hold_for_processes_and_their_programs() {
    if !is_root("policy_denials_hold_for_processes_and_their_programs") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let denied = dir.path().join("denied");
    fs::create_dir(&denied).unwrap();
    fs::copy("/bin/sleep", denied.join("tool")).unwrap();
    fs::copy("/bin/sleep", denied.join("gone")).unwrap();
    let running = |name: &str| Sleeper(Command::new(denied.join(name)).arg("60").spawn().unwrap());
    let (kept, gone) = (running("tool"), running("gone"));
    fs::remove_file(denied.join("gone")).unwrap();
    let deny = vec![
        format!("{}/tool", denied.display()),
        format!("{}/gone", denied.display()),
        "/proc/*/environ".to_owned(),
        "/proc/*/cwd".to_owned(),
        "/proc/*/net/unix".to_owned(),
    ];
    let plan = Plan::of(Path::new("/"), vec![PROCESSES, Step::Sockets {}]);
    let run = Plan { deny, is_viewed: true, ..plan }.run();
    for child in [&kept, &gone] {
        let pid = child.0.id();
        for name in ["environ", "cwd"] {
            let record = run.one(&format!("/proc/{pid}/{name}"));
            assert_eq!(record.outcome.as_str(), "skipped_policy", "{name}");
            assert!(record.target.is_none() && record.member.is_none());
        }
        let row = row(&run, pid);
        assert_eq!((&row["exe_sha256"], &row["cwd"]), (&Value::Null, &Value::Null));
        assert_eq!(row["exe_note"], "denied by policy.toml");
    }
    let is_unix = |record: &&evidence::item::ItemRecord| record.path.0.ends_with(b"/net/unix");
    let outcomes: Vec<&str> =
        run.records.iter().filter(is_unix).map(|record| record.outcome.as_str()).collect();
    assert!(
        !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == "skipped_policy"),
        "{outcomes:?}"
    );
    assert!(!run.rows("sockets").iter().any(|row| row["protocol"] == "unix"));
}
