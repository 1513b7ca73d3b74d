//! The file engine and the sealer together, on trees that are as hostile as we can make them.

use fs_err as fs;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evidence::item::{GapWhy, Kind};
use evidence::order::{FilesStep, Limits, OnLarger, Step};
use fs_err::os::unix::fs::FileExt as _;
use sha2::Digest as _;
use tempfile::TempDir;

use crate::bench::{LIMITS, Plan, files, is_root, must};

/// A tree whose times are long ago, so that nothing is `possibly_changed`.
fn settle(root: &Path) {
    must(&format!("find '{}' -exec touch -h -d 2020-01-01 {{}} +", root.display()));
    // The change time cannot be set: let it be two ticks old.
    std::thread::sleep(Duration::from_millis(50));
}

fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::create_dir_all(root.path().join("var/log")).unwrap();
    fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.path().join("var/log/syslog"), vec![b'l'; 3 << 20]).unwrap();
    fs::write(root.path().join("var/log/empty"), "").unwrap();
    root
}

#[test]
fn what_tar_extracts_is_what_was_there_and_what_the_records_say() {
    let root = tree();
    settle(root.path());
    let run = Plan::files(root.path(), &["/**"]).run();
    assert!(run.summary.is_complete(), "{:?}", run.summary);
    assert_eq!(run.outcomes(), BTreeMap::from([("ok".to_owned(), run.records.len() as u64)]));
    for path in ["/", "/etc", "/var", "/var/log"] {
        assert_eq!(run.one(path).kind, Kind::Dir);
    }
    assert_eq!(run.content(run.one("/etc/passwd")), b"root:x:0:0:root:/root:/bin/sh\n");
    let out = TempDir::new().unwrap();
    let archive = out.path().join("c.tar.zst");
    fs::write(&archive, &run.container).unwrap();
    must(&format!("cd '{}' && tar --zstd -xf c.tar.zst", out.path().display()));
    for record in run.records.iter().filter(|record| record.has_content()) {
        let name = OsStr::from_bytes(&record.member.as_ref().unwrap().0);
        let bytes = fs::read(out.path().join(name)).unwrap();
        assert_eq!(hex::encode(sha2::Sha256::digest(&bytes)), record.sha256.unwrap().to_string());
    }
}

#[test]
fn names_of_any_bytes_are_kept() {
    let root = TempDir::new().unwrap();
    let names: [&[u8]; 7] =
        [b"\xff\xfe\n", b"new\nline", b"..\\..\\x", b"...", b" ", b"[root]", b"-rf * $(x) \x1b[31m"];
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir(root.path().join("d".repeat(255))).unwrap();
    fs::write(root.path().join("d".repeat(255)).join("é".repeat(120)), "long").unwrap();
    settle(root.path());
    let run = Plan::files(root.path(), &["/**"]).run();
    for name in names {
        let path = [b"/", name].concat();
        assert_eq!(run.content(run.one_raw(&path)), name);
    }
    assert_eq!(run.content(run.one(&format!("/{}/{}", "d".repeat(255), "é".repeat(120)))), b"long");
}

#[test]
fn special_files_are_recorded_and_never_opened() {
    let root = tree();
    let log = root.path().join("var/log");
    must(&format!("mkfifo '{}/pipe'", log.display()));
    let _listener = std::os::unix::net::UnixListener::bind(log.join("sock")).unwrap();
    if rustix::process::geteuid().is_root() {
        must(&format!("mknod '{}/null' c 1 3", log.display()));
    }
    // A writer that waits for a reader must go on waiting.
    let mut waiting =
        Command::new("sh").arg("-c").arg(format!("echo x > '{}/pipe'", log.display())).spawn().unwrap();
    let begun = Instant::now();
    let run = Plan::files(root.path(), &["/var/log/*"]).run();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(waiting.try_wait().unwrap(), None, "the FIFO was opened");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    for (name, kind) in [("pipe", Kind::Fifo), ("sock", Kind::Socket)] {
        let record = run.one(&format!("/var/log/{name}"));
        assert_eq!((record.kind, record.outcome.as_str()), (kind, "skipped_type"));
        assert!(record.member.is_none() && record.before.is_some());
    }
}

#[test]
fn links_are_items_and_never_followed() {
    let root = tree();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "outside").unwrap();
    symlink(outside.path(), root.path().join("var/out")).unwrap();
    symlink("/etc/passwd", root.path().join("etc/alias")).unwrap();
    symlink("..", root.path().join("var/up")).unwrap();
    settle(root.path());
    let run = Plan::files(root.path(), &["/**", "/var/out/secret", "/var/gone/x"]).run();
    assert_eq!(run.one("/etc/alias").target.as_ref().unwrap().0, b"/etc/passwd");
    assert_eq!(run.one("/var/out").kind, Kind::Symlink);
    assert_eq!(run.outcome("/var/out/secret"), "absent");
    assert_eq!(run.outcome("/var/gone/x"), "absent");
    assert!(run.records.iter().all(|record| !record.path.0.starts_with(b"/var/up/")));
}

#[test]
fn a_name_swapped_with_a_link_never_leads_outside() {
    let root = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("f"), "OUTSIDE").unwrap();
    for n in 0..300 {
        fs::create_dir(root.path().join(format!("d{n:03}"))).unwrap();
        fs::write(root.path().join(format!("d{n:03}/f")), "inside").unwrap();
    }
    let is_done = AtomicBool::new(false);
    let link = root.path().join("link");
    symlink(outside.path(), &link).unwrap();
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !is_done.load(Ordering::Relaxed) {
                let directory = root.path().join(format!("d{:03}", n % 300));
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, &link, cwd, &directory, flags).unwrap();
                std::thread::yield_now();
                rustix::fs::renameat_with(cwd, &link, cwd, &directory, flags).unwrap();
                n += 1;
            }
        });
        let run = Plan::files(root.path(), &["/*/f"]).run();
        is_done.store(true, Ordering::Relaxed);
        run
    });
    let contents: Vec<Vec<u8>> = run
        .records
        .iter()
        .filter(|record| record.kind == Kind::File && record.member.is_some())
        .map(|r| run.content(r))
        .collect();
    assert!(contents.len() > 100);
    assert!(contents.iter().all(|content| content == b"inside"));
}

#[test]
fn hard_links_are_one_content_and_a_name_each() {
    let root = tree();
    fs::hard_link(root.path().join("var/log/syslog"), root.path().join("etc/a")).unwrap();
    fs::hard_link(root.path().join("var/log/syslog"), root.path().join("var/log/z")).unwrap();
    settle(root.path());
    let run = Plan::files(root.path(), &["/**"]).run();
    let first = run.one("/etc/a");
    assert!(first.link.is_none() && first.size == Some(3 << 20));
    for path in ["/var/log/syslog", "/var/log/z"] {
        let record = run.one(path);
        let link = record.link.as_ref().unwrap();
        assert_eq!((link.n, &link.member), (first.n, first.member.as_ref().unwrap()));
        assert_eq!((record.size, record.sha256, record.stored), (first.size, first.sha256, Some(0)));
    }
}

#[test]
fn four_gigabytes_of_hole_cost_nothing_and_keep_their_digest() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("lastlog");
    let file = fs::File::create(&path).unwrap();
    file.set_len(4 << 30).unwrap();
    file.write_all_at(b"first", 1 << 20).unwrap();
    file.write_all_at(b"last", (3 << 30) + 12_345).unwrap();
    settle(root.path());
    let run = Plan::files(root.path(), &["/lastlog"]).run();
    let record = run.one("/lastlog");
    assert_eq!((record.size, record.outcome.as_str()), (Some(4 << 30), "ok"));
    assert!(run.container.len() < 1 << 20 && record.stored < Some(1 << 20));
    let output = Command::new("sha256sum").arg(&path).output().unwrap();
    assert_eq!(output.stdout[..64], *record.sha256.unwrap().to_string().as_bytes());
}

#[test]
fn a_growing_file_is_a_prefix_and_says_so() {
    let (record, content) = during_read(|path| {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    });
    assert_eq!(record.outcome.as_str(), "grew");
    assert_eq!((record.size, content.len()), (Some(96 << 20), 96 << 20));
    assert_eq!(record.after.as_ref().unwrap().size, (96 << 20) + 4);
    assert!(record.gaps.is_empty());
}

/// Runs `act` once the sealer has begun to read the (large) file, which a slow processor share makes certain.
fn during_read(act: impl FnOnce(&Path) + Send) -> (evidence::item::ItemRecord, Vec<u8>) {
    let root = TempDir::new().unwrap();
    let path = root.path().join("big");
    let mut content = vec![0_u8; 96 << 20];
    for (n, byte) in content.iter_mut().enumerate() {
        *byte = u8::try_from((n * 2_654_435_761) >> 11 & 0xff).unwrap();
    }
    fs::write(&path, &content).unwrap();
    settle(root.path());
    let limits = Limits { cpu_pct: 20, ..LIMITS };
    let run = std::thread::scope(|scope| {
        let path = &path;
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(250));
            act(path);
        });
        let plan = Plan { limits, ..Plan::files(root.path(), &["/big"]) };
        plan.run()
    });
    let record = run.one("/big").clone();
    let content = if record.member.is_some() { run.content(&record) } else { Vec::new() };
    (record, content)
}

#[test]
fn a_file_cut_while_read_is_filled_and_the_fill_is_listed() {
    let (record, content) = during_read(|path| {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
    });
    assert_eq!(record.outcome.as_str(), "truncated", "{record:?}");
    assert_eq!(record.size, Some(96 << 20));
    let [gap] = record.gaps.as_slice() else { panic!("{:?}", record.gaps) };
    assert_eq!((gap.why, gap.end()), (GapWhy::Truncated, 96 << 20));
    assert!(record.sha256_read.is_some() && record.sha256_read != record.sha256);
    let start = usize::try_from(gap.off).unwrap();
    assert!(content[start..].iter().all(|byte| *byte == 0));
    assert_eq!(hex::encode(sha2::Sha256::digest(&content[..start])), record.sha256_read.unwrap().to_string());
}

#[test]
fn an_edit_with_its_time_set_back_is_seen() {
    let (record, _) = during_read(|path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"EDITED", 10).unwrap();
        must(&format!("touch -d 2020-01-01 '{}'", path.display()));
    });
    assert_eq!(record.outcome.as_str(), "modified");
    let (before, after) = (record.before.unwrap(), record.after.unwrap());
    assert_eq!((before.mtime, before.size), (after.mtime, after.size), "only the change time tells");
}

#[test]
fn a_rotated_file_is_replaced_and_an_unlinked_one_vanished() {
    let (record, _) = during_read(|path| {
        fs::rename(path, path.with_extension("1")).unwrap();
        fs::write(path, "new").unwrap();
    });
    assert_eq!(record.outcome.as_str(), "replaced");
    assert_eq!(record.size, Some(96 << 20));
    let (record, content) = during_read(|path| fs::remove_file(path).unwrap());
    assert_eq!(record.outcome.as_str(), "vanished");
    assert_eq!(content.len(), 96 << 20, "the bytes of the one opened are whole");
}

#[test]
fn an_unreadable_page_of_a_real_file_system_is_a_gap() {
    let name = "an_unreadable_page_of_a_real_file_system_is_a_gap";
    if !is_root(name) {
        return;
    }
    if Command::new("mkfs.btrfs").arg("--version").output().is_err() {
        eprintln!("skipped without mkfs.btrfs: {name}");
        return;
    }
    // btrfs checks every page it reads against a checksum: one flipped byte of the image is an I/O error of the page.
    let dir = TempDir::new().unwrap();
    let (image, mount) = (dir.path().join("image"), dir.path().join("mnt"));
    fs::create_dir(&mount).unwrap();
    must(&format!("truncate -s 256M '{0}' && mkfs.btrfs -q -d single '{0}'", image.display()));
    let mut content = vec![0_u8; 8 << 20];
    getrandom::fill(&mut content).unwrap();
    must(&format!("mount -o loop '{}' '{}'", image.display(), mount.display()));
    fs::write(mount.join("log"), &content).unwrap();
    must(&format!("umount '{}'", mount.display()));
    let (page, stored) = (100 * 4096, fs::read(&image).unwrap());
    let found = stored.chunks_exact(4096).position(|block| *block == content[page..page + 4096]).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    file.write_all_at(&[stored[found * 4096] ^ 1], u64::try_from(found * 4096).unwrap()).unwrap();
    drop(file);
    must(&format!("mount -o loop,ro '{}' '{}'", image.display(), mount.display()));
    let run = std::panic::catch_unwind(|| Plan::files(&mount, &["/log"]).run());
    must(&format!("umount '{}'", mount.display()));
    let run = run.unwrap();
    let record = run.one("/log");
    assert_eq!(record.outcome.as_str(), "io_error");
    assert_eq!((record.error.as_ref().unwrap().op.as_str(), record.size), ("pread64", Some(8 << 20)));
    let [gap] = record.gaps.as_slice() else { panic!("{:?}", record.gaps) };
    assert_eq!((gap.off, gap.len, gap.why, gap.errno), (100 * 4096, 4096, GapWhy::IoError, Some(5)));
    content[page..page + 4096].fill(0);
    assert!(run.content(record) == content);
}

#[test]
fn own_state_is_never_given_under_any_name() {
    if !is_root("own_state_is_never_given_under_any_name") {
        return;
    }
    let root = tree();
    let state = root.path().join("var/lib/exhibit-agent");
    fs::create_dir_all(state.join("keys")).unwrap();
    fs::write(state.join("keys/evidence"), "PRIVATE").unwrap();
    fs::write(state.join("log"), "PRIVATE").unwrap();
    fs::hard_link(state.join("keys/evidence"), root.path().join("etc/innocent")).unwrap();
    for (from, to) in [("", "bound"), ("/keys", "bound-keys"), ("/log", "bound-log")] {
        let to = root.path().join(to);
        if from == "/log" {
            fs::write(&to, "").unwrap()
        } else {
            fs::create_dir(&to).unwrap()
        }
        must(&format!("mount --bind '{}{from}' '{}'", state.display(), to.display()));
    }
    let plan = || Plan {
        state: vec![state.clone()],
        ..Plan::files(root.path(), &["/**", "/var/lib/exhibit-agent/keys/evidence"])
    };
    let run = std::panic::catch_unwind(|| plan().run());
    // A key made after the denials were prepared, reached by another name.
    let late = std::panic::catch_unwind(|| {
        let fds = agent::platform::SelfFds::open().unwrap();
        let directory = |path: &Path| std::os::fd::OwnedFd::from(fs::File::open(path).unwrap());
        let now = agent::platform::Clock::wall(&agent::platform::SystemClock);
        let view = evidence::item::AtimeMethod::None;
        let root_fd = directory(root.path());
        let mut matcher = agent::matcher::Matcher::prepare(
            &fds,
            std::os::fd::AsFd::as_fd(&root_fd),
            view,
            vec![directory(&state)],
            [1].into(),
            &[],
            now,
        )
        .unwrap();
        fs::write(state.join("keys/new"), "PRIVATE").unwrap();
        fs::hard_link(state.join("keys/new"), root.path().join("etc/late")).unwrap();
        let file = fs::File::open(root.path().join("etc/late")).unwrap();
        let look = agent::platform::look(std::os::fd::AsFd::as_fd(&file)).unwrap();
        matcher.judge(&fds, b"/etc/late", &look, &[])
    });
    for to in ["bound", "bound-keys", "bound-log"] {
        must(&format!("umount '{}'", root.path().join(to).display()));
    }
    let run = run.unwrap();
    for path in ["/var/lib/exhibit-agent", "/etc/innocent", "/bound", "/bound-keys", "/bound-log"] {
        assert_eq!(run.outcome(path), "skipped_policy", "{path}");
        assert!(run.one(path).member.is_none());
    }
    let has_secret = |record: &&evidence::item::ItemRecord| {
        record.has_content() && run.content(record).starts_with(b"PRIVATE")
    };
    assert!(!run.records.iter().any(|record| has_secret(&record)));
    assert_eq!(late.unwrap(), Some(agent::matcher::Denial::OwnState));
}

#[test]
fn own_state_is_not_reached_through_a_process() {
    if !is_root("own_state_is_not_reached_through_a_process") {
        return;
    }
    let state = TempDir::new().unwrap();
    fs::write(state.path().join("key"), "PRIVATE").unwrap();
    let mut child = Command::new("sleep").arg("60").current_dir(state.path()).spawn().unwrap();
    let pid = child.id();
    let globs = [
        format!("/proc/{pid}/cwd/key"),
        format!("/proc/{pid}/root{}/key", state.path().display()),
        format!("/proc/{pid}/cwd/**"),
        format!("/proc/{}/{{environ,maps,mem}}", std::process::id()),
        format!("/proc/{}/fd/*", std::process::id()),
        format!("/proc/{pid}/environ"),
    ];
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let plan = Plan { state: vec![state.path().to_owned()], ..Plan::files(Path::new("/"), &globs) };
    let run = plan.run();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        run.records.iter().all(|record| record.kind != Kind::File || record.member.is_none()),
        "{:#?}",
        run.records
    );
    let own = format!("/proc/{}", std::process::id());
    for name in ["environ", "maps", "mem"] {
        assert_eq!(run.outcome(&format!("{own}/{name}")), "skipped_policy");
    }
    assert_eq!(run.outcome(&format!("/proc/{pid}/environ")), "skipped_type");
    assert_eq!(run.one(&format!("/proc/{pid}/cwd")).kind, Kind::Symlink);
}

#[test]
fn policy_denials_hold_for_paths_trees_and_other_names() {
    let root = tree();
    fs::create_dir_all(root.path().join("home/u/private/deep")).unwrap();
    fs::write(root.path().join("home/u/private/deep/diary"), "DENIED").unwrap();
    fs::write(root.path().join("home/u/public"), "given").unwrap();
    fs::hard_link(root.path().join("home/u/private/deep/diary"), root.path().join("etc/copy")).unwrap();
    settle(root.path());
    let deny = vec!["/home/*/private".to_owned(), "/etc/pass*".to_owned()];
    let run = Plan { deny, ..Plan::files(root.path(), &["/**"]) }.run();
    for path in ["/home/u/private", "/etc/copy", "/etc/passwd"] {
        let record = run.one(path);
        assert_eq!(
            (record.outcome.as_str(), record.note.as_deref()),
            ("skipped_policy", Some("denied by policy.toml"))
        );
    }
    assert_eq!(run.outcome("/home/u/public"), "ok");
    assert!(run.all(b"/home/u/private/deep/diary").is_empty());
}

#[test]
fn what_the_kernel_refuses_is_denied_not_missing() {
    if !is_root("what_the_kernel_refuses_is_denied_not_missing") {
        return;
    }
    let root = tree();
    fs::create_dir(root.path().join("closed")).unwrap();
    fs::write(root.path().join("closed/x"), "x").unwrap();
    fs::write(root.path().join("etc/shadow"), "x").unwrap();
    must(&format!(
        "chmod 0755 '{0}'; chmod 0700 '{0}/closed'; chmod 0600 '{0}/etc/shadow'",
        root.path().display()
    ));
    settle(root.path());
    // Another user on this thread only: system calls by number act on the calling thread.
    let run = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            rustix::thread::set_thread_res_uid(
                rustix::thread::Uid::from_raw(65_534),
                rustix::thread::Uid::from_raw(65_534),
                rustix::thread::Uid::from_raw(65_534),
            )
            .unwrap();
            Plan::files(root.path(), &["/**"]).run()
        });
        reading.join().unwrap()
    });
    let shadow = run.one("/etc/shadow");
    assert_eq!(shadow.outcome.as_str(), "denied");
    assert_eq!(
        (shadow.error.as_ref().unwrap().op.as_str(), shadow.error.as_ref().unwrap().errno),
        ("openat", 13)
    );
    assert!(shadow.before.is_some() && shadow.member.is_none());
    let closed = run.all(b"/closed");
    assert_eq!(closed.len(), 2, "the directory, and that it could not be listed");
    assert_eq!(closed[1].outcome.as_str(), "denied");
    assert_eq!(run.one("/etc/passwd").atime_method, Some(evidence::item::AtimeMethod::None));
}

#[test]
fn limits_end_the_collection_and_are_named() {
    let root = TempDir::new().unwrap();
    for n in 0..400 {
        fs::write(root.path().join(format!("f{n:03}")), vec![b'x'; 1000]).unwrap();
    }
    fs::write(root.path().join("zbig"), vec![b'y'; 5 << 20]).unwrap();
    settle(root.path());
    let with = |limits: Limits| {
        Plan { limits, ..Plan::of(root.path(), vec![files(&["/**"]), files(&["/f*"])]) }.run()
    };
    let run = with(Limits { items: 100, ..LIMITS });
    assert_eq!(run.summary.limit, Some("items"));
    assert!(run.summary.container.items <= 100);
    assert_eq!(run.summary.steps[0].result, agent::sealer::intake::StepResult::Limit);
    assert_eq!(run.summary.steps[1].result, agent::sealer::intake::StepResult::NotRun);
    let run = with(Limits { plain_bytes: 400_000, ..LIMITS });
    assert_eq!(run.summary.limit, Some("plain_bytes"));
    assert!(run.summary.container.plain_len <= 400_000);
    let run = with(Limits { item_bytes: 1 << 20, ..LIMITS });
    assert!(run.summary.limit.is_none());
    assert_eq!(run.outcome("/zbig"), "skipped_limit");
    let head = Step::Files(FilesStep {
        paths: vec!["/zbig".parse().unwrap()],
        exclude: Vec::new(),
        item_bytes: 1 << 20,
        one_filesystem: true,
        on_larger: OnLarger::Head,
    });
    let run = Plan::of(root.path(), vec![head]).run();
    let record = run.one("/zbig");
    assert_eq!((record.outcome.as_str(), record.size), ("skipped_limit", Some(1 << 20)));
    assert_eq!(record.before.as_ref().unwrap().size, 5 << 20);
}

#[test]
fn exclusions_mount_points_and_cycles_are_respected() {
    if !is_root("exclusions_mount_points_and_cycles_are_respected") {
        return;
    }
    let root = tree();
    for name in ["mnt/other", "loop/inner", "var/cache/deep"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("var/cache/deep/x"), "x").unwrap();
    must(&format!(
        "mount -t tmpfs none '{0}/mnt/other' && echo x > '{0}/mnt/other/file'",
        root.path().display()
    ));
    must(&format!("mount --bind '{0}/loop' '{0}/loop/inner'", root.path().display()));
    must(
        &format!("mount -t proc none '{0}/mnt'", root.path().join("var/log").display()).replace("/mnt'", "'"),
    );
    let step = |one_filesystem| {
        Step::Files(FilesStep {
            paths: vec!["/**".parse().unwrap()],
            exclude: vec!["/var/cache".parse().unwrap()],
            item_bytes: 1 << 30,
            one_filesystem,
            on_larger: OnLarger::Skip,
        })
    };
    let runs = std::panic::catch_unwind(|| {
        (Plan::of(root.path(), vec![step(true)]).run(), Plan::of(root.path(), vec![step(false)]).run())
    });
    must(&format!("umount '{0}/mnt/other' '{0}/loop/inner' '{0}/var/log'", root.path().display()));
    let (one, all) = runs.unwrap();
    assert_eq!(one.outcome("/mnt/other"), "skipped_filter");
    assert!(one.all(b"/mnt/other/file").is_empty());
    assert_eq!(all.outcome("/mnt/other/file"), "ok");
    assert_eq!(all.outcome("/loop/inner"), "skipped_loop");
    assert_eq!(all.outcome("/var/log"), "skipped_type", "a process file system is not walked unless named");
    assert!(all.records.iter().all(|record| !record.path.0.starts_with(b"/var/cache")));
}

#[test]
fn processes_are_not_read_through_another_mount_of_procfs() {
    if !is_root("processes_are_not_read_through_another_mount_of_procfs") {
        return;
    }
    let root = tree();
    let (second, bound) = (root.path().join("var/second"), root.path().join("var/bound"));
    for place in [&second, &bound] {
        fs::create_dir_all(place).unwrap();
    }
    let own = std::process::id();
    must(&format!("mount -t proc none '{}'", second.display()));
    must(&format!("mount --bind /proc/{own} '{}'", bound.display()));
    let paths = [
        format!("/var/second/{own}/maps"),
        "/var/second/*/status".to_owned(),
        "/var/bound/maps".to_owned(),
        "/var/bound/fd/*".to_owned(),
    ];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let run = std::panic::catch_unwind(|| Plan::files(root.path(), &paths).run());
    must(&format!("umount '{}' '{}'", second.display(), bound.display()));
    let run = run.unwrap();
    for place in ["/var/second", "/var/bound"] {
        assert_eq!(run.outcome(place), "skipped_policy", "{place}");
        let below = format!("{place}/");
        assert!(run.records.iter().all(|record| !record.path.0.starts_with(below.as_bytes())));
    }
    println!(
        "tried: a second procfs and a process bound elsewhere, named in the plan; got: skipped_policy, nothing below"
    );
}

#[test]
fn a_lost_reader_ends_in_a_finished_container() {
    use agent::ipc::{self, Message, Seen};
    use std::os::fd::AsFd as _;
    let (reader_end, sealer_end) = agent::platform::pair().unwrap();
    let (_check_end, ask_end) = agent::platform::pair().unwrap();
    let begin = Message::StepBegin { step: 0, collector: "host".to_owned() };
    ipc::send(reader_end.as_fd(), &begin, None).unwrap();
    let seen = Seen::new(b"live/half.bin".as_slice(), Kind::Stream, evidence::time::FileTime::default());
    ipc::send(reader_end.as_fd(), &Message::DataBegin { seen: Box::new(seen) }, None).unwrap();
    ipc::send_data(reader_end.as_fd(), b"half").unwrap();
    drop(reader_end);
    let mut sink = crate::bench::Kept::default();
    let params = agent::sealer::intake::Params {
        container: crate::bench::container_params(),
        collectors: vec!["host".to_owned(), "files".to_owned()],
        limits: LIMITS,
    };
    let sockets = agent::sealer::intake::Sockets { reader: sealer_end, check: ask_end };
    let clock = agent::platform::SystemClock;
    let summary =
        agent::sealer::intake::run(sockets, params, crate::bench::signer(), &mut sink, &clock).unwrap();
    assert!(!summary.is_complete());
    let run = crate::bench::Run::verified(summary, &sink.segments);
    assert_eq!(run.outcome("live/half.bin"), "interrupted");
    assert_eq!(run.content(run.one("live/half.bin")), b"half");
}
