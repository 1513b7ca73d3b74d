//! Programs of processes: hashed once each, never stored.

use std::os::fd::OwnedFd;

use evidence::item::{Kind, Stat};
use sha2::Digest as _;

use super::{ITEM_DEADLINE, Intake, LINKS_MAX};
use crate::ipc::Seen;
use crate::platform::Identity;
use crate::sealer::content::{self, Leave, Piece};
use crate::source::OpenFile;

impl Intake<'_> {
    /// The digest of a running program, for its row.
    pub(super) fn program(&mut self, seen: &Seen, descriptor: Option<OwnedFd>) {
        self.ask(seen.key, false);
        let (mut sha256, mut note) = (None, seen.note.clone());
        match (descriptor, &seen.before) {
            (Some(descriptor), Some(before)) => {
                if let Some(method) = seen.atime_method {
                    self.footprint.count(Kind::File, method);
                }
                let key = (Identity::from(before), before.ctime);
                let known = self.programs.get(&key).cloned();
                let digest = known.map_or_else(|| self.digest(descriptor, before), Ok);
                match digest {
                    Ok(digest) => {
                        if self.programs.len() < LINKS_MAX {
                            self.programs.insert(key, digest.clone());
                        }
                        sha256 = Some(digest);
                    }
                    Err(why) => note = Some(why),
                }
            }
            _ => {
                note = note.or_else(|| {
                    seen.error.as_ref().map(|error| format!("{} failed: {}", error.op, error.errno))
                })
            }
        }
        if let Some(rows) = &mut self.rows {
            rows.program(seen, sha256.as_deref(), note.as_deref());
        }
    }

    pub(super) fn digest(&self, descriptor: OwnedFd, before: &Stat) -> Result<String, String> {
        let file = OpenFile::new(descriptor);
        let mut hasher = sha2::Sha256::new();
        let deadline = self.clock.elapsed() + ITEM_DEADLINE;
        let runs = if before.size == 0 { Vec::new() } else { vec![(0, before.size)] };
        let leave = || {
            if self.clock.elapsed() > deadline { Leave::Late } else { Leave::On }
        };
        let read = content::pump(&file, &runs, leave, |piece| match piece {
            Piece::Data(bytes) => {
                hasher.update(bytes);
                self.throttle.pause(self.clock);
                Ok(())
            }
            Piece::Gap { why, .. } => Err(format!("not whole: {why:?}")),
        });
        read.map(|_| hex::encode(hasher.finalize()))
    }
}
