//! The warden's messages to the collector through the link, and how it handles the answers.

use std::os::fd::OwnedFd;

use evidence::admission::{Reason, Refusal};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::state::AttemptState;
use evidence::manifest::CollectionResult;
use evidence::time::FileTime;
use proto::v1::{self, attend_request};

use super::claims::{self, Claim};
use super::judge::{self, Judged};
use super::{QUEUE_MAX, REFUSALS_MAX, STUCK_MAX, Waiting, Warden, WardenError, attempt, state_error};
use crate::diary::Fields;
use crate::message::{Empty, Identity, Standing, ToLink, to_link};
use crate::platform::{Clock as _, SystemClock};
use crate::state::clock::{self, Reading};
use crate::state::seen::End;

impl Warden {
    /// Sends to the link. A link that cannot take the message is replaced. The warden repeats what matters to
    /// the next link.
    pub(super) fn say_link(&mut self, say: to_link::Say, descriptors: Vec<OwnedFd>) {
        let Some(lane) = self.link.as_mut() else { return };
        if let Err(error) = lane.send(&ToLink { say: Some(say) }, descriptors) {
            tracing::warn!(%error, "Cannot talk to the link");
            self.link_gone(clock::boot());
        }
    }

    /// Tells a new link who we are, and what is under way.
    pub(super) fn introduce(&mut self) {
        let pins = &self.state.identity.pins;
        let credentials = &self.state.identity.credentials;
        let identity = Identity {
            deployment: pins.deployment.to_string(),
            endpoint: pins.endpoint.to_string(),
            generation: u64::from(pins.generation.number()),
            collector_id: pins.collector_id.to_string(),
            collector: pins.collector.clone(),
            enrol: pins.enrol.clone(),
            ca: self.state.identity.ca.clone(),
            certificates: credentials.chain.iter().map(|der| der.to_vec()).collect(),
            tls_key: credentials.key.pkcs8().to_vec(),
            backoff_min_ms: milliseconds(self.settings.backoff_min),
            backoff_max_ms: milliseconds(self.settings.backoff_max),
        };
        self.tell_standing();
        self.say_link(to_link::Say::Identity(identity), Vec::new());
        self.open_upload();
    }

    /// Tells the link the content of the next greeting.
    pub(super) fn tell_standing(&mut self) {
        let hello = v1::Hello {
            agent_version: crate::VERSION.to_owned(),
            build_sha256: self.host.build_sha256.to_string(),
            // Empty on the wire means not known.
            boot_id: self.host.boot_id.clone().unwrap_or_default(),
            machine_id: self.host.machine_id.clone().unwrap_or_default(),
            state_generation: self.state.state_generation,
            checkpoint_size: self.state.checkpoint.size,
            roster_version: self.state.roster.roster().version,
            wall: String::new(),
        };
        self.say_link(to_link::Say::Standing(Standing { hello: Some(hello) }), Vec::new());
    }

    pub(super) fn connected(&mut self, welcome: &v1::Welcome) -> Result<(), WardenError> {
        self.is_connected = true;
        self.link_failures = 0;
        // For people and the manifest only. Expiry is never judged by the collector's word.
        let theirs = welcome.wall.parse::<FileTime>().ok();
        self.offset_ms = theirs.and_then(|theirs| {
            let milliseconds = |time: FileTime| {
                time.seconds().checked_mul(1000)?.checked_add(i64::from(time.nanos() / 1_000_000))
            };
            milliseconds(SystemClock.wall())?.checked_sub(milliseconds(theirs)?)
        });
        self.service.ready("connected");
        self.service.status("connected");
        self.report_ended()
    }

    pub(super) fn disconnected(&mut self, cause: &str) {
        self.is_connected = false;
        self.service.ready("waiting for the collector");
        self.service.status(&format!("waiting for the collector: {cause}"));
    }

    /// Tells the collector how attempts ended, once for each.
    pub(super) fn report_ended(&mut self) -> Result<(), WardenError> {
        if !self.is_connected {
            return Ok(());
        }
        let at = self.state.clock.time(Reading::now());
        for (order, attempt) in self.state.seen.unreported() {
            let Some((end, detail)) = attempt.end else {
                continue;
            };
            let result = match end {
                End::Stored => {
                    attempt.manifest.map_or(CollectionResult::Complete, |(_, result)| result).to_string()
                }
                End::Interrupted => AttemptState::Interrupted.to_string(),
            };
            let ended = v1::AttemptEnded {
                order: order.to_string(),
                collection: attempt.collection.to_string(),
                attempt: attempt.number,
                result,
                detail,
            };
            self.attend(attend_request::Message::AttemptEnded(ended));
            // The link that should have taken the message is gone, and the message with it. The next link gets it.
            if !self.is_connected {
                return Ok(());
            }
            self.state.seen.reported(order, attempt.number, at).map_err(state_error)?;
        }
        Ok(())
    }

    pub(super) fn attend(&mut self, message: attend_request::Message) {
        self.say_link(to_link::Say::Attend(v1::AttendRequest { message: Some(message) }), Vec::new());
    }

    /// Decides on an order that arrived.
    pub(super) fn take_order(&mut self, package: &v1::OrderPackage) -> Result<(), WardenError> {
        let order = judge::order_digest(package);
        if self.running.as_ref().is_some_and(|running| running.order() == order) {
            self.answer_running();
            return Ok(());
        }
        if self.waiting.iter().any(|waiting| waiting.judged.admitted.order_sha256 == order) {
            return Ok(());
        }
        // The checkpoint has advanced since the greeting, so the proof begins at an older one. A new greeting
        // brings the right proof. Ask only once for each order: a collector that keeps sending the wrong
        // proof gets a refusal.
        let is_stale = package.consistency_from != self.state.checkpoint.size;
        if is_stale && self.asked_again != Some(order) && self.is_known_form(package) {
            self.asked_again = Some(order);
            self.tell_standing();
            self.say_link(to_link::Say::Reconnect(Empty {}), Vec::new());
            return Ok(());
        }
        let now = Reading::now();
        let before = (self.state.checkpoint.size, self.state.roster.roster().version);
        let judged = judge::judge(&mut self.state, package, self.settings.policy.as_deref(), now);
        if before != (self.state.checkpoint.size, self.state.roster.roster().version) {
            self.tell_standing();
        }
        match judged.and_then(|judged| self.room(judged)) {
            Ok(judged) => {
                // A later attempt of this order may need a new greeting again.
                self.asked_again = None;
                self.record_admitted(&judged)?;
                self.waiting.push_back(Waiting { judged, not_before: now.boot });
                self.start_waiting(now)
            }
            Err(refusal) => self.refuse(order, &refusal),
        }
    }

    /// A new proof cannot repair a package that has no order.
    fn is_known_form(&self, package: &v1::OrderPackage) -> bool {
        package.order.is_some() && package.issued.is_some() && self.is_connected
    }

    /// Step 12.
    fn room(&self, judged: Judged) -> Result<Judged, Refusal> {
        if self.stuck.len() >= STUCK_MAX {
            let detail =
                format!("{} processes of earlier collections are stuck in the kernel", self.stuck.len());
            return Err(Refusal::new(Reason::Busy, detail));
        }
        if self.waiting.len() >= QUEUE_MAX {
            return Err(Refusal::new(Reason::Busy, format!("{QUEUE_MAX} orders wait already")));
        }
        Ok(judged)
    }

    fn record_admitted(&mut self, judged: &Judged) -> Result<(), WardenError> {
        let order = &judged.admitted.order;
        let approvers: Vec<&str> =
            judged.admitted.approvers.iter().map(evidence::id::PersonId::as_str).collect();
        let fields = Fields::new()
            .text("order", judged.admitted.order_sha256)
            .text("incident", &order.incident)
            .text("issuer", &order.issuer)
            .text("issuer_key", judged.admitted.issuer_key.fingerprint())
            .text("approvers", approvers.join(","))
            .text("profile", &order.profile.name)
            .text("purpose", &order.purpose)
            .number("checkpoint", judged.admitted.checkpoint.size);
        self.record("order_admitted", fields)
    }

    /// Refuses an order.
    pub(super) fn refuse(&mut self, order: Digest, refusal: &Refusal) -> Result<(), WardenError> {
        if self.refused.len() < REFUSALS_MAX && self.refused.insert((order, refusal.reason)) {
            let fields = Fields::new()
                .text("order", order)
                .text("reason", refusal.reason)
                .text("detail", &refusal.detail);
            self.record("order_refused", fields)?;
        }
        tracing::info!(%order, reason = %refusal.reason, detail = %refusal.detail, "Order refused");
        self.attend(attend_request::Message::Answer(v1::OrderAnswer {
            order: order.to_string(),
            admitted: false,
            reason: refusal.reason.to_string(),
            detail: refusal.detail.clone(),
            attempt: 0,
            delegation: None,
        }));
        Ok(())
    }

    /// Tells the collector that the running order was admitted, and under which delegation.
    pub(super) fn answer_running(&mut self) {
        let Some(running) = &self.running else { return };
        let answer = v1::OrderAnswer {
            order: running.order().to_string(),
            admitted: true,
            reason: String::new(),
            detail: String::new(),
            attempt: running.attempt(),
            delegation: Some((&running.expected.delegation_signed).into()),
        };
        self.attend(attend_request::Message::Answer(answer));
    }

    pub(super) fn take_cancel(&mut self, cancel: &v1::CancelOrder) -> Result<(), WardenError> {
        let order = match claims::cancellation(&self.state, cancel) {
            Ok(order) => order,
            Err(claim) => {
                return self.disbelieve("cancellation", &claim, Fields::new().text("order", &cancel.order));
            }
        };
        let at = self.state.clock.time(Reading::now());
        // An order that this endpoint has not seen yet is remembered for as long as any order may live.
        // Saturating is correct here: what is remembered until the last time there is, is never forgotten.
        let month = std::time::Duration::from_secs(31 * 86_400);
        let expires = at.checked_add(month).unwrap_or(evidence::time::Time::MAX);
        if !self.state.seen.get(order).is_some_and(|seen| seen.cancelled) {
            self.state.seen.cancel(order, expires, at).map_err(state_error)?;
            self.record("order_cancelled", Fields::new().text("order", order))?;
        }
        self.waiting.retain(|waiting| waiting.judged.admitted.order_sha256 != order);
        if self.running.as_ref().is_some_and(|running| running.order() == order) {
            self.end_attempt("the order was cancelled", attempt::Again::Never)?;
        }
        Ok(())
    }

    pub(super) fn take_checkpoint(&mut self, update: &v1::CheckpointUpdate) -> Result<(), WardenError> {
        match claims::checkpoint(&mut self.state, update) {
            Ok(()) => self.tell_standing(),
            Err(claim) => {
                let fields = Fields::new().text("note", String::from_utf8_lossy(&update.checkpoint));
                return self.disbelieve("checkpoint", &claim, fields);
            }
        }
        Ok(())
    }

    pub(super) fn take_log_keys(&mut self, shown: &v1::LogKeyChanges) -> Result<(), WardenError> {
        match claims::log_key_changes(&mut self.state, shown) {
            Ok(false) => Ok(()),
            Ok(true) => {
                let keys = &self.state.log_keys;
                let fields = Fields::new().number("change", keys.number()).text("log_key", keys.current());
                tracing::info!(key = %keys.current(), "The ledger has a new log key, signed by the authority");
                self.record("log_key_changed", fields)
            }
            Err(claim) => self.disbelieve("log key", &claim, Fields::new()),
        }
    }

    /// Writes down a claim that was not believed. A contradiction under the log's key is evidence against the
    /// operator.
    pub(super) fn disbelieve(
        &mut self,
        what: &str,
        claim: &Claim,
        fields: Fields,
    ) -> Result<(), WardenError> {
        tracing::warn!(what, %claim, "Not believed");
        match claim {
            Claim::Contradiction(detail) => {
                self.record("contradiction", fields.text("what", what).text("detail", detail))
            }
            // It is cheap to send unproven claims, so only the first of each kind is logged.
            Claim::Unproven(detail) => {
                let key = (Digest::of(format!("{what} {detail}").as_bytes()), Reason::Malformed);
                if self.refused.len() < REFUSALS_MAX && self.refused.insert(key) {
                    self.record("disbelieved", fields.text("what", what).text("detail", detail))?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn take_renewal(&mut self, answer: v1::RenewResponse) -> Result<(), WardenError> {
        let kept = self.renewals.answer(&self.state.identity, answer, clock::boot());
        let kept = kept.and_then(|credentials| {
            self.state.identity.keep_credentials(credentials).map_err(|error| chain(&error))
        });
        match kept {
            Ok(()) => {
                self.record("certificate_renewed", Fields::new())?;
                self.introduce();
                Ok(())
            }
            Err(cause) => {
                tracing::warn!(%cause, "Certificate not renewed");
                Ok(())
            }
        }
    }
}

/// A wait on the wire. Saturating is correct here: anything over the longest wait becomes the longest wait.
fn milliseconds(wait: std::time::Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}
