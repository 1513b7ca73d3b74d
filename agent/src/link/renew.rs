//! Carries a request for a new certificate to the collector, and the answer back.
//!
//! Guarantee: if the request fails, the warden gets an empty answer and asks again later. Not here: the signed
//! request itself (`warden::renewal`).

use proto::v1;
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;

use super::connection::Connector;
use crate::message::{FromLink, Renew, from_link};

/// Sends the request in the background.
pub fn start(
    renew: Renew,
    channels: &watch::Receiver<Option<Channel>>,
    connector: &Connector,
    post: mpsc::Sender<FromLink>,
) {
    let channel = channels.borrow().clone();
    let mut connector = connector.clone();
    // Bounded: the warden has one request under way at a time and waits for its answer.
    drop(tokio::spawn(async move {
        let answer = match (renew.request, renew.is_expired, channel) {
            (None, ..) => Err("the warden's message has no request".to_owned()),
            (Some(request), true, _) => expired(&mut connector, request).await,
            (Some(request), false, Some(channel)) => proto::service::agent_client(channel)
                .renew(request)
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| evidence::causes::chain(&status)),
            (Some(_), false, None) => Err("not connected".to_owned()),
        };
        let answer = answer.unwrap_or_else(|cause| {
            tracing::warn!(%cause, "Certificate not renewed");
            v1::RenewResponse::default()
        });
        super::post_to_warden(&post, from_link::Say::Renewed(answer)).await;
    }));
}

async fn expired(connector: &mut Connector, request: v1::RenewRequest) -> Result<v1::RenewResponse, String> {
    let identity = connector.identity().await.ok_or("this process is ending")?;
    let channel =
        connector.enrolment(&identity).await.map_err(|error| evidence::causes::chain(error.as_ref()))?;
    let answer = proto::service::enrol_client(channel).renew_expired(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| evidence::causes::chain(&status))
}
