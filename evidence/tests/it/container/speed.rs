use std::time::Instant;

use super::lab::*;

/// Printed, not asserted: `cargo test -p evidence --release speed -- --nocapture`.
#[test]
fn speed_of_writing_and_verifying() {
    let text: Vec<u8> = noise(1 << 20).iter().map(|byte| b"abcdefghijklmnop"[usize::from(byte & 15)]).collect();
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
