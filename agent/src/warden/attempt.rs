//! The course of an attempt: how it begins, proceeds and ends.

use std::os::fd::OwnedFd;
use std::time::Duration;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::keys::SigningKey;
use evidence::manifest::{Agent, EndpointOrigin, LogHead};
use evidence::seal::delegation::collection_id;
use evidence::text::FixedBytes;
use proto::backoff::Backoff;
use proto::convert;
use proto::v1;

use super::host::Host;
use super::judge::{self, Judged};
use super::manifest::{Expectation, delegate, sign_manifest};
use super::running::{self, POSITION_LINES_MAX, Start};
use super::{Waiting, Warden, WardenError, claims, state_error};
use crate::diary::Fields;
use crate::message::{
    Close, ContradictionFound, Empty, OpenUpload, Position, Rejected, Segment, ToSealer, UploadManifest,
    to_link, to_sealer,
};
use crate::platform::{self};
use crate::state::clock::Reading;
use crate::state::receipts;
use crate::state::seen::{End, SeenError};

/// How long after its wall limit an attempt may still end by itself. It needs that time for the last frame,
/// outcomes, seals, and at most one window of segments that are still being sent.
const GRACE: Duration = Duration::from_secs(300);

/// How long a finished container may wait for the collector before its memory is given up. Every
/// acknowledgement restarts the time.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Longest wait before the next attempt.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Whether the endpoint itself repeats an attempt that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It repeats as long as the order grants attempts.
    IfAttemptsAllow,
    /// It does not, because the reason would be the same.
    Never,
}

impl Warden {
    /// Starts the next waiting order, if nothing runs.
    pub(super) fn start_waiting(&mut self, now: Reading) -> Result<(), WardenError> {
        if self.running.is_some() {
            return Ok(());
        }
        let Some(position) = self.waiting.iter().position(|waiting| waiting.not_before <= now.boot) else {
            return Ok(());
        };
        let Some(Waiting { judged, .. }) = self.waiting.remove(position) else {
            return Ok(());
        };
        let order = judged.admitted.order_sha256;
        match judge::judge_again(&self.state, judged, self.settings.policy.as_deref(), now) {
            Ok(judged) => self.begin(judged, now),
            Err(refusal) => self.refuse(order, &refusal),
        }
    }

    fn begin(&mut self, judged: Judged, now: Reading) -> Result<(), WardenError> {
        let order = judged.admitted.order_sha256;
        let random = |bytes: &mut [u8]| {
            getrandom::fill(bytes).map_err(|error| WardenError::System {
                op: "random bytes",
                source: std::io::Error::other(error),
            })
        };
        let mut nonce = [0; 16];
        random(&mut nonce)?;
        let nonce = FixedBytes(nonce);
        let sealer_key = SigningKey::generate(random)?;
        let at = self.state.clock.time(now);
        let fingerprint = self.state.target.evidence_key;
        let (expires, attempts) = (judged.admitted.order.expires, judged.admitted.order.attempts);
        let id = |attempt| collection_id(&order, &fingerprint, attempt, &nonce);
        let (attempt, collection) = match self.state.seen.begin(order, expires, attempts, id, at) {
            Ok(begun) => begun,
            Err(SeenError::Replay(replay)) => {
                let refusal = evidence::admission::Refusal::new(
                    evidence::admission::Reason::Replay,
                    replay.to_string(),
                );
                return self.refuse(order, &refusal);
            }
            Err(SeenError::Write { source }) => return Err(state_error(source)),
        };
        // From here on the attempt counts, whatever happens. Nothing has been read yet.
        let fields = Fields::new()
            .text("order", order)
            .number("attempt", u64::from(attempt))
            .text("collection", collection);
        self.record("attempt_begun", fields)?;
        if let Err(cause) = self.launch(judged.clone(), sealer_key, (order, attempt, nonce), now) {
            let detail = format!("could not be started: {cause}");
            self.finish(order, attempt, collection, End::Interrupted, &detail)?;
            self.wait_again(judged, attempt);
            return Ok(());
        }
        self.answer_running();
        self.open_upload();
        Ok(())
    }

    fn launch(
        &mut self,
        judged: Judged,
        sealer_key: SigningKey,
        (order, attempt, nonce): (Digest, u32, evidence::text::Nonce),
        now: Reading,
    ) -> Result<(), String> {
        let identity = &self.state.identity;
        let at = self.state.clock.time(now);
        let evidence_key = &identity.evidence_key;
        let delegated = delegate(&identity.pins, evidence_key, &sealer_key, (order, attempt, nonce), at);
        let (delegation, delegation_signed) = delegated.map_err(|error| chain(&error))?;
        let head = self.state.diary.head().ok_or("the endpoint's log is empty")?;
        let agent = self.agent();
        let root = platform::root_view(&self.settings.root).map_err(|error| error.to_string())?;
        let (proc, proc_refused) = platform::proc_view().map_err(|error| error.to_string())?;
        let view_refused = root.refused.as_ref().map(ToString::to_string);
        let mut limitations = Vec::new();
        if let Some(refused) = proc_refused {
            limitations.push(format!(
                "processes are seen through the mounted /proc ({refused}), which can be hidden in part"
            ));
        }
        for stuck in &self.stuck {
            limitations.push(format!(
                "process {} of an earlier collection is stuck in the kernel and was left behind",
                stuck.pid()
            ));
        }
        let log_head = LogHead { seq: head.seq, sha256: head.sha256 };
        let pins = &identity.pins;
        let facts = crate::sealer::process::Facts {
            limits: judged.limits,
            policy_sha256: judged.policy.digest,
            offset_ms: self.offset_ms,
            synchronised: Host::synchronised(),
            boot_id: self.host.boot_id.clone(),
            machine_id: self.host.machine_id.clone(),
            agent: agent.clone(),
            origin: EndpointOrigin {
                id: pins.endpoint.clone(),
                generation: pins.generation,
                evidence_key: evidence_key.public(),
                order,
                attempt,
            },
            view_refused,
            limitations,
            log_head,
        };
        let expected = Expectation {
            order: judged.admitted.order.clone(),
            delegation_signed,
            delegation,
            limits: judged.limits,
            policy_sha256: judged.policy.digest,
            agent,
            log_head,
        };
        let mut processes = vec![rustix::process::getpid().as_raw_nonzero().get()];
        processes.extend(self.link.as_ref().map(super::lane::Lane::pid).filter(|pid| *pid > 0));
        processes.extend(self.stuck.iter().map(super::lane::Stuck::pid));
        processes.extend(&self.stuck_helpers);
        let deadline = now.boot + Duration::from_secs(judged.limits.wall_s) + GRACE;
        let start = Start {
            program: &self.settings.program,
            user: self.user,
            state: &self.state.dir,
            root,
            proc,
            processes,
            sealer_key,
            facts,
            deadline,
        };
        self.running = Some(running::start(judged, expected, start).map_err(|error| chain(&error))?);
        Ok(())
    }

    fn agent(&self) -> Agent {
        let effective = rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits());
        Agent {
            version: crate::VERSION.to_owned(),
            build_sha256: self.host.build_sha256,
            uid: rustix::process::geteuid().as_raw(),
            capabilities: format!("{:016x}", effective & cage::capabilities(cage::Profile::Reader).bits()),
        }
    }

    /// Opens the running collection's upload on the link in place.
    pub(super) fn open_upload(&mut self) {
        let Some(running) = &self.running else { return };
        let collection = running.collection().to_string();
        let delegation = Some((&running.expected.delegation_signed).into());
        let manifest = running.manifest.as_ref().map(|(signed, _)| signed.into());
        let segments = running.passed.observed.segments;
        self.say_link(
            to_link::Say::OpenUpload(OpenUpload { collection: collection.clone(), delegation }),
            Vec::new(),
        );
        if let Some(manifest) = manifest {
            self.say_link(
                to_link::Say::Manifest(UploadManifest { collection, manifest: Some(manifest), segments }),
                Vec::new(),
            );
        }
    }

    pub(super) fn take_segment(
        &mut self,
        segment: Segment,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), WardenError> {
        let Some(running) = self.running.as_mut() else {
            return Ok(());
        };
        if descriptors.len() != 2
            || running.manifest.is_some() && segment.index >= running.passed.observed.segments
        {
            return self.end_attempt("the sealer handed over something that is no segment", Again::Never);
        }
        if running.passed.observe(&segment).is_none() {
            return self.end_attempt("the sealer handed over a segment that does not follow", Again::Never);
        }
        let segment = Segment { collection: running.collection().to_string(), ..segment };
        self.say_link(to_link::Say::Segment(segment), descriptors);
        Ok(())
    }

    pub(super) fn take_manifest(&mut self, manifest: v1::SignedDocument) -> Result<(), WardenError> {
        let Some(running) = self.running.as_mut() else {
            return Ok(());
        };
        let (order, attempt) = (running.order(), running.attempt());
        let sealed = match convert::signed("manifest", Some(manifest)) {
            Ok(sealed) if running.manifest.is_none() => sealed,
            _ => return self.end_attempt("the sealer handed over no manifest", Again::Never),
        };
        let evidence_key = &self.state.identity.evidence_key;
        let (manifest, signed) =
            match sign_manifest(evidence_key, &running.expected, &running.passed.observed, &sealed) {
                Ok(signed) => signed,
                Err(error) => {
                    let detail = format!("the manifest was not signed: {}", chain(&error));
                    return self.end_attempt(&detail, Again::Never);
                }
            };
        let now = Reading::now();
        running.deadline = now.boot + PATIENCE;
        let digest = signed.digest();
        running.manifest = Some((signed.clone(), manifest.result));
        let collection = running.collection().to_string();
        let segments = manifest.segments;
        let at = self.state.clock.time(now);
        // Store it before it is sent: after a crash the receipt must still be recognised.
        self.state.seen.sign(order, attempt, digest, manifest.result, at).map_err(state_error)?;
        let fields = Fields::new()
            .text("order", order)
            .number("attempt", u64::from(attempt))
            .text("collection", &collection)
            .text("manifest", digest)
            .text("result", manifest.result)
            .number("items", manifest.items)
            .number("content_bytes", manifest.content_bytes)
            .number("stored_bytes", manifest.stored_len);
        self.record("manifest_signed", fields)?;
        let manifest = Some((&signed).into());
        self.say_link(to_link::Say::Manifest(UploadManifest { collection, manifest, segments }), Vec::new());
        Ok(())
    }

    pub(super) fn take_position(&mut self, position: Position) -> Result<(), WardenError> {
        let Some(running) = self.running.as_mut() else {
            return Ok(());
        };
        if position.collection != running.collection().to_string() {
            return Ok(());
        }
        if running.manifest.is_some() {
            running.deadline = Reading::now().boot + PATIENCE;
        }
        if position.is_first && running.position_lines < POSITION_LINES_MAX {
            running.position_lines += 1;
            let fields = Fields::new()
                .text("collection", &position.collection)
                .number("next_index", position.next_index)
                .text("seal", &position.seal)
                .number("copies", u64::from(position.copies));
            self.record("upload_position", fields)?;
        }
        self.say_sealer(to_sealer::Say::Position(position))
    }

    fn say_sealer(&mut self, say: to_sealer::Say) -> Result<(), WardenError> {
        let Some(running) = self.running.as_mut() else {
            return Ok(());
        };
        if let Err(error) = running.sealer.send(&ToSealer { say: Some(say) }, Vec::new()) {
            return self.end_attempt(&format!("the sealer is gone: {error}"), Again::IfAttemptsAllow);
        }
        Ok(())
    }

    /// The upload has no connection, so the sealer waits for the next position.
    pub(super) fn upload_cut(&mut self) {
        // If the sealer is gone, its own socket shows it.
        if let Some(running) = self.running.as_mut() {
            let cut = ToSealer { say: Some(to_sealer::Say::Cut(Empty {})) };
            drop(running.sealer.send(&cut, Vec::new()));
        }
    }

    pub(super) fn take_contradiction(&mut self, found: &ContradictionFound) -> Result<(), WardenError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let fields = Fields::new()
            .text("what", "upload position")
            .text("collection", running.collection())
            .number("index", found.index)
            .text("seal", &found.seal)
            .text("detail", &found.detail);
        self.record("contradiction", fields)?;
        self.end_attempt(
            &format!("server contradiction at segment {}: {}", found.index, found.detail),
            Again::Never,
        )
    }

    pub(super) fn take_rejection(&mut self, rejected: &Rejected) -> Result<(), WardenError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        if rejected.collection != running.collection().to_string() {
            return Ok(());
        }
        self.end_attempt(
            &format!("the collector takes no more ({}): {}", rejected.reason, rejected.detail),
            Again::Never,
        )
    }

    /// Handles a receipt, whichever way it arrived.
    pub(super) fn take_receipt(
        &mut self,
        collection: &str,
        proven: Option<v1::ProvenEntry>,
    ) -> Result<(), WardenError> {
        let fields = || Fields::new().text("collection", collection);
        let claim = |text: &str| claims::Claim::Unproven(text.to_owned());
        let verified = collection
            .parse()
            .or(Err(claim("no collection id")))
            .and_then(|collection| claims::receipt(&self.state, collection, proven));
        let is_running =
            self.running.as_ref().is_some_and(|running| running.collection().to_string() == collection);
        let receipt = match verified {
            Ok(receipt) => receipt,
            Err(claim) => {
                self.disbelieve("receipt", &claim, fields())?;
                if is_running {
                    let detail = format!("the receipt does not hold: {claim}");
                    return self.end_attempt(&detail, Again::Never);
                }
                return Ok(());
            }
        };
        let is_known = self.state.seen.get(receipt.order).is_some_and(|seen| {
            seen.attempts
                .iter()
                .any(|one| one.number == receipt.attempt && matches!(one.end, Some((End::Stored, _))))
        });
        // Write it only if it is new: a receipt that is repeated must not cost a write each time.
        if is_known {
            return Ok(());
        }
        receipts::keep(&self.state.dir, receipt.collection, &receipt.entry, &receipt.proof)
            .map_err(state_error)?;
        let fields = fields()
            .text("order", receipt.order)
            .number("attempt", u64::from(receipt.attempt))
            .text("copies", &receipt.copies)
            .text("degraded", if receipt.is_degraded { "yes" } else { "no" })
            .number("checkpoint", receipt.size)
            .text("linked", if receipt.is_linked { "yes" } else { "at the next contact" });
        self.record("stored", fields)?;
        if is_running {
            self.let_go()?;
        }
        self.waiting.retain(|waiting| waiting.judged.admitted.order_sha256 != receipt.order);
        self.finish(receipt.order, receipt.attempt, receipt.collection, End::Stored, receipt.result.as_str())
    }

    /// Ends the processes of the running attempt and closes its upload.
    fn let_go(&mut self) -> Result<(), WardenError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let close = Close { collection: running.collection().to_string(), detail: String::new() };
        // Close the sockets before killing: any part that the kernel still runs can then talk to nobody.
        let stuck = running.end();
        for one in &stuck {
            self.record("process_stuck", Fields::new().number("pid", one.pid().unsigned_abs().into()))?;
        }
        self.stuck.extend(stuck);
        self.say_link(to_link::Say::CloseUpload(close), Vec::new());
        Ok(())
    }

    /// Ends the running attempt before its time.
    pub(super) fn end_attempt(&mut self, cause: &str, again: Again) -> Result<(), WardenError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let (order, attempt, collection) = (running.order(), running.attempt(), running.collection());
        let judged = running.judged.clone();
        self.let_go()?;
        self.finish(order, attempt, collection, End::Interrupted, cause)?;
        if again == Again::IfAttemptsAllow {
            self.wait_again(judged, attempt);
        }
        Ok(())
    }

    /// Puts an order back. Whether an attempt is left is judged when its time comes.
    fn wait_again(&mut self, judged: Judged, attempt: u32) {
        if attempt >= judged.admitted.order.attempts {
            return;
        }
        let backoff = Backoff::new(self.settings.backoff_min, AGAIN_MAX);
        let not_before = Reading::now().boot + backoff.wait_after(attempt);
        self.waiting.push_front(Waiting { judged, not_before });
    }

    fn finish(
        &mut self,
        order: Digest,
        attempt: u32,
        collection: Digest,
        end: End,
        detail: &str,
    ) -> Result<(), WardenError> {
        let at = self.state.clock.time(Reading::now());
        self.state.seen.end(order, attempt, end, detail, at).map_err(state_error)?;
        if end == End::Interrupted {
            tracing::warn!(%order, attempt, cause = detail, "Attempt interrupted");
            let fields = Fields::new()
                .text("order", order)
                .number("attempt", u64::from(attempt))
                .text("collection", collection)
                .text("detail", detail);
            self.record("attempt_interrupted", fields)?;
        }
        self.report_ended()
    }
}
