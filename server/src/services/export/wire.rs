//! BundleService: exports bundles and records the exports.

use std::pin::Pin;
use std::sync::Arc;

use proto::v1::bundle_service_server::BundleService;
use proto::v1::{BundleChunk, ExportRequest, RecordExportRequest, RecordExportResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Exporter;
use super::files::export;
use super::record::record;
use crate::services::caller;

/// Chunks that wait for the exporter: 8 MiB.
const ANSWERS_LEN: usize = 8;

/// The service of bundles.
#[derive(Clone)]
pub struct Bundles(pub Arc<Exporter>);

#[tonic::async_trait]
impl BundleService for Bundles {
    type ExportStream = Pin<Box<dyn Stream<Item = Result<BundleChunk, Status>> + Send>>;

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let person = caller::person(&request)?;
        let request = request.into_inner();
        let (answers, stream) = mpsc::channel(ANSWERS_LEN);
        let exporter = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            if let Err(failure) = export(&exporter, &person, &request, &answers).await {
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
        Ok(Response::new(record(&self.0, act, &request.detail, &request.sums).await?))
    }
}
