//! `deployment/ca.pem`: the certificate of the collector's TLS authority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of base64 in a full line (RFC 7468 section 3, the strict form).
const LINE_CHARACTERS: usize = 64;

/// The file: one certificate, given as DER, in the strict form of RFC 7468.
pub fn ca_pem(certificate: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(certificate);
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in encoded.as_bytes().chunks(LINE_CHARACTERS) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters_and_a_full_last_line_is_not_followed_by_an_empty_one() {
        for (bytes, lines) in [(1, 1), (47, 1), (48, 1), (49, 2), (96, 2), (97, 3)] {
            let pem = String::from_utf8(ca_pem(&vec![7; bytes])).unwrap();
            let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
            assert_eq!(body.len(), lines, "{bytes} bytes");
            assert!(body.iter().all(|line| !line.is_empty() && line.len() <= 64), "{pem}");
            assert!(body.iter().rev().skip(1).all(|line| line.len() == 64), "{pem}");
        }
    }
}
