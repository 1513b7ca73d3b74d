//! Sorted lists of `[name, value]`, as entries and acts carry them.
//! Guarantee: a list that passes [`check`] has one spelling and fits a leaf. Not here: which names an entry must have.

/// Most pairs in one list.
pub(crate) const PAIRS_MAX: usize = 16;
/// Longest value in bytes: a verifier key or fingerprint fits, a sentence does not.
pub(crate) const VALUE_BYTES_MAX: usize = 160;

/// Checks names, values, order and count.
pub fn check(pairs: &[(String, String)]) -> Result<(), &'static str> {
    if pairs.len() > PAIRS_MAX {
        return Err("more than 16 pairs in refs or fields");
    }
    let names_good = pairs.iter().all(|(name, _)| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    if !names_good {
        return Err("a name in refs or fields is not 1 to 32 of a-z 0-9 _");
    }
    if !pairs.iter().all(|(_, value)| {
        value.len() <= VALUE_BYTES_MAX && value.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    }) {
        return Err("a value in refs or fields is over 160 bytes or not printable ASCII without blanks");
    }
    if !pairs.is_sorted_by(|(one, _), (two, _)| one < two) {
        return Err("refs or fields are not sorted by name, each once");
    }
    Ok(())
}

/// The value under a name.
pub fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Sorts pairs into their one order.
pub fn sorted<const N: usize>(pairs: [(&str, String); N]) -> Vec<(String, String)> {
    let mut list: Vec<_> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    list.sort();
    list
}
