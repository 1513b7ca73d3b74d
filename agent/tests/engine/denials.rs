//! Objects that the agent never gives: its own state and processes, what the owner denies, what the kernel refuses.

use std::path::Path;
use std::process::Command;

use evidence::item::Kind;
use fs_err as fs;
use tempfile::TempDir;
use testkit::wait;

use crate::bench::{Plan, is_root, must};
use crate::tree::{make_old, tree};

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
fn own_state_that_cannot_be_listed_is_a_limitation_but_an_error_at_its_top() {
    // The kernel does not list the network tables of an ended process (EINVAL).
    let mut ended = Command::new("true").spawn().unwrap();
    let process = format!("/proc/{}", ended.id());
    wait::until("the end of the process", || {
        fs::read_to_string(format!("{process}/stat")).unwrap().contains(") Z ")
    });
    let fds = agent::platform::SelfFds::open().unwrap();
    let directory = |path: &str| std::os::fd::OwnedFd::from(fs::File::open(path).unwrap().into_file());
    let root = directory("/");
    let prepare = |state: &str| {
        agent::matcher::Matcher::prepare(
            &fds,
            std::os::fd::AsFd::as_fd(&root),
            evidence::item::AtimeMethod::None,
            vec![directory(state)],
            [1].into(),
            &[],
            agent::platform::Clock::wall(&agent::platform::SystemClock),
        )
    };
    let limitations = prepare(&process).unwrap().limitations();
    assert!(limitations.iter().any(|said| said.contains("the agent's own state")), "{limitations:?}");
    let refused = prepare(&format!("{process}/net")).unwrap_err();
    assert!(matches!(refused, agent::matcher::MatcherError::State(_)), "{refused}");
    ended.wait().unwrap();
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
    make_old(root.path());
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
    make_old(root.path());
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
