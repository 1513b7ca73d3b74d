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
        // A torn last record is left out.
        for record in bytes.as_chunks::<RECORD_BYTES>().0 {
            let (session, seconds, micros, address) = times(record);
            out.row(&json!({
                "row": "login", "source": text(path), "type": kind_name(i16::from_ne_bytes(field::<0, 2>(record))),
                "pid": i32::from_ne_bytes(field::<4, 4>(record)), "line": text(name(&field::<8, 32>(record))),
                "id": text(name(&field::<40, 4>(record))), "user": text(name(&field::<44, 32>(record))),
                "host": text(name(&field::<76, 256>(record))),
                "session": session, "seconds": seconds, "microseconds": micros, "address": shown(address),
            }));
        }
    }
}

type Record = [u8; RECORD_BYTES];

/// The field of `LEN` bytes at `AT`. A field that does not lie in the record does not compile.
#[expect(clippy::expect_used, reason = "the assertion, which the compiler evaluates, is the proof")]
fn field<const AT: usize, const LEN: usize>(record: &Record) -> [u8; LEN] {
    const { assert!(AT + LEN <= RECORD_BYTES) };
    let bytes = record.get(AT..).and_then(|behind| behind.first_chunk());
    *bytes.expect("a field lies in its record")
}

/// Session, seconds, microseconds and address.
#[cfg(not(target_arch = "aarch64"))]
fn times(record: &Record) -> (i64, i64, i64, [u8; 16]) {
    let number = |bytes| i64::from(i32::from_ne_bytes(bytes));
    (
        number(field::<336, 4>(record)),
        number(field::<340, 4>(record)),
        number(field::<344, 4>(record)),
        field::<348, 16>(record),
    )
}

/// Session, seconds, microseconds and address.
#[cfg(target_arch = "aarch64")]
fn times(record: &Record) -> (i64, i64, i64, [u8; 16]) {
    let number = i64::from_ne_bytes;
    (
        number(field::<336, 8>(record)),
        number(field::<344, 8>(record)),
        number(field::<352, 8>(record)),
        field::<360, 16>(record),
    )
}

/// A fixed field up to its first NUL.
fn name(field: &[u8]) -> &[u8] {
    field.iter().position(|byte| *byte == 0).map_or(field, |end| field.split_at(end).0)
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

fn shown(bytes: [u8; 16]) -> Option<String> {
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
