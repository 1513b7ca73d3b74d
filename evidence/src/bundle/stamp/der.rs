//! As much DER as a time stamp needs (X.690). Reads elements one after another without copying, and writes them.
//! Guarantee: a length has one spelling, the shortest, both when reading and when writing. Reading never panics.
//! Not here: BER, tags over 30, elements of 64 KiB or more, the meaning of the elements, the order of a set (authorities write
//! certificates in the order of the chain).

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// Set in the tag of an element that holds elements.
const CONSTRUCTED: u8 = 0x20;
/// Set in the tag of an element whose type depends on where it stands.
const CLASS: u8 = 0xc0;
/// Elements are nested at most so deep; certificates need some twelve.
const DEPTH_MAX: usize = 32;

/// Tag of a constructed element `[number]`.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The content of an object identifier; it exists so that the constants say what they are.
pub(super) const fn oid<const N: usize>(content: [u8; N]) -> [u8; N] {
    content
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub tag: u8,
    /// The content of the element.
    pub content: &'a [u8],
    /// The whole element, with tag and length.
    pub raw: &'a [u8],
}

/// The first element, and what follows it.
pub(super) fn next(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
            // The shortest spelling only.
            let least = if digits.len() == 1 { 0x80 } else { 0x100 };
            (length >= least).then_some((length, rest))?
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let (raw, _) = bytes.split_at_checked(bytes.len().checked_sub(rest.len())?)?;
    (tag & 0x1f != 0x1f).then_some((Element { tag: *tag, content, raw }, rest))
}

/// The content of the first element, which has this tag, and what follows it.
pub(super) fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (element, rest) = next(bytes)?;
    (element.tag == tag).then_some((element.content, rest))
}

/// The content of the only element, which has this tag.
pub(super) fn whole(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (content, rest) = expect(bytes, tag)?;
    rest.is_empty().then_some(content)
}

/// What follows the first element if it has this tag, else everything.
pub(super) fn skip(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (element, rest) = next(bytes)?;
    Some(if element.tag == tag { rest } else { bytes })
}

/// All elements; `None` for more than `max`.
pub(super) fn all(mut bytes: &[u8], max: usize) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = next(bytes)?;
        if elements.len() == max {
            return None;
        }
        elements.push(element);
        bytes = rest;
    }
    Some(elements)
}

/// True if the bytes are whole elements, each spelt as DER asks, and so is everything inside them.
pub(super) fn is_strict(bytes: &[u8]) -> bool {
    is_strict_below(bytes, DEPTH_MAX)
}

fn is_strict_below(mut bytes: &[u8], depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return bytes.is_empty() };
    while !bytes.is_empty() {
        let Some((element, rest)) = next(bytes) else { return false };
        let content = element.content;
        let is_spelt = match element.tag {
            BOOLEAN => matches!(content, [0 | 0xff]),
            // The shortest form: no first byte that only repeats the sign.
            INTEGER | ENUMERATED => !matches!(content, [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..]),
            BITS => is_bits(content),
            NULL => content.is_empty(),
            OID => is_oid(content),
            SEQUENCE | SET => is_strict_below(content, below),
            // Text and times, in one piece. 0 is the end of BER; 0x10 and 0x11 are sequences that deny it.
            0 | 0x10 | 0x11 => false,
            tag if tag & CLASS == 0 => tag & CONSTRUCTED == 0,
            tag if tag & CONSTRUCTED != 0 => is_strict_below(content, below),
            _ => true,
        };
        if !is_spelt {
            return false;
        }
        bytes = rest;
    }
    true
}

/// The number of unused bits, which are zero, then the bits.
fn is_bits(content: &[u8]) -> bool {
    match content {
        [unused] => *unused == 0,
        [unused @ 0..=7, .., last] => last.trailing_zeros() >= u32::from(*unused),
        _ => false,
    }
}

/// Numbers of seven bits a byte, each in its shortest form; the last byte ends one.
fn is_oid(content: &[u8]) -> bool {
    let mut begins = true;
    for byte in content {
        if begins && *byte == 0x80 {
            return false;
        }
        begins = byte & 0x80 == 0;
    }
    begins && !content.is_empty()
}

/// Writes an element: tag, length, content.
pub(super) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let digits = content.len().to_be_bytes();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let (_, digits) = digits.split_at(zeros);
    let mut bytes = vec![tag];
    match digits {
        [] => bytes.push(0),
        [length @ 0..=0x7f] => bytes.push(*length),
        digits => {
            // At most eight: the bytes of a usize.
            let count: u8 = digits.iter().map(|_digit| 1).sum();
            bytes.push(0x80 | count);
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Writes a positive INTEGER in its shortest form: no zero in front but the one that keeps the sign.
pub(super) fn encode_positive(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let (_, digits) = number.split_at(zeros);
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    encode(INTEGER, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_one_spelling() {
        for length in [0, 1, 127, 128, 255, 256, 300, 65_535] {
            let content = vec![7; length];
            let bytes = encode(SEQUENCE, &content);
            assert_eq!(whole(&bytes, SEQUENCE), Some(content.as_slice()), "{length}");
            assert_eq!(whole(&bytes, SET), None);
            assert_eq!(whole(&[bytes.as_slice(), &[0]].concat(), SEQUENCE), None);
            assert_eq!(whole(&bytes[..bytes.len() - 1], SEQUENCE), None);
        }
        assert_eq!(encode(SEQUENCE, &vec![0; 256])[..4], [0x30, 0x82, 1, 0]);
        assert_eq!(encode(SEQUENCE, &vec![0; 65_536])[..5], [0x30, 0x83, 1, 0, 0]);
        for wrong in [
            &[0x30][..],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x82, 0, 0x01, 0],
            &[0x30, 0x80, 0, 0],
            &[0x1f, 0x81, 0],
            &[],
        ] {
            assert_eq!(next(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_inside_has_one_spelling_too() {
        for strict in [
            &[0x30, 0][..],
            &[0x30, 3, 1, 1, 0xff],
            &[2, 1, 0, 2, 2, 0, 0x80, 2, 2, 0xff, 0x7f, 2, 1, 0x80],
            &[3, 1, 0, 3, 2, 0, 1, 3, 2, 7, 0x80],
            &[5, 0, 6, 3, 0x81, 0x80, 0, 0xa0, 2, 5, 0, 0x80, 1, 7],
        ] {
            assert!(is_strict(strict), "{strict:?}");
        }
        for lax in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 3, 1, 1, 1],
            &[0x30, 3, 2, 1],
            &[1, 2, 0, 0],
            &[2, 0],
            &[2, 2, 0, 1],
            &[2, 2, 0xff, 0x80],
            &[0x0a, 2, 0, 1],
            &[3, 0],
            &[3, 1, 1],
            &[3, 2, 8, 0],
            &[3, 2, 1, 1],
            &[5, 1, 0],
            &[6, 0],
            &[6, 1, 0x81],
            &[6, 2, 0x80, 1],
            &[0x24, 3, 4, 1, 7],
            &[0x10, 0],
            &[0x11, 0],
            &[0xa0, 3, 5, 1, 0],
            &[0, 0],
        ] {
            assert!(!is_strict(lax), "{lax:?}");
        }
        let mut deep = Vec::new();
        for _ in 0..DEPTH_MAX {
            deep = encode(SEQUENCE, &deep);
        }
        assert!(is_strict(&deep));
        assert!(!is_strict(&encode(SEQUENCE, &deep)));
    }

    #[test]
    fn positive_numbers_are_minimal_and_keep_their_sign() {
        for (number, content) in [
            (&[0, 0][..], &[0][..]),
            (&[1], &[1]),
            (&[0x7f, 0], &[0x7f, 0]),
            (&[0x80], &[0, 0x80]),
            (&[0, 0, 0xff, 1], &[0, 0xff, 1]),
        ] {
            assert_eq!(whole(&encode_positive(number), INTEGER), Some(content), "{number:?}");
        }
    }
}
