//! Limits, each from both sides: of one segment, 64 MiB of plain bytes and 16 MiB of stored bytes; of a container, what its order allows.
//! And files whose lengths have no limit.

use evidence::json;
use evidence::manifest::Manifest;
use evidence::order::{Limits, Order};

use crate::verdicts::*;
use testkit::bundles::*;
use testkit::containers::forge::Forge;
use testkit::containers::lab::Lab;
use testkit::containers::{denied, file, noise};

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

/// A bundle whose stored collection holds what `write` writes, under an order with these limits.
fn under<'a>(
    limits: impl Fn(&mut Limits) + Copy + Send + Sync + 'a,
    cuts: Vec<usize>,
    write: impl Fn(&mut Lab) + Send + Sync + 'a,
) -> Recipe<'a> {
    Recipe {
        cuts,
        order: Box::new(move |paper: &mut Paper<Order>| limits(&mut paper.document.limits)),
        manifest: Box::new(move |paper: &mut Paper<Manifest>| limits(&mut paper.document.limits)),
        collected: Box::new(move |collected: &mut Collected| {
            if collected.attempt == 2 {
                collected.forge = collected.forge.holding(&write);
            }
        }),
        ..Recipe::one_endpoint()
    }
}

/// The container is taken at the border, and refused by this rule one step above it.
fn at_the_border(what: &str, border: u64, step: u64, recipe: impl Fn(u64) -> Recipe<'static>) {
    let good = recipe(border).build().files;
    let (report, said) = both(&good, &trust_files());
    assert_eq!(report.exit_code(), 0, "{what} {border}: {}\n{said}", report.text());
    let (report, said) = both(&recipe(border - step).build().files, &trust_files());
    assert_eq!(report.exit_code(), 1, "{what} {border}: {}\n{said}", report.text());
    assert!(fails(&report, "container"), "{what}: {}", report.text());
    for text in [report.text(), said] {
        assert!(text.contains("collection-30: "), "{what}: {text}");
    }
}

const SLACK: u64 = 128 << 20;

/// 4,096 records more than the order allows say what a limit kept out; the container has two of its own.
#[test]
fn collection_30_items_above_the_order_by_more_than_4096() {
    at_the_border("items", 6, 1, |items| {
        under(
            move |limits| limits.items = items,
            vec![],
            |lab| {
                for number in 0..4101 {
                    lab.only(denied(format!("/denied/{number}").as_bytes()));
                }
            },
        )
    });
}

#[test]
fn collection_30_an_item_above_the_order_and_above_8_mib() {
    let sparse = |size: u64| {
        move |lab: &mut Lab| {
            let mut holes = file(b"/holes", size);
            holes.sparse = Some(vec![(0, 1)]);
            lab.whole(holes, b"x").unwrap();
        }
    };
    // Below 8 MiB the order's limit says nothing.
    let small = under(|limits| limits.item_bytes = 1, vec![], sparse(8 << 20));
    assert_eq!(verify(&small.build().files).exit_code(), 0);
    let larger = under(|limits| limits.item_bytes = 1, vec![], sparse((8 << 20) + 1));
    assert!(fails(&verify(&larger.build().files), "container"));
    at_the_border("item_bytes", 1 << 35, 1, |most| {
        under(move |limits| limits.item_bytes = most, vec![], sparse(1 << 35))
    });
}

/// Holes cost their maker nothing, and their reader a hash.
#[test]
fn collection_30_sizes_above_the_order_by_more_than_64_gib_and_128_mib() {
    const HOLES: u64 = 64 << 30;
    // Two files with holes, and `live/outcomes.jsonl`, which is empty.
    at_the_border("sizes", 1 << 20, 1, |plain| {
        under(
            move |limits| (limits.plain_bytes, limits.item_bytes) = (plain, 1 << 40),
            vec![],
            |lab| {
                for (name, size) in [("/a", HOLES), ("/b", SLACK + (1 << 20))] {
                    let mut holes = file(name.as_bytes(), size);
                    holes.sparse = Some(vec![(0, 1)]);
                    lab.whole(holes, b"x").unwrap();
                }
            },
        )
    });
}

#[test]
fn collection_30_plain_bytes_above_the_order_by_more_than_128_mib() {
    let write = |lab: &mut Lab| {
        let long = vec![0; 129 << 20];
        lab.whole(file(b"/zeros", long.len() as u64), &long).unwrap();
    };
    // Its tar stream: header, content, live/outcomes.jsonl with its pax header, the end.
    let recipe = move |plain: u64| under(move |limits| limits.plain_bytes = plain, vec![60, 60], write);
    let plain = plain_len(&recipe(1 << 40).build().files);
    at_the_border("plain_bytes", plain - SLACK, 1, recipe);
}

#[test]
fn collection_30_stored_bytes_above_the_order_by_more_than_128_mib() {
    let long = noise(129 << 20);
    let long: &'static [u8] = Box::leak(long.into_boxed_slice());
    let write = move |lab: &mut Lab| {
        lab.whole(file(b"/noise", long.len() as u64), long).unwrap();
    };
    let recipe = move |stored: u64| under(move |limits| limits.stored_bytes = stored, vec![15; 8], write);
    let files = recipe(1 << 40).build().files;
    let name = format!("evidence/{}/container.tar.zst", stored_id(&files));
    at_the_border("stored_bytes", files[&name].len() as u64 - SLACK, 1, recipe);
}

/// `plain_len` of the stored collection's manifest.
fn plain_len(files: &Files) -> u64 {
    let manifest = &files[&format!("evidence/{}/manifest.json", stored_id(files))];
    json::parse_document::<Manifest>(manifest).unwrap().plain_len
}

#[test]
fn the_worked_example_of_odd_things_is_taken_by_both_verifiers() {
    let recipe = Recipe {
        collected: Box::new(|collected: &mut Collected| {
            if collected.attempt == 2 {
                let forge = &collected.forge;
                collected.forge = Forge::odd(forge.identity.clone(), forge.sealer);
            }
        }),
        ..Recipe::one_endpoint()
    };
    let (report, said) = both(&recipe.build().files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    assert!(said.contains("21 items"), "{said}");
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
