//! Verification of containers. A container holds a stranger's bytes and this process holds keys, so a running mirror has another
//! process verify them.
//!
//! Guarantee: only [`Judge::finish`] makes a container verified. [`Judge::segment`] speaks for one segment. Not here: the cage; the
//! program that runs the mirror brings it.

use evidence::causes::chain;
use evidence::container::{ContainerSummary, Expect, Verifier};

/// Starts a judgement for each container.
pub trait Judges: Send + Sync {
    /// Makes a judge that has seen nothing yet.
    ///
    /// # Errors
    /// If no judge can be started now.
    fn begin(&self, expect: Expect) -> Result<Box<dyn Judge>, JudgeError>;
}

/// Judges one container, segment by segment. Blocks.
pub trait Judge {
    /// Judges the next segment.
    ///
    /// # Errors
    /// `Malformed` if the format or the limits refuse it, `NoVerdict` if the judge ended without an answer.
    fn segment(&mut self, seal: &[u8], segment: &[u8]) -> Result<(), JudgeError>;

    /// Judges the whole container, after its final segment.
    fn finish(self: Box<Self>) -> Result<ContainerSummary, JudgeError>;
}

/// Why a container is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It breaks the format or the limits.
    #[error("{0}")]
    Malformed(String),
    /// The judge ended without a verdict.
    #[error("no verdict: {0}")]
    NoVerdict(String),
}

/// Judges in this process: for tests, and for a program that has no keys to protect.
pub struct InProcess;

impl Judges for InProcess {
    fn begin(&self, expect: Expect) -> Result<Box<dyn Judge>, JudgeError> {
        match Verifier::new(expect) {
            Ok(verifier) => Ok(Box::new(Here(verifier))),
            Err(error) => Err(JudgeError::Malformed(chain(&error))),
        }
    }
}

struct Here(Verifier);

impl Judge for Here {
    fn segment(&mut self, seal: &[u8], segment: &[u8]) -> Result<(), JudgeError> {
        match self.0.segment(seal, segment, &mut |_| {}) {
            Ok(_) => Ok(()),
            Err(error) => Err(JudgeError::Malformed(chain(&error))),
        }
    }

    fn finish(self: Box<Self>) -> Result<ContainerSummary, JudgeError> {
        self.0.finish().map_err(|error| JudgeError::Malformed(chain(&error)))
    }
}
