use std::convert::Infallible;

use evidence::container::{Malformed, MemberEnd, SeekTable, WriteError, read_item};
use evidence::digest::Digest;
use evidence::item::outcome::Outcome;
use evidence::item::{GapWhy, ItemRecord, Kind, Link, RawBytes};
use proptest::prelude::*;
use testkit::containers::lab::{Built, Lab, small, verifier};
use testkit::containers::{begun, denied, dir, file, noise, records_of, stream, symlink};

fn read(built: &Built, record: &ItemRecord) -> Vec<u8> {
    let container = built.container();
    let footer = &container[container.len() - SeekTable::FOOTER_BYTES..];
    let len = SeekTable::table_len(footer).unwrap();
    let table = SeekTable::parse(&container[container.len() - len..]).unwrap();
    let mut content = Vec::new();
    read_item::<Infallible>(
        record,
        &table,
        |range| Ok(container[range.start as usize..range.end as usize].to_vec()),
        |bytes| {
            content.extend_from_slice(bytes);
            Ok(())
        },
    )
    .unwrap();
    content
}

#[test]
fn one_of_everything_verifies_and_reads_back() {
    let built = small();
    let (summary, records) = built.verify().unwrap();
    assert_eq!(summary, built.summary);
    assert_eq!(records[..built.records.len()], built.records);
    assert_eq!(summary.items, 10);
    assert_eq!(summary.counts_by_outcome[&Outcome::Ok], 8);
    assert_eq!(read(&built, &records[2]), b"hello world\n");
    let torn = [vec![b'a'; 500], vec![0; 600], vec![b'z'; 400]].concat();
    assert_eq!(read(&built, &records[6]), torn);
    assert_eq!(records[6].sha256, Some(Digest::of(&torn)));
    assert_eq!(records[6].sha256_read, Some(Digest::of(&[vec![b'a'; 500], vec![b'z'; 400]].concat())));
    let mut holes = vec![0; 200_000];
    holes[4096..4106].fill(b's');
    holes[100_000..100_020].fill(b's');
    assert_eq!(read(&built, &records[7]), holes);
    assert_eq!(records[7].sha256, Some(Digest::of(&holes)));
    let last = records.last().unwrap();
    let outcomes = String::from_utf8(read(&built, last)).unwrap();
    assert_eq!(last.path.0, b"live/outcomes.jsonl");
    assert_eq!(outcomes.lines().count(), 2);
    assert!(outcomes.contains("\"outcome\":\"denied\"") && outcomes.contains("\"outcome\":\"io_error\""));
}

#[test]
fn members_over_many_segments_have_open_records_with_their_gaps() {
    let mut lab = Lab::new(2);
    let content = noise(20 << 20);
    lab.only(denied(b"/first"));
    lab.writer.begin_member(file(b"/big", (24 << 20) + 5)).unwrap();
    for chunk in content.chunks(1 << 20) {
        lab.writer.write(chunk).unwrap();
        lab.writer.write_gap(200 << 10, GapWhy::IoError, Some(5)).unwrap();
        lab.poll();
    }
    let left = (24 << 20) + 5 - (20 << 20) - 20 * (200 << 10);
    lab.writer.write_gap(left, GapWhy::Timeout, None).unwrap();
    let mut end = MemberEnd::ok(None, begun());
    end.outcome = Outcome::Timeout;
    lab.end(end).unwrap();
    for i in 0..300 {
        lab.whole(file(format!("/s/{i}").as_bytes(), 100_000), &content[i * 7..i * 7 + 100_000]).unwrap();
    }
    let built = lab.finish();
    assert!(built.segments.len() > 2, "{}", built.segments.len());
    let (summary, records) = built.verify().unwrap();
    assert_eq!(summary, built.summary);
    assert_eq!(records[1].gaps.len(), 21);
    assert_eq!(records[1].sha256_read, Some(Digest::of(&content)));
    assert_eq!(read(&built, &records[200]), &content[198 * 7..198 * 7 + 100_000]);

    let open = records_of(&built.segments[1].seal);
    assert_eq!((open.len(), open[0].n, open[0].outcome.as_str()), (1, 1, "interrupted"));
    assert!(open[0].gaps.len() > 5 && open[0].gaps.len() < 20);

    // The same chain without its end proves what came so far, fill bytes included.
    let mut verifier = verifier();
    for segment in &built.segments[..2] {
        verifier.segment(&segment.seal, &segment.bytes, &mut |_| ()).unwrap();
    }
    let interrupted = verifier.interrupted();
    assert_eq!(interrupted.summary.items, 1);
    assert_eq!(interrupted.open.as_ref(), open.first());
    assert!(matches!(verifier.finish(), Err(Malformed::Unfinished)));
}

#[test]
fn lanes_do_not_change_a_byte_of_the_plain_stream() {
    let build = |lanes| {
        let mut lab = Lab::new(lanes);
        let content = noise(5 << 20);
        for i in 0..40_usize {
            lab.whole(file(format!("/f{i}").as_bytes(), 700_001), &content[i..i + 700_001]).unwrap();
        }
        lab.finish()
    };
    let (one, four) = (build(1), build(4));
    assert!(one.plain() == four.plain());
    assert_eq!(one.summary.items_root, four.summary.items_root);
    assert_eq!(one.container(), four.container());
    four.verify().unwrap();
}

#[test]
fn names_that_repeat_or_pass_through_a_symlink_are_refused_and_leave_the_writer_usable() {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/a", 1), b"x").unwrap();
    assert!(matches!(lab.whole(file(b"/a", 1), b"x"), Err(WriteError::DuplicateName)));
    lab.add(symlink(b"/s", b"/etc")).unwrap();
    assert!(matches!(lab.whole(file(b"/s/passwd", 1), b"x"), Err(WriteError::BelowOther)));
    assert!(matches!(lab.whole(stream("live/outcomes.jsonl", 0), b""), Err(WriteError::Reserved)));
    let mut hard = file(b"/h", 1);
    hard.link = Some(Link { n: 0, member: RawBytes(b"[root]/a".to_vec()) });
    hard.sha256 = Some(Digest::of(b"x"));
    assert!(matches!(lab.add(hard), Err(WriteError::NoLinkTarget)));
    lab.writer.begin_member(file(b"/b", 5)).unwrap();
    assert!(matches!(lab.writer.write(b"123456"), Err(WriteError::TooLong { left: 5 })));
    let end = MemberEnd::ok(None, begun());
    assert!(matches!(lab.writer.end_member(end.clone()), Err(WriteError::TooShort { left: 5 })));
    lab.writer.write_gap(5, GapWhy::Truncated, None).unwrap();
    assert!(matches!(lab.writer.end_member(end.clone()), Err(WriteError::Record(_)))); // ok with a gap
    lab.end(MemberEnd { outcome: Outcome::Truncated, ..end }).unwrap();
    lab.finish().verify().unwrap();
}

#[test]
fn many_refused_items_are_sealed_on_the_way() {
    let mut lab = Lab::new(1);
    for i in 0..90_000_u32 {
        lab.only(denied(format!("/proc/{i}/environ").as_bytes()));
        lab.poll();
    }
    let built = lab.finish();
    let (summary, _) = built.verify().unwrap();
    assert_eq!(summary.counts_by_outcome[&Outcome::Denied], 90_000);
    assert!(built.segments.len() > 1);
}

#[derive(Debug, Clone)]
enum Addition {
    File { name: Vec<u8>, content: Vec<u8>, repeat: usize, gap: Option<(usize, usize)> },
    Sparse { name: Vec<u8>, runs: Vec<(u16, u16)>, tail: u16 },
    Dir(Vec<u8>),
    Link { name: Vec<u8>, target: Vec<u8> },
    Denied(Vec<u8>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(prop_oneof![1..=46_u8, 48..=255_u8], 1..20),
        proptest::collection::vec(b'a'..=b'e', 1..3),
        (90..200_usize).prop_map(|len| vec![b'n'; len]),
    ]
}

fn addition() -> impl Strategy<Value = Addition> {
    let content = proptest::collection::vec(any::<u8>(), 0..3000);
    let gap = proptest::option::of((0..4000_usize, 1..4000_usize));
    prop_oneof![
        3 => (name(), content, 1..400_usize, gap)
            .prop_map(|(name, content, repeat, gap)| Addition::File { name, content, repeat, gap }),
        1 => (name(), proptest::collection::vec((1..u16::MAX, 1..u16::MAX), 0..5), 1..u16::MAX)
            .prop_map(|(name, runs, tail)| Addition::Sparse { name, runs, tail }),
        1 => name().prop_map(Addition::Dir),
        1 => (name(), name()).prop_map(|(name, target)| Addition::Link { name, target }),
        1 => name().prop_map(Addition::Denied),
    ]
}

/// Refusals for the name alone are part of the contract; nothing else may be refused.
fn allow<T>(result: Result<T, WriteError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(WriteError::DuplicateName | WriteError::BelowOther | WriteError::Record(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_written_verifies(additions in proptest::collection::vec(addition(), 0..20), lanes in 1..3_usize) {
        let mut lab = Lab::new(lanes);
        let mut contents = Vec::new();
        let rooted = |name: &[u8]| [b"/", name].concat();
        for addition in additions {
            match addition {
                Addition::File { name, content, repeat, gap } => {
                    let content = content.repeat(repeat);
                    let gap = gap.filter(|(off, len)| off + len <= content.len());
                    if allow(lab.writer.begin_member(file(&rooted(&name), content.len() as u64))).is_none() { continue }
                    let mut stored = content.clone();
                    let mut end = MemberEnd::ok(None, begun());
                    match gap {
                        Some((off, len)) => {
                            lab.writer.write(&content[..off]).unwrap();
                            lab.writer.write_gap(len as u64, GapWhy::IoError, Some(5)).unwrap();
                            lab.writer.write(&content[off + len..]).unwrap();
                            stored[off..off + len].fill(0);
                            end.outcome = Outcome::IoError;
                        }
                        None => lab.writer.write(&content).unwrap(),
                    }
                    contents.push((lab.end(end).unwrap(), stored));
                }
                Addition::Sparse { name, runs, tail } => {
                    let (mut at, mut list, mut logical) = (0, Vec::new(), Vec::new());
                    for (hole, len) in runs {
                        at += usize::from(hole);
                        logical.resize(at, 0);
                        list.push((at as u64, u64::from(len)));
                        at += usize::from(len);
                        logical.resize(at, b'd');
                    }
                    logical.resize(at + usize::from(tail) + 65_536, 0);
                    let data: usize = list.iter().map(|(_, len)| *len as usize).sum();
                    let mut record = file(&rooted(&name), logical.len() as u64);
                    record.sparse = Some(list);
                    if let Some(record) = allow(lab.whole(record, &vec![b'd'; data])) {
                        contents.push((record, logical));
                    }
                }
                Addition::Dir(name) => drop(allow(lab.add(dir(&rooted(&name))))),
                Addition::Link { name, target } => drop(allow(lab.add(symlink(&rooted(&name), &target)))),
                Addition::Denied(name) => drop(lab.only(denied(&rooted(&name)))),
            }
            lab.poll();
        }
        let built = lab.finish();
        let (summary, records) = built.verify().unwrap();
        prop_assert_eq!(&summary, &built.summary);
        for (record, content) in contents {
            prop_assert_eq!(&records[record.n as usize], &record);
            prop_assert_eq!(record.sha256, Some(Digest::of(&content)));
            prop_assert!(read(&built, &record) == content);
        }
        for record in &records {
            prop_assert!(record.kind != Kind::Other);
        }
    }
}
