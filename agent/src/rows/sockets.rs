//! One row for each socket, by network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::{Decoder, Out, Shape, fields, last_name, lines, number, of_process, table, text};

#[derive(Debug, Default)]
pub(super) struct Sockets {
    namespace: Value,
}

impl Decoder for Sockets {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        of_process(path).is_some_and(|(_, rest)| rest.starts_with(b"net/")).then_some(Shape::Lines)
    }

    fn link(&mut self, path: &[u8], target: &[u8], _out: &mut Out) {
        if path.ends_with(b"/ns/net") {
            self.namespace = text(target);
        }
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        let protocol = String::from_utf8_lossy(last_name(path)).into_owned();
        let mut base = Map::new();
        base.insert("row".into(), "socket".into());
        base.insert("protocol".into(), protocol.clone().into());
        base.insert("namespace".into(), self.namespace.clone());
        base.insert("source".into(), text(path));
        match protocol.as_str() {
            "unix" => {
                for line in lines(bytes).skip(1) {
                    if let [_, _, _, flags, kind, state, inode, rest @ ..] = fields(line).as_slice() {
                        let mut row = base.clone();
                        row.insert("flags".into(), text(flags));
                        row.insert("type".into(), text(kind));
                        row.insert("state".into(), text(state));
                        row.insert("inode".into(), number(inode).into());
                        row.insert("path".into(), rest.first().map_or(Value::Null, |path| text(path)));
                        out.row(&Value::Object(row));
                    }
                }
            }
            "packet" | "netlink" => table("socket", path, bytes, &base, out),
            _ => {
                for line in lines(bytes).skip(1) {
                    if let [_, local, remote, state, queues, _, _, uid, _, inode, ..] =
                        fields(line).as_slice()
                    {
                        let mut row = base.clone();
                        row.insert("local".into(), endpoint(local));
                        row.insert("remote".into(), endpoint(remote));
                        row.insert("state".into(), state_name(&protocol, state));
                        row.insert("queues".into(), text(queues));
                        row.insert("uid".into(), number(uid).into());
                        row.insert("inode".into(), number(inode).into());
                        out.row(&Value::Object(row));
                    }
                }
            }
        }
    }
}

/// `0100007F:1F90`: the address as 32-bit words of this machine, the port as a number.
fn endpoint(field: &[u8]) -> Value {
    let decoded = str::from_utf8(field).ok().and_then(|field| {
        let (address, port) = field.split_once(':')?;
        Some(json!({"address": self::address(address)?.to_string(), "port": u16::from_str_radix(port, 16).ok()?}))
    });
    decoded.unwrap_or_else(|| text(field))
}

/// The kernel prints each 32-bit word of the address as a number of the machine's own byte order.
pub(super) fn address(digits: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = digits
        .as_bytes()
        .chunks(8)
        .map(|word| Some(u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [word] if digits.len() == 8 => Some(Ipv4Addr::from(*word).into()),
        [_, _, _, _] if digits.len() == 32 => {
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

fn state_name(protocol: &str, state: &[u8]) -> Value {
    const TCP: &[&str] = &[
        "established",
        "syn_sent",
        "syn_recv",
        "fin_wait1",
        "fin_wait2",
        "time_wait",
        "close",
        "close_wait",
        "last_ack",
        "listen",
        "closing",
        "new_syn_recv",
    ];
    let number = str::from_utf8(state).ok().and_then(|state| usize::from_str_radix(state, 16).ok());
    let name =
        number.filter(|_| protocol.starts_with("tcp")).and_then(|number| TCP.get(number.checked_sub(1)?));
    name.map_or_else(|| text(state), |name| Value::from(*name))
}

#[cfg(test)]
mod tests {
    use crate::rows::decode;

    #[test]
    fn addresses_ports_and_states_are_told() {
        let tcp = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0\nx\n";
        let tcp6 = b"head\n 0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 9 1\n";
        let unix = b"Num RefCount Protocol Flags Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 17 /run/\xffx\n";
        let rows = decode(
            "sockets",
            &[("/proc/1/net/tcp", tcp), ("/proc/1/net/tcp6", tcp6), ("/proc/1/net/unix", unix)],
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0]["local"]["address"], "127.0.0.1");
        assert_eq!(rows[0]["local"]["port"], 8080);
        assert_eq!(rows[0]["state"], "listen");
        assert_eq!(rows[0]["inode"], 4711);
        assert_eq!(rows[1]["local"]["address"], "::1");
        assert_eq!(rows[2]["path"]["shown"], "/run/\u{fffd}x");
    }
}
