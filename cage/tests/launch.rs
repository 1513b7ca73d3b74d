//! Asks a child of the launcher what it has. The child is this test program again.

#![cfg(test)]

use std::os::fd::{AsFd as _, AsRawFd as _};

use cage::datagram;
use cage::{Errors, Launch, User, pieces};

/// The only variable that the launched child gets. No product reads it.
const CHILD: &str = "EXHIBIT_CAGE_CHILD";

/// Runs in the launched child and reports what it has.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let socket = cage::parent_socket().unwrap();
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let files: Vec<std::path::PathBuf> = fs_err::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs_err::read_link(entry.unwrap().path()).ok())
        .collect();
    // The parent has this very program open.
    let leaked = files.iter().filter(|file| **file == std::env::current_exe().unwrap()).count();
    let sockets = files.iter().filter(|file| file.display().to_string().starts_with("socket:")).count();
    let user = rustix::process::geteuid().as_raw();
    let said = format!("{names:?} {:?} {user} {sockets} {leaked}", std::env::current_dir().unwrap());
    pieces::write(socket.as_fd(), 1, said.as_bytes()).unwrap();
    // Wait until the parent is done.
    assert_eq!(pieces::read(socket.as_fd(), &mut datagram::buffer(), 0).unwrap(), None);
}

fn said(user: Option<User>) -> String {
    let program = std::env::current_exe().unwrap();
    let (mut command, ours) = Launch {
        program: &program,
        name: Some("child"),
        arguments: &["--exact".into(), "child".into(), "--test-threads=1".into()],
        environment: &[(CHILD, "1".into())],
        user,
        answers_on_stdout: false,
        errors: Errors::Discarded,
    }
    .prepare()
    .unwrap();
    // An open file of the parent must not reach the child.
    let kept = fs_err::File::open(&program).unwrap();
    assert!(kept.as_raw_fd() > 2);
    let mut child = command.spawn().unwrap();
    drop(command);
    let frame = pieces::receive(ours.as_fd(), &mut datagram::buffer(), 1 << 16).unwrap().unwrap();
    drop(ours);
    assert!(child.wait().unwrap().success());
    String::from_utf8(frame.body).unwrap()
}

#[test]
fn a_child_has_one_socket_one_variable_and_the_root_directory() {
    let user = rustix::process::geteuid().as_raw();
    // Two descriptors of the one socket: standard input, and the child's own duplicate.
    assert_eq!(said(None), format!("[{CHILD:?}] \"/\" {user} 2 0"));
}

#[test]
fn as_root_a_child_can_be_another_user() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and CI has it");
        println!("SKIPPED as_root_a_child_can_be_another_user: needs root");
        return;
    }
    assert!(said(Some(User { uid: 65_534, gid: 65_534 })).contains("\"/\" 65534 "));
}
