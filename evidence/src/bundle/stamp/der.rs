//! As much DER as a time stamp needs (X.690). Reads elements one after another without copying, and writes them.
//! Guarantee: a length has one spelling, the shortest, both when reading and when writing. Reading never panics.
//! Not here: BER, tags over 30, elements of 64 KiB or more, the meaning of the elements.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

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
