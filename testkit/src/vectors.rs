//! Files with expected results: the examples of docs/spec/vectors, and reports. With `EXHIBIT_BLESS=1` the tests write them again.

use std::path::Path;

/// True if the tests must write the files again.
pub fn blessing() -> bool {
    std::env::var_os("EXHIBIT_BLESS").is_some()
}

/// The bytes of a file.
pub fn load(path: impl AsRef<Path>) -> Vec<u8> {
    fs_err::read(path.as_ref()).unwrap()
}

/// Writes a file, and its folder if there is none.
pub fn save(path: impl AsRef<Path>, bytes: &[u8]) {
    let path = path.as_ref();
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// Compares a text with its file. When blessing, writes the file first.
pub fn compare(path: &Path, text: &str) {
    if blessing() {
        save(path, text.as_bytes());
    }
    let stored = String::from_utf8(load(path)).unwrap();
    assert!(
        stored == text,
        "{} is another now (EXHIBIT_BLESS=1 writes it anew):\n{text}\n--- it was:\n{stored}",
        path.display()
    );
}
