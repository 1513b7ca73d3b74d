//! Files that change or fail during the read: checks the record, and which bytes are fill.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use evidence::item::{GapWhy, Kind};
use evidence::order::Limits;
use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use sha2::Digest as _;
use tempfile::TempDir;
use testkit::wait;

use crate::bench::{LIMITS, Plan, is_root, must};
use crate::tree::make_old;

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

/// Whether any process has the file open.
fn is_open(path: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let descriptors = processes.filter_map(|process| fs::read_dir(process.path().join("fd")).ok());
    descriptors.flatten().flatten().any(|link| fs::read_link(link.path()).is_ok_and(|open| open == path))
}

/// Runs `act` while the (large) file is read: the engine has held it open for some looks, and its slow processor share leaves a second of
/// reading.
fn during_read(act: impl FnOnce(&Path) + Send) -> (evidence::item::ItemRecord, Vec<u8>) {
    let root = TempDir::new().unwrap();
    let path = root.path().join("big");
    let mut content = vec![0_u8; 96 << 20];
    for (n, byte) in content.iter_mut().enumerate() {
        *byte = u8::try_from((n * 2_654_435_761) >> 11 & 0xff).unwrap();
    }
    fs::write(&path, &content).unwrap();
    make_old(root.path());
    let limits = Limits { cpu_pct: 20, ..LIMITS };
    let run = std::thread::scope(|scope| {
        let path = &path;
        scope.spawn(move || {
            let mut looks = 0;
            wait::until("the engine holding the file open", || {
                looks = if is_open(path) { looks + 1 } else { 0 };
                looks == 5
            });
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
        println!("SKIPPED {name}: mkfs.btrfs is not installed (btrfs-progs)");
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
fn a_lost_reader_ends_in_a_finished_container() {
    use agent::ipc::{self, Message, Seen};
    use std::os::fd::AsFd as _;
    let (reader_end, sealer_end) = agent::ipc::pair().unwrap();
    let (_check_end, ask_end) = cage::datagram::pair().unwrap();
    let begin = Message::StepBegin { step: 0, collector: "host".to_owned() };
    ipc::send(reader_end.as_fd(), &begin, None).unwrap();
    let seen = Seen::new(b"live/half.bin".as_slice(), Kind::Stream, evidence::time::FileTime::default());
    ipc::send(reader_end.as_fd(), &Message::DataBegin { seen: Box::new(seen) }, None).unwrap();
    ipc::send_data(reader_end.as_fd(), b"half").unwrap();
    drop(reader_end);
    let mut sink = crate::bench::Kept::default();
    let params = agent::sealer::intake::Params {
        container: crate::bench::params(2),
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
