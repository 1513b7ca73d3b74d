//! AgentService: the calls of endpoints.

use std::pin::Pin;
use std::sync::Arc;

use proto::v1::agent_service_server::AgentService;
use proto::v1::{AttendRequest, AttendResponse, RenewRequest, RenewResponse, UploadRequest, UploadResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::caller;
use crate::services::ingest::Ingest;
use crate::services::orders::OrderDesk;
use crate::services::{enrol, ingest, orders};

/// The service of endpoints.
#[derive(Clone)]
pub struct Agents {
    /// Receives evidence.
    pub ingest: Arc<Ingest>,
    /// Delivers orders.
    pub orders: Arc<OrderDesk>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Agents {
    type AttendStream = Answers<AttendResponse>;
    type UploadStream = Answers<UploadResponse>;

    async fn attend(
        &self,
        request: Request<Streaming<AttendRequest>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let (peer, endpoint, generation) = caller::endpoint(&request)?;
        let (answers, stream) = mpsc::channel(orders::attend::ANSWERS_LEN);
        let desk = Arc::clone(&self.orders);
        self.orders.collector.tasks.spawn(async move {
            orders::attend::serve(desk, peer, endpoint, generation, request.into_inner(), answers).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let (peer, endpoint, generation) = caller::endpoint(&request)?;
        let (answers, stream) = mpsc::channel(ingest::upload::ANSWERS_LEN);
        let ingest = Arc::clone(&self.ingest);
        // Run in a task of its own: if the call is cut off, the task still carries its segment from verdict to row.
        self.ingest.collector.tasks.spawn(async move {
            ingest::upload::serve(ingest, peer, endpoint, generation, request.into_inner(), answers).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (_, endpoint, generation) = caller::endpoint(&request)?;
        let request = request.into_inner();
        let renewal = caller::signed("renewal", request.renewal)?;
        let certificates =
            enrol::renew(&self.ingest.collector, renewal, &request.csr, Some((&endpoint, generation)))
                .await?;
        Ok(Response::new(RenewResponse { certificates: certificates.into_iter().map(Into::into).collect() }))
    }
}
