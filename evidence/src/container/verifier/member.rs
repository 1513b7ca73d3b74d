//! The member at the current plain byte: compares header, content and padding with those that its record makes.

use crate::container::content::{Content, is_zero};
use crate::container::malformed::Malformed;
use crate::digest::Hasher;
use crate::item::{ItemRecord, Stage};
use crate::length::{to_u64, to_usize};

/// The member the stream is in.
pub(super) struct Member {
    pub(super) record: ItemRecord,
    pub(super) stage: Stage,
    /// Header and sparse map.
    pub(super) head: Vec<u8>,
    pub(super) head_at: usize,
    pub(super) content: Content,
    pub(super) padding: u64,
    pub(super) is_outcomes: bool,
}

impl Member {
    /// Takes the bytes that belong to this member, and returns their number.
    pub(super) fn consume(
        &mut self,
        bytes: &[u8],
        offset: u64,
        outcomes: &mut Hasher,
    ) -> Result<usize, Malformed> {
        let item = self.record.n;
        let (_, head) = self.head.split_at(self.head_at);
        if !head.is_empty() {
            let take = head.len().min(bytes.len());
            if head.split_at(take).0 != bytes.split_at(take).0 {
                return Err(Malformed::HeaderMismatch { item, offset });
            }
            self.head_at += take;
            return Ok(take);
        }
        let left = self.content.left();
        if left > 0 {
            let take = to_usize(left).min(bytes.len());
            let (chunk, _) = bytes.split_at(take);
            let fed = self.content.feed(chunk, &self.record.gaps);
            fed.map_err(|at| Malformed::GapNotZero { item, offset: at.0 })?;
            if self.is_outcomes {
                outcomes.update(chunk);
            }
            return Ok(take);
        }
        let take = to_usize(self.padding).min(bytes.len());
        if !is_zero(bytes.split_at(take).0) {
            return Err(Malformed::Padding { item, offset });
        }
        self.padding -= to_u64(take);
        Ok(take)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.head_at >= self.head.len() && self.content.left() == 0 && self.padding == 0
    }
}
