//! Reports as people and programs read them: each is a text and a JSON below `tests/reports`, compared. `EXHIBIT_BLESS=1` writes them anew.
//!
//! A report names digests of containers, so a new compressor changes some lines; nothing else may.

use std::path::Path;

use exhibit_verify::Report;
use testkit::bundles::*;
use testkit::vectors::compare;

use crate::forged::with;
use crate::verdicts::*;

/// Compares a report with its files.
fn unchanged(name: &str, report: &Report) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports");
    compare(&folder.join(format!("{name}.txt")), &report.text());
    let json = serde_json::to_string_pretty(report).unwrap() + "\n";
    compare(&folder.join(format!("{name}.json")), &json);
}

fn unchanged_of(name: &str, recipe: &Recipe<'_>, exit: u8) {
    let (report, said) = both(&recipe.build().files, &trust_files());
    assert_eq!(report.exit_code(), exit, "{name}: {}\n{said}", report.text());
    unchanged(name, &report);
}

#[test]
fn reports_of_good_bundles_are_unchanged() {
    unchanged_of("good", &Recipe::default(), 0);
    unchanged_of("good-one-endpoint", &Recipe::one_endpoint(), 0);
    unchanged_of(
        "good-every-endpoint-collected",
        &Recipe { machines: all_collect(), ..Recipe::default() },
        0,
    );
    unchanged_of("good-part", &with! { files: |files: &mut Files| produce(files, &[1, 2, 3, 5, 6, 7]) }, 0);
    unchanged_of(
        "good-disposed",
        &with! {
            drafts: |drafts: &mut Vec<Draft>| {
                let mut ending = Ending::of(drafts);
                let plan = ending.approved();
                ending.destroyed(&plan);
            },
            files: |files: &mut Files| {
                let gone = collections(files);
                without_evidence(files, &gone);
            },
        },
        0,
    );
}

#[test]
fn reports_of_refused_bundles_are_unchanged() {
    unchanged_of(
        "refused-file-altered",
        &with! { after: |files: &mut Files| files.get_mut("README.txt").unwrap()[0] ^= 1 },
        1,
    );
    unchanged_of(
        "refused-entry-left-out",
        &with! { files: |files: &mut Files| {
            files.remove("custody/000004.entry");
            files.remove("custody/000004.tlog-proof");
        } },
        1,
    );
    unchanged_of("refused-sums-of-another-person", &Recipe { sums_key: DAN, ..Recipe::default() }, 1);
    unchanged_of("refused-sums-of-a-stranger", &Recipe { sums_key: MALLORY, ..Recipe::default() }, 1);
    unchanged_of("refused-order-of-a-stranger", &with! { order: |paper| paper.keys = vec![MALLORY] }, 1);
    let mut pins = trust_files();
    pins.insert("roster_version_min".into(), b"3\n".to_vec());
    let (report, _) = both(&Recipe::default().build().files, &pins);
    unchanged("refused-older-roster", &report);
}
