//! StoreService: the state of the stores, and the two tasks that a person may start: scrub and repair.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evidence::entry::state::StoreState;
use proto::v1::store_service_server::StoreService;
use proto::v1::{
    ListStoresRequest, ListStoresResponse, RepairProgress, RepairRequest, ScrubProgress, ScrubRequest,
    ScrubState, StoreRow,
};
use store::{Degraded, Key, Store};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows::column::Millis;
use crate::rows::scrubs::{self, ScrubRow};
use crate::rows::{self, DbError};
use crate::upkeep::{Upkeep, repairs};

/// Most answers that wait for the reader.
const ANSWERS_LEN: usize = 16;

/// Most problems that one call reports: enough to see of what kind they are.
const PROBLEMS_MAX: usize = 100;

/// How often to report progress when nothing changes, so that the caller sees that the call is alive.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The service of stores.
#[derive(Clone)]
pub struct Stores(pub Arc<Upkeep>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl StoreService for Stores {
    type ScrubStream = Answers<ScrubProgress>;
    type RepairStream = Answers<RepairProgress>;

    async fn list_stores(
        &self,
        _request: Request<ListStoresRequest>,
    ) -> Result<Response<ListStoresResponse>, Status> {
        let upkeep = &*self.0;
        let collector = &*upkeep.collector;
        let policy = collector.replicas.policy();
        Ok(Response::new(ListStoresResponse {
            stores: rows(collector).await?,
            copies: policy.copies_wanted(),
            degraded: match policy.degraded {
                Degraded::Accept => "accept",
                Degraded::Wait => "wait",
            }
            .to_owned(),
            independent: collector.replicas.at_best().independent,
            slow_scrub: slow_scrub(upkeep).await?,
        }))
    }

    async fn scrub(&self, request: Request<ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let known: BTreeSet<String> =
            self.0.collector.replicas.stores().iter().map(|store| store.identity().store.clone()).collect();
        let mut wanted: BTreeSet<String> = request.into_inner().stores.into_iter().collect();
        if let Some(unknown) = wanted.difference(&known).next() {
            let names: Vec<_> = known.iter().map(String::as_str).collect();
            let text = format!("there is no store {unknown}; there are {}", names.join(", "));
            return Err(Failure::missing(text).into());
        }
        if wanted.is_empty() {
            wanted = known;
        }
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let upkeep = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            if let Err(failure) = watch_scrub(&upkeep, &wanted, &answers).await {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn repair(&self, _request: Request<RepairRequest>) -> Result<Response<Self::RepairStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let upkeep = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            if let Err(failure) = repair(&upkeep, &answers).await {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Asks for a pass over each store, and reports on those passes until they have ended.
async fn watch_scrub(
    upkeep: &Upkeep,
    wanted: &BTreeSet<String>,
    answers: &mpsc::Sender<Result<ScrubProgress, Status>>,
) -> Result<(), Failure> {
    let collector = &*upkeep.collector;
    let mut passes = upkeep.scrubber.watch();
    let before = passes.borrow_and_update().clone();
    for store in wanted {
        upkeep.scrubber.ask(store);
    }
    // A pass counts if it ended after this request.
    let ended = |rows: &std::collections::BTreeMap<String, ScrubRow>, store: &String| {
        let newer = |row: &ScrubRow| row.ended.is_some() && before.get(store).is_none_or(|old| *old != *row);
        rows.get(store).is_some_and(newer)
    };
    loop {
        let now = passes.borrow_and_update().clone();
        let finished = wanted.iter().all(|store| ended(&now, store));
        let mut stores = rows(collector).await?;
        stores.retain(|row| wanted.contains(&row.store));
        let answer = ScrubProgress { stores, finished };
        if answers.send(Ok(answer)).await.is_err() || finished {
            return Ok(());
        }
        tokio::select! {
            () = collector.intake.cancelled() => {
                return Err(Failure::precondition("the collector stops; the pass goes on when it is back"));
            }
            () = answers.closed() => return Ok(()),
            _ = passes.changed() => {}
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
    }
}

async fn repair(
    upkeep: &Upkeep,
    answers: &mpsc::Sender<Result<RepairProgress, Status>>,
) -> Result<(), Failure> {
    let collector = &*upkeep.collector;
    collector.db.write_async(rows::hurry).await?;
    let (mut repaired, mut problems) = (0_u64, Vec::new());
    loop {
        let round = repairs::round(upkeep).await?;
        repaired += round.repaired;
        problems.extend(round.problems);
        problems.truncate(PROBLEMS_MAX);
        let finished = round.tried == 0 || collector.intake.is_cancelled();
        let answer =
            RepairProgress { repaired, waiting: round.waiting, problems: problems.clone(), finished };
        if answers.send(Ok(answer)).await.is_err() || finished {
            return Ok(());
        }
    }
}

async fn rows(collector: &Collector) -> Result<Vec<StoreRow>, Failure> {
    let replicas = collector.replicas.clone();
    let states = blocking(move || {
        let staying = replicas.stores().iter().map(|store| (state(store.as_ref()), store));
        let leaving = replicas.leaving().iter().map(|store| ((StoreState::Leaving, String::new()), store));
        staying
            .chain(leaving)
            .map(|((state, why), store)| StoreRow {
                store: store.identity().store.clone(),
                domain: store.domain().to_owned(),
                state: state.to_string(),
                why,
                created: store.identity().created.clone(),
                ..StoreRow::default()
            })
            .collect::<Vec<_>>()
    })
    .await?;
    collector
        .db
        .read_async(move |db| {
            states
                .into_iter()
                .map(|row| {
                    let (wanting, repair_error) = rows::wanting_on(db, &row.store)?;
                    let scrub = scrubs::of_store(db, &row.store)?.map(scrub_state);
                    // On the wire an empty text says that there is none.
                    let repair_error = repair_error.unwrap_or_default();
                    Ok(StoreRow { wanting, repair_error, scrub, ..row })
                })
                .collect::<Result<_, DbError>>()
        })
        .await
        .map_err(Failure::from)
}

/// Asks the store itself, by reading its marker.
fn state(store: &dyn Store) -> (StoreState, String) {
    if store.has_failed() {
        return (StoreState::Failed, "a flush failed; repair the disk and restart the collector".to_owned());
    }
    match store.read(&Key::marker()) {
        Ok(_) => (StoreState::Ok, String::new()),
        Err(error) => (StoreState::Away, crate::failure::chain(&error)),
    }
}

fn scrub_state(row: ScrubRow) -> ScrubState {
    // On the wire an empty text says that there is no such time.
    let time = |time: Option<Millis>| time.map_or_else(String::new, |time| time.0.to_string());
    ScrubState {
        begun: time(row.begun),
        ended: time(row.ended),
        whole: time(row.whole),
        objects: row.objects,
        total: row.total,
        bytes: row.bytes,
        damaged: row.damaged,
        missing: row.missing,
        unreadable: row.unreadable,
        ledger_problems: row.ledger_problems,
    }
}

async fn slow_scrub(upkeep: &Upkeep) -> Result<String, Failure> {
    let collector = &*upkeep.collector;
    let bytes = collector.db.read_async(scrubs::bytes_to_read).await?;
    // On the wire, an empty text means that the pace is fast enough.
    Ok(upkeep.scrubber.pace.too_slow(bytes).unwrap_or_default())
}
