//! LedgerService: checkpoints, entries, proofs, and the check of everything in the stores.

use std::pin::Pin;
use std::sync::Arc;

use evidence::entry::Entry;
use proto::convert::hash_bytes;
use proto::v1::ledger_service_server::LedgerService;
use proto::v1::prove_request::What;
use proto::v1::{
    CheckpointRequest, CheckpointResponse, ConsistencyRequest, ConsistencyResponse, Cosigner, EntriesRequest,
    EntryRow, FsckProgress, FsckRequest, ProveRequest, ProvenEntry,
};
use store::Key;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::caller;
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::log::ledger::FsckOptions;
use crate::rows;

/// Most answers that wait for the reader.
const ANSWERS_LEN: usize = 64;

/// Entries fetched at once: one bundle.
const BUNDLE: usize = 256;

/// Most problems that one check reports: enough to see what kind of disaster it is. The log has them all.
const PROBLEMS_MAX: usize = 1000;

/// The service of the ledger.
#[derive(Clone, Debug)]
pub struct Ledger(pub Arc<Collector>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl LedgerService for Ledger {
    type EntriesStream = Answers<EntryRow>;
    type FsckStream = Answers<FsckProgress>;

    async fn checkpoint(
        &self,
        _request: Request<CheckpointRequest>,
    ) -> Result<Response<CheckpointResponse>, Status> {
        let published = self.0.recorder.sequencer().log().published();
        // On the wire, an empty stamp of size 0 means that there is none.
        let (stamp, stamped_size) = newest_stamp(&self.0).await?.unwrap_or_default();
        let newest = self.0.cosigning.newest();
        Ok(Response::new(CheckpointResponse {
            checkpoint: published.note.to_vec().into(),
            stamp: stamp.into(),
            stamped_size,
            quorum: newest.as_ref().is_some_and(|head| head.quorum_met),
            cosigned: newest.map_or_else(Vec::new, |head| head.published.note.to_vec()).into(),
            cosigners: cosigners(&self.0),
        }))
    }

    async fn entries(
        &self,
        request: Request<EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let collector = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            if let Err(failure) = entries(&collector, request.into_inner(), &answers).await {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn prove(&self, request: Request<ProveRequest>) -> Result<Response<ProvenEntry>, Status> {
        let request = request.into_inner();
        let index = match request.what {
            Some(What::Index(index)) => index,
            Some(What::Event(event)) => {
                let index = index_of(&self.0, &event).await?;
                self.0.recorder.wait_until_published(index).await?;
                index
            }
            None => return Err(Failure::malformed("an index or an event is to be proven").into()),
        };
        if !request.cosigned {
            return Ok(Response::new(self.0.recorder.prove(index).await?.into()));
        }
        let outside = || Failure::missing(format!("the log has no entry {index}"));
        let size = index.checked_add(1).ok_or_else(outside)?;
        self.0.recorder.wait_until_published(index).await?;
        let head = crate::services::export::quorum_over(&self.0, size).await?;
        let proven = self.0.recorder.prove_under(&self.0.replicas, head.published, vec![index]).await?;
        let proven = proven.into_iter().next().ok_or_else(outside)?;
        Ok(Response::new(proven.into()))
    }

    async fn log_keys(
        &self,
        _request: Request<proto::v1::LogKeysRequest>,
    ) -> Result<Response<proto::v1::LogKeyChanges>, Status> {
        Ok(Response::new(self.0.log_key_changes().await?))
    }

    async fn consistency(
        &self,
        request: Request<ConsistencyRequest>,
    ) -> Result<Response<ConsistencyResponse>, Status> {
        let request = request.into_inner();
        let published = self.0.recorder.sequencer().log().published();
        let to = if request.to == 0 { published.size } else { request.to };
        let proof = self.0.recorder.consistency(request.from, to).await?;
        Ok(Response::new(ConsistencyResponse {
            proof: hash_bytes(&proof),
            checkpoint: published.note.to_vec().into(),
        }))
    }

    async fn fsck(&self, request: Request<FsckRequest>) -> Result<Response<Self::FsckStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let collector = Arc::clone(&self.0);
        let evidence = request.into_inner().evidence;
        self.0.tasks.spawn(async move {
            let answer = fsck(&collector, evidence).await.map_err(Status::from);
            drop(answers.send(answer).await);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// The witnesses of the collector's policy.
fn cosigners(collector: &Collector) -> Vec<Cosigner> {
    let keys = collector.cosigning.policy().witnesses().iter().map(|witness| &witness.key);
    collector
        .cosigning
        .witnesses()
        .into_iter()
        .zip(keys)
        .map(|((name, state), key)| Cosigner {
            name,
            key: key.to_string(),
            size: state.size,
            time: state.time,
            trouble: state.trouble,
            contradicts: state.contradicts,
        })
        .collect()
}

/// The stamp of the newest stamped checkpoint, and that checkpoint's size.
async fn newest_stamp(collector: &Collector) -> Result<Option<(Vec<u8>, u64)>, Failure> {
    let newest = collector.db.read_async(rows::stamps::of_newest_checkpoint).await?;
    let Some(rows::stamps::StampRow { size, stamp: digest, .. }) = newest else {
        return Ok(None);
    };
    let replicas = collector.replicas.clone();
    let stamp = blocking(move || replicas.read(&Key::stamp(size, digest.as_bytes())))
        .await?
        .or_unavailable("read a time stamp")?;
    Ok(Some((stamp, size)))
}

async fn index_of(collector: &Collector, event: &str) -> Result<u64, Failure> {
    let event = caller::digest("event", event)?;
    let row = collector.db.read_async(move |db| rows::entries::by_event(db, &event)).await;
    let row = row?;
    row.map(|row| row.index).ok_or_else(|| Failure::missing(format!("no entry records {event}")))
}

async fn entries(
    collector: &Collector,
    request: EntriesRequest,
    answers: &mpsc::Sender<Result<EntryRow, Status>>,
) -> Result<(), Failure> {
    let log = collector.recorder.sequencer().log().clone();
    let mut index = request.from;
    let mut left = if request.count == 0 { u64::MAX } else { request.count };
    while left > 0 {
        let size = log.published().size;
        if index >= size {
            if !request.follow {
                return Ok(());
            }
            tokio::select! {
                () = collector.intake.cancelled() => return Ok(()),
                () = answers.closed() => return Ok(()),
                grown = log.wait_for_growth(index) => if grown.is_none() { return Ok(()) },
            }
            continue;
        }
        let source = log.clone();
        let bundle =
            blocking(move || source.entries(index, BUNDLE)).await?.or_unavailable("read the ledger")?;
        for entry in bundle {
            if left == 0 {
                return Ok(());
            }
            if is_wanted(&entry, &request.incident)? {
                left -= 1;
                if answers.send(Ok(EntryRow { index, entry: entry.into() })).await.is_err() {
                    return Ok(());
                }
            }
            index += 1;
        }
    }
    Ok(())
}

fn is_wanted(entry: &[u8], incident: &str) -> Result<bool, Failure> {
    if incident == "*" {
        return Ok(true);
    }
    let entry = Entry::parse(entry).or_internal("read an entry")?;
    Ok(entry.envelope.incident.to_string() == incident)
}

async fn fsck(collector: &Collector, evidence: bool) -> Result<FsckProgress, Failure> {
    let (replicas, db) = (collector.replicas.clone(), collector.db.clone());
    let key = collector.recorder.sequencer().log().keys().clone();
    let report =
        blocking(move || crate::log::ledger::fsck(&replicas, &key, Some(&db), FsckOptions { evidence }))
            .await?;
    for problem in &report.problems {
        tracing::error!(place = %problem.place, what = %problem.what, "Fsck: {}", problem.why);
        crate::metrics::fixity_failed();
    }
    let done = report.entries + report.objects;
    let problems = report.problems.iter().take(PROBLEMS_MAX);
    Ok(FsckProgress {
        done,
        total: done,
        problems: problems
            .map(|problem| format!("{}: {}: {}", problem.place, problem.what, problem.why))
            .collect(),
        finished: true,
    })
}
