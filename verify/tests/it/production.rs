//! Partial productions: chosen items hold without their neighbours, nothing of the neighbours is told, and no hand makes of a part
//! something else: not another part, not the whole.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::bundle::Overview;
use evidence::bundle::production::{ItemFile, ItemProof};
use evidence::digest::Digest;
use evidence::item::{GapWhy, ItemRecord, Salt, Stage};
use exhibit_verify::Verdict;

use crate::flips::{flipped, resigned};
use crate::forged::{refused, with};
use crate::verdicts::*;
use testkit::bundles::*;

/// A file with its hard link, a torn one with a gap, a sparse one with holes, a denied one, a folder.
const CHOSEN: [u64; 6] = [1, 2, 3, 5, 6, 7];

fn part<'a>(chosen: &'a [u64]) -> Recipe<'a> {
    with! { files: move |files: &mut Files| produce(files, chosen) }
}

/// A part of a bundle in which web-03 is the only endpoint.
fn alone<'a>(chosen: &'a [u64]) -> Recipe<'a> {
    part(chosen).of_one_endpoint()
}

/// A part of [`CHOSEN`] that somebody with every key changes before it is signed and logged.
fn then<'a>(change: impl Fn(&mut Files) + Send + Sync + 'a) -> Recipe<'a> {
    with! { files: move |files: &mut Files| {
        produce(files, &CHOSEN);
        change(files);
    } }
}

fn name(files: &Files, file: ItemFile, n: u64) -> String {
    file.name(&stored_id(files), n)
}

fn item(files: &mut Files, n: u64, change: impl FnOnce(&mut ItemRecord)) {
    let name = name(files, ItemFile::Record, n);
    let mut record = ItemRecord::parse_line(&files[&name], Stage::Final).unwrap();
    change(&mut record);
    files.insert(name, record.to_line().unwrap());
}

fn proof(files: &mut Files, n: u64, change: impl FnOnce(&mut ItemProof)) {
    let name = name(files, ItemFile::Proof, n);
    let mut proof = ItemProof::parse(&files[&name]).unwrap();
    change(&mut proof);
    files.insert(name, proof.encode());
}

fn rename(files: &mut Files, from: u64, to: u64) {
    for file in [ItemFile::Record, ItemFile::Proof, ItemFile::Content] {
        if let Some(bytes) = files.remove(&name(files, file, from)) {
            files.insert(name(files, file, to), bytes);
        }
    }
}

#[test]
fn a_part_verifies_and_says_that_it_is_one() {
    let bundle = part(&CHOSEN).build();
    let report = verify(&bundle.files);
    let text = report.text();
    assert_eq!(report.exit_code(), 0, "{text}");
    assert!(report.partial && text.contains("VERIFIED, PARTIAL PRODUCTION"), "{text}");
    assert!(text.contains("6 of 12 items"), "{text}");
    let shown: BTreeMap<&str, Option<u64>> =
        report.items.iter().map(|item| (item.shown.as_str(), item.size)).collect();
    let expected = [
        ("/etc", None),
        ("/etc/hard1", None),
        ("/etc/hello", Some(12)),
        ("/etc/holes", Some(200_000)),
        ("/etc/shadow", None),
        ("/etc/torn", Some(1500)),
    ];
    assert_eq!(shown, BTreeMap::from(expected));
    for check in ["seals", "container"] {
        let found = report.checks.iter().find(|found| found.check == check).unwrap();
        assert_eq!((found.verdict, found.required), (Verdict::NotChecked, false), "{text}");
        assert!(found.says.contains("does not apply"), "{text}");
    }
    // Every single item alone, but those that cannot leave alone.
    for n in 0..12_u64 {
        let report = verify(&part(&[n]).build().files);
        let expected = u8::from(n == 3 || n == 11);
        assert_eq!(report.exit_code(), expected, "item {n}: {}", report.text());
    }
}

#[test]
fn nothing_of_the_neighbours_is_in_it() {
    let whole = Recipe::default().build();
    let bundle = part(&CHOSEN).build();
    let all: Vec<(&String, &Vec<u8>)> = bundle.files.iter().collect();
    let holds = |needle: &[u8]| {
        let found = all.iter().find(|(name, bytes)| {
            name.as_bytes().windows(needle.len()).any(|at| at == needle)
                || bytes.windows(needle.len()).any(|at| at == needle)
        });
        found.map(|(name, _)| (*name).clone())
    };
    let mut neighbours = 0;
    for line in lines(&whole.files) {
        let record = ItemRecord::parse_line(&line, Stage::Final).unwrap();
        let path = &record.path.0;
        if CHOSEN.contains(&record.n) {
            let record = name(&bundle.files, ItemFile::Record, record.n);
            assert_eq!(bundle.files[&record], line, "what is searched for here is found where it is");
            continue;
        }
        if path == b"/" {
            continue;
        }
        neighbours += 1;
        // As bytes, in base64 at each of its three places, in hex; the salt; the digests that could be guessed from a known file.
        let mut needles =
            vec![path.clone(), hex(path).into_bytes(), STANDARD.encode(record.salt.0).into_bytes()];
        for shift in 0..3 {
            // The letters at both ends also hold bits of what stands beside.
            let encoded = STANDARD.encode([vec![0; shift], path.clone()].concat());
            needles.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
        needles.extend(record.sha256.map(|digest| digest.to_string().into_bytes()));
        needles.push(hex(ledger::leaf_hash(&line).as_bytes()).into_bytes());
        for needle in needles.into_iter().filter(|needle| needle.len() > 6) {
            assert_eq!(holds(&needle), None, "{} of item {}", needle.escape_ascii(), record.n);
        }
    }
    assert_eq!(neighbours, 5);
    assert_eq!(holds("verdächtige".as_bytes()), None, "no detail text");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_flipped_bit_of_a_part_is_rejected() {
    // Without the long sparse file: zeros take long and say little. Custody and deployment are those of a whole bundle.
    let own = |name: &str| {
        !["custody/", "deployment/", "orders/", "approvals/"].iter().any(|same| name.starts_with(same))
    };
    assert_eq!(flipped(&alone(&[2, 3, 5, 6]).build(), own), Vec::<String>::new());
}

#[test]
fn a_flipped_bit_of_a_part_under_a_responders_new_signature_is_rejected() {
    assert_eq!(resigned(&alone(&[2, 3, 5, 6]).build(), 11), Vec::<String>::new());
}

#[test]
fn items() {
    let content = |files: &mut Files, n: u64, bytes: &[u8]| {
        let name = name(files, ItemFile::Content, n);
        files.insert(name, bytes.to_vec());
    };
    refused(vec![
        (
            "another item's content of the same length",
            "items",
            then(move |files| content(files, 2, b"other words\n")),
        ),
        ("content cut", "items", then(move |files| content(files, 2, b"hello world"))),
        ("content longer", "items", then(move |files| content(files, 2, b"hello world\n\n"))),
        ("content missing", "items", then(|files| drop(files.remove(&name(files, ItemFile::Content, 2))))),
        ("content for a folder", "items", then(move |files| content(files, 1, b""))),
        ("content for a denied file", "items", then(move |files| content(files, 5, b"root:x:0:0\n"))),
        ("content for a hard link", "items", then(move |files| content(files, 3, b"hello world\n"))),
        (
            "a byte in a gap",
            "items",
            then(|files| {
                let name = name(files, ItemFile::Content, 6);
                files.get_mut(&name).unwrap()[700] = b'x';
            }),
        ),
        (
            "a byte in a hole, with its digest",
            "items",
            then(|files| {
                let name = name(files, ItemFile::Content, 7);
                files.get_mut(&name).unwrap()[50_000] = b'x';
                let digest = Digest::of(&files[&name]);
                item(files, 7, |record| record.sha256 = Some(digest));
            }),
        ),
        (
            "a record with other content and its digest",
            "items",
            then(move |files| {
                content(files, 2, b"howdy world\n");
                item(files, 2, |record| record.sha256 = Some(Digest::of(b"howdy world\n")));
            }),
        ),
        ("another salt", "items", then(|files| item(files, 2, |record| record.salt = Salt([1; 16])))),
        (
            "another path",
            "items",
            then(|files| {
                item(files, 5, |record| {
                    record.path.0 = b"/etc/passwd".to_vec();
                    record.shown = "/etc/passwd".into();
                })
            }),
        ),
        (
            "a denied file that is called absent",
            "items",
            then(|files| {
                item(files, 5, |record| {
                    record.outcome = evidence::item::outcome::Outcome::Absent;
                })
            }),
        ),
        (
            "a gap that is called short",
            "items",
            then(|files| item(files, 6, |record| record.gaps[0].why = GapWhy::Timeout)),
        ),
        (
            "a record with a space in it",
            "items",
            then(|files| {
                let name = name(files, ItemFile::Record, 2);
                files.get_mut(&name).unwrap().push(b'\n');
            }),
        ),
        ("an item under another's number", "items", then(|files| rename(files, 2, 8))),
        (
            "two items that changed places",
            "items",
            then(|files| {
                rename(files, 2, 100);
                rename(files, 6, 2);
                rename(files, 100, 6);
            }),
        ),
        ("a proof for another place", "items", then(|files| proof(files, 2, |proof| proof.index = 4))),
        ("a proof in a smaller tree", "items", then(|files| proof(files, 2, |proof| proof.count = 11))),
        (
            "a proof of another collection",
            "items",
            then(|files| proof(files, 2, |proof| proof.collection = Digest([3; 32]))),
        ),
        (
            "a proof with a hash more",
            "items",
            then(|files| proof(files, 2, |proof| proof.hashes.push(ledger::Hash([0; 32])))),
        ),
        (
            "a proof of the neighbour",
            "items",
            then(|files| {
                let other = files[&name(files, ItemFile::Proof, 3)].clone();
                files.insert(name(files, ItemFile::Proof, 2), other);
            }),
        ),
        ("no proof", "items", then(|files| drop(files.remove(&name(files, ItemFile::Proof, 2))))),
        (
            "a record out of another collection, with its proof there",
            "items",
            with! { files: |files: &mut Files| {
                // The first attempt sealed the same files with other salts: true records, true hashes, another tree.
                let mine = produced_of_attempt(files, 1, 2);
                produce(files, &CHOSEN);
                for (file, bytes) in [(ItemFile::Record, mine.0), (ItemFile::Proof, mine.1)] {
                    let name = name(files, file, 2);
                    files.insert(name, bytes);
                }
            } },
        ),
        (
            "a hard link without what it links to",
            "items",
            with! { files: |files: &mut Files| produce(files, &[3, 5]) },
        ),
        ("the list of outcomes", "items", with! { files: |files: &mut Files| produce(files, &[2, 11]) }),
        ("no manifest", "manifest", then(|files| files.retain(|name, _| !name.contains("/manifest.json")))),
        (
            "a manifest of other items",
            "manifest",
            with! {
                files: |files: &mut Files| {
                    produce(files, &CHOSEN);
                    let name = format!("evidence/{}/manifest.json", stored_id(files));
                    edit(files, &name, |manifest: &mut evidence::manifest::Manifest| manifest.items_root = Digest([1; 32]));
                },
            },
        ),
        (
            "no order",
            "delegation",
            then(|files| files.retain(|name, _| !name.starts_with("orders/") || name.contains(".targets/"))),
        ),
    ]);
}

/// Record and proof of item `n` of an attempt, as a production of that collection would have them.
fn produced_of_attempt(files: &Files, attempt: u32, n: u64) -> (Vec<u8>, Vec<u8>) {
    assert_eq!(attempt, 1, "the stored one is the second");
    let stored = stored_id(files).to_string();
    let other =
        files.keys().find(|name| name.ends_with("seals/000000.seal") && !name.contains(&stored)).unwrap();
    let seal = evidence::seal::Seal::parse(&files[other]).unwrap();
    let count = usize::try_from(seal.header.items).unwrap();
    let lines: Vec<Vec<u8>> = seal.records().unwrap().take(count).map(Result::unwrap).collect();
    let leaves: Vec<_> = lines.iter().map(|line| ledger::leaf_hash(line)).collect();
    let proof = ItemProof {
        collection: stored_id(files),
        index: n,
        count: 12,
        hashes: ledger::inclusion_proof(&ledger::Leaves(&leaves), n, leaves.len() as u64).unwrap(),
    };
    (lines[usize::try_from(n).unwrap()].clone(), proof.encode())
}

#[test]
fn labels_and_coverage() {
    let unlabel =
        |files: &mut Files| edit(files, "bundle.json", |overview: &mut Overview| overview.partial = false);
    let whole = Recipe::default().build().files;
    let seal = format!("evidence/{}/seals/000000.seal", stored_id(&whole));
    refused(vec![
        ("a part without its label", "coverage", then(unlabel)),
        (
            "a part that its entry calls whole",
            "export",
            Recipe { export: Box::new(|paper| paper.document.fields.clear()), ..part(&CHOSEN) },
        ),
        (
            "a whole that its entry calls a part",
            "export",
            Recipe {
                export: Box::new(|paper| {
                    paper.document.fields = evidence::entry::pairs::sorted([("partial", "yes".to_owned())])
                }),
                ..Recipe::default()
            },
        ),
        (
            "an item more than its entry counts",
            "export",
            Recipe {
                export: Box::new(|paper| {
                    paper.document.fields =
                        evidence::entry::pairs::sorted(selection(&part(&[2]).build().files).fields())
                }),
                ..part(&CHOSEN)
            },
        ),
        (
            "a seal beside the items",
            "coverage",
            then(move |files| drop(files.insert(seal.clone(), whole[&seal].clone()))),
        ),
        (
            "no item",
            "coverage",
            with! { files: |files: &mut Files| {
                produce(files, &[]);
                files.retain(|name, _| !name.starts_with("evidence/"));
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.clear());
            } },
        ),
        (
            "a list of more collections",
            "coverage",
            then(|files| {
                edit(files, "bundle.json", |overview: &mut Overview| {
                    overview.collections.push(Digest([255; 32]))
                })
            }),
        ),
        (
            "a file beside the items",
            "export",
            then(|files| {
                let name = name(files, ItemFile::Record, 2).replace(".record", ".note");
                files.insert(name, b"planted".to_vec());
            }),
        ),
        (
            "content without a record",
            "export",
            then(|files| drop(files.insert(name(files, ItemFile::Content, 9), vec![]))),
        ),
        (
            "a text",
            "coverage",
            then(|files| drop(files.insert(format!("details/{}.json", title(TITLE).1), title(TITLE).0))),
        ),
    ]);
}

#[test]
fn stock_tools_take_the_part_and_refuse_a_forged_one() {
    let script = |files: &Files| script(files, &trust_files());
    let (code, said) = script(&part(&CHOSEN).build().files);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("PARTIAL PRODUCTION") && said.contains("6 of 12 items"), "{said}");
    for n in 0..11_u64 {
        let (code, said) =
            script(&part(if n == 3 { &[2, 3] } else { std::slice::from_ref(&n) }).build().files);
        assert_eq!(code, 0, "item {n}: {said}");
    }
    for (why, recipe) in [
        (
            "content",
            then(|files| drop(files.insert(name(files, ItemFile::Content, 2), b"other words\n".to_vec()))),
        ),
        ("salt", then(|files| item(files, 2, |record| record.salt = Salt([1; 16])))),
        ("place", then(|files| proof(files, 2, |proof| proof.index = 4))),
        ("hash", then(|files| proof(files, 2, |proof| proof.hashes[0] = ledger::Hash([0; 32])))),
        ("tree", then(|files| proof(files, 2, |proof| proof.count = 11))),
        ("number", then(|files| rename(files, 2, 8))),
        ("no content", then(|files| drop(files.remove(&name(files, ItemFile::Content, 2))))),
        (
            "content of what was denied",
            then(|files| drop(files.insert(name(files, ItemFile::Content, 5), vec![]))),
        ),
        (
            "label",
            then(|files| edit(files, "bundle.json", |overview: &mut Overview| overview.partial = false)),
        ),
        ("entry", Recipe { export: Box::new(|paper| paper.document.fields.clear()), ..part(&CHOSEN) }),
    ] {
        let (code, said) = script(&recipe.build().files);
        assert_eq!(code, 1, "{why}: {said}");
    }
}

#[test]
fn the_vector_is_this_production_and_verifies() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/production");
    let bundle = alone(&CHOSEN_SMALL).build();
    if testkit::vectors::blessing() {
        if folder.exists() {
            fs_err::remove_dir_all(&folder).unwrap();
        }
        save(&bundle.files, &folder.join("bundle"));
    }
    let report = exhibit_verify::verify(&folder.join("bundle"), &trust(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(report.items.len(), CHOSEN_SMALL.len());
}

/// Of the vector: without the file of holes, whose content is 200 kB of nothing.
const CHOSEN_SMALL: [u64; 4] = [2, 3, 5, 6];
