//! One row for the machine, and one for each account.

use serde_json::{Map, Value, json};

use super::{Decoder, Out, Shape, lines, number, split_once, text};

#[derive(Debug, Default)]
pub(super) struct Host {
    machine: Map<String, Value>,
}

/// Sources that consist of one line, and the field that each becomes.
const SINGLE: &[(&[u8], &str)] = &[
    (b"/etc/hostname", "hostname_file"),
    (b"/etc/machine-id", "machine_id"),
    (b"/etc/debian_version", "debian_version"),
    (b"/etc/timezone", "timezone"),
    (b"/proc/version", "kernel"),
    (b"/proc/cmdline", "kernel_command_line"),
    (b"/proc/uptime", "uptime"),
    (b"/proc/loadavg", "load"),
    (b"/proc/sys/kernel/hostname", "hostname"),
    (b"/proc/sys/kernel/domainname", "domainname"),
    (b"/proc/sys/kernel/osrelease", "kernel_release"),
    (b"/proc/sys/kernel/random/boot_id", "boot_id"),
    (b"/proc/sys/kernel/tainted", "kernel_tainted"),
];

impl Decoder for Host {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        let is_known = SINGLE.iter().any(|(known, _)| *known == path)
            || path.starts_with(b"/sys/devices/virtual/dmi/id/")
            || matches!(path, b"/etc/passwd" | b"/etc/os-release" | b"/usr/lib/os-release");
        is_known.then_some(Shape::Lines)
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        if let Some((_, field)) = SINGLE.iter().find(|(known, _)| *known == path) {
            self.machine.insert((*field).to_owned(), text(bytes.trim_ascii()));
        } else if let Some(name) = path.strip_prefix(b"/sys/devices/virtual/dmi/id/") {
            self.machine.insert(format!("dmi_{}", String::from_utf8_lossy(name)), text(bytes.trim_ascii()));
        } else if path == b"/etc/passwd" {
            for line in lines(bytes) {
                let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
                if let [name, _, uid, gid, comment, home, shell] = fields.as_slice() {
                    out.row(&json!({
                        "row": "account", "source": "/etc/passwd", "name": text(name), "uid": number(uid), "gid": number(gid),
                        "comment": text(comment), "home": text(home), "shell": text(shell),
                    }));
                }
            }
        } else {
            for line in lines(bytes) {
                let Some((name, value)) = split_once(line, b'=') else { continue };
                let value =
                    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
                let name = format!("os_{}", String::from_utf8_lossy(name).to_lowercase());
                self.machine.entry(name).or_insert_with(|| text(value));
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let mut row = std::mem::take(&mut self.machine);
        row.insert("row".into(), "host".into());
        out.row(&Value::Object(row));
    }
}

#[cfg(test)]
mod tests {
    use crate::rows::decode;

    #[test]
    fn machine_and_accounts_are_told() {
        let rows = decode(
            "host",
            &[
                ("/proc/sys/kernel/hostname", b"web-03\n"),
                ("/etc/os-release", b"ID=debian\nPRETTY_NAME=\"Debian 12\"\n"),
                ("/etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nbroken\n"),
            ],
        );
        assert_eq!(rows[0]["home"], "/root");
        assert_eq!(rows[1]["hostname"], "web-03");
        assert_eq!(rows[1]["os_pretty_name"], "Debian 12");
    }
}
