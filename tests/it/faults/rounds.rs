//! kill -9 of one process at a random moment of a collection, many times.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::proxy::Seen;
use lab::{is_root, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use super::fixture;
use crate::field::{Field, Random};

/// Rounds in one lab: bounds what lies on the disk (70 MB a round in each of two stores).
const ROUNDS_PER_LAB: u64 = 25;

/// Plain MiB of the folder that each round collects.
const FIXTURE_MIB: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Sealer,
    Reader,
    Link,
    Warden,
    Server,
}

impl Victim {
    const ALL: [Self; 5] = [Self::Sealer, Self::Reader, Self::Link, Self::Warden, Self::Server];

    /// What its command line contains.
    const fn role(self) -> &'static str {
        match self {
            Self::Sealer => "__sealer",
            Self::Reader => "__reader",
            Self::Link => "__link",
            Self::Warden | Self::Server => "",
        }
    }
}

/// What a row of the table counts.
#[derive(Default)]
struct Row {
    rounds: u64,
    stored: u64,
    /// Of these: what the reader left was sealed, and the manifest says `limited`.
    limited: u64,
    interrupted: u64,
    /// The victim had ended by itself before its moment came.
    late: u64,
    attempts: u64,
    segments: usize,
    lost: usize,
}

/// Rounds of the gate: with fewer, a victim may not come up often enough to judge.
const ROUNDS: u64 = 50;

/// A number from the environment. A typo fails: it must not turn into the default without a word.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text:?} is no number: {error}")),
        Err(std::env::VarError::NotPresent) => default,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What a table must show, so that the kills were kills: each victim often enough, most of them in time, and both ends seen.
fn judge(table: &BTreeMap<Victim, Row>, rounds: u64) {
    let sum = |of: fn(&Row) -> u64| table.values().map(of).sum::<u64>();
    assert_eq!(sum(|row| row.rounds), rounds, "rounds are missing from the table");
    assert!(table.values().all(|row| row.lost == 0), "acknowledged segments are missing");
    assert!(table.values().map(|row| row.segments).sum::<usize>() > 0, "no segment was ever acknowledged");
    if rounds < ROUNDS {
        return;
    }
    for victim in Victim::ALL {
        let row = table.get(&victim).unwrap_or_else(|| panic!("{victim:?} was never chosen"));
        assert!(row.rounds >= rounds / 20, "{victim:?} was chosen {} times in {rounds} rounds", row.rounds);
        // A victim that is never found (a role with another name) would be late every time. Reader and sealer end before the upload does:
        // a moment out of the whole collection is late for them about every second time.
        let late_max =
            if matches!(victim, Victim::Reader | Victim::Sealer) { row.rounds - 1 } else { row.rounds / 2 };
        assert!(row.late <= late_max, "{victim:?} was too late {} times of {}", row.late, row.rounds);
        assert_eq!(row.stored + row.interrupted, row.rounds, "{victim:?}");
    }
    // A killed sealer costs the attempt: with one attempt the collection is interrupted.
    assert!(sum(|row| row.interrupted) > 0, "no kill ever interrupted a collection");
    assert!(
        sum(|row| row.stored) > 0,
        "no collection was stored although every second one had three attempts"
    );
    assert!(table.values().all(|row| row.limited <= row.stored), "limited is a kind of stored");
}

/// I4, and half of I3: whoever dies, whenever.
#[test]
fn nothing_acknowledged_is_lost_whoever_is_killed_whenever() {
    if !is_root("nothing_acknowledged_is_lost_whoever_is_killed_whenever") {
        return;
    }
    let (rounds, seed) = (setting("EXHIBIT_FAULT_ROUNDS", ROUNDS), setting("EXHIBIT_FAULT_SEED", 1));
    let is_gate = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_gate || rounds >= ROUNDS, "the gate runs at least {ROUNDS} rounds, not {rounds}");
    let mut random = Random::new(seed);
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fixture");
    let plain = fixture::mixed(&dir, FIXTURE_MIB, &mut random);
    println!(
        "faults: {rounds} rounds, seed {seed}, {plain} plain bytes each; fixture made in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let mut table: BTreeMap<Victim, Row> = BTreeMap::new();
    let mut done = 0;
    while done < rounds {
        let count = ROUNDS_PER_LAB.min(rounds - done);
        if let Err(error) = lab(&dir, done, count, &mut random, &mut table) {
            print(&table, begun.elapsed());
            panic!("seed {seed}, rounds {done} to {}: {error:?}", done + count);
        }
        done += count;
    }
    print(&table, begun.elapsed());
    judge(&table, rounds);
}

/// One lab: a calm round to learn how long a collection takes, the rounds, and the checks at the end.
fn lab(
    dir: &Path,
    first: u64,
    count: u64,
    random: &mut Random,
    table: &mut BTreeMap<Victim, Row>,
) -> Result<()> {
    let mut field = Field::new()?;
    let profile = field.lab.files_profile("rounds", &[&format!("{}/**", dir.display())])?;
    let incident = field.incident()?;
    let order = field.order(&incident, &profile, &[])?;
    let begun = Instant::now();
    let calm = field.wait_ended(&order)?;
    let expected = begun.elapsed();
    ensure!(calm.state == "stored", "the calm round ended {}: {}\n{}", calm.state, calm.detail, field.logs());
    println!(
        "faults: a calm collection takes {:.1} s and has {} segments, {} bytes stored",
        expected.as_secs_f64(),
        calm.segments,
        calm.stored_bytes
    );
    let mut stored = vec![incident];
    for round in first..first + count {
        let incident = field.incident()?;
        let state = kill_one(&mut field, &incident, &profile, expected, random, table)
            .with_context(|| format!("round {round}"))?;
        if state == "stored" {
            stored.push(incident);
        }
    }
    field.fsck()?;
    // One of those that were disturbed and stored all the same, chosen by the seed.
    let sample = stored.len() - 1 - usize::try_from(random.below(u64::try_from(stored.len())?.min(5)))?;
    let bundle = field.lab.export(&stored[sample])?;
    let report = field.lab.verify(&bundle)?;
    ensure!(report.exit_code() == 0, "{}", report.text());
    Ok(())
}

fn kill_one(
    field: &mut Field,
    incident: &str,
    profile: &Path,
    expected: Duration,
    random: &mut Random,
    table: &mut BTreeMap<Victim, Row>,
) -> Result<String> {
    let victim = Victim::ALL[usize::try_from(random.below(5))?];
    // With one attempt the endpoint may not begin again, so that interrupted collections stay and are looked at.
    let attempts: u32 = if random.below(2) == 0 { 1 } else { 3 };
    let moment = Duration::from_micros(random.below(u64::try_from(expected.as_micros())?));
    let mark = field.proxy.mark();
    let order = field.order(incident, profile, &["--attempts", &attempts.to_string()])?;
    let issued = Instant::now();
    let is_late = wait_for("the victim's moment", || {
        if issued.elapsed() < moment {
            return Ok(None);
        }
        if strike(field, victim)? {
            return Ok(Some(false));
        }
        Ok(field.ended(&order)?.map(|_| true))
    })?;
    match victim {
        Victim::Warden => {
            field.kill_agent()?;
            field.start_agent(&[])?;
        }
        Victim::Server => {
            field.lab.kill_server()?;
            field.lab.start_server()?;
        }
        Victim::Sealer | Victim::Reader | Victim::Link => {}
    }
    let ended = field.wait_ended(&order)?;
    let acknowledged = lab::proxy::acknowledged(&field.proxy.since(mark))?;
    let lost = field.lost(&acknowledged);
    let row = table.entry(victim).or_default();
    row.rounds += 1;
    row.late += u64::from(is_late);
    row.attempts += u64::from(ended.attempt);
    row.segments += acknowledged.len();
    row.lost += lost.len();
    ensure!(lost.is_empty(), "lost: {lost:#?}\n{}", field.logs());
    let told = || {
        format!(
            "{victim:?} killed after {:.3} of {:.3} s, {attempts} attempts: {} in attempt {}, {}\n{}",
            moment.as_secs_f64(),
            expected.as_secs_f64(),
            ended.state,
            ended.attempt,
            ended.detail,
            field.logs()
        )
    };
    match ended.state.as_str() {
        "stored" => {
            row.stored += 1;
            let is_of_this = |collection: &str| collection == ended.collection;
            let is_limited = |what: &Seen| matches!(what, Seen::Ended { collection, result, .. } if is_of_this(collection) && result == "limited");
            let said = wait_for("the endpoint's word on its attempt", || {
                let seen = field.proxy.since(mark);
                let ended = seen
                    .iter()
                    .any(|one| matches!(&one.what, Seen::Ended { collection, .. } if is_of_this(collection)));
                Ok(ended.then(|| seen.iter().any(|one| is_limited(&one.what))))
            });
            row.limited += u64::from(said.with_context(told)?);
            let collection = field.collection(&ended.collection)?;
            ensure!(collection.copies == 2 && !collection.degraded, "{}", told());
        }
        "interrupted" => {
            row.interrupted += 1;
            ensure!(attempts == 1, "attempts were left: {}", told());
        }
        _ => anyhow::bail!("neither stored nor interrupted: {}", told()),
    }
    Ok(ended.state)
}

/// Kills the victim if it is there. Warden and collector are killed by their owner, who starts them again.
fn strike(field: &mut Field, victim: Victim) -> Result<bool> {
    if matches!(victim, Victim::Warden | Victim::Server) {
        return Ok(true);
    }
    let Some(pid) = field.agent().children(victim.role())?.into_iter().next() else {
        return Ok(false);
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("process id")?;
    // It may have ended in between: then its moment has passed.
    Ok(kill_process(pid, Signal::KILL).is_ok())
}

fn print(table: &BTreeMap<Victim, Row>, took: Duration) {
    println!(
        "faults: victim   rounds  stored  (limited)  interrupted  too late  attempts  segments acknowledged  lost"
    );
    for (victim, row) in table {
        println!(
            "faults: {:8} {:6}  {:6}  {:9}  {:11}  {:8}  {:8}  {:21}  {:4}",
            format!("{victim:?}").to_lowercase(),
            row.rounds,
            row.stored,
            row.limited,
            row.interrupted,
            row.late,
            row.attempts,
            row.segments,
            row.lost
        );
    }
    let rounds: u64 = table.values().map(|row| row.rounds).sum();
    let segments: usize = table.values().map(|row| row.segments).sum();
    let lost: usize = table.values().map(|row| row.lost).sum();
    println!(
        "tried: {rounds} kills at random moments; got: {segments} segments acknowledged, {lost} lost, {:.0} s",
        took.as_secs_f64()
    );
}
