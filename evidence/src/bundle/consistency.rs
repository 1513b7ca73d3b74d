//! `export/consistency`: the proof that the export's checkpoint continues the bundle's own.

use ledger::Hash;

/// The file: one base64 hash a line; empty when both checkpoints have one size.
pub fn consistency(proof: &[Hash]) -> Vec<u8> {
    proof.iter().map(|hash| hash.to_base64() + "\n").collect::<String>().into_bytes()
}

/// The hashes of the file; `None` unless the bytes are what [`consistency`] writes for them.
pub fn parse_consistency(bytes: &[u8]) -> Option<Vec<Hash>> {
    let text = str::from_utf8(bytes).ok()?;
    let hashes = text.lines().map(|line| Hash::from_base64(line).ok()).collect::<Option<Vec<Hash>>>()?;
    (consistency(&hashes) == bytes).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_one_spelling() {
        let hashes = vec![Hash([1; 32]), Hash([2; 32])];
        let good = consistency(&hashes);
        assert_eq!(parse_consistency(&good), Some(hashes));
        assert_eq!(parse_consistency(b""), Some(vec![]));
        let text = String::from_utf8(good).unwrap();
        for wrong in [
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("\n{text}"),
            text.replace('\n', "\r\n"),
            text.replace('A', "-"),
            "\n".to_owned(),
        ] {
            assert_eq!(parse_consistency(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
