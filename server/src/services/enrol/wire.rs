//! EnrolService: the only calls without a client certificate, on a separate listener.

use std::sync::Arc;

use proto::v1::enrol_service_server::EnrolService;
use proto::v1::{
    CertifyMirrorRequest, CertifyMirrorResponse, EnrolRequest, EnrolResponse, LoginChallengeRequest,
    LoginChallengeResponse, LoginRequest, LoginResponse, RenewRequest, RenewResponse,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::collector::Collector;
use crate::failure::Failure;
use crate::services::caller;
use crate::services::login::Challenges;
use crate::services::{enrol, login, mirrors};

/// The service of enrolment and login.
#[derive(Clone, Debug)]
pub struct Enrolments {
    pub collector: Arc<Collector>,
    /// Login challenges.
    pub challenges: Arc<Challenges>,
}

#[tonic::async_trait]
impl EnrolService for Enrolments {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        let enrolment = caller::signed("enrolment", request.enrolment)?;
        Ok(Response::new(enrol::enrol(&self.collector, enrolment, &request.csr).await?))
    }

    async fn renew_expired(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        let renewal = caller::signed("renewal", request.renewal)?;
        let certificates = enrol::renew(&self.collector, renewal, &request.csr, None).await?;
        Ok(Response::new(RenewResponse { certificates: certificates.into_iter().map(Into::into).collect() }))
    }

    async fn certify_mirror(
        &self,
        request: Request<CertifyMirrorRequest>,
    ) -> Result<Response<CertifyMirrorResponse>, Status> {
        let certificates = mirrors::certify(&self.collector, &request.into_inner().csr).await?;
        Ok(Response::new(CertifyMirrorResponse {
            certificates: certificates.into_iter().map(Into::into).collect(),
        }))
    }

    async fn login_challenge(
        &self,
        request: Request<LoginChallengeRequest>,
    ) -> Result<Response<LoginChallengeResponse>, Status> {
        let person = request
            .into_inner()
            .person
            .parse()
            .map_err(|error| Failure::malformed(format!("person: {error}")))?;
        let challenge = self.challenges.draw(person, Instant::now())?;
        Ok(Response::new(LoginChallengeResponse { challenge: challenge.to_vec().into() }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let request = request.into_inner();
        let signed = caller::signed("login", request.login)?;
        let certificates = login::login(&self.collector, &self.challenges, signed, &request.csr).await?;
        Ok(Response::new(LoginResponse { certificates: certificates.into_iter().map(Into::into).collect() }))
    }
}
