//! The same bytes under other tools: GNU tar, Python's tarfile, bsdtar where it is installed, the `tar` crate.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use evidence::container::MemberEnd;
use evidence::digest::Digest;
use evidence::item::outcome::Outcome;
use evidence::item::tar;
use evidence::item::{GapWhy, ItemRecord, Kind, Link, RawBytes};
use testkit::containers::lab::{Built, Lab};
use testkit::containers::{begun, denied, dir, file, noise, records_of, stat, stream, symlink, time};

/// Everything tar readers are known to stumble over.
fn rich() -> Built {
    let mut lab = Lab::new(1);
    lab.add(dir(b"/")).unwrap();
    lab.add(dir(b"/d")).unwrap();
    let timed = |path: &[u8], seconds, nanos, mode: u32| {
        let mut record = file(path, 4);
        record.before = Some(stat(0o100_000 | mode, 4, time(seconds, nanos)));
        record
    };
    lab.whole(timed(b"/d/plain", 1_700_000_000, 0, 0o644), b"one\n").unwrap();
    lab.whole(timed(b"/d/ns", 1_700_000_000, 123_456_789, 0o4755), b"two\n").unwrap();
    lab.whole(timed(b"/d/early", -1, 500_000_000, 0o600), b"tri\n").unwrap();
    lab.whole(timed(b"/d/earlier", -86_400, 0, 0o600), b"for\n").unwrap();
    lab.whole(timed(b"/d/earliest", -86_401, 250_000_000, 0o600), b"fiv\n").unwrap();
    lab.whole(timed(b"/d/late", 1 << 33, 1, 0o600), b"six\n").unwrap();
    lab.whole(file(b"/d/caf\xe9", 3), b"l1\n").unwrap();
    lab.whole(file(b"/d/new\nline\ttab", 3), b"nl\n").unwrap();
    lab.whole(file("/d/größe".as_bytes(), 3), b"u8\n").unwrap();
    lab.whole(file(&[b"/d/", vec![b'x'; 93].as_slice()].concat(), 4), b"edge").unwrap();
    lab.whole(file(&[b"/d/", vec![b'y'; 94].as_slice()].concat(), 4), b"over").unwrap();
    lab.whole(file(&[b"/d/", vec![b'z'; 200].as_slice()].concat(), 4), b"long").unwrap();
    lab.whole(file(b"/d/empty", 0), b"").unwrap();
    let mut linked = file(b"/d/linked", 7);
    linked.before.as_mut().unwrap().nlink = 3;
    let linked = lab.whole(linked, b"linked\n").unwrap();
    for path in [b"/d/hard".to_vec(), [b"/d/h\xff", vec![b'h'; 120].as_slice()].concat()] {
        let mut hard = file(&path, 7);
        hard.link = Some(Link { n: linked.n, member: linked.member.clone().unwrap() });
        hard.sha256 = linked.sha256;
        hard.before = linked.before.clone();
        lab.add(hard).unwrap();
    }
    lab.add(symlink(b"/d/soft", b"/etc/passwd")).unwrap();
    lab.add(symlink(b"/d/soft-raw", &[b"\xfe/", vec![b's'; 150].as_slice()].concat())).unwrap();
    let mut large_ids = file(b"/d/ids", 2);
    large_ids.before.as_mut().unwrap().uid = 3_000_000;
    large_ids.before.as_mut().unwrap().gid = 4_000_000_000;
    lab.whole(large_ids, b"id").unwrap();
    let mut attributes = file(b"/d/xattrs", 2);
    attributes.xattrs = vec![
        (RawBytes(b"user.a=b%c".to_vec()), RawBytes(b"percent".to_vec())),
        (RawBytes(b"user.raw".to_vec()), RawBytes(b"\0\n=\xff".to_vec())),
    ];
    lab.whole(attributes, b"xa").unwrap();
    for (path, runs, size) in [
        (&b"/d/sparse"[..], vec![(0, 4096), (1 << 20, 5000)], (1 << 20) + 5000),
        (b"/d/sparse-tail", vec![(8192, 1)], 3 << 20),
        (b"/d/sparse-empty", vec![], 1 << 20),
        (b"/d/sparse-caf\xe9", vec![(70_000, 10)], 80_000),
    ] {
        let mut record = file(path, size);
        let data: u64 = runs.iter().map(|(_, len): &(u64, u64)| len).sum();
        record.sparse = Some(runs);
        lab.whole(record, &noise(data as usize)).unwrap();
    }
    lab.writer.begin_member(file(b"/d/gap", 5000)).unwrap();
    lab.writer.write(&[b'g'; 1000]).unwrap();
    lab.writer.write_gap(4000, GapWhy::Truncated, None).unwrap();
    let mut end = MemberEnd::ok(None, begun());
    end.outcome = Outcome::Truncated;
    lab.end(end).unwrap();
    lab.whole(stream("live/processes.jsonl", 3), b"{}\n").unwrap();
    lab.only(denied(b"/d/denied"));
    lab.finish()
}

fn save(bytes: &[u8], path: &Path) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// GNU tar does not know this POSIX keyword: it says so, and keeps the raw bytes, which is what the keyword asks for.
const UNKNOWN_TO_GNU_TAR: &str = "tar: Ignoring unknown extended header keyword 'hdrcharset'\n";

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).replace(UNKNOWN_TO_GNU_TAR, "");
    assert!(output.status.success() && error.is_empty(), "{command:?}: {error}");
    output.stdout
}

fn members(built: &Built) -> Vec<ItemRecord> {
    let all = built.segments.iter().flat_map(|segment| records_of(&segment.seal));
    all.filter(|record| record.member.is_some()).collect()
}

#[test]
fn gnu_tar_extracts_what_the_records_say() {
    let built = rich();
    built.verify().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("c.tar.zst");
    save(&built.container(), &archive);
    let list = run(Command::new("tar").arg("--zstd").arg("-tvf").arg(&archive));
    assert_eq!(list.iter().filter(|byte| **byte == b'\n').count(), members(&built).len());
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut extract = Command::new("tar");
    extract.args(["--zstd", "-xpf"]).arg(&archive).arg("-C").arg(&tree);
    // Another owner cannot be set without privilege, and names of users mean nothing here.
    run(extract.args(["--no-same-owner", "--delay-directory-restore", "--warning=no-timestamp"]));

    for record in members(&built) {
        let name = record.member.clone().unwrap();
        let path = tree.join(std::ffi::OsStr::from_bytes(&name.0));
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if let Some(target) = &record.target {
            assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes(), target.0);
            continue;
        }
        let mtime = record.before.as_ref().map_or(record.begun, |before| before.mtime);
        assert_eq!(
            (meta.mtime(), meta.mtime_nsec()),
            (mtime.seconds(), i64::from(mtime.nanos())),
            "{}",
            record.shown
        );
        let mode = record.before.as_ref().map_or(0o400, |before| before.mode & 0o7777);
        assert_eq!(meta.mode() & 0o7777, mode, "{}", record.shown);
        if record.kind == Kind::Dir {
            continue;
        }
        assert_eq!(Some(meta.len()), record.size, "{}", record.shown);
        let mut content = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(Some(Digest::of(&content)), record.sha256, "{}", record.shown);
        if record.link.is_some() {
            assert_eq!(meta.nlink(), 3, "{}", record.shown);
        }
    }
}

/// One line a member: name, type, size, mode, time, link name, digest, attributes, all in hexadecimal or decimal.
const PYTHON: &str = r#"
import sys, tarfile, hashlib
raw = lambda text: text.encode('utf-8', 'surrogateescape').hex()
with tarfile.open(sys.argv[1], encoding='utf-8') as archive:
    for m in archive:
        content = archive.extractfile(m) if m.isreg() else None
        digest = hashlib.sha256(content.read()).hexdigest() if content else '-'
        attributes = ','.join(raw(k[13:]) + ':' + raw(v) for k, v in sorted(m.pax_headers.items()) if k.startswith('SCHILY.xattr.'))
        kind = 'd' if m.isdir() else 'l' if m.issym() else 'h' if m.islnk() else 'f'
        print('|'.join([raw(m.name), kind, str(m.size), str(m.mode), '%.6f' % m.mtime, raw(m.linkname), digest, attributes, str(m.uid), str(m.gid)]))
"#;

#[test]
fn python_sees_what_the_records_say() {
    let built = rich();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("c.tar");
    save(&built.plain(), &archive);
    let lines = run(Command::new("python3").arg("-c").arg(PYTHON).arg(&archive));
    let lines = String::from_utf8(lines).unwrap();
    let members = members(&built);
    assert_eq!(lines.lines().count(), members.len());
    for (line, record) in lines.lines().zip(&members) {
        let fields: Vec<&str> = line.split('|').collect();
        let name = record.member.clone().unwrap().0;
        let bare = if record.kind == Kind::Dir { &name[..name.len() - 1] } else { &name[..] };
        assert_eq!(fields[0], hex::encode(bare));
        let is_link = record.link.is_some();
        let kind = match record.kind {
            Kind::Dir => "d",
            Kind::Symlink => "l",
            _ if is_link => "h",
            _ => "f",
        };
        assert_eq!(fields[1], kind, "{}", record.shown);
        if kind == "f" {
            assert_eq!(fields[2], record.size.unwrap().to_string(), "{}", record.shown);
            assert_eq!(fields[6], record.sha256.unwrap().to_string(), "{}", record.shown);
        }
        let mtime = record.before.as_ref().map_or(record.begun, |before| before.mtime);
        let decimal = mtime.seconds() as f64 + f64::from(mtime.nanos()) / 1e9;
        assert!((fields[4].parse::<f64>().unwrap() - decimal).abs() < 1e-5, "{}", record.shown);
        let link = record.link.as_ref().map(|link| &link.member).or(record.target.as_ref());
        assert_eq!(fields[5], link.map(|link| hex::encode(&link.0)).unwrap_or_default());
        if let Some(before) = &record.before {
            assert_eq!((fields[8], fields[9]), (&*before.uid.to_string(), &*before.gid.to_string()));
        }
        if record.shown == "/d/xattrs" {
            assert_eq!(
                fields[7],
                format!(
                    "{}:{},{}:{}",
                    hex::encode("user.a%3Db%25c"),
                    hex::encode("percent"),
                    hex::encode("user.raw"),
                    hex::encode(b"\0\n=\xff")
                )
            );
        }
    }
}

#[test]
fn gnu_tar_restores_extended_attributes() {
    let built = rich();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let probe = folder.path().join("probe");
    save(b"", &probe);
    let set = "import os,sys; os.setxattr(sys.argv[1], b'user.probe', b'1')";
    if !Command::new("python3").arg("-c").arg(set).arg(&probe).output().unwrap().status.success() {
        println!("skipped: this file system has no user attributes");
        return;
    }
    let archive = folder.path().join("c.tar");
    save(&built.plain(), &archive);
    let mut extract = Command::new("tar");
    extract.args(["--xattrs", "--xattrs-include=*", "--no-same-owner", "-xf"]).arg(&archive);
    run(extract.arg("-C").arg(folder.path()).arg("[root]/d/xattrs"));
    let get =
        "import os,sys; print(os.getxattr(sys.argv[1], 'user.a=b%c'), os.getxattr(sys.argv[1], 'user.raw'))";
    let found = run(Command::new("python3").arg("-c").arg(get).arg(folder.path().join("[root]/d/xattrs")));
    assert_eq!(String::from_utf8(found).unwrap(), "b'percent' b'\\x00\\n=\\xff'\n");
}

#[test]
fn bsdtar_lists_what_the_records_say() {
    if Command::new("bsdtar").arg("--version").output().is_err() {
        println!("skipped: no bsdtar");
        return;
    }
    let built = rich();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("c.tar");
    save(&built.plain(), &archive);
    let list = run(Command::new("bsdtar").arg("-tf").arg(&archive).env("LC_ALL", "C.UTF-8"));
    assert_eq!(list.iter().filter(|byte| **byte == b'\n').count(), members(&built).len());
}

#[test]
fn the_tar_crate_sees_the_same_members() {
    let built = rich();
    let plain = built.plain();
    let mut archive = ::tar::Archive::new(plain.as_slice());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path_bytes().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((name, entry.header().entry_type(), content));
    }
    let members = members(&built);
    assert_eq!(found.len(), members.len());
    for ((name, kind, content), record) in found.iter().zip(&members) {
        // It has no pax sparse reader, and splits pax records at line feeds.
        if record.sparse.is_some() || record.path.0.contains(&b'\n') {
            continue;
        }
        assert_eq!(name, &record.member.clone().unwrap().0);
        assert_eq!(kind.is_hard_link(), record.link.is_some());
        if record.has_content() {
            assert_eq!(Some(Digest::of(content)), record.sha256);
        }
    }
}

#[test]
fn sizes_beyond_the_octal_field_are_read_by_others() {
    let folder = tempfile::tempdir().unwrap();
    for size in [0o77_777_777_777_u64, 0o77_777_777_777 + 1, 1 << 40, (1 << 53) - 1] {
        let mut record = file(b"/huge", size);
        record.stored = Some(size);
        let header = tar::member_header(&record).unwrap();
        let mut archive = ::tar::Archive::new(header.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.size(), size);
        let path = folder.path().join("huge.tar");
        save(&header, &path);
        let python = "import sys,tarfile; print(tarfile.open(sys.argv[1]).firstmember.size)";
        let found = run(Command::new("python3").arg("-c").arg(python).arg(&path));
        assert_eq!(String::from_utf8(found).unwrap().trim(), size.to_string());
        let list = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        assert!(String::from_utf8_lossy(&list.stdout).contains(&size.to_string()));
    }
}

#[test]
fn the_zstd_command_decompresses_the_container() {
    let built = rich();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.tar.zst");
    save(&built.container(), &path);
    let plain = run(Command::new("zstd").args(["-d", "-c", "-q"]).arg(&path));
    assert!(plain == built.plain());
}
