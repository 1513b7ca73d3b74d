//! EvidenceService: collections, items, objects.

use std::pin::Pin;
use std::sync::Arc;

use proto::parts::split;
use proto::v1::evidence_service_server::EvidenceService;
use proto::v1::{
    CollectionRow as WireRow, ItemBatch, ListCollectionsRequest, ListCollectionsResponse, ListItemsRequest,
    OutcomeCount, ReadItemRequest, ReadObjectRequest, ReadResponse, ShowCollectionRequest,
    ShowCollectionResponse,
};
use store::Key;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows;
use crate::rows::collections::CollectionRow;
use crate::services::answer::{Parts, in_parts};
use crate::services::caller::{self, Filter};
use crate::services::reads::Reads;
use crate::services::reads::item::Wanted;
use crate::services::reads::{access, item, list, object};

/// The service of evidence.
#[derive(Clone)]
pub struct Evidence(pub Arc<Reads>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EvidenceService for Evidence {
    type ListCollectionsStream = Parts<ListCollectionsResponse>;
    type ListItemsStream = Answers<ItemBatch>;
    type ReadItemStream = Answers<ReadResponse>;
    type ReadObjectStream = Answers<ReadResponse>;

    async fn list_collections(
        &self,
        request: Request<ListCollectionsRequest>,
    ) -> Result<Response<Self::ListCollectionsStream>, Status> {
        let incident = request.into_inner().incident;
        let wanted = match caller::incident_filter(&incident) {
            Filter::Nothing => return Ok(in_parts(Vec::new())),
            Filter::All => None,
            Filter::One(incident) => Some(incident),
        };
        let rows = self
            .0
            .collector
            .db
            .read_async(move |db| rows::collections::of_incident(db, wanted.as_ref()))
            .await;
        let rows = rows.map_err(Failure::from)?;
        let collections = rows.iter().map(|row| wire(&self.0.collector, row));
        Ok(in_parts(split(ListCollectionsResponse::default(), collections, |part| &mut part.collections)))
    }

    async fn show_collection(
        &self,
        request: Request<ShowCollectionRequest>,
    ) -> Result<Response<ShowCollectionResponse>, Status> {
        Ok(Response::new(show(&self.0.collector, &request.into_inner().collection).await?))
    }

    async fn list_items(
        &self,
        request: Request<ListItemsRequest>,
    ) -> Result<Response<Self::ListItemsStream>, Status> {
        let person = caller::person(&request)?;
        let (answers, stream) = mpsc::channel(list::ANSWERS_LEN);
        let reads = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            if let Err(failure) = list::list(&reads, &person, request.into_inner(), &answers).await {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn read_item(
        &self,
        request: Request<ReadItemRequest>,
    ) -> Result<Response<Self::ReadItemStream>, Status> {
        let person = caller::person(&request)?;
        let request = request.into_inner();
        let wanted = match request.path.is_empty() {
            true => Wanted::Ordinal(request.ordinal),
            false => Wanted::Path(request.path.to_vec()),
        };
        let (answers, stream) = mpsc::channel(item::ANSWERS_LEN);
        let reads = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            let read =
                item::read(&reads, &person, &request.collection, wanted, &request.purpose, &answers).await;
            if let Err(failure) = read {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn read_object(
        &self,
        request: Request<ReadObjectRequest>,
    ) -> Result<Response<Self::ReadObjectStream>, Status> {
        let person = caller::person(&request)?;
        let request = request.into_inner();
        let (answers, stream) = mpsc::channel(item::ANSWERS_LEN);
        let reads = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            let (collection, wanted) = (&request.collection, &request.object);
            let read =
                object::read(&reads.collector, &person, collection, wanted, &request.purpose, &answers).await;
            if let Err(failure) = read {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn show(collector: &Collector, collection: &str) -> Result<ShowCollectionResponse, Failure> {
    let row = access::resolve(collector, collection).await?;
    let number = row.number;
    let outcomes = collector.db.read_async(move |db| rows::collections::outcomes(db, number)).await?;
    let manifest = match &row.manifest {
        Some(manifest) => Some((&collector.document(Key::document(manifest.as_bytes())).await?).into()),
        None => None,
    };
    let receipt = match row.stored_index {
        Some(index) => {
            collector.recorder.wait_until_published(index).await?;
            Some(collector.recorder.prove(index).await?.into())
        }
        None => None,
    };
    let delegation = collector.document(Key::document(row.delegation.as_bytes())).await?;
    Ok(ShowCollectionResponse {
        row: Some(wire(collector, &row)),
        manifest,
        delegation: Some((&delegation).into()),
        outcomes: outcomes
            .into_iter()
            .map(|row| OutcomeCount { outcome: row.outcome.to_string(), count: row.count })
            .collect(),
        receipt,
    })
}

fn wire(collector: &Collector, row: &CollectionRow) -> WireRow {
    // Without `collection.stored`, ask the stores themselves whether they can fail together.
    let best = collector.replicas.at_best();
    let independent = row.independent || (row.stored_index.is_none() && row.copies > 1 && best.independent);
    WireRow {
        collection: row.id.to_string(),
        incident: row.incident.to_string(),
        order: row.order.to_string(),
        endpoint: row.endpoint.to_string(),
        attempt: row.attempt,
        state: row.state.to_string(),
        items: row.items,
        not_ok: row.not_ok,
        content_bytes: row.content_bytes,
        stored_bytes: row.stored_bytes,
        segments: row.segments,
        copies: row.copies,
        degraded: row.degraded,
        independent,
        begun: row.begun.to_string(),
        // On the wire an empty text says that there is none.
        ended: row.ended.map(|time| time.to_string()).unwrap_or_default(),
    }
}
