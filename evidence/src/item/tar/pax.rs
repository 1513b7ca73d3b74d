//! Pax records (POSIX.1-2017, pax, *Extended Header*).

use super::ustar;
use crate::length::{len, to_usize};
use crate::time::FileTime;

/// Records in the order they were pushed.
#[derive(Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Appends `"<len> <key>=<value>\n"`; the length counts itself.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3; // space, '=', LF
        let mut len = rest + digits(rest);
        if digits(len) != digits(rest) {
            len = rest + digits(len);
        }
        self.0.extend_from_slice(len.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// The `x` block and the padded records, or nothing when there are none.
    pub(super) fn into_blocks(self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let block = ustar::block(&ustar::Fields {
            name: b"././@PaxHeader",
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: len(&self.0),
            mtime: 0,
            typeflag: b'x',
            linkname: b"",
        });
        let mut blocks = block.to_vec();
        blocks.extend_from_slice(&self.0);
        blocks.resize(blocks.len().next_multiple_of(super::BLOCK), 0);
        blocks
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| to_usize(u64::from(log)) + 1)
}

/// The pax value of a time that the octal field cannot hold: a true decimal, −0.5 and not the file-time form.
pub(super) fn mtime(time: FileTime) -> Option<String> {
    let in_range = u64::try_from(time.seconds()).is_ok_and(|seconds| seconds <= super::OCTAL_12_MAX);
    if time.nanos() == 0 {
        return (!in_range).then(|| time.seconds().to_string());
    }
    if time.seconds() >= 0 {
        return Some(format!("{}.{:09}", time.seconds(), time.nanos()));
    }
    let whole = (time.seconds() + 1).unsigned_abs();
    let fraction = 1_000_000_000 - time.nanos();
    Some(format!("-{whole}.{fraction:09}"))
}

/// `SCHILY.xattr.<name>` with `=` and `%` as GNU tar writes them: a bare `=` would end the key.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = b"SCHILY.xattr.".to_vec();
    for byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            other => key.push(*other),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_length_counts_its_own_digits() {
        for len in [1_usize, 90, 91, 92, 93, 94, 95, 96, 97, 985, 990, 991, 992, 993, 9983, 9984, 9990] {
            let mut records = Records::default();
            records.push(b"k", &vec![b'v'; len]);
            let text = String::from_utf8(records.0).unwrap();
            let written: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(written, text.len());
        }
    }

    #[test]
    fn times_are_true_decimals() {
        let text = |seconds, nanos| mtime(FileTime::new(seconds, nanos).unwrap());
        assert_eq!(text(5, 0), None);
        assert_eq!(text(5, 7).unwrap(), "5.000000007");
        assert_eq!(text(-1, 500_000_000).unwrap(), "-0.500000000");
        assert_eq!(text(-2, 250_000_000).unwrap(), "-1.750000000");
        assert_eq!(text(-3, 0).unwrap(), "-3");
        assert_eq!(text(1 << 40, 0).unwrap(), "1099511627776");
    }
}
