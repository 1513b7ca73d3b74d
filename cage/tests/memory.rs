//! Asks the running kernel whether another process of the same user may look into a process that hides its memory.

#![cfg(test)]

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use cage::datagram;
use cage::{Errors, Launch, User, pieces};

/// The environment variable with the child's role. No product reads it.
const ROLE: &str = "EXHIBIT_CAGE_MEMORY";

/// Files that show a process's memory to those who may read them.
const FILES: [&str; 3] = ["environ", "mem", "maps"];

/// Runs in the launched child.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let socket = cage::parent_socket().unwrap();
    let said = match role.as_str() {
        "shown" => "ready".to_owned(),
        "hidden" => {
            cage::hide_memory().unwrap();
            "ready".to_owned()
        }
        process => FILES.map(|file| open(process, file)).join(" "),
    };
    pieces::write(socket.as_fd(), 1, said.as_bytes()).unwrap();
    // Wait until the parent is done.
    assert_eq!(pieces::read(socket.as_fd(), &mut datagram::buffer(), 0).unwrap(), None);
}

fn open(process: &str, file: &str) -> String {
    match fs_err::File::open(format!("/proc/{process}/{file}")) {
        Ok(_) => format!("{file}:open"),
        Err(error) => format!("{file}:{:?}", error.kind()),
    }
}

/// Starts a child of this role as a user without capabilities, and waits for its report.
fn start(role: &str) -> (Child, OwnedFd, String) {
    let program = std::env::current_exe().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let (mut command, ours) = Launch {
        program: &program,
        name: None,
        arguments: &["--exact".into(), "child".into(), "--test-threads=1".into()],
        environment: &[(ROLE, role.into())],
        // Root may look into every process.
        user: is_root.then_some(User { uid: 65_534, gid: 65_534 }),
        answers_on_stdout: false,
        errors: Errors::Discarded,
    }
    .prepare()
    .unwrap();
    let child = command.spawn().unwrap();
    drop(command);
    let frame = pieces::receive(ours.as_fd(), &mut datagram::buffer(), 1 << 16).unwrap().unwrap();
    (child, ours, String::from_utf8(frame.body).unwrap())
}

#[test]
fn a_process_that_hides_its_memory_is_closed_to_others_of_its_user() {
    let mut seen = Vec::new();
    for role in ["shown", "hidden"] {
        let (mut watched, socket, said) = start(role);
        assert_eq!(said, "ready");
        let (mut reader, its_socket, said) = start(&watched.id().to_string());
        drop((socket, its_socket));
        assert!(watched.wait().unwrap().success() && reader.wait().unwrap().success());
        seen.push(said);
    }
    assert!(
        seen[0].contains("environ:open") && seen[0].contains("maps:open"),
        "the test looks at nothing: {}",
        seen[0]
    );
    assert_eq!(seen[1], "environ:PermissionDenied mem:PermissionDenied maps:PermissionDenied");
}
