//! Files that bite, and the agent's own keys by every way that leads to them: collected through a real order.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use evidence::digest::Digest;
use evidence::item::{GapWhy, ItemRecord, Stage};
use lab::{attempt, is_root, run};
use proto::v1;
use testkit::wait;

use crate::field::{ENDPOINT, Field};

/// Item records of a collection by raw path, as the collector serves them.
fn items(field: &Field, collection: &str) -> BTreeMap<Vec<u8>, ItemRecord> {
    field.runtime().block_on(async {
        let credentials = field.lab.path("responder/session/credentials.pem");
        let channel = lab::proxy::channel(&field.lab.path("server"), &credentials).await.unwrap();
        let request = v1::ListItemsRequest {
            collection: collection.to_owned(),
            prefix: Vec::new().into(),
            not_ok_only: false,
            purpose: "test".to_owned(),
        };
        let mut batches =
            proto::service::evidence_client(channel).list_items(request).await.unwrap().into_inner();
        let mut items = BTreeMap::new();
        while let Some(batch) = batches.message().await.unwrap() {
            for line in batch.records {
                let record = ItemRecord::parse_line(&line, Stage::Final).unwrap();
                items.insert(record.path.0.clone(), record);
            }
        }
        items
    })
}

/// The container of a collection, put together from a store with stock tools; its plain bytes.
fn container(field: &Field, collection: &str) -> (PathBuf, Vec<u8>) {
    let dir = field.stores[0].join("segments").join(collection);
    let mut names: Vec<PathBuf> =
        fs_err::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let path = field.lab.path("container.tar.zst");
    let bytes: Vec<u8> = names.iter().flat_map(|name| fs_err::read(name).unwrap()).collect();
    fs_err::write(&path, bytes).unwrap();
    let plain = run(Command::new("zstd").args(["-dcq"]).arg(&path)).unwrap().stdout;
    (path, plain)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    assert!(needle.len() >= 16);
    // The first bytes of a key are as good as random: a scan for them and a comparison is enough.
    let first = needle[0];
    haystack
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == first)
        .any(|(at, _)| haystack[at..].starts_with(needle))
}

/// A mount, gone at the end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(attempt(Command::new("umount").arg("--lazy").arg(&self.0)));
    }
}

#[test]
fn the_agents_own_keys_are_never_collected_by_any_way() {
    let name = "the_agents_own_keys_are_never_collected_by_any_way";
    if !is_root(name) {
        return;
    }
    let mut field = Field::new().unwrap();
    let state = field.lab.state(ENDPOINT);
    let dir = field.lab.path("fixture");
    fs_err::create_dir_all(dir.join("bound")).unwrap();
    fs_err::write(dir.join("harmless"), b"this may be collected\n").unwrap();
    let evidence_key = state.join("gen-1/evidence.key");
    let tls_key = state.join("gen-1/tls.pem");
    fs_err::hard_link(&evidence_key, dir.join("hard-link")).unwrap();
    fs_err::hard_link(&tls_key, dir.join("hard-link.pem")).unwrap();
    std::os::unix::fs::symlink(&evidence_key, dir.join("symlink")).unwrap();
    run(Command::new("mount").arg("--bind").arg(&state).arg(dir.join("bound"))).unwrap();
    let _bound = Mounted(dir.join("bound"));
    let (warden, link) = (field.agent().pid(), field.agent().children("__link").unwrap()[0]);
    let own = std::process::id();
    let by_proc = |pid: u32, what: &str, path: &Path| format!("/proc/{pid}/{what}{}", path.display());
    let globs = [
        format!("{}/**", dir.display()),
        format!("{}/**", state.display()),
        evidence_key.display().to_string(),
        by_proc(own, "root", &evidence_key),
        by_proc(own, "root", &tls_key),
        format!("/proc/{warden}/environ"),
        format!("/proc/{warden}/mem"),
        format!("/proc/{warden}/maps"),
        format!("/proc/{link}/mem"),
        format!("/proc/{link}/environ"),
        by_proc(warden, "root", &evidence_key),
    ];
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let profile = field.lab.files_profile("own-keys", &globs).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &[]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());

    let items = items(&field, &ended.collection);
    let outcome = |path: &Path| items.get(path.as_os_str().as_bytes()).map(|item| item.outcome.to_string());
    assert_eq!(outcome(&dir.join("harmless")).as_deref(), Some("ok"));
    // The object itself, or what lies above it: a directory that is not given is not entered.
    let refused_at = |path: &Path| {
        path.ancestors()
            .find(|above| outcome(above).as_deref() == Some("skipped_policy"))
            .map(Path::to_path_buf)
    };
    let shown: Vec<String> = items
        .iter()
        .map(|(path, item)| format!("{} {}", String::from_utf8_lossy(path), item.outcome))
        .collect();
    let mut tried = Vec::new();
    for path in [
        dir.join("hard-link"),
        dir.join("hard-link.pem"),
        dir.join("bound/gen-1/evidence.key"),
        evidence_key.clone(),
        PathBuf::from(by_proc(warden, "root", &evidence_key)),
    ] {
        let at = refused_at(&path);
        assert!(at.is_some(), "{}: {shown:#?}", path.display());
        tried.push(path);
    }
    // Through another process's root the way itself is closed: that link is told, never followed.
    for key in [&evidence_key, &tls_key] {
        let path = PathBuf::from(by_proc(own, "root", key));
        assert_eq!(outcome(&path).as_deref(), Some("absent"), "{shown:#?}");
        tried.push(path);
    }
    for name in ["hard-link", "hard-link.pem"] {
        assert_eq!(refused_at(&dir.join(name)), Some(dir.join(name)));
    }
    // The kind of refusal may differ where the way itself is closed; content there is none.
    for (path, item) in &items {
        let shown = String::from_utf8_lossy(path);
        let is_own = shown.contains(state.to_str().unwrap())
            || shown.contains("/bound/")
            || shown.starts_with(&format!("/proc/{warden}/"))
            || shown.starts_with(&format!("/proc/{link}/"));
        assert!(!is_own || !item.has_content(), "{shown} has content: {item:?}");
    }

    let (_, plain) = container(&field, &ended.collection);
    let text = fs_err::read_to_string(&evidence_key).unwrap();
    let seed = super::endpoint::evidence_key(&field).seed();
    let pem = fs_err::read_to_string(&tls_key).unwrap();
    let tls = certs::identity::Credentials::load(&tls_key).unwrap().key.pkcs8()[36..68].to_vec();
    let pem_line = pem.lines().nth(1).unwrap();
    assert!(contains(&plain, b"this may be collected\n"));
    for (what, bytes) in [
        ("the evidence key as text", text.trim().as_bytes()),
        ("the evidence key", seed.as_slice()),
        ("the TLS key", tls.as_slice()),
        ("the TLS key as PEM", pem_line.as_bytes()),
    ] {
        assert!(!contains(&plain, bytes), "{what} is in the container");
    }
    println!(
        "tried: the agent's keys by path, hard link, symlink, bind mount and /proc/PID/root, its memory and environment; got: `skipped_policy` \
         for the objects or the folder above, /proc/PID/root of another process not followed, no content for any of {} ways, key bytes nowhere \
         in {} plain bytes",
        tried.len(),
        plain.len()
    );
}

#[test]
fn odd_names_sparse_files_and_special_files_are_told_as_they_are() {
    let name = "odd_names_sparse_files_and_special_files_are_told_as_they_are";
    if !is_root(name) {
        return;
    }
    let field = Field::new().unwrap();
    let dir = field.lab.path("log");
    fs_err::create_dir_all(&dir).unwrap();
    let odd = [&b"caf\xe9"[..], b"new\nline", b"quote\"back\\slash", b"\x1b[2Jclear", b"-rf", b" blank "];
    for name in odd {
        fs_err::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs_err::write(dir.join("x".repeat(255)), b"long name").unwrap();
    let sparse = fs_err::File::create(dir.join("sparse.img")).unwrap();
    sparse.set_len(4 << 30).unwrap();
    sparse.file().write_all_at(b"in the middle", 2 << 30).unwrap();
    run(Command::new("mkfifo").arg(dir.join("fifo"))).unwrap();
    run(Command::new("mknod").arg(dir.join("null")).args(["c", "1", "3"])).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let profile =
        field.lab.files_profile("odd", &[&format!("{}/**", dir.display()), "/no/such/file"]).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &[]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    let items = items(&field, &ended.collection);
    let item = |path: &Path| {
        items.get(path.as_os_str().as_bytes()).unwrap_or_else(|| panic!("{path:?} in {:?}", items.keys()))
    };
    let (path, plain) = container(&field, &ended.collection);
    for name in odd {
        let at = dir.join(OsStr::from_bytes(name));
        assert_eq!(item(&at).outcome.to_string(), "ok", "{at:?}");
    }
    for (name, outcome) in
        [("fifo", "skipped_type"), ("null", "skipped_type"), ("socket", "skipped_type"), ("sparse.img", "ok")]
    {
        assert_eq!(item(&dir.join(name)).outcome.to_string(), outcome, "{name}");
        assert_eq!(item(&dir.join(name)).member.is_some(), name == "sparse.img", "{name}");
    }
    assert_eq!(item(Path::new("/no/such/file")).outcome.to_string(), "absent");
    let sparse = item(&dir.join("sparse.img"));
    assert_eq!(sparse.size, Some(4 << 30));
    assert!(
        sparse.stored.unwrap() < 1 << 20 && plain.len() < 64 << 20,
        "holes are not stored: {}",
        plain.len()
    );
    // Stock tar gives the names back byte for byte.
    let out = field.lab.path("out");
    fs_err::create_dir(&out).unwrap();
    run(Command::new("tar").args(["--zstd", "-xpf"]).arg(&path).arg("-C").arg(&out)).unwrap();
    for name in odd {
        let inside = dir.strip_prefix("/").unwrap().join(OsStr::from_bytes(name));
        assert_eq!(fs_err::read(out.join("[root]").join(inside)).unwrap(), name);
    }
    let bundle = field.lab.export(&incident).unwrap();
    let report = field.lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!(
        "tried: names that are no UTF-8, a 4 GiB sparse file, FIFO, device, socket; got: names back byte for byte by tar, {} stored bytes of \
         the sparse file, special files `skipped_type` without a member, bundle verifies",
        sparse.stored.unwrap()
    );
}

/// Files that a process and its children hold open.
fn held_open(process: u32) -> BTreeSet<PathBuf> {
    let mut open = BTreeSet::new();
    let mut processes = vec![process.to_string()];
    // A process or thread may end between two looks: that is no error.
    while let Some(process) = processes.pop() {
        let folder = PathBuf::from("/proc").join(&process);
        for link in fs_err::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
            open.extend(fs_err::read_link(link.path()));
        }
        for task in fs_err::read_dir(folder.join("task")).into_iter().flatten().flatten() {
            let children = fs_err::read_to_string(task.path().join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(str::to_owned));
        }
    }
    open
}

/// What to do to a file.
type Change<'a> = (&'a Path, &'a dyn Fn(&Path));

/// Changes each file once, when the agent has held it open for some looks: the agent's first `stat` of it lies behind.
fn change_when_held(agent: u32, mut changes: Vec<Change<'_>>) {
    const LOOKS: u32 = 5;
    let mut looks: BTreeMap<PathBuf, u32> = BTreeMap::new();
    let what = format!("the agent holding {:?} open", changes.iter().map(|one| one.0).collect::<Vec<_>>());
    wait::until(&what, || {
        let open = held_open(agent);
        changes.retain(|(path, change)| {
            let seen = looks.entry(path.to_path_buf()).or_default();
            *seen = if open.contains(*path) { *seen + 1 } else { 0 };
            if *seen == LOOKS {
                change(path);
            }
            *seen < LOOKS
        });
        changes.is_empty()
    });
}

/// Length of each file that changes: with a fifth of a processor its reading outlasts the looks.
const MOVING_LEN: usize = 96 << 20;

#[test]
fn files_that_change_under_the_reader_are_said_to_have_changed() {
    let mut field = Field::new().unwrap();
    let agent = field.agent().pid();
    let dir = field.lab.path("moving");
    fs_err::create_dir_all(&dir).unwrap();
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(MOVING_LEN).collect();
    let original = Digest::of(&content);
    let names = ["growing", "replaced", "rewritten", "shrinking", "vanishing"];
    for name in names {
        fs_err::write(dir.join(name), &content).unwrap();
    }
    let writing = |path: &Path| fs_err::OpenOptions::new().write(true).open(path).unwrap();
    let profile = field.lab.files_profile("moving", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let grow = |path: &Path| {
        writing(path).file().write_all_at(b"one more line\n", MOVING_LEN as u64).unwrap();
    };
    let replace = |path: &Path| {
        let new = field.lab.path("another");
        fs_err::write(&new, b"another file").unwrap();
        fs_err::rename(&new, path).unwrap();
    };
    let rewrite = |path: &Path| writing(path).file().write_all_at(b"EDITED", 10).unwrap();
    let shrink = |path: &Path| writing(path).set_len(1 << 20).unwrap();
    let remove = |path: &Path| fs_err::remove_file(path).unwrap();
    let paths = names.map(|name| dir.join(name));
    let [growing, replaced, rewritten, shrinking, vanishing] = &paths;
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let changes: Vec<Change<'_>> = vec![
                (growing, &grow),
                (replaced, &replace),
                (rewritten, &rewrite),
                (shrinking, &shrink),
                (vanishing, &remove),
            ];
            change_when_held(agent, changes);
        });
        let order = field.order(&incident, &profile, &["--set", "limits.cpu_pct=20"]).unwrap();
        field.wait_ended(&order).unwrap()
    });
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    let items = items(&field, &ended.collection);
    let outcomes = names.map(|name| items[dir.join(name).as_os_str().as_bytes()].outcome.to_string());
    assert_eq!(outcomes, ["grew", "replaced", "modified", "truncated", "vanished"]);
    for name in names {
        let item = &items[dir.join(name).as_os_str().as_bytes()];
        assert_eq!(item.size, Some(MOVING_LEN as u64), "{name}: the size at the first look");
        match name {
            // The prefix that was there at the first look; the whole of the file that was opened.
            "growing" | "replaced" | "vanishing" => {
                assert_eq!((item.sha256, item.gaps.len()), (Some(original), 0), "{name}");
            }
            // Where the bytes end, fill begins, and the digest of what was read says so.
            "shrinking" => {
                let [gap] = item.gaps.as_slice() else { panic!("{:?}", item.gaps) };
                assert_eq!((gap.why, gap.end()), (GapWhy::Truncated, MOVING_LEN as u64));
                assert!(item.sha256_read.is_some() && item.sha256_read != item.sha256, "{item:?}");
            }
            _ => assert_eq!(item.gaps.len(), 0, "{name}"),
        }
    }
    let bundle = field.lab.export(&incident).unwrap();
    let report = field.lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!(
        "tried: files that grow, are replaced, rewritten, cut and removed while they are read; got: {}, bundle verifies",
        outcomes.join(", ")
    );
}
