//! IncidentService: the wire side of incidents.

use proto::v1::incident_service_server::IncidentService;
use proto::v1::{
    ActRequest, ActResponse, ListIncidentsRequest, ListIncidentsResponse, NextIncidentIdRequest,
    NextIncidentIdResponse, PlanDispositionRequest, PlanDispositionResponse, ShowDispositionRequest,
    ShowDispositionResponse, ShowIncidentRequest, ShowIncidentResponse,
};
use tonic::{Request, Response, Status};

use super::Incidents;
use crate::services::answer::answer;
use crate::services::caller;
use crate::services::incidents;
use crate::upkeep::disposal;

#[tonic::async_trait]
impl IncidentService for Incidents {
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
    ) -> Result<Response<ListIncidentsResponse>, Status> {
        let incidents = incidents::list(&self.upkeep.collector, request.into_inner().open_only).await?;
        Ok(Response::new(ListIncidentsResponse { incidents }))
    }

    async fn show_incident(
        &self,
        request: Request<ShowIncidentRequest>,
    ) -> Result<Response<ShowIncidentResponse>, Status> {
        Ok(Response::new(incidents::show(&self.upkeep.collector, &request.into_inner().incident).await?))
    }

    async fn plan_disposition(
        &self,
        request: Request<PlanDispositionRequest>,
    ) -> Result<Response<PlanDispositionResponse>, Status> {
        Ok(Response::new(disposal::plan(&self.upkeep.collector, &request.into_inner().incident).await?))
    }

    async fn show_disposition(
        &self,
        request: Request<ShowDispositionRequest>,
    ) -> Result<Response<ShowDispositionResponse>, Status> {
        Ok(Response::new(disposal::show(&self.upkeep.collector, &request.into_inner().incident).await?))
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
