use std::time::Instant;
use testkit::containers::lab::{Lab, verifier};
use testkit::containers::{begun, file, noise};

/// Printed, not asserted: `cargo test -p evidence --release speed -- --nocapture`.
#[test]
fn speed_of_writing_and_verifying() {
    let text: Vec<u8> =
        noise(1 << 20).iter().map(|byte| b"abcdefghijklmnop"[usize::from(byte & 15)]).collect();
    for lanes in [1, 2] {
        let started = Instant::now();
        let mut lab = Lab::new(lanes);
        lab.writer.begin_member(file(b"/big", 64 << 20)).unwrap();
        for _ in 0..64 {
            lab.writer.write(&text).unwrap();
            lab.poll();
        }
        lab.end(evidence::container::MemberEnd::ok(None, begun())).unwrap();
        let built = lab.finish();
        let wrote = started.elapsed();
        let started = Instant::now();
        built.verify().unwrap();
        let verified = started.elapsed();
        println!(
            "lanes {lanes}: write {:.0} MB/s, verify {:.0} MB/s, stored {} of 64 MiB",
            67.1 / wrote.as_secs_f64(),
            67.1 / verified.as_secs_f64(),
            built.summary.stored_len
        );
    }
}

/// `cargo test -p evidence million -- --ignored --nocapture`: peak memory of writer and verifier together.
#[test]
#[ignore = "a minute; prints, asserts a bound on memory"]
fn a_million_items_stay_in_bounded_memory() {
    let started = Instant::now();
    let mut lab = Lab::new(1);
    let mut verifier = verifier();
    for i in 0..1_000_000_u32 {
        let path = format!("/srv/data/{:03}/{:03}/record-{i}.txt", i / 10_000, i / 100 % 100);
        let mut record = file(path.as_bytes(), 20);
        record.before.as_mut().unwrap().nlink = 2;
        lab.whole(record, format!("{i:020}").as_bytes()).unwrap();
        lab.records.clear();
        for segment in lab.segments.drain(..) {
            verifier.segment(&segment.seal, &segment.bytes, &mut |_| ()).unwrap();
        }
    }
    let built = lab.finish();
    for segment in &built.segments {
        verifier.segment(&segment.seal, &segment.bytes, &mut |_| ()).unwrap();
    }
    assert_eq!(verifier.finish().unwrap(), built.summary);
    let mut status = String::new();
    let mut file = std::fs::File::open("/proc/self/status").unwrap();
    std::io::Read::read_to_string(&mut file, &mut status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    println!("peak {peak}, {:.0} s, stored {}", started.elapsed().as_secs_f64(), built.summary.stored_len);
    let kib: u64 = peak.split(' ').next().unwrap().parse().unwrap();
    assert!(kib < 400 << 10, "{peak}");
}
