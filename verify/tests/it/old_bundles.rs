//! Bundles that earlier versions made (tests/old-bundles). Both verifiers take them, or say which format they no longer read.

use std::path::{Path, PathBuf};

use exhibit_verify::Trust;
use testkit::bundles::read;

use crate::verdicts::*;

/// The folders below a folder.
fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn no_bundle_of_an_earlier_version_is_called_failed() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/old-bundles");
    let mut judged = 0;
    for age in folders(&place) {
        let pins = read(&age.join("trust"));
        let trust = Trust::load(&age.join("trust")).unwrap();
        for bundle in folders(&age).into_iter().filter(|path| !path.ends_with("trust")) {
            let report = exhibit_verify::verify(&bundle, &trust, &mut |_| ()).unwrap();
            let (code, said) = script(&read(&bundle), &pins);
            for (code, text) in [(i32::from(report.exit_code()), report.text()), (code, said)] {
                let is_unread = code == 2 && text.contains("no longer read");
                assert!(code == 0 || is_unread, "{}: {code}\n{text}", bundle.display());
            }
            judged += 1;
        }
    }
    assert!(judged >= 2, "only {judged} old bundles were found");
}
