//! The caged judges of a mirror: this program's `__verify`, without files, network and keys, one process for
//! each container.
//!
//! Guarantee: the mirror, which has keys, never runs the decoder over a stranger's bytes. Not here: the cage
//! (crate `cage`), what runs in it (`crate::services::ingest::child`).

use crate::failure::chain;
use crate::services::ingest::child::Begin;
use crate::services::ingest::verifier::{Program, Verdict, Verifier, VerifierError};
use bytes::Bytes;
use evidence::container::{ContainerSummary, Expect};
use mirror::replicate::judge::{Judge, JudgeError, Judges};
use tokio::runtime::{Builder, Runtime};

/// Starts a caged process for each container.
pub struct Caged(pub Program);

impl Judges for Caged {
    fn begin(&self, expect: Expect) -> Result<Box<dyn Judge>, JudgeError> {
        let Expect { identity, sealer, limits } = expect;
        let begin = Begin {
            deployment: identity.deployment.to_string(),
            collection: identity.collection,
            order: identity.order,
            attempt: identity.attempt,
            sealer: sealer.to_string(),
            stored_bytes: limits.stored_bytes,
            plain_bytes: limits.plain_bytes,
            item_bytes: limits.item_bytes,
            logical_bytes: limits.logical_bytes,
            items: limits.items,
            cpu_s: Begin::cpu_s(limits.logical_bytes),
        };
        // The judge needs a thread of its own: the mirror's threads block, and a child belongs to the runtime
        // that started it.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| JudgeError::NoVerdict(error.to_string()))?;
        let verifier =
            runtime.block_on(Verifier::start(&self.0, &begin)).map_err(|error| no_verdict(&error))?;
        Ok(Box::new(Process { verifier, runtime }))
    }
}

/// Dropped before the runtime to which it belongs.
struct Process {
    verifier: Verifier,
    runtime: Runtime,
}

impl Judge for Process {
    fn segment(&mut self, seal: &[u8], segment: &[u8]) -> Result<(), JudgeError> {
        let (seal, segment) = (Bytes::copy_from_slice(seal), Bytes::copy_from_slice(segment));
        match self.runtime.block_on(self.verifier.segment(&seal, &segment)) {
            Ok(Verdict::Good(_)) => Ok(()),
            Ok(Verdict::Bad(defect)) => Err(JudgeError::Malformed(defect.reason)),
            Err(error) => Err(no_verdict(&error)),
        }
    }

    fn finish(self: Box<Self>) -> Result<ContainerSummary, JudgeError> {
        let Self { verifier, runtime } = *self;
        match runtime.block_on(verifier.finish()) {
            Ok(Verdict::Good(finished)) => {
                finished.summary().map_err(|error| JudgeError::NoVerdict(chain(&error)))
            }
            Ok(Verdict::Bad(defect)) => Err(JudgeError::Malformed(defect.reason)),
            Err(error) => Err(no_verdict(&error)),
        }
    }
}

fn no_verdict(error: &VerifierError) -> JudgeError {
    JudgeError::NoVerdict(chain(error))
}
