//! EndpointService: tokens, endpoints, the deployment.

use std::sync::Arc;

use evidence::id::EndpointId;
use evidence::time::Time;
use proto::parts;
use proto::v1::endpoint_service_server::EndpointService;
use proto::v1::{
    ActResponse, DeploymentRequest, DeploymentResponse, EndpointRow as WireRow, ListEndpointsRequest,
    ListEndpointsResponse, RegisterTokenRequest,
};
use tonic::{Request, Response, Status};

use super::caller;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows::endpoints::EndpointRow;
use crate::rows::{self, DbError};
use crate::services::answer::{Parts, answer, in_parts};
use crate::services::enrol;

/// The service of endpoints and tokens.
#[derive(Clone, Debug)]
pub struct Endpoints(pub Arc<Collector>);

#[tonic::async_trait]
impl EndpointService for Endpoints {
    type ListEndpointsStream = Parts<ListEndpointsResponse>;

    async fn register_token(
        &self,
        request: Request<RegisterTokenRequest>,
    ) -> Result<Response<ActResponse>, Status> {
        let token = caller::signed("token", request.into_inner().token)?;
        Ok(answer(enrol::register_token(&self.0, token).await?))
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<Self::ListEndpointsStream>, Status> {
        let wanted = match request.into_inner().endpoint.as_str() {
            "" => None,
            name => match name.parse::<EndpointId>() {
                Ok(endpoint) => Some(endpoint),
                Err(_names_none) => return Ok(in_parts(Vec::new())),
            },
        };
        let is_whole = wanted.is_none();
        let rows = self
            .0
            .db
            .read_async(move |db| {
                let rows = match &wanted {
                    None => rows::endpoints::all(db)?,
                    Some(endpoint) => rows::endpoints::of(db, endpoint)?,
                };
                let with_live = rows.into_iter().map(|row| {
                    let live = rows::endpoints::live(db, &row.endpoint)?;
                    Ok((row, live))
                });
                with_live.collect::<Result<Vec<_>, DbError>>()
            })
            .await
            .map_err(Failure::from)?;
        let endpoints = rows.into_iter().map(|(row, live)| {
            let mut row = wire(&self.0, row, live);
            if is_whole {
                // 10,000 inventories are 640 MB, and the reader of a list shows none.
                row.inventory_json = String::new();
            }
            row
        });
        Ok(in_parts(parts::split(ListEndpointsResponse::default(), endpoints, |part| &mut part.endpoints)))
    }

    async fn deployment(
        &self,
        _request: Request<DeploymentRequest>,
    ) -> Result<Response<DeploymentResponse>, Status> {
        let collector = &self.0;
        let (collector_address, enrol_address) = collector.addresses.clone();
        Ok(Response::new(DeploymentResponse {
            deployment: collector.deployment.to_string(),
            collector: collector.id.to_string(),
            origin: crate::log::ledger::origin(collector.deployment.as_str()),
            log_key: collector.log_key.clone(),
            ca: collector.authority.certificate().to_vec().into(),
            rosters: collector.rosters(0).await?,
            stores: collector.replicas.stores().iter().map(|store| store.identity().store.clone()).collect(),
            stores_independent: collector.replicas.at_best().independent,
            enrol_address,
            collector_address,
        }))
    }
}

fn wire(collector: &Collector, row: EndpointRow, remembered: Option<rows::endpoints::LiveRow>) -> WireRow {
    let view = collector.live.view(row.endpoint.as_str(), u64::from(row.generation.number()));
    let remembered = remembered.filter(|live| live.generation == row.generation);
    let seen_now = Time::from_unix_ms(view.last_seen_unix_ms).filter(|_| view.last_seen_unix_ms > 0);
    let (mut last_seen, mut agent_version) = (String::new(), view.agent_version);
    if let Some(live) = remembered {
        last_seen = live.last_seen.to_string();
        if agent_version.is_empty() {
            agent_version = live.agent;
        }
    }
    if let Some(seen) = seen_now {
        last_seen = seen.to_string();
    }
    WireRow {
        endpoint: row.endpoint.to_string(),
        generation: u64::from(row.generation.number()),
        // On the wire an empty text says that there is none.
        evidence_key: row.fingerprint.map(|key| key.to_string()).unwrap_or_default(),
        state: row.state.to_string(),
        connected: view.connected,
        last_seen,
        agent_version,
        clock_offset_ms: view.clock_offset_ms,
        inventory_json: view.inventory_json,
        warning: view.warning.to_owned(),
    }
}
