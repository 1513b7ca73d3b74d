//! The sealer's process: it is confined, packs what the reader hands over, and describes the result in a
//! manifest.
//!
//! Guarantee: it holds only its own key, and no other process keeps that key. The manifest describes the
//! container, computed from the same bytes. Not here: taking items in (`intake`), the evidence key's
//! signature (`warden::manifest`).

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, anyhow, bail, ensure};
use cage::{Profile, channel};
use evidence::causes::chain;
use evidence::container::{self, SealedSegment};
use evidence::digest::Digest;
use evidence::keys::SigningKey;
use evidence::manifest::{
    Agent, Clock as ManifestClock, CollectionResult, Encoding, EndpointOrigin, LogHead, Manifest,
    ManifestType, Origin, REMARK_BYTES_MAX, REMARKS_MAX, StepResult,
};
use evidence::order::{Limits, Order};
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::time::{FileTime, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::intake::{self, SegmentSink, Sockets};
use super::outbox::Outbox;
use crate::message::{ToSealer, to_sealer};
use crate::platform::{Clock as _, SystemClock};

/// What the warden knows and the manifest must say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Effective limits.
    pub limits: Limits,
    /// Policy in force.
    pub policy_sha256: Digest,
    /// Local clock minus the collector's clock, if it was measured.
    pub offset_ms: Option<i64>,
    /// Whether the clock follows a time server, if known.
    pub synchronised: Option<bool>,
    /// Boot id.
    pub boot_id: Option<String>,
    /// machine-id.
    pub machine_id: Option<String>,
    /// The agent.
    pub agent: Agent,
    /// The endpoint.
    pub origin: EndpointOrigin,
    /// Why there was no read-only view of the mounts, if there was none.
    pub view_refused: Option<String>,
    /// The remains of earlier collections.
    pub limitations: Vec<String>,
    /// Head of the endpoint's log.
    pub log_head: LogHead,
}

/// Compression threads: 2 if there are two processors and the owner grants more than half of one.
const LANES: usize = 2;

const CLOCK: &str = "this machine's clock is outside the years 1970 to 9999";

/// Runs the sealer's process. Returns when the warden releases it.
///
/// # Errors
/// If the collection failed, the warden has the text as well, and records it.
pub fn run(socket: OwnedFd) -> anyhow::Result<()> {
    cage::enter(Profile::Sealer).context("confine the sealer")?;
    let (received, descriptors) =
        channel::receive::<ToSealer>(socket.as_fd()).context("talk to the warden")?;
    let start = Start::read(received, descriptors).context("the warden's first message")?;
    let outbox = Outbox::start(socket).context("start the sealer")?;
    outbox.ready()?;
    match collect(&outbox, start) {
        Ok(manifest) => Ok(outbox.finish(&manifest)?),
        Err(error) => {
            outbox.fail(&chain(error.as_ref()));
            Err(error)
        }
    }
}

/// The warden's first message.
struct Start {
    sockets: Sockets,
    key: SigningKey,
    order: Order,
    delegation: Delegation,
    delegation_sha256: Digest,
    facts: Facts,
}

impl Start {
    fn read(received: ToSealer, descriptors: Vec<OwnedFd>) -> anyhow::Result<Self> {
        let Some(to_sealer::Say::Start(start)) = received.say else { bail!("it is no start") };
        let seed = Zeroizing::new(start.sealer_key);
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(seed.as_slice().try_into().or(Err(anyhow!("the key has not 32 bytes")))?);
        let key = SigningKey::from_seed(&seed);
        let [reader, check]: [OwnedFd; 2] =
            descriptors.try_into().or(Err(anyhow!("it has not two descriptors")))?;
        let signed = Signed::parse(&start.delegation)?;
        let delegation: Delegation = signed.read()?;
        let order: Order = evidence::json::parse_document(&start.order)?;
        let facts = serde_json::from_slice(&start.facts).context("facts")?;
        ensure!(
            delegation.sealer == key.public() && delegation.order == Digest::of(&start.order),
            "key, order and delegation do not fit together"
        );
        let (sockets, delegation_sha256) = (Sockets { reader, check }, signed.digest());
        Ok(Self { sockets, key, order, delegation, delegation_sha256, facts })
    }
}

fn collect(outbox: &Outbox, start: Start) -> anyhow::Result<Signed> {
    let Start { sockets, key, order, delegation, delegation_sha256, facts } = start;
    let mut salt_seed = [0; 32];
    getrandom::fill(&mut salt_seed).context("no random bytes from the kernel")?;
    let lanes = if facts.limits.cpu_pct > 50 { LANES } else { 1 };
    let params = intake::Params {
        container: container::Params {
            deployment: delegation.deployment.clone(),
            collection: delegation.collection,
            order: delegation.order,
            attempt: u64::from(delegation.attempt),
            level: 1,
            lanes,
            salt_seed,
        },
        collectors: order.plan.steps().iter().map(|step| step.collector().to_owned()).collect(),
        limits: facts.limits,
    };
    let begun = now()?;
    // The writer wipes its copy of the key when it ends.
    let signer = SigningKey::from_seed(&key.seed());
    let mut sink = Sink(outbox);
    let summary = intake::run(sockets, params, signer, &mut sink, &SystemClock).context("collect")?;
    let manifest = describe(summary, &order, &delegation, delegation_sha256, facts, begun)?;
    Signed::sign(&manifest, &[&key]).context("sign the manifest")
}

/// Passes segments on.
struct Sink<'outbox>(&'outbox Outbox);

impl SegmentSink for Sink<'_> {
    fn segment(&mut self, segment: SealedSegment) -> Result<(), Box<dyn Error + Send + Sync>> {
        let SealedSegment { bytes, seal, seal_digest, header, .. } = segment;
        Ok(self.0.push(seal_digest, &seal, &bytes, header.is_final)?)
    }

    fn progress(&mut self, items: u64, plain_bytes: u64) {
        // If the warden is gone, the next segment shows it.
        drop(self.0.alive(items, plain_bytes));
    }
}

fn describe(
    summary: intake::Summary,
    order: &Order,
    delegation: &Delegation,
    delegation_sha256: Digest,
    facts: Facts,
    begun: Time,
) -> anyhow::Result<Manifest> {
    let result = if summary.is_complete() { CollectionResult::Complete } else { CollectionResult::Limited };
    let mut limitations = facts.limitations;
    limitations.extend(summary.limit.map(|limit| format!("the limit {limit} ended the collection")));
    limitations.extend(summary.limitations);
    let container = summary.container;
    Ok(Manifest {
        type_: ManifestType,
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        origin: Origin::Endpoint(facts.origin),
        delegation: delegation_sha256,
        encoding: Encoding::TarZstd,
        incident: order.incident.clone(),
        begun,
        ended: now()?,
        clock: ManifestClock {
            wall: SystemClock.wall(),
            boot: SystemClock.boot(),
            offset_ms: facts.offset_ms,
            synchronised: facts.synchronised,
        },
        boot_id: facts.boot_id,
        machine_id: facts.machine_id,
        agent: facts.agent,
        policy_sha256: facts.policy_sha256,
        limits: facts.limits,
        steps: summary.steps.into_iter().map(step).collect::<Option<_>>().context(CLOCK)?,
        segments: container.segments,
        stored_len: container.stored_len,
        plain_len: container.plain_len,
        container_sha256: container.container_sha256,
        items: container.items,
        items_root: container.items_root,
        outcomes: Manifest::outcomes_of(&container),
        content_bytes: container.content_bytes,
        seal_head: container.seal_head,
        footprint: remarks(summary.footprint.lines(facts.view_refused.as_deref())),
        limitations: remarks(limitations),
        log_head: facts.log_head,
        result,
    })
}

fn step(summary: intake::StepSummary) -> Option<StepResult> {
    Some(StepResult {
        begun: time(summary.begun)?,
        ended: time(summary.ended)?,
        collector: summary.collector,
        items: summary.items,
        result: summary.result,
    })
}

/// At most as many and as long lines as a manifest may hold. If some are missing, one line says so.
fn remarks(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > REMARKS_MAX {
        let left_out = lines.len() - REMARKS_MAX + 1;
        lines.truncate(REMARKS_MAX - 1);
        lines.push(format!("{left_out} more remarks are left out"));
    }
    for line in &mut lines {
        let mut end = line.len().min(REMARK_BYTES_MAX);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
    }
    lines
}

fn now() -> anyhow::Result<Time> {
    time(SystemClock.wall()).context(CLOCK)
}

fn time(time: FileTime) -> Option<Time> {
    let ms = u64::try_from(time.seconds()).ok()?.checked_mul(1000)?;
    Time::from_unix_ms(ms.checked_add(u64::from(time.nanos() / 1_000_000))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_cut_to_what_a_manifest_takes_and_say_so() {
        let lines = remarks(vec!["\u{fc}".repeat(400); REMARKS_MAX + 5]);
        assert_eq!(lines.len(), REMARKS_MAX);
        assert!(lines.iter().all(|line| line.len() <= REMARK_BYTES_MAX));
        assert_eq!(lines[REMARKS_MAX - 1], "6 more remarks are left out");
        assert_eq!(remarks(vec!["one".to_owned()]), ["one"]);
    }

    #[test]
    fn file_times_become_times_rounded_down() {
        let at = |seconds, nanos| time(FileTime::new(seconds, nanos).unwrap());
        assert_eq!(at(1, 999_999_999).unwrap().unix_ms(), 1999);
        assert_eq!(at(-1, 0), None);
    }
}
