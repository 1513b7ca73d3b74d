//! The content of a collection of a tree at rest: names, kinds, links, holes, limits, exclusions.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evidence::item::Kind;
use evidence::order::{FilesStep, Limits, OnLarger, Step};
use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use sha2::Digest as _;
use tempfile::TempDir;

use crate::bench::{LIMITS, Plan, files, is_root, must};
use crate::tree::{make_old, tree};

#[test]
fn what_tar_extracts_is_what_was_there_and_what_the_records_say() {
    let root = tree();
    make_old(root.path());
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
    make_old(root.path());
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
    make_old(root.path());
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
    make_old(root.path());
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
    make_old(root.path());
    let run = Plan::files(root.path(), &["/lastlog"]).run();
    let record = run.one("/lastlog");
    assert_eq!((record.size, record.outcome.as_str()), (Some(4 << 30), "ok"));
    assert!(run.container.len() < 1 << 20 && record.stored < Some(1 << 20));
    let output = Command::new("sha256sum").arg(&path).output().unwrap();
    assert_eq!(output.stdout[..64], *record.sha256.unwrap().to_string().as_bytes());
}

#[test]
fn limits_end_the_collection_and_are_named() {
    let root = TempDir::new().unwrap();
    for n in 0..400 {
        fs::write(root.path().join(format!("f{n:03}")), vec![b'x'; 1000]).unwrap();
    }
    fs::write(root.path().join("zbig"), vec![b'y'; 5 << 20]).unwrap();
    make_old(root.path());
    let with = |limits: Limits| {
        Plan { limits, ..Plan::of(root.path(), vec![files(&["/**"]), files(&["/f*"])]) }.run()
    };
    let run = with(Limits { items: 100, ..LIMITS });
    assert_eq!(run.summary.limit, Some("items"));
    assert!(run.summary.container.items <= 100);
    assert_eq!(run.summary.steps[0].result, evidence::manifest::StepEnd::Limit);
    assert_eq!(run.summary.steps[1].result, evidence::manifest::StepEnd::NotRun);
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
