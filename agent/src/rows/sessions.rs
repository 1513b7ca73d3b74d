//! One row for each record of the utmp family.

use serde_json::json;

use super::{Decoder, Out, Shape, text};

#[derive(Debug, Default)]
pub(super) struct Sessions;

/// `struct utmp` of this machine (utmp(5)): times are 32 bits where 32-bit programs share the file.
#[cfg(not(target_arch = "aarch64"))]
const RECORD_BYTES: usize = 384;
#[cfg(target_arch = "aarch64")]
const RECORD_BYTES: usize = 400;

impl Decoder for Sessions {
    fn shape(&self, path: &[u8]) -> Option<Shape> {
        let name = path.rsplit(|byte| *byte == b'/').next()?;
        let is_family = [&b"utmp"[..], b"wtmp", b"btmp"].iter().any(|family| name.starts_with(family));
        let is_plain = ![&b".gz"[..], b".xz", b".zst", b".bz2", b".db"].iter().any(|end| name.ends_with(end));
        (is_family && is_plain).then_some(Shape::Records(RECORD_BYTES))
    }

    fn piece(&mut self, path: &[u8], bytes: &[u8], out: &mut Out) {
        for record in bytes.chunks_exact(RECORD_BYTES) {
            let at = |from: usize, len: usize| record.get(from..from + len).unwrap_or_default();
            let int = |from: usize| at(from, 4).first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            let kind = at(0, 2).first_chunk().map_or(0, |bytes| i16::from_ne_bytes(*bytes));
            let (session, seconds, micros, address) = if RECORD_BYTES == 384 {
                (i64::from(int(336)), i64::from(int(340)), i64::from(int(344)), at(348, 16))
            } else {
                let long =
                    |from: usize| at(from, 8).first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
                (long(336), long(344), long(352), at(360, 16))
            };
            out.row(&json!({
                "row": "login", "source": text(path), "type": kind_name(kind), "pid": int(4), "line": text(name(at(8, 32))),
                "id": text(name(at(40, 4))), "user": text(name(at(44, 32))), "host": text(name(at(76, 256))),
                "session": session, "seconds": seconds, "microseconds": micros, "address": shown(address),
            }));
        }
    }
}

/// A fixed field up to its first NUL.
fn name(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn kind_name(kind: i16) -> String {
    const NAMES: &[&str] = &[
        "empty",
        "run_level",
        "boot_time",
        "new_time",
        "old_time",
        "init_process",
        "login_process",
        "user_process",
        "dead_process",
        "accounting",
    ];
    usize::try_from(kind)
        .ok()
        .and_then(|kind| NAMES.get(kind))
        .map_or_else(|| kind.to_string(), |name| (*name).to_owned())
}

fn shown(address: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = address.try_into().ok()?;
    let [a, b, c, d, rest @ ..] = bytes;
    if bytes == [0; 16] {
        None
    } else if rest == [0; 12] {
        Some(std::net::Ipv4Addr::new(a, b, c, d).to_string())
    } else {
        Some(std::net::Ipv6Addr::from(bytes).to_string())
    }
}

#[cfg(all(test, not(target_arch = "aarch64")))]
mod tests {
    use crate::rows::decode;

    #[test]
    fn a_login_record_is_decoded_and_a_torn_one_left_out() {
        let mut record = vec![0_u8; 384];
        record[0] = 7;
        record[4..8].copy_from_slice(&4321_i32.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..48].copy_from_slice(b"r\xffot");
        record[76..85].copy_from_slice(b"10.0.0.77");
        record[340..344].copy_from_slice(&1_795_300_000_i32.to_ne_bytes());
        record[348..352].copy_from_slice(&[10, 0, 0, 77]);
        record.extend_from_slice(&[1; 100]);
        let rows = decode("sessions", &[("/var/log/wtmp", &record)]);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["type"], "user_process");
        assert_eq!(rows[0]["user"]["base64"], "cv9vdA==");
        assert_eq!(rows[0]["address"], "10.0.0.77");
        assert_eq!(rows[0]["seconds"], 1_795_300_000);
    }
}
