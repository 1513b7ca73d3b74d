//! The net under a rebuild: compares the view that users and scripts have of the four programs with files in `tests/net`. Prose may
//! change; commands, flags, value names, defaults and the fields of every answer may not. `EXHIBIT_BLESS=1` writes the files anew.

mod answers;
mod help;

use std::path::PathBuf;

/// Compares with the file of that name, or writes it.
fn compare(name: &str, found: &str) {
    let path: PathBuf = lab::checkout().join("tests/net").join(name);
    if std::env::var_os("EXHIBIT_BLESS").is_some() {
        fs_err::write(&path, found).unwrap();
        return;
    }
    let stored = fs_err::read_to_string(&path).unwrap();
    let (old, new): (Vec<&str>, Vec<&str>) = (stored.lines().collect(), found.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}\n"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}\n"));
    let differs: String = gone.chain(come).collect();
    assert!(
        stored == found,
        "{} says otherwise (EXHIBIT_BLESS=1 writes it anew):\n{differs}",
        path.display()
    );
}
