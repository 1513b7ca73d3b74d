//! BundleService.

use std::pin::Pin;
use std::sync::Arc;

use proto::v1::bundle_service_server::BundleService;
use proto::v1::{BundleChunk, ExportRequest, RecordExportRequest, RecordExportResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::collector::Collector;
use crate::services::caller;
use crate::services::export;

/// Chunks that wait for the exporter: 8 MiB.
const ANSWERS_LEN: usize = 8;

/// The service.
#[derive(Clone, Debug)]
pub struct Bundles(pub Arc<Collector>);

#[tonic::async_trait]
impl BundleService for Bundles {
    type ExportStream = Pin<Box<dyn Stream<Item = Result<BundleChunk, Status>> + Send>>;

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let person = caller::person(&request)?;
        let request = request.into_inner();
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let collector = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            if let Err(failure) = export::export(&collector, &person, &request, &answers).await {
                drop(answers.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn record_export(
        &self,
        request: Request<RecordExportRequest>,
    ) -> Result<Response<RecordExportResponse>, Status> {
        let request = request.into_inner();
        let act = caller::signed("act", request.act)?;
        Ok(Response::new(export::record(&self.0, act, &request.detail, &request.sums).await?))
    }
}
