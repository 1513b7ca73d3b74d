//! An object that a collector lost on every store of its own comes back from its mirror, over the mirror's own connection.

use std::path::{Path, PathBuf};

use lab::{Lab, attempt, rows, run, text, wait_for};
use serde_json::Value;

use super::bench::{Mirror, collected};

/// Turns one bit in the middle of a read-only file.
fn flip(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, &bytes).unwrap();
}

fn types(lab: &Lab, incident: &str) -> Vec<String> {
    let shown = lab.json(&["incident", "show", incident]).unwrap();
    rows(shown.get("timeline").unwrap())
        .iter()
        .filter_map(|row| row.get("type").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

#[test]
fn evidence_that_no_store_has_whole_is_given_back_by_the_mirror_and_recorded() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let mut mirror = Mirror::admitted(&lab, "backup-1", &[]).unwrap();
    mirror.start(&lab).unwrap();
    let (incident, collection) = collected(&mut lab, "web-03").unwrap();
    let id = text(&collection, "collection").unwrap();
    wait_for("the mirror's statement", || Ok((mirror.number(&lab, "collections_held")? == 1).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", mirror.log(&lab)));

    // One segment rots on both stores, one seal is gone from both.
    let first = |room: &str| -> PathBuf {
        let mut names: Vec<_> = fs_err::read_dir(lab.path(format!("store-a/{room}/{id}")))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        Path::new(room).join(&id).join(names.swap_remove(0))
    };
    let (segment, seal) = (first("segments"), first("seals"));
    let whole = [&segment, &seal].map(|path| fs_err::read(lab.path("store-a").join(path)).unwrap());
    for store in ["store-a", "store-b"] {
        flip(&lab.path(store).join(&segment));
        fs_err::remove_file(lab.path(store).join(&seal)).unwrap();
    }
    // The mirror dies and comes back, as it may: what is wanted is said again.
    mirror.kill().unwrap();
    drop(attempt(lab.exhibit().args(["store", "scrub"])).unwrap());
    drop(attempt(lab.exhibit().args(["store", "repair"])).unwrap());
    assert!(!lab.path("store-a").join(&seal).exists(), "nobody has it");
    mirror.start(&lab).unwrap();
    let looked = std::cell::Cell::new(0_u32);
    wait_for("the objects of the mirror", || {
        // A missing object is only known to the sweep of a start, or to a listing: the repair of the other shows it.
        looked.set(looked.get() + 1);
        if looked.get() % 40 == 1 {
            drop(attempt(lab.exhibit().args(["store", "repair"]))?);
        }
        let right = fs_err::read(lab.path("store-a").join(&segment))? == whole[0];
        Ok(right.then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", lab.logs(), mirror.log(&lab)));

    // The seal that no listing shows is missed by the look around after a start, killed or not.
    lab.kill_server().unwrap();
    lab.start_server().unwrap();
    let is_back = || {
        let right = |store: &str| {
            [&segment, &seal].iter().zip(&whole).all(|(path, whole)| {
                fs_err::read(lab.path(store).join(path)).is_ok_and(|bytes| bytes == *whole)
            })
        };
        Ok((right("store-a") && right("store-b")).then_some(()))
    };
    wait_for("everything being back on both stores", is_back)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", lab.logs(), mirror.log(&lab)));
    let types = types(&lab, &incident);
    for expected in ["evidence.fixity_failed", "evidence.repaired"] {
        assert!(types.iter().any(|found| found == expected), "{expected}: {types:?}");
    }
    assert!(mirror.number(&lab, "given_back").unwrap() >= 1);
    run(lab
        .exhibit()
        .args(["evidence", "cat", &id])
        .arg(lab.path("fixture/small.txt"))
        .args(["--purpose", "after the repair"]))
    .unwrap();
    // And the stores are whole by the strictest look there is.
    assert!(lab.stop_server().unwrap());
    run(lab.tool("exhibit-server").arg("fsck").arg(lab.path("server")).arg("--evidence")).unwrap();
    mirror.stop().unwrap();
}
