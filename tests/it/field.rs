//! A lab with one endpoint behind a recording proxy: the base of the fault and bad-input tests.
//! Guarantee: everything it starts ends with it; addresses stay the same over restarts of the collector.
//! Not here: what is tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use evidence::digest::Digest;
use lab::proxy::{self, Acknowledged, Proxy};
use lab::{Child, Lab, Options, attempt, run, wait_for};
use proto::parts::join;
use proto::v1;
use serde_json::Value;
use tonic::transport::Channel;

/// The endpoint's name.
pub const ENDPOINT: &str = "web-03";

pub struct Field {
    // Dropped first: the agent ends before what it talks to.
    agent: Option<Child>,
    pub proxy: Proxy,
    pub lab: Lab,
    pub stores: Vec<PathBuf>,
    person: Channel,
    runtime: tokio::runtime::Runtime,
}

/// Small pseudo-random numbers that a seed repeats (xorshift64*, Marsaglia 2003).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds shall not begin alike; zero is a fixed point.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Acknowledged segments that are not in every store under their digests, with the right bytes.
pub fn lost<'a>(
    stores: &[PathBuf],
    acknowledged: impl IntoIterator<Item = (&'a (String, u64), &'a Acknowledged)>,
) -> Vec<String> {
    let mut lost = Vec::new();
    for ((collection, index), digests) in acknowledged {
        for store in stores {
            let segment = format!("segments/{collection}/{index:06}-{}.zst", digests.sha256);
            let seal = format!("seals/{collection}/{index:06}-{}.seal", digests.seal);
            for (name, digest) in [(segment, digests.sha256), (seal, digests.seal)] {
                let path = store.join(&name);
                match fs_err::read(&path) {
                    Ok(bytes) if Digest::of(&bytes) == digest => {}
                    Ok(_) => lost.push(format!("{} has other bytes", path.display())),
                    Err(error) => lost.push(error.to_string()),
                }
            }
        }
    }
    lost
}

impl Field {
    /// A collector, a proxy, and an enrolled endpoint whose agent runs.
    pub fn new() -> Result<Self> {
        Self::with(&Options::default())
    }

    pub fn with(options: &Options) -> Result<Self> {
        let mut field = Self::silent(options)?;
        field.start_agent(&[])?;
        Ok(field)
    }

    /// The same without an agent: the endpoint is enrolled only.
    pub fn silent(options: &Options) -> Result<Self> {
        let lab = Lab::with(options)?;
        let proxy = Proxy::start(&lab, ENDPOINT)?;
        let token = lab.token(ENDPOINT, &["--address", &proxy.address()])?;
        run(lab
            .tool("exhibit-agent")
            .args(["enrol", "--token", &token, "--state"])
            .arg(lab.state(ENDPOINT)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let credentials = lab.path("responder/session/credentials.pem");
        let person = runtime.block_on(proxy::channel(&lab.path("server"), &credentials))?;
        let stores = match &options.stores {
            Some((one, two)) => vec![one.clone(), two.clone()],
            None => vec![lab.path("store-a"), lab.path("store-b")],
        };
        Ok(Self { agent: None, proxy, lab, stores, person, runtime })
    }

    pub fn start_agent(&mut self, more: &[&str]) -> Result<()> {
        let mut command = self.lab.tool("exhibit-agent");
        command
            .arg("run")
            .arg("--state")
            .arg(self.lab.state(ENDPOINT))
            .args(more)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .env("EXHIBIT_RECONNECT_MIN_MS", "50")
            .env("EXHIBIT_RECONNECT_MAX_MS", "500");
        self.agent = Some(Child::start(command, &self.lab.path("agent.log"))?);
        self.wait_connected()
    }

    pub fn wait_connected(&mut self) -> Result<()> {
        let mut agent = self.agent.take().context("no agent runs")?;
        let connected = wait_for("the endpoint connected", || {
            if let Some(status) = agent.ended()? {
                bail!("exhibit-agent ended with {status}");
            }
            let rows = self.block(async |channel| {
                let mut client = proto::service::endpoint_client(channel);
                let request = v1::ListEndpointsRequest { endpoint: ENDPOINT.to_owned() };
                join(client.list_endpoints(request).await).await.map(tonic::Response::new)
            })?;
            Ok(rows.endpoints.iter().any(|row| row.connected).then_some(()))
        });
        self.agent = Some(agent);
        connected.with_context(|| self.logs())
    }

    pub fn agent(&mut self) -> &mut Child {
        self.agent.as_mut().expect("the agent runs")
    }

    /// Ends the agent by SIGKILL.
    pub fn kill_agent(&mut self) -> Result<()> {
        match self.agent.take() {
            Some(mut agent) => agent.kill(),
            None => Ok(()),
        }
    }

    /// Calls the collector as alice.
    pub fn block<T>(
        &self,
        call: impl AsyncFnOnce(Channel) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T> {
        let called = self.runtime.block_on(call(self.person.clone()));
        Ok(called
            .map_err(|status| anyhow::anyhow!("{:?}: {}", status.code(), status.message()))?
            .into_inner())
    }

    /// Where asynchronous parts of a test run.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    pub fn incident(&self) -> Result<String> {
        self.lab.incident()
    }

    /// Issues an order without waiting for its end; its id.
    pub fn order(&self, incident: &str, profile: &Path, more: &[&str]) -> Result<String> {
        let output = run(self
            .lab
            .exhibit()
            .args(["--json", "collect", "--incident", incident, "--on", ENDPOINT])
            .args(["--purpose", "test", "--no-wait", "--profile"])
            .arg(profile)
            .args(more))?;
        lab::text(&serde_json::from_slice(&output.stdout)?, "order")
    }

    /// An order as the collector shows it.
    pub fn show(&self, order: &str) -> Result<v1::ShowOrderResponse> {
        self.block(async |channel| {
            let request = v1::ShowOrderRequest { order: order.to_owned() };
            proto::service::order_client(channel).show_order(request).await
        })
    }

    /// State of this endpoint under an order, when the order has come to its end.
    pub fn ended(&self, order: &str) -> Result<Option<v1::AttemptRow>> {
        let shown = self.show(order)?;
        let state = shown.row.map(|row| row.state).unwrap_or_default();
        let attempt = shown.attempts.into_iter().next();
        Ok(attempt.filter(|_| matches!(state.as_str(), "done" | "expired" | "cancelled" | "rejected")))
    }

    /// Waits until an order has come to its end.
    pub fn wait_ended(&self, order: &str) -> Result<v1::AttemptRow> {
        wait_for("the end of the order", || self.ended(order)).with_context(|| self.logs())
    }

    /// The row of a collection.
    pub fn collection(&self, id: &str) -> Result<v1::CollectionRow> {
        let shown = self.block(async |channel| {
            let request = v1::ShowCollectionRequest { collection: id.to_owned() };
            proto::service::evidence_client(channel).show_collection(request).await
        })?;
        shown.row.context("a collection without a row")
    }

    /// The endpoint's own log.
    pub fn diary(&self) -> Result<Vec<Value>> {
        let output = run(self
            .lab
            .tool("exhibit-agent")
            .args(["log", "--json", "--state"])
            .arg(self.lab.state(ENDPOINT)))?;
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Ledger and evidence in both stores, checked by the collector itself.
    pub fn fsck(&self) -> Result<()> {
        let output = attempt(self.lab.exhibit().args(["ledger", "fsck", "--evidence"]))?;
        ensure!(
            output.status.success(),
            "fsck: {} {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.logs()
        );
        Ok(())
    }

    /// Acknowledged segments that are not in every store under their digests, with the right bytes.
    pub fn lost<'a>(
        &self,
        acknowledged: impl IntoIterator<Item = (&'a (String, u64), &'a Acknowledged)>,
    ) -> Vec<String> {
        lost(&self.stores, acknowledged)
    }

    /// Everything the proxy saw acknowledged so far.
    pub fn acknowledged(&self) -> Result<BTreeMap<(String, u64), Acknowledged>> {
        proxy::acknowledged(&self.proxy.seen())
    }

    /// What everybody said, for failure messages: the last lines.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["server.log", "agent.log"] {
            let bytes = fs_err::read(self.lab.path(name)).unwrap_or_default();
            let all = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = all.lines().collect();
            text.push_str(&format!("--- {name}\n"));
            for line in &lines[lines.len().saturating_sub(40)..] {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}
