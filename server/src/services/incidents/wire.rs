//! IncidentService: the wire side of incidents.

use proto::parts::split;
use proto::v1::incident_service_server::IncidentService;
use proto::v1::{
    ActRequest, ActResponse, ListIncidentsRequest, ListIncidentsResponse, NextIncidentIdRequest,
    NextIncidentIdResponse, PlanDispositionRequest, PlanDispositionResponse, ShowDispositionRequest,
    ShowDispositionResponse, ShowIncidentRequest, ShowIncidentResponse,
};
use tonic::{Request, Response, Status};

use super::Incidents;
use crate::services::answer::{Parts, answer, in_parts};
use crate::services::caller;
use crate::services::incidents;
use crate::upkeep::disposal;

#[tonic::async_trait]
impl IncidentService for Incidents {
    type ListIncidentsStream = Parts<ListIncidentsResponse>;
    type ShowIncidentStream = Parts<ShowIncidentResponse>;
    type PlanDispositionStream = Parts<PlanDispositionResponse>;
    type ShowDispositionStream = Parts<ShowDispositionResponse>;

    async fn open_incident(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        let act = caller::signed("act", request.act)?;
        Ok(answer(incidents::open(&self.upkeep.collector, act, &request.detail).await?))
    }

    async fn record_act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        let act = caller::signed("act", request.act)?;
        Ok(answer(incidents::record(self, act, &request.detail).await?))
    }

    async fn list_incidents(
        &self,
        request: Request<ListIncidentsRequest>,
    ) -> Result<Response<Self::ListIncidentsStream>, Status> {
        let incidents = incidents::list(&self.upkeep.collector, request.into_inner().open_only).await?;
        Ok(in_parts(split(ListIncidentsResponse::default(), incidents, |part| &mut part.incidents)))
    }

    async fn show_incident(
        &self,
        request: Request<ShowIncidentRequest>,
    ) -> Result<Response<Self::ShowIncidentStream>, Status> {
        Ok(in_parts(incidents::show(&self.upkeep.collector, &request.into_inner().incident).await?))
    }

    async fn plan_disposition(
        &self,
        request: Request<PlanDispositionRequest>,
    ) -> Result<Response<Self::PlanDispositionStream>, Status> {
        Ok(in_parts(disposal::plan(&self.upkeep.collector, &request.into_inner().incident).await?))
    }

    async fn show_disposition(
        &self,
        request: Request<ShowDispositionRequest>,
    ) -> Result<Response<Self::ShowDispositionStream>, Status> {
        Ok(in_parts(disposal::show(&self.upkeep.collector, &request.into_inner().incident).await?))
    }

    async fn next_incident_id(
        &self,
        _request: Request<NextIncidentIdRequest>,
    ) -> Result<Response<NextIncidentIdResponse>, Status> {
        Ok(Response::new(NextIncidentIdResponse {
            incident: incidents::next_id(&self.upkeep.collector).await?,
        }))
    }
}
