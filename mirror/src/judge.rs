//! Who verifies containers. Their bytes are a stranger's, and this process has keys: a running mirror has them judged elsewhere.
//!
//! Guarantee: nothing counts as verified but by [`Judge::finish`], or by [`Judge::segment`] for what goes no further. Not here:
//! the cage, which is the program's that runs the mirror.

use evidence::container::{ContainerSummary, Expect, Verifier};

use crate::chain;

/// Begins a judgement for each container.
pub trait Judges: Send + Sync {
    /// A judge that has seen nothing yet.
    ///
    /// # Errors
    /// When there is none to be had now.
    fn begin(&self, expect: Expect) -> Result<Box<dyn Judge>, JudgeError>;
}

/// Judges one container, segment by segment. Blocks.
pub trait Judge {
    /// The next segment.
    ///
    /// # Errors
    /// When it is not what the format asks, or there is no verdict.
    fn segment(&mut self, seal: &[u8], segment: &[u8]) -> Result<(), JudgeError>;

    /// The whole, after its final segment.
    ///
    /// # Errors
    /// As `segment`.
    fn finish(self: Box<Self>) -> Result<ContainerSummary, JudgeError>;
}

/// Not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// Not what the format or the limits ask.
    #[error("{0}")]
    Malformed(String),
    /// The judge ended without a verdict.
    #[error("no verdict: {0}")]
    NoVerdict(String),
}

/// Judges in this process: for tests, and where there is nothing to protect.
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
