//! One row for each route, address, interface and neighbour.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::{
    Decoder, Out, Shape, fields, last_name, lines, number, of_process, sockets, split_once, table, text,
};
use crate::collect::NEIGHBOURS;

#[derive(Debug, Default)]
pub(super) struct Routes {
    namespace: Value,
}

impl Decoder for Routes {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        if path == NEIGHBOURS.as_bytes() {
            // The reader's limit on a dump is smaller than a piece, so a dump is never cut.
            return Some(Shape::Records(1));
        }
        let (_, rest) = of_process(path)?;
        let known: [&[u8]; 5] = [b"net/route", b"net/ipv6_route", b"net/arp", b"net/if_inet6", b"net/dev"];
        known.contains(&rest).then_some(Shape::Lines)
    }

    fn link(&mut self, path: &[u8], target: &[u8], _out: &mut Out) {
        if path.ends_with(b"/ns/net") {
            self.namespace = text(target);
        }
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        if path == NEIGHBOURS.as_bytes() {
            neighbours(bytes, out);
            return;
        }
        let mut base = Map::new();
        base.insert("namespace".into(), self.namespace.clone());
        match last_name(path) {
            b"route" => {
                for line in lines(bytes).skip(1) {
                    let all = fields(line);
                    let [device, to, via, flags, _, _, metric, mask, ..] = all.as_slice() else {
                        continue;
                    };
                    let address = |field: &[u8]| {
                        let plain = str::from_utf8(field).ok().and_then(sockets::address);
                        plain.map_or_else(|| text(field), |plain| plain.to_string().into())
                    };
                    out.row(&json!({
                        "row": "route", "source": text(path), "namespace": self.namespace, "device": text(device),
                        "to": address(to), "mask": address(mask), "via": address(via), "flags": text(flags),
                        "metric": number(metric),
                    }));
                }
            }
            b"ipv6_route" => {
                for line in lines(bytes) {
                    let all = fields(line);
                    let [to, prefix, _, _, via, metric, _, _, flags, device] = all.as_slice() else {
                        continue;
                    };
                    out.row(&json!({
                        "row": "route", "source": text(path), "namespace": self.namespace, "device": text(device), "to": six(to),
                        "prefix": hexadecimal(prefix), "via": six(via), "flags": text(flags), "metric": hexadecimal(metric),
                    }));
                }
            }
            b"if_inet6" => {
                for line in lines(bytes) {
                    let all = fields(line);
                    let [address, _, prefix, scope, flags, device] = all.as_slice() else {
                        continue;
                    };
                    out.row(&json!({
                        "row": "address", "source": text(path), "namespace": self.namespace, "device": text(device),
                        "address": six(address), "prefix": hexadecimal(prefix), "scope": text(scope), "flags": text(flags),
                    }));
                }
            }
            b"dev" => {
                for line in lines(bytes).skip(2) {
                    let Some((device, counters)) = split_once(line, b':') else { continue };
                    let counters: Vec<Option<i64>> = fields(counters).into_iter().map(number).collect();
                    out.row(&json!({
                        "row": "interface", "source": text(path), "namespace": self.namespace,
                        "device": text(device.trim_ascii()), "received_bytes": counters.first(), "sent_bytes": counters.get(8),
                    }));
                }
            }
            b"arp" => {
                // The kernel's column names contain blanks.
                for line in lines(bytes).skip(1) {
                    let all = fields(line);
                    let [address, _, flags, link, _, device] = all.as_slice() else {
                        continue;
                    };
                    out.row(&json!({
                        "row": "neighbour", "source": text(path), "namespace": self.namespace, "address": text(address),
                        "link_address": text(link), "flags": text(flags), "device": text(device),
                    }));
                }
            }
            _ => table("routes", path, bytes, &base, out),
        }
    }
}

fn hexadecimal(field: &[u8]) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(field).ok()?, 16).ok()
}

/// 32 hexadecimal digits in network order.
fn six(field: &[u8]) -> Value {
    let address = str::from_utf8(field).ok().filter(|digits| digits.len() == 32);
    let address = address.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    address.map_or_else(|| text(field), |bits| Ipv6Addr::from(bits).to_string().into())
}

/// Messages of rtnetlink(7): `nlmsghdr`, `ndmsg`, attributes.
fn neighbours(mut bytes: &[u8], out: &mut Out) {
    const NEW_NEIGHBOUR: u16 = 28;
    while let Some([a, b, c, d, e, f, ..]) = bytes.first_chunk::<16>() {
        let Ok(len) = usize::try_from(u32::from_ne_bytes([*a, *b, *c, *d])) else { return };
        let Some(body) = bytes.get(16..len) else { return };
        if let (NEW_NEIGHBOUR, Some(([family, _, _, _, i, j, k, l, s, t, flags, _], rest))) =
            (u16::from_ne_bytes([*e, *f]), body.split_first_chunk::<12>())
        {
            let (mut address, mut link) = (Value::Null, Value::Null);
            attributes(rest, |kind, value| match (kind, value.len()) {
                (1, 4) => {
                    address = value
                        .first_chunk::<4>()
                        .map_or(Value::Null, |v| Ipv4Addr::from(*v).to_string().into())
                }
                (1, 16) => {
                    address = value
                        .first_chunk::<16>()
                        .map_or(Value::Null, |v| Ipv6Addr::from(*v).to_string().into())
                }
                (2, _) => {
                    link = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":").into()
                }
                _ => {}
            });
            out.row(&json!({
                "row": "neighbour", "source": NEIGHBOURS, "family": family, "interface": i32::from_ne_bytes([*i, *j, *k, *l]),
                "state": u16::from_ne_bytes([*s, *t]), "flags": flags, "address": address, "link_address": link,
            }));
        }
        // The last message may end without its padding.
        let Some(behind) = bytes.get(len.next_multiple_of(4)..) else { return };
        bytes = behind;
    }
}

fn attributes(mut bytes: &[u8], mut take: impl FnMut(u16, &[u8])) {
    while let Some([a, b, c, d]) = bytes.first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let Some(value) = bytes.get(4..len) else { return };
        take(u16::from_ne_bytes([*c, *d]), value);
        // The last attribute may end without its padding.
        let Some(behind) = bytes.get(len.next_multiple_of(4)..) else { return };
        bytes = behind;
    }
}

#[cfg(test)]
mod tests {
    use crate::rows::decode;

    #[test]
    fn routes_and_neighbours_are_told() {
        let route = b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\n";
        let arp =
            b"IP address HW type Flags HW address Mask Device\n10.0.0.1 0x1 0x2 aa:bb:cc:dd:ee:ff * eth0\n";
        let mut message = Vec::new();
        message.extend_from_slice(&(16_u32 + 12 + 8 + 12).to_ne_bytes());
        message.extend_from_slice(&28_u16.to_ne_bytes());
        message.extend_from_slice(&[0; 10]);
        message.extend_from_slice(&[2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 1]);
        message.extend_from_slice(&[8, 0, 1, 0, 10, 0, 0, 9]);
        message.extend_from_slice(&[10, 0, 2, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
        let rows = decode(
            "routes",
            &[
                ("/proc/1/net/route", route),
                ("/proc/1/net/arp", arp),
                ("live/routes.neighbours.bin", &message),
            ],
        );
        assert_eq!(rows[0]["via"], "10.0.0.1");
        assert_eq!(rows[1]["link_address"], "aa:bb:cc:dd:ee:ff");
        assert_eq!(rows[2]["address"], "10.0.0.9");
        assert_eq!(rows[2]["link_address"], "01:02:03:04:05:06");
    }
}
