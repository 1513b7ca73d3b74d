//! Sets legal holds in buckets that have them, so that a bucket keeps the evidence even against somebody with our credentials.
//!
//! Guarantee: while a hold of its incident stands, every segment and seal of an ended collection is under legal hold in each such
//! bucket; the chore repeats the call until the bucket accepts it. When the last hold is released, the chore lifts them. Not
//! here: whether a hold stands (`rows::retention`).

use std::sync::Arc;
use std::time::Duration;

use store::{LockProof, Store, StoreError};

use crate::blocking::blocking;
use crate::failure::Failure;
use crate::rows::hold_marks::{self, HoldTask};
use crate::upkeep::Upkeep;

/// How often to look for holds that changed.
const LOOK: Duration = Duration::from_secs(5);
/// How long to leave a bucket alone after it failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most collections whose holds are set in one round.
const AT_ONCE: u32 = 16;

/// True if a store can hold objects by itself.
fn can_hold(store: &dyn Store) -> bool {
    store.capabilities().is_some_and(|seen| seen.lock != LockProof::None)
}

/// Runs rounds until the drain.
pub async fn keep_holds_set(upkeep: &Upkeep, store: Arc<dyn Store>) {
    let mut wait = LOOK;
    while upkeep.collector.pause(wait).await {
        // If a bucket was away at the start, its abilities are known only when it is back.
        if !can_hold(store.as_ref()) {
            wait = PATIENCE;
            continue;
        }
        wait = match round(upkeep, &store).await {
            Ok(()) => LOOK,
            Err(failure) => {
                failure.log_for_chore("legal holds");
                PATIENCE
            }
        };
    }
}

async fn round(upkeep: &Upkeep, store: &Arc<dyn Store>) -> Result<(), Failure> {
    let name = store.identity().store.clone();
    let asked = name.clone();
    let due = upkeep.collector.db.read_async(move |db| hold_marks::due(db, &asked, AT_ONCE)).await?;
    let mut failed = None;
    for task in due {
        // While we have the turn, no repair writes an object again between the list and the mark.
        let _repairs = upkeep.repairs.turn().await;
        let place = Arc::clone(store);
        let set = blocking(move || set_hold(place.as_ref(), &task)).await?;
        let objects = match set {
            Ok(objects) => objects,
            Err(error) => {
                failed = Some(Failure::unavailable("set a legal hold", error));
                continue;
            }
        };
        // Crash now: the holds are set once more, which changes nothing.
        let marked = name.clone();
        upkeep.collector.db.write_async(move |tx| hold_marks::done(tx, &marked, &task)).await?;
        let collection = task.collection;
        tracing::info!(store = name, %collection, held = task.held, objects, "Legal hold in the bucket");
    }
    failed.map_or(Ok(()), Err)
}

/// Sets or clears the hold on every object of the collection that is there. Returns their number.
fn set_hold(store: &dyn Store, task: &HoldTask) -> Result<u64, StoreError> {
    let mut objects = 0;
    for room in ["segments", "seals"] {
        for key in store.list(&format!("{room}/{}/", task.collection))? {
            store.set_legal_hold(&key, task.held)?;
            objects += 1;
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use evidence::digest::Digest;
    use evidence::entry::EntryType;
    use store::Key;
    use testkit::wait;

    use super::*;
    use crate::ops::rebuild::tests::life::{INCIDENT, person_act};
    use crate::upkeep::disposal::chore::tests::{Mood, runtime, scene};

    #[test]
    fn what_a_repair_makes_at_the_same_time_is_held_too() {
        let runtime = runtime();
        let scene = scene(Mood::Well, false);
        let hold = person_act(EntryType::HoldPlaced, INCIDENT, &[], "ada", None);
        let (collector, upkeep) = (&scene.services.collector, &scene.services.upkeep);
        collector.recorder.sequencer().submit_blocking(hold).unwrap();
        let store: Arc<dyn Store> = Arc::clone(&scene.moody) as Arc<dyn Store>;
        let made = Key::segment(&scene.id.0, 999, &Digest::of(b"made again").0);
        runtime.block_on(async {
            let repairs = upkeep.repairs.turn().await;
            let (told, ()) = tokio::join!(round(upkeep, &store), async {
                wait::until_async("the round waiting for its turn", async || {
                    upkeep.repairs.waiting.load(SeqCst) == 1
                })
                .await;
                assert!(scene.moody.told.lock().unwrap().is_empty(), "the repair goes first");
                scene.moody.create(&made, b"made again").unwrap();
                drop(repairs);
            });
            told.unwrap();
        });
        let mut objects = store.list(&format!("segments/{}/", scene.id)).unwrap();
        objects.extend(store.list(&format!("seals/{}/", scene.id)).unwrap());
        let told = |from: usize| {
            let told = scene.moody.told.lock().unwrap();
            let held: Vec<Key> =
                told.iter().skip(from).filter(|(_, held)| *held).map(|(key, _)| key.clone()).collect();
            held
        };
        assert!(objects.contains(&made) && objects.len() > 6);
        assert_eq!(told(0), objects);
        // Nothing is due until a repair reports that it wrote an object again. Then all holds are set once more.
        runtime.block_on(round(upkeep, &store)).unwrap();
        assert_eq!(told(objects.len()), []);
        let (name, id) = (store.identity().store.clone(), scene.id);
        collector.db.write(move |tx| hold_marks::again(tx, &name, &id)).unwrap();
        runtime.block_on(round(upkeep, &store)).unwrap();
        assert_eq!(told(objects.len()), objects);
    }
}
