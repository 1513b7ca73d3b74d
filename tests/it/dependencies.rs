//! Asks cargo which room depends on which (ARCHITECTURE.md, Code map).

use std::path::PathBuf;
use std::process::Command;

use testkit::walk::files_below;

fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(lab::checkout())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn assert_without(package: &str, forbidden: &[&str]) {
    let tree = tree(package);
    assert!(tree.contains(&package.to_owned()), "cargo tree told nothing of {package}");
    for name in forbidden {
        assert!(!tree.iter().any(|found| found == name), "{package} uses {name}");
    }
}

/// What a room would have to write to reach beyond its arguments. `std` is in no list of dependencies, so the text of
/// the room is searched as well.
const REACHES: &[(&str, &str)] = &[
    ("std::fs", "opens files"),
    ("fs_err", "opens files"),
    ("File::open", "opens files"),
    ("File::create", "opens files"),
    ("OpenOptions", "opens files"),
    ("read_dir(", "opens files"),
    ("std::os", "system calls"),
    ("std::process", "starts processes"),
    ("std::env", "reads the environment"),
    ("io::stdin", "reads the terminal"),
    ("io::stdout", "writes to the terminal"),
    ("io::stderr", "writes to the terminal"),
    ("println!", "writes to the terminal"),
    ("print!", "writes to the terminal"),
    ("eprint!", "writes to the terminal"),
    ("eprintln!", "writes to the terminal"),
    ("TcpStream", "network"),
    ("TcpListener", "network"),
    ("UdpSocket", "network"),
    ("UnixStream", "network"),
    ("UnixListener", "network"),
    ("UnixDatagram", "network"),
    ("ToSocketAddrs", "network"),
    ("to_socket_addrs", "network"),
    ("SystemTime", "clock"),
    ("Instant", "clock"),
    ("UNIX_EPOCH", "clock"),
    ("thread::sleep", "clock"),
    ("libc", "system calls"),
    ("extern \"C\"", "system calls"),
    ("asm!", "system calls"),
];

/// Code that runs in production: no comments, no test modules, and one space where `use` lists break lines, so that
/// `std::{fs, net}` is found as `std::fs`.
fn production(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut code = lines.collect::<Vec<_>>().join(" ");
    // A list behind `std::` is searched as if each name of it were spelled out.
    let lists: Vec<String> = code
        .match_indices("std::{")
        .filter_map(|(at, _)| code.get(at + 6..)?.split(';').next().map(str::to_owned))
        .flat_map(|list| {
            list.split([',', '{', '}']).map(|name| format!(" std::{}", name.trim())).collect::<Vec<_>>()
        })
        .collect();
    code.push_str(&lists.concat());
    code
}

fn reaches(text: &str) -> Vec<(&'static str, &'static str)> {
    let code = production(text);
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let stands = |name: &str| {
        code.match_indices(name).any(|(at, _)| {
            let before = at.checked_sub(1).map(|at| code.as_bytes()[at]);
            let behind = code.as_bytes().get(at + name.len()).copied();
            let ends_open = is_word(name.bytes().last());
            !is_word(before) && (!ends_open || !is_word(behind))
        })
    };
    REACHES.iter().copied().filter(|(name, _)| stands(name)).collect()
}

fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let mut files = files_below(&lab::checkout().join(room).join("src"));
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs")
    });
    let read = |path: PathBuf| (path.clone(), fs_err::read_to_string(&path).unwrap());
    let found: Vec<_> = files.into_iter().map(read).collect();
    assert!(found.len() >= 10, "{room} has {} files of source", found.len());
    found
}

#[test]
fn the_search_finds_what_it_is_for() {
    for (text, name) in [
        ("fn f() { std::fs::read(\"/etc/passwd\"); }", "std::fs"),
        ("use std::fs::File;\nfn f() { File::open(x); }", "File::open"),
        ("use std::{collections::BTreeMap,\n    fs};", "std::fs"),
        ("use std::time::{Duration, SystemTime};", "SystemTime"),
        ("fn f() { let now = Instant::now(); }", "Instant"),
        ("use std::net::TcpStream;", "TcpStream"),
        ("fn f() { (host, 443).to_socket_addrs(); }", "to_socket_addrs"),
        ("fn f() { println!(\"x\"); }", "println!"),
    ] {
        assert!(reaches(text).iter().any(|(found, _)| *found == name), "{text:?} hides {name}");
    }
    for harmless in [
        "// std::fs is for others",
        "use std::net::Ipv6Addr;",
        "use std::time::Duration;",
        "struct ProofFile; fn f() { ProofFile::parse(x); }",
        "fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }",
    ] {
        assert_eq!(reaches(harmless), [], "{harmless:?}");
    }
}

#[test]
fn the_offline_verifier_has_no_network_code() {
    assert_without(
        "exhibit-verify",
        &["tokio", "hyper", "tonic", "rustls", "socket2", "mio", "reqwest", "certs", "proto"],
    );
    for (path, text) in sources("verify") {
        let found: Vec<_> = reaches(&text).into_iter().filter(|(_, what)| *what == "network").collect();
        assert_eq!(found, [], "{}", path.display());
    }
}

/// Dependencies and `std` included: a program that opens no socket asks the C library for none.
#[test]
fn the_offline_verifiers_binary_calls_no_socket_function() {
    let program = lab::bin_dir().join("exhibit-verify");
    let symbols = match Command::new("nm").arg("--dynamic").arg("--undefined-only").arg(&program).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED symbols of exhibit-verify: nm is not installed");
            return;
        }
        Err(error) => panic!("run nm: {error}"),
    };
    assert!(symbols.status.success(), "{}", String::from_utf8_lossy(&symbols.stderr));
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    let names: Vec<&str> = symbols
        .split_whitespace()
        .filter_map(|word| word.split('@').next())
        .filter(|word| word.len() > 1)
        .collect();
    assert!(names.contains(&"open64") || names.contains(&"open"), "nm told nothing of {}", program.display());
    for name in
        ["socket", "connect", "bind", "listen", "getaddrinfo", "sendto", "sendmsg", "recvfrom", "recvmsg"]
    {
        assert!(!names.contains(&name), "exhibit-verify calls {name}");
    }
}

/// `packaging/rules-off.py` edits a copy of the source; the programs have no such switch.
#[test]
fn no_program_can_switch_a_rule_off() {
    let switch = fs_err::read_to_string(lab::checkout().join("packaging/rules-off.py")).unwrap();
    let switch = switch
        .lines()
        .find_map(|line| line.strip_prefix("SWITCH = \"")?.strip_suffix('"'))
        .unwrap()
        .to_owned();
    let holds = |program: &str, text: &str| {
        let grep =
            Command::new("grep").args(["-aqF", text]).arg(lab::bin_dir().join(program)).status().unwrap();
        grep.code().filter(|code| *code < 2).expect("grep could read the program") == 0
    };
    for program in ["exhibit", "exhibit-agent", "exhibit-server", "exhibit-verify"] {
        assert!(!holds(program, &switch), "{program} reads {switch}");
        assert!(holds(program, "exhibit-act-v1"), "{program}: the search finds nothing");
    }
}

#[test]
fn a_mirror_uses_no_code_of_what_it_checks() {
    assert_without("mirror", &["server", "agent", "cli"]);
}

#[test]
fn formats_know_no_runtime_no_clock_and_no_files() {
    assert_without("evidence", &["tokio", "rustix", "fs-err", "getrandom", "proto", "certs", "tonic"]);
    assert_without("ledger", &["tokio", "rustix", "fs-err", "getrandom", "evidence", "tonic"]);
    assert_without(
        "custody",
        &["tokio", "rustix", "fs-err", "getrandom", "proto", "certs", "store", "durable", "tonic"],
    );
    for (path, text) in ["evidence", "ledger", "custody"].into_iter().flat_map(sources) {
        assert_eq!(reaches(&text), [], "{}", path.display());
    }
}

#[test]
fn agent_server_and_command_line_never_use_each_other() {
    assert_without("agent", &["server", "cli", "rusqlite", "axum-server"]);
    assert_without("server", &["agent", "cli"]);
    assert_without("cli", &["agent", "server", "rusqlite"]);
}

#[test]
fn the_cage_knows_nothing_of_what_runs_in_it() {
    assert_without("cage", &["evidence", "ledger", "proto", "certs", "store", "durable", "tonic", "rustls"]);
}
