//! One row for each process, put together from the items of its directory.

use std::collections::BTreeMap;

use evidence::item::Stat;
use serde_json::{Map, Value, json};

use super::{Decoder, Out, Shape, fields, lines, number, of_process, split_once, text};
use crate::ipc::Seen;

/// Most socket inodes in a row. The links under `fd` are items anyway.
const SOCKETS_MAX: usize = 4096;

/// Most arguments in a row. `cmdline` is an item anyway.
const ARGUMENTS_MAX: usize = 1024;

/// `PF_KTHREAD` of the flags in `stat`. A program cannot fake it by its name.
const KERNEL_THREAD: i64 = 0x0020_0000;

#[derive(Debug, Default)]
pub(super) struct Processes {
    current: Option<(i64, Map<String, Value>)>,
    namespaces: BTreeMap<String, Value>,
    sockets: Vec<i64>,
}

impl Processes {
    fn of(&mut self, pid: i64, out: &mut Out) -> &mut Map<String, Value> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != pid) {
            self.emit(out);
        }
        &mut self.current.get_or_insert_with(|| (pid, Map::new())).1
    }

    fn emit(&mut self, out: &mut Out) {
        let Some((pid, mut row)) = self.current.take() else {
            return;
        };
        row.insert("row".into(), "process".into());
        row.insert("pid".into(), pid.into());
        row.insert("source".into(), format!("/proc/{pid}").into());
        row.insert("namespaces".into(), json!(std::mem::take(&mut self.namespaces)));
        row.insert("socket_inodes".into(), json!(std::mem::take(&mut self.sockets)));
        out.row(&Value::Object(row));
    }
}

impl Decoder for Processes {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        let (_, name) = of_process(path)?;
        let known: [&[u8]; 7] =
            [b"stat", b"status", b"cmdline", b"cgroup", b"loginuid", b"sessionid", b"oom_score_adj"];
        known.contains(&name).then_some(Shape::Lines)
    }

    fn link(&mut self, path: &[u8], target: &[u8], out: &mut Out) {
        let Some((pid, name)) = of_process(path) else {
            return;
        };
        let row = self.of(pid, out);
        if matches!(name, b"exe" | b"cwd" | b"root") {
            row.insert(String::from_utf8_lossy(name).into_owned(), text(target));
        } else if let Some(kind) = name.strip_prefix(b"ns/") {
            self.namespaces.insert(String::from_utf8_lossy(kind).into_owned(), text(target));
        } else if name.starts_with(b"fd/")
            && let Some(inode) =
                target.strip_prefix(b"socket:[").and_then(|rest| number(rest.strip_suffix(b"]")?))
            && self.sockets.len() < SOCKETS_MAX
        {
            self.sockets.push(inode);
        }
    }

    fn program(&mut self, seen: &Seen, sha256: Option<&str>, note: Option<&str>, out: &mut Out) {
        let Some((pid, _)) = of_process(&seen.path.0) else {
            return;
        };
        let row = self.of(pid, out);
        row.insert("exe_sha256".into(), sha256.into());
        row.insert("exe_note".into(), note.into());
        if let Some(stat) = &seen.before {
            // The link count decides, because a file's name may itself end in "x (deleted)" (proc(5)).
            row.insert("exe_deleted".into(), (stat.nlink == 0).into());
            row.insert("exe_stat".into(), value_of(stat));
        }
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        let Some((pid, name)) = of_process(path) else {
            return;
        };
        let row = self.of(pid, out);
        match name {
            b"stat" => stat(bytes, row),
            b"status" => status(bytes, row),
            b"cmdline" => {
                let all = bytes.strip_suffix(b"\0").unwrap_or(bytes);
                let mut arguments = all.split(|byte| *byte == 0);
                let argv: Vec<Value> = if bytes.is_empty() {
                    Vec::new()
                } else {
                    arguments.by_ref().take(ARGUMENTS_MAX).map(text).collect()
                };
                row.insert("argv_cut".into(), (!bytes.is_empty() && arguments.next().is_some()).into());
                row.insert("argv".into(), argv.into());
            }
            b"cgroup" => {
                row.insert("cgroup".into(), lines(bytes).map(text).collect::<Vec<_>>().into());
            }
            _ => {
                let field = bytes.trim_ascii();
                // 4294967295 is the kernel's value for "never set".
                let value = number(field).filter(|number| *number != i64::from(u32::MAX));
                row.insert(String::from_utf8_lossy(name).into_owned(), value.into());
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        self.emit(out);
    }
}

#[expect(clippy::expect_used, reason = "a `Stat` has only numbers and texts, under names that are texts")]
fn value_of(stat: &Stat) -> Value {
    serde_json::to_value(stat).expect("a `Stat` is JSON")
}

/// Format: proc_pid_stat(5). The name may hold anything, so fields are counted from the last parenthesis on.
fn stat(bytes: &[u8], row: &mut Map<String, Value>) {
    let close = bytes.iter().rposition(|byte| *byte == b')');
    let Some((named, behind)) = close.and_then(|close| Some((bytes.get(..close)?, bytes.get(close + 1..)?)))
    else {
        return;
    };
    // Without an opening parenthesis before the closing one there is no name, and no field can be counted.
    let Some((_, name)) = split_once(named, b'(') else { return };
    row.insert("comm".into(), text(name));
    let rest = fields(behind);
    let field = |position: usize| rest.get(position).copied().and_then(number);
    row.insert("state".into(), rest.first().map_or(Value::Null, |state| text(state)));
    row.insert("ppid".into(), field(1).into());
    row.insert("session".into(), field(3).into());
    row.insert("tty".into(), field(4).into());
    row.insert("kernel_thread".into(), field(6).map(|flags| flags & KERNEL_THREAD != 0).into());
    row.insert("start_ticks".into(), field(19).into());
}

fn status(bytes: &[u8], row: &mut Map<String, Value>) {
    for line in lines(bytes) {
        let Some((name, value)) = split_once(line, b':') else { continue };
        let value = value.trim_ascii();
        let field = match name {
            b"Uid" => "uids",
            b"Gid" => "gids",
            b"CapEff" => "capabilities",
            b"NoNewPrivs" => "no_new_privileges",
            b"Seccomp" => "seccomp",
            b"TracerPid" => "tracer_pid",
            b"Threads" => "threads",
            b"NSpid" => "namespace_pids",
            _ => continue,
        };
        let value = match field {
            "uids" | "gids" | "namespace_pids" => {
                fields(value).into_iter().map(number).collect::<Vec<_>>().into()
            }
            "capabilities" => text(value),
            _ => number(value).into(),
        };
        row.insert(field.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use crate::rows::{Rows, decode, lines};
    use serde_json::Value;

    #[test]
    fn a_row_survives_names_and_arguments_of_any_bytes() {
        let stat = b"7 (a) b\xff) S 1 7 7 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0\n";
        let rows = decode(
            "processes",
            &[
                ("/proc/7/cmdline", b"/bin/x\0\0-\xff\0"),
                ("/proc/7/loginuid", b"4294967295"),
                ("/proc/7/status", b"Uid:\t0\t0\t0\t0\nTracerPid:\t0\nCapEff:\t000001ffffffffff\n"),
                ("/proc/7/stat", stat),
                ("/proc/8/stat", b"8 (kthreadd) S 0 0 0 0 -1 2129984 0"),
                ("/proc/9/stat", b"no parenthesis"),
                ("/proc/10/stat", b"10 ) swapped ( S 1"),
            ],
        );
        assert_eq!(rows.len(), 4);
        assert!(rows[3].get("comm").is_none() && rows[3].get("ppid").is_none(), "{}", rows[3]);
        assert_eq!(rows[0]["comm"]["shown"], "a) b\u{fffd}");
        assert_eq!(rows[0]["argv"].as_array().unwrap().len(), 3);
        assert_eq!(rows[0]["argv"][1], "");
        assert_eq!(rows[0]["argv"][2]["base64"], "Lf8=");
        assert_eq!(rows[0]["start_ticks"], 4242);
        assert_eq!(rows[0]["loginuid"], Value::Null);
        assert_eq!(rows[0]["uids"][3], 0);
        assert_eq!(rows[1]["kernel_thread"], true);
    }

    #[test]
    fn sockets_and_namespaces_come_from_the_links() {
        let mut rows = Rows::of("processes").unwrap();
        rows.link(b"/proc/7/ns/net", b"net:[4026531840]");
        rows.link(b"/proc/7/fd/3", b"socket:[4711]");
        rows.link(b"/proc/7/fd/4", b"/etc/passwd");
        rows.link(b"/proc/8/exe", b"/x (deleted)");
        let bytes = rows.finish().unwrap();
        let rows: Vec<Value> = lines(&bytes).map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(rows[0]["socket_inodes"][0], 4711);
        assert_eq!(rows[0]["namespaces"]["net"], "net:[4026531840]");
        assert_eq!(rows[1]["exe"], "/x (deleted)");
    }
}
