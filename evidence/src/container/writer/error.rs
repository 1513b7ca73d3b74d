//! Why the writer refused or failed.

use crate::container::lanes::LanesError;
use crate::item::RecordError;
use crate::item::tar::TarError;
use crate::seal::ChainError;
use crate::signed::SignedError;

/// Why the writer refused. It stays usable after those marked *refused*; after any other it is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Refused: the name is a member already. Record the item as `skipped_loop`.
    #[error("member name is in use")]
    DuplicateName,
    /// Refused: the name lies below a member that is not a directory. Record the item as `skipped_loop`.
    #[error("member name lies below a member that is no directory")]
    BelowOther,
    /// Refused: `live/outcomes.*` is the writer's own.
    #[error("member name is reserved")]
    Reserved,
    /// Refused: the record breaks a rule.
    #[error("item record")]
    Record(#[source] RecordError),
    /// Refused: the record does not make a tar header. With [`TarError::TooLarge`], leave extended attributes out.
    #[error("tar header")]
    Tar(#[source] TarError),
    /// Refused: no earlier member has this size and digest and more than one link in its `before`.
    #[error("hard link names no earlier member")]
    NoLinkTarget,
    /// Refused: a member is open.
    #[error("a member is open")]
    MemberOpen,
    /// Refused: no member is open.
    #[error("no member is open")]
    NoMemberOpen,
    /// Refused: more bytes than the member's header promised.
    #[error("content is longer than promised: {left} bytes are left")]
    TooLong {
        /// Data bytes still missing.
        left: u64,
    },
    /// Refused: fewer bytes than the member's header promised. Fill the rest with [`super::Writer::write_gap`].
    #[error("content is shorter than promised: {left} bytes are left")]
    TooShort {
        /// Data bytes still missing.
        left: u64,
    },
    /// Refused: too many gaps for one record; give up and fill the rest.
    #[error("too many gaps in one member")]
    TooManyGaps,
    /// The container has as many frames as a seek table can list.
    #[error("container is full")]
    Full,
    /// A compression thread failed or could not be started.
    #[error("compress: {step}")]
    Compress {
        /// The attempted step.
        step: String,
    },
    /// A seal could not be signed.
    #[error("sign seal")]
    Sign(#[source] SignedError),
    /// The writer's own seal chain does not continue. This is a defect of the writer.
    #[error("own seal chain")]
    Chain(#[source] ChainError),
}

impl From<LanesError> for WriteError {
    fn from(error: LanesError) -> Self {
        Self::Compress { step: crate::causes::chain(&error) }
    }
}
