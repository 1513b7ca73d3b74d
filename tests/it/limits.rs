//! I9 on a real endpoint: the memory of all processes of an agent while it collects.

use lab::{is_root, wait_for};

use crate::faults::fixture;
use crate::field::{Field, Random};

/// Bytes of memory that an agent's processes may hold together, shared pages counted once.
const AGENT_MEMORY_MAX: u64 = 96 << 20;

/// `Pss` of a process in bytes; nothing when it has ended.
fn proportional(pid: u32) -> Option<u64> {
    let rollup = fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[test]
fn an_agent_that_collects_stays_below_96_mib() {
    let name = "an_agent_that_collects_stays_below_96_mib";
    if !is_root(name) {
        return;
    }
    let mut field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    // Nothing compresses, so the window of unacknowledged segments is full; and thousands of small files stand in tables.
    fixture::noise(&dir.join("noise"), 200, &mut Random::new(9));
    fixture::mixed(&dir.join("mixed"), 100, &mut Random::new(10));
    let profile = field.lab.files_profile("memory", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &[]).unwrap();
    let (mut largest, mut looks, mut processes) = (0, 0, 0);
    let ended = wait_for("the end of the order", || {
        let agent = field.agent().pid();
        let all = [vec![agent], field.agent().children("")?].concat();
        let sizes: Vec<u64> = all.iter().filter_map(|pid| proportional(*pid)).collect();
        (looks, processes) = (looks + 1, processes.max(sizes.len()));
        largest = largest.max(sizes.iter().sum::<u64>());
        field.ended(&order)
    })
    .unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    assert!(looks > 3 && processes >= 4, "{looks} looks at {processes} processes see no collection");
    println!(
        "measured: {} MiB PSS of {processes} processes of an agent, largest of {looks} looks",
        largest >> 20
    );
    assert!(largest <= AGENT_MEMORY_MAX, "{largest} bytes");
}
