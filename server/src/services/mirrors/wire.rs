//! MirrorService: notes, objects and statements, for mirrors that are admitted now.
//!
//! Guarantee: it serves only what replication needs, and each object whole or not at all. It records a statement under the
//! name of the connection that brought it. Not here: lists. A mirror derives from the ledger what to ask for.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evidence::length::{len, to_usize};
use proto::status::Class;
use proto::v1::mirror_service_server::MirrorService;
use proto::v1::{
    DisposedRequest, DisposedResponse, FetchRequest, FetchResponse, FollowRequest, FollowResponse,
    OfferRequest, OfferResponse, ReplicatedRequest, ReplicatedResponse, WantedRequest, WantedResponse,
};
use store::{ContentCheck, Key, KeyKind, READ_BYTES_MAX, StoreErrorClass};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::blocking::blocking;
use crate::failure::{Failure, chain};
use crate::services::caller;
use crate::services::mirrors;
use crate::upkeep::{Upkeep, repairs};

/// Size of one piece of an object.
const PIECE_BYTES: usize = 256 << 10;
/// Most pieces that wait for the mirror: 2 MiB, however slow its line.
const ANSWERS_LEN: usize = 8;

/// How long one piece may wait for a mirror. The whole object stays in memory meanwhile.
const STALLED: Duration = Duration::from_secs(60);

/// How often to repeat to a mirror what the collector still wants.
const SAID_AGAIN: Duration = Duration::from_secs(300);

/// Most whole objects in memory for mirrors at the same time. Each has at most 80 MiB.
const OBJECTS_MAX: usize = 8;

/// The service of mirrors.
#[derive(Clone)]
pub struct Mirrors {
    /// The collector's requests to mirrors, and the objects that they return.
    upkeep: Arc<Upkeep>,
    /// Limits the whole objects in memory for mirrors.
    objects: Arc<Semaphore>,
}

impl Mirrors {
    /// Builds the service.
    #[must_use]
    pub fn new(upkeep: Arc<Upkeep>) -> Self {
        Self { upkeep, objects: Arc::new(Semaphore::new(OBJECTS_MAX)) }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl MirrorService for Mirrors {
    type FollowStream = Answers<FollowResponse>;
    type FetchStream = Answers<FetchResponse>;
    type WantedStream = Answers<WantedResponse>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let mirror = caller::mirror(&request)?;
        mirrors::check_admitted(&self.upkeep.collector, &mirror).await?;
        let (answers, stream) = mpsc::channel(1);
        let collector = Arc::clone(&self.upkeep.collector);
        self.upkeep.collector.tasks.spawn(async move {
            let log = collector.recorder.sequencer().log().clone();
            let mut newest = Some(log.published());
            while let Some(published) = newest {
                let note = published.note.to_vec().into();
                if answers.send(Ok(FollowResponse { note })).await.is_err() {
                    return;
                }
                newest = tokio::select! {
                    () = collector.intake.cancelled() => return,
                    () = answers.closed() => return,
                    grown = log.wait_for_growth(published.size) => grown,
                };
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let mirror = caller::mirror(&request)?;
        mirrors::check_admitted(&self.upkeep.collector, &mirror).await?;
        let request = request.into_inner();
        let key = parse_replicated_key(&request.key)?;
        let (object, now) = (key.clone(), crate::clock::now());
        let is_disposed = self
            .upkeep
            .collector
            .db
            .read_async(move |db| crate::rows::fence::is_disposed_of(db, &object, None, now))
            .await
            .map_err(|error: crate::rows::DbError| Failure::unavailable("reach its database", error))?;
        if is_disposed {
            return Err(Failure::missing(format!("{key} is disposed of")).into());
        }
        // Bounds the whole objects in memory for mirrors, however slowly they take them.
        let Ok(slot) = Arc::clone(&self.objects).acquire_owned().await else {
            return Err(Failure::unavailable("serve an object", "it is stopping").into());
        };
        let replicas = self.upkeep.collector.replicas.clone();
        let object = blocking(move || replicas.read(&key)).await?;
        let object = object.map_err(|error| match error.class() {
            StoreErrorClass::NotFound => Failure::missing(format!("no store has {}", request.key)),
            StoreErrorClass::Conflict | StoreErrorClass::Permanent => {
                Failure::new(Class::Contradiction, format!("no store has {} whole", request.key))
                    .because(error)
            }
            _ => Failure::unavailable("read an object", error),
        })?;
        let total = len(&object);
        if request.offset > total {
            return Err(Failure::malformed(format!("the object ends at {total}")).into());
        }
        let mut rest = Bytes::from(object).split_off(to_usize(request.offset));
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        self.upkeep.collector.tasks.spawn(async move {
            let _slot = slot;
            let mut first = true;
            while first || !rest.is_empty() {
                let data = rest.split_to(rest.len().min(PIECE_BYTES));
                let total = if first { total } else { 0 };
                let sent = answers.send(Ok(FetchResponse { total, data }));
                if !matches!(tokio::time::timeout(STALLED, sent).await, Ok(Ok(()))) {
                    return;
                }
                first = false;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn disposed(
        &self,
        request: Request<DisposedRequest>,
    ) -> Result<Response<DisposedResponse>, Status> {
        let mirror = caller::mirror(&request)?;
        let act = caller::signed("act", request.into_inner().act)?;
        let recorded = mirrors::disposed(&self.upkeep.collector, &mirror, act).await?;
        Ok(Response::new(DisposedResponse { entry: Some(recorded.proven.into()) }))
    }

    async fn replicated(
        &self,
        request: Request<ReplicatedRequest>,
    ) -> Result<Response<ReplicatedResponse>, Status> {
        let mirror = caller::mirror(&request)?;
        let act = caller::signed("act", request.into_inner().act)?;
        let recorded = mirrors::replicated(&self.upkeep.collector, &mirror, act).await?;
        Ok(Response::new(ReplicatedResponse { entry: Some(recorded.proven.into()) }))
    }

    async fn wanted(&self, request: Request<WantedRequest>) -> Result<Response<Self::WantedStream>, Status> {
        let mirror = caller::mirror(&request)?;
        mirrors::check_admitted(&self.upkeep.collector, &mirror).await?;
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let upkeep = Arc::clone(&self.upkeep);
        self.upkeep.collector.tasks.spawn(async move {
            let mut changed = upkeep.wants.watch();
            let mut said: BTreeSet<Key> = BTreeSet::new();
            let mut again = tokio::time::interval(SAID_AGAIN);
            loop {
                changed.mark_unchanged();
                let wanted = upkeep.wants.all();
                said.retain(|key| wanted.contains(key));
                for key in wanted {
                    let text = key.to_string();
                    if said.insert(key) && answers.send(Ok(WantedResponse { key: text })).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = upkeep.collector.intake.cancelled() => return,
                    () = answers.closed() => return,
                    _ = changed.changed() => {}
                    // The mirror may hold the object by now.
                    _ = again.tick() => said.clear(),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn offer(
        &self,
        request: Request<Streaming<OfferRequest>>,
    ) -> Result<Response<OfferResponse>, Status> {
        let mirror = caller::mirror(&request)?;
        mirrors::check_admitted(&self.upkeep.collector, &mirror).await?;
        let mut pieces = request.into_inner();
        let first = piece(&mut pieces).await?;
        let first = first.ok_or_else(|| Failure::malformed("an offer without a key"))?;
        let key = Key::parse(&first.key).map_err(|error| Failure::malformed(chain(&error)))?;
        if !self.upkeep.wants.has(&key) {
            let text = format!("{key} is not wanted (any more)");
            return Err(Failure::new(Class::Precondition, text).into());
        }
        if first.total > READ_BYTES_MAX {
            return Err(Failure::new(Class::OverLimit, format!("an object of {} bytes", first.total)).into());
        }
        let Ok(_slot) = Arc::clone(&self.objects).acquire_owned().await else {
            return Err(Failure::unavailable("take an object", "it is stopping").into());
        };
        let total = to_usize(first.total);
        let mut bytes = first.data.to_vec();
        while bytes.len() < total {
            let next = piece(&mut pieces).await?;
            let next = next.ok_or_else(|| Failure::malformed("the object was cut"))?;
            bytes.extend_from_slice(&next.data);
        }
        if bytes.len() != total || key.check(&bytes) != ContentCheck::Right {
            tracing::error!(%key, %mirror, "A mirror offered other bytes than the key names");
            return Err(Failure::malformed(format!("these bytes are not those of {key}")).into());
        }
        repairs::accept_given(&self.upkeep, key, bytes).await?;
        Ok(Response::new(OfferResponse {}))
    }
}

/// The next piece of an offer. Fails if it does not arrive in time.
async fn piece(pieces: &mut Streaming<OfferRequest>) -> Result<Option<OfferRequest>, Status> {
    tokio::time::timeout(STALLED, pieces.message())
        .await
        .or(Err(Status::deadline_exceeded("no piece in time")))?
}

/// Parses a key that replication may ask for: everything that the ledger names, but no marker and nothing from quarantine.
fn parse_replicated_key(text: &str) -> Result<Key, Failure> {
    let key = Key::parse(text).map_err(|error| Failure::malformed(chain(&error)))?;
    match key.kind() {
        KeyKind::Marker | KeyKind::Quarantine => {
            Err(Failure::forbidden(format!("{key} is no part of a replica")))
        }
        _ => Ok(key),
    }
}
