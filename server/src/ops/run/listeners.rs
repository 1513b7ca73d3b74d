//! The two listeners and the services behind them.
//!
//! Guarantee: the main listener accepts no client without a certificate. The enrolment listener serves one service. The
//! collector renews its own certificate at half its life, without a restart.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use certs::access::AccessLayer;
use certs::authority::COLLECTOR_LIFE;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::listener::{Listener, Settings};
use certs::name::{Identity, Subject};
use certs::tls;
use proto::service;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::collector::Collector;
use crate::config::Listen;
use crate::services::Services;
use crate::services::agent::Agents;
use crate::services::endpoints::Endpoints;
use crate::services::enrol::wire::Enrolments;
use crate::services::export::wire::Bundles;
use crate::services::gate::GateLayer;
use crate::services::incidents::Incidents;
use crate::services::ledger::Ledger;
use crate::services::mirrors::wire::Mirrors;
use crate::services::orders::wire::Orders;
use crate::services::reads::wire::Evidence;
use crate::services::stores::Stores;

/// How often to check the age of the collector's certificate.
const LOOK: Duration = Duration::from_secs(3600);

/// The TLS settings that new handshakes use.
pub struct TlsSettings {
    main: watch::Sender<Arc<ServerConfig>>,
    enrol: watch::Sender<Arc<ServerConfig>>,
    renew_at: tokio::time::Instant,
}

/// The listeners, bound but not yet serving.
pub struct Bound {
    /// The listener for agents and people.
    pub main: Listener,
    /// The listener for enrolment and login.
    pub enrol: Listener,
    /// For renewal.
    pub tls: TlsSettings,
}

fn configs(collector: &Collector) -> Result<(Arc<ServerConfig>, Arc<ServerConfig>)> {
    let tls_failed = |error: &dyn std::error::Error| anyhow!("set up TLS: {error}");
    let key = TlsKey::generate().map_err(|error| tls_failed(&error))?;
    let identity = Identity::new(collector.deployment.clone(), Subject::Collector(collector.id.clone()));
    let authority = &collector.authority;
    let issued = authority
        .issue(&key.public(), &identity, COLLECTOR_LIFE, crate::clock::now())
        .map_err(|error| tls_failed(&error))?;
    let credentials = Credentials { key, chain: authority.chain(&issued) };
    let main = tls::server_mutual(
        &credentials,
        authority.certificate(),
        collector.deployment.clone(),
        Arc::clone(&collector.registry),
    );
    let enrol = tls::server_enrol(&credentials);
    Ok((main.map_err(|error| tls_failed(&error))?, enrol.map_err(|error| tls_failed(&error))?))
}

/// Issues the collector's certificate and binds both listeners.
///
/// # Errors
/// If an address is taken or the certificate authority cannot issue.
pub fn bind(collector: &Collector, listen: &Listen) -> Result<Bound> {
    let (main_config, enrol_config) = configs(collector)?;
    let (main_sender, main_receiver) = watch::channel(main_config);
    let (enrol_sender, enrol_receiver) = watch::channel(enrol_config);
    let registry = || Arc::clone(&collector.registry);
    let main = Listener::bind(listen.main, main_receiver, Settings::main(), registry())
        .with_context(|| format!("listen on {}", listen.main))?;
    let enrol = Listener::bind(listen.enrol, enrol_receiver, Settings::enrolment(), registry())
        .with_context(|| format!("listen on {}", listen.enrol))?;
    let renew_at = tokio::time::Instant::now() + COLLECTOR_LIFE / 2;
    Ok(Bound { main, enrol, tls: TlsSettings { main: main_sender, enrol: enrol_sender, renew_at } })
}

/// Serves both listeners until the drain. Each task ends when its last connection does.
pub async fn serve(services: &Services, main: Listener, enrol: Listener) -> (JoinHandle<()>, JoinHandle<()>) {
    let collector = &services.collector;
    let people = Arc::clone(collector);
    let gate = GateLayer(AccessLayer::new(Arc::new(move |person| people.people.roles(person))));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let draining = collector.intake.clone();
    let reporter = health.clone();
    collector.tasks.spawn(async move {
        draining.cancelled().await;
        reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    });
    let shared = || Arc::clone(collector);
    // A monitor's plain GET and a gRPC call share the listener, the certificate and the access table.
    let tiles = Routes::from(crate::services::monitors::routes(shared()));
    let main_router = proto::limits::server()
        .layer(gate.clone())
        .add_routes(tiles)
        .add_service(health_service)
        .add_service(service::agent_server(Agents {
            ingest: Arc::clone(&services.ingest),
            orders: Arc::clone(&services.orders),
        }))
        .add_service(service::incident_server(Incidents {
            upkeep: Arc::clone(&services.upkeep),
            orders: Arc::clone(&services.orders),
        }))
        .add_service(service::order_server(Orders(Arc::clone(&services.orders))))
        .add_service(service::evidence_server(Evidence(Arc::clone(&services.reads))))
        .add_service(service::endpoint_server(Endpoints(shared())))
        .add_service(service::ledger_server(Ledger(shared())))
        .add_service(service::store_server(Stores(Arc::clone(&services.upkeep))))
        .add_service(service::mirror_server(Mirrors::new(Arc::clone(&services.upkeep))))
        .add_service(service::bundle_server(Bundles(Arc::clone(&services.exporter))));
    let enrol_router = proto::limits::server()
        .layer(gate)
        .add_service(service::enrol_server(Enrolments { collector: shared(), challenges: Arc::default() }));
    let (main_stop, enrol_stop) = (collector.intake.clone(), collector.intake.clone());
    let main = tokio::spawn(async move {
        let ended = main_router.serve_with_incoming_shutdown(main, main_stop.cancelled_owned()).await;
        log_end("main", ended);
    });
    let enrol = tokio::spawn(async move {
        let ended = enrol_router.serve_with_incoming_shutdown(enrol, enrol_stop.cancelled_owned()).await;
        log_end("enrolment", ended);
    });
    (main, enrol)
}

fn log_end(listener: &str, ended: Result<(), tonic::transport::Error>) {
    match ended {
        Ok(()) => tracing::debug!(listener, "Listener is closed"),
        Err(error) => {
            tracing::error!(listener, cause = %crate::failure::chain(&error), "Listener failed")
        }
    }
}

/// Renews the collector's certificate at half its life, until the drain.
pub async fn renew(collector: &Collector, mut settings: TlsSettings) {
    loop {
        tokio::select! {
            () = collector.intake.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if tokio::time::Instant::now() < settings.renew_at {
            continue;
        }
        match configs(collector) {
            Ok((main, enrol)) => {
                settings.main.send_replace(main);
                settings.enrol.send_replace(enrol);
                settings.renew_at = tokio::time::Instant::now() + COLLECTOR_LIFE / 2;
                tracing::info!("The collector's certificate is renewed");
            }
            Err(error) => tracing::error!(%error, "The collector's certificate could not be renewed"),
        }
    }
}
