//! The line between endpoint and collector, and processes that stand still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::proxy::{Seen, Timed};
use lab::wait_for;
use rustix::process::{Pid, Signal, kill_process};

use super::fixture;
use crate::field::{Field, Random};

const MIB: u64 = 1 << 20;

/// Uploads as the proxy saw them: where each began, and which segments went out whole.
fn uploads(seen: &[Timed]) -> Vec<(Option<u64>, Vec<u64>)> {
    let mut uploads: Vec<(Option<u64>, Vec<u64>)> = Vec::new();
    for Timed { what, .. } in seen {
        match what {
            Seen::Upload { .. } => uploads.push((None, Vec::new())),
            Seen::Position { next_index, .. } => {
                if let Some((first, _)) = uploads.last_mut() {
                    first.get_or_insert(*next_index);
                }
            }
            Seen::Sent { index, .. } => {
                if let Some((_, sent)) = uploads.last_mut() {
                    sent.push(*index);
                }
            }
            _ => {}
        }
    }
    uploads
}

/// Every upload begins where the collector says it is, never behind what was acknowledged; nothing is left out. `seen` is of one
/// collection.
pub fn assert_resumed(seen: &[Timed]) -> (usize, usize) {
    let mut acknowledged = 0;
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    let uploads = uploads(seen);
    for (first, sent) in &uploads {
        let Some(first) = first else {
            assert!(sent.is_empty(), "segments went out before the collector said where it is");
            continue;
        };
        assert!(*first >= acknowledged, "the collector went back from {acknowledged} to {first}");
        let expected: Vec<u64> = (*first..).take(sent.len()).collect();
        assert_eq!(*sent, expected, "an upload from {first} on");
        for index in sent {
            *counts.entry(*index).or_default() += 1;
        }
        acknowledged = *first;
    }
    let twice = counts.values().filter(|count| **count > 1).count();
    (uploads.len(), twice)
}

#[test]
fn a_line_cut_again_and_again_leaves_one_collection_without_repetition() {
    let field = Field::new().unwrap();
    let mut random = Random::new(7);
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 200, &mut random);
    let profile = field.lab.files_profile("cuts", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    field.proxy.limit(Some(80 * MIB));
    field.proxy.cut_after(5 * MIB);
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    let (mut cuts, mut mark) = (1, 0);
    let ended = wait_for("the end of a collection over a bad line", || {
        let seen = field.proxy.since(mark);
        // The next cut is armed when segments pass again: in the midst of a segment, or between two.
        let is_cut = seen.iter().any(|one| one.what == Seen::Cut);
        if is_cut && seen.iter().any(|one| matches!(one.what, Seen::Sent { .. })) && cuts < 12 {
            mark = field.proxy.mark();
            field.proxy.cut_after(random.below(20 * MIB));
            cuts += 1;
        }
        field.ended(&order)
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    assert_eq!((ended.state.as_str(), ended.attempt), ("stored", 1), "{}\n{}", ended.detail, field.logs());
    let seen = field.proxy.seen();
    let (uploads, twice) = assert_resumed(&seen);
    let made = seen.iter().filter(|one| one.what == Seen::Cut).count();
    assert!(made >= 5 && uploads > made, "{made} cuts, {uploads} uploads");
    let acknowledged = field.acknowledged().unwrap();
    assert_eq!(field.lost(&acknowledged), Vec::<String>::new());
    assert_eq!(u64::try_from(acknowledged.len()).unwrap(), ended.segments);
    println!(
        "tried: {made} cuts of the line in one collection of {} segments; got: one stored collection, {uploads} upload calls, \
         {twice} unacknowledged segments sent again, none acknowledged ones",
        ended.segments
    );
}

#[test]
fn a_collector_that_drains_or_dies_in_the_midst_goes_on_where_it_was() {
    let mut field = Field::new().unwrap();
    let mut random = Random::new(8);
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 160, &mut random);
    let profile = field.lab.files_profile("restarts", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    field.proxy.limit(Some(40 * MIB));
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    let reach = |field: &Field, index: u64| {
        wait_for("segments acknowledged", || {
            let seen = field.proxy.seen();
            let reached =
                |what: &Seen| matches!(what, Seen::Position { next_index, .. } if *next_index >= index);
            Ok(seen.iter().any(|one| reached(&one.what)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    };
    reach(&field, 3);
    let begun = Instant::now();
    assert!(field.lab.stop_server().unwrap(), "the collector drains and ends with 0\n{}", field.logs());
    let drained = begun.elapsed();
    field.lab.start_server().unwrap();
    reach(&field, 8);
    field.lab.kill_server().unwrap();
    field.lab.start_server().unwrap();
    field.proxy.limit(None);
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!((ended.state.as_str(), ended.attempt), ("stored", 1), "{}\n{}", ended.detail, field.logs());
    let (uploads, twice) = assert_resumed(&field.proxy.seen());
    assert!(uploads >= 3);
    assert_eq!(field.lost(&field.acknowledged().unwrap()), Vec::<String>::new());
    println!(
        "tried: SIGTERM (drained in {} ms, exit 0) and SIGKILL of the collector during one upload; got: stored in attempt 1, \
         {uploads} upload calls, {twice} unacknowledged segments sent again",
        drained.as_millis()
    );
}

/// Sends a signal to the agent and all its children.
fn signal_all(field: &mut Field, signal: Signal) -> Result<usize> {
    let agent = field.agent();
    let mut pids = agent.children("")?;
    pids.push(agent.pid());
    for pid in &pids {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal)?;
        }
    }
    Ok(pids.len())
}

#[test]
fn an_agent_that_stood_still_goes_on() {
    let mut field = Field::new().unwrap();
    let mut random = Random::new(9);
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 96, &mut random);
    let profile = field.lab.files_profile("still", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    field.proxy.limit(Some(30 * MIB));
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    wait_for("a segment acknowledged", || {
        let seen = field.proxy.seen();
        Ok(seen.iter().any(|one| matches!(one.what, Seen::Position { next_index: 2.., .. })).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    let stopped = signal_all(&mut field, Signal::STOP).unwrap();
    let (begun, still) = (Instant::now(), Duration::from_secs(4));
    wait_for("standing still for a while", || Ok((begun.elapsed() > still).then_some(()))).unwrap();
    assert_eq!(field.show(&order).unwrap().row.unwrap().state, "running");
    signal_all(&mut field, Signal::CONT).unwrap();
    field.proxy.limit(None);
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!((ended.state.as_str(), ended.attempt), ("stored", 1), "{}\n{}", ended.detail, field.logs());
    assert_resumed(&field.proxy.seen());
    assert_eq!(field.lost(&field.acknowledged().unwrap()), Vec::<String>::new());
    println!(
        "tried: SIGSTOP of all {stopped} agent processes for {still:?} during an upload; got: stored in attempt 1"
    );
}
