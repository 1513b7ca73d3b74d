//! The limits of one segment, on both sides: 64 MiB of plain bytes, 16 MiB of stored bytes. And files whose lengths have no limit.

use crate::verdicts::*;
use testkit::bundles::*;
use testkit::containers::noise;

const MIB: usize = 1 << 20;

/// A bundle whose stored collection begins with a segment of this many frames of 1 MiB.
fn first_segment<'a>(frames: usize, long: Vec<u8>) -> Recipe<'a> {
    Recipe { long, cuts: vec![frames], ..Recipe::one_endpoint() }
}

#[test]
fn a_segment_of_65_mib_plain_is_refused_and_one_of_64_is_taken() {
    let report = verify(&first_segment(64, vec![0; 66 * MIB]).build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let report = verify(&first_segment(65, vec![0; 66 * MIB]).build().files);
    assert!(report.exit_code() == 1 && fails(&report, "container"), "{}", report.text());
}

#[test]
fn a_segment_of_17_mib_stored_is_refused_and_one_of_15_is_taken() {
    let long = noise(18 * MIB);
    let report = verify(&first_segment(15, long.clone()).build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let report = verify(&first_segment(17, long).build().files);
    assert!(report.exit_code() == 1 && fails(&report, "container"), "{}", report.text());
}

/// Sparse files cost their maker nothing. Their lengths add up past 2^64 twice: of all files, and of those that are read twice.
#[test]
fn files_longer_than_any_disk_are_refused_by_name_and_not_read() {
    let bundle = Recipe::one_endpoint().build();
    // tmpfs has no limit below 2^63; most file systems of disks have.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = folder.path().join("bündle of 3");
    save(&bundle.files, &root);
    let planted = ["1", "2", "3"].map(|digit| format!("evidence/{}/container.tar.zst", digit.repeat(64)));
    for name in &planted {
        let path = root.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::File::create(path).unwrap().set_len(i64::MAX.unsigned_abs()).unwrap();
    }
    let mut shown = Vec::new();
    let report = exhibit_verify::verify(&root, &trust(), &mut |progress| shown.push(progress)).unwrap();
    assert!(report.exit_code() == 1 && fails(&report, "sums"), "{}", report.text());
    for name in &planted {
        assert!(report.text().contains(name), "{name}: {}", report.text());
    }
    assert!(shown.iter().all(|progress| progress.total == u64::MAX && progress.done < 1 << 30), "{shown:?}");
}
