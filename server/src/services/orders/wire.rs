//! OrderService: the wire side of orders.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evidence::digest::Digest;
use evidence::order::Decision;
use proto::parts::split;
use proto::v1::order_service_server::OrderService;
use proto::v1::{
    ActResponse, ApproveOrderRequest, IssueOrderRequest, IssueOrderResponse, ListOrdersRequest,
    ListOrdersResponse, OrderProgress, ShowOrderRequest, ShowOrderResponse,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::failure::Failure;
use crate::rows;
use crate::services::answer::{Parts, answer, in_parts};
use crate::services::caller;
use crate::services::orders;
use crate::services::orders::OrderDesk;
use crate::services::orders::queries::{self, OrderView};

/// Shortest time between two changes that a watcher sees: an upload of many small segments must not fill its screen.
const WATCH_PAUSE: Duration = Duration::from_millis(200);

/// How often a watcher checks when nothing changes: time alone can end an order.
const WATCH_AGAIN: Duration = Duration::from_secs(15);

/// The service of orders.
#[derive(Clone)]
pub struct Orders(pub Arc<OrderDesk>);

#[tonic::async_trait]
impl OrderService for Orders {
    async fn issue_order(
        &self,
        request: Request<IssueOrderRequest>,
    ) -> Result<Response<IssueOrderResponse>, Status> {
        let request = request.into_inner();
        let order = caller::signed("order", request.order)?;
        Ok(Response::new(orders::issue(&self.0, order, request.targets).await?))
    }

    async fn approve_order(
        &self,
        request: Request<ApproveOrderRequest>,
    ) -> Result<Response<ActResponse>, Status> {
        let approval = caller::signed("approval", request.into_inner().approval)?;
        Ok(answer(orders::approve(&self.0, approval).await?))
    }

    type ListOrdersStream = Parts<ListOrdersResponse>;

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<Self::ListOrdersStream>, Status> {
        let orders = queries::list(&self.0, &request.into_inner().incident).await?;
        Ok(in_parts(split(ListOrdersResponse::default(), orders, |part| &mut part.orders)))
    }

    async fn show_order(
        &self,
        request: Request<ShowOrderRequest>,
    ) -> Result<Response<ShowOrderResponse>, Status> {
        let id = queries::resolve(&self.0.collector, &request.into_inner().order).await?;
        Ok(Response::new(show(&self.0, &id).await?))
    }

    type WatchOrderStream = Pin<Box<dyn Stream<Item = Result<OrderProgress, Status>> + Send>>;

    async fn watch_order(
        &self,
        request: Request<ShowOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let id = queries::resolve(&self.0.collector, &request.into_inner().order).await?;
        let (progress, stream) = mpsc::channel(4);
        let desk = Arc::clone(&self.0);
        self.0.collector.tasks.spawn(async move {
            if let Err(failure) = watch(&desk, id, &progress).await {
                drop(progress.send(Err(failure.into())).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn show(desk: &OrderDesk, id: &Digest) -> Result<ShowOrderResponse, Failure> {
    let collector = &*desk.collector;
    let (view, open) = (OrderView::load(desk, id).await?, collector.order(id).await?);
    let (Some(view), Some(open)) = (view, open) else {
        return Err(Failure::missing(format!("there is no order {id}")));
    };
    let key = *id;
    let rows = collector.db.read_async(move |db| rows::orders::approvals(db, &key)).await?;
    let mut approvals = Vec::with_capacity(rows.len());
    // The table holds rejections as well. The order's state reports them.
    for row in rows.into_iter().filter(|row| row.decision == Decision::Approve) {
        approvals.push((&collector.act_document(row.index).await?).into());
    }
    Ok(ShowOrderResponse {
        row: Some(view.summary()),
        order: Some((&open.signed).into()),
        approvals,
        attempts: view.attempts(),
    })
}

async fn watch(
    desk: &OrderDesk,
    id: Digest,
    progress: &mpsc::Sender<Result<OrderProgress, Status>>,
) -> Result<(), Failure> {
    let collector = &*desk.collector;
    // Subscribe before the first look, so that a change in between wakes the next look.
    let mut changes = desk.watches.subscribe(&id);
    let mut last: Option<OrderProgress> = None;
    loop {
        changes.mark_unchanged();
        let Some(view) = OrderView::load(desk, &id).await? else {
            return Err(Failure::missing(format!("there is no order {id}")));
        };
        let now = view.progress();
        let finished = now.finished;
        if last.as_ref() != Some(&now) {
            if progress.send(Ok(now.clone())).await.is_err() {
                return Ok(());
            }
            last = Some(now);
        }
        if finished {
            return Ok(());
        }
        tokio::select! {
            () = collector.intake.cancelled() => {
                return Err(Failure::new(proto::status::Class::Unavailable, "the collector is stopping; watch again"));
            }
            () = progress.closed() => return Ok(()),
            changed = changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                tokio::time::sleep(WATCH_PAUSE).await;
            }
            () = tokio::time::sleep(WATCH_AGAIN) => {}
        }
    }
}
