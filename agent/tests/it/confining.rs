//! Checks which rights the link has given up when it says that it is ready.

use std::path::Path;

use agent::message::{FromLink, Identity, ToLink, from_link, to_link};
use agent::warden::lane::Lane;
use cage::User;
use testkit::wait;

/// The value of a line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> String {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_ready_link_has_no_capability_no_way_back_and_the_user_it_was_given() {
    // 65534 is `nobody` everywhere; only root can become somebody else.
    let is_root = rustix::process::geteuid().is_root();
    let user = is_root.then_some(User { uid: 65534, gid: 65534 });
    let mut link =
        Lane::start(Path::new(env!("CARGO_BIN_EXE_exhibit-agent")), agent::LINK_ROLE, user).unwrap();
    // Nobody listens on port 1: it stays ready and not connected.
    let identity = Identity { collector: "127.0.0.1:1".into(), backoff_min_ms: 1000, ..Identity::default() };
    link.send(&ToLink { say: Some(to_link::Say::Identity(identity)) }, Vec::new()).unwrap();
    wait::until("the link ready", || {
        matches!(
            link.receive::<FromLink>().unwrap(),
            Some((FromLink { say: Some(from_link::Say::Ready(_)) }, _))
        )
    });
    let pid = link.pid();
    for sets in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(pid, sets), "0000000000000000", "{sets}");
    }
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".to_owned(), "2".to_owned()));
    if is_root {
        assert_eq!(status(pid, "Uid"), "65534 65534 65534 65534");
        assert_eq!(status(pid, "Gid"), "65534 65534 65534 65534");
        assert_eq!(status(pid, "Groups"), "");
        // Its environment holds nothing of the warden's.
        assert_eq!(fs_err::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    }
    assert!(link.end().is_none(), "it dies when it is told to");
}
