//! The check `checkpoint`: the pinned log key, or a key that the authority let follow it, signed `ledger/checkpoint`.

use evidence::bundle::Overview;
use evidence::causes::chain;
use ledger::{Checkpoint, Note};

use crate::files::Files;
use crate::report::Report;
use crate::trust::Trust;
use crate::{cosigners, notes, stamps};

/// A checkpoint that the pinned log signed, with the note's own bytes.
#[derive(Debug)]
pub(crate) struct Head {
    pub checkpoint: Checkpoint,
    pub note: Note,
}

/// Verifies the head, its cosigners and its stamps. `None` after a failure, which is then in the report.
pub(crate) fn checkpoint(
    files: &Files<'_>,
    overview: &Overview,
    trust: &Trust,
    by: &str,
    report: &mut Report,
) -> Option<Head> {
    let verified = files.required("ledger/checkpoint").and_then(|bytes| {
        let note = Note::parse(&bytes).map_err(|cause| chain(&cause))?;
        let verified = trust.policy.verify_note(&note).map_err(|cause| chain(&cause))?;
        let same = verified.checkpoint.origin == overview.origin
            && verified.checkpoint.origin == format!("exhibit/{}", overview.deployment)
            && verified.checkpoint.size == overview.entries;
        if same {
            Ok((bytes, note, verified))
        } else {
            Err(format!(
                "is of {} with {} entries, bundle.json says otherwise",
                verified.checkpoint.origin, verified.checkpoint.size
            ))
        }
    });
    match verified {
        Ok((bytes, note, verified)) => {
            match notes::check(&note, &trust.policy) {
                Ok(unpinned) => report.unpinned_lines += unpinned,
                Err(broken) => {
                    report.failed("checkpoint", "", broken.to_string());
                    cosigners::judge(overview, trust, &verified, report);
                    return None;
                }
            }
            report.ok(
                "checkpoint",
                "",
                format!(
                    "{} at size {}, signed by {by}",
                    verified.checkpoint.origin, verified.checkpoint.size
                ),
            );
            cosigners::judge(overview, trust, &verified, report);
            for time in stamps::checkpoint(files, &bytes, trust, report) {
                report.vouched_by.push(format!("time-stamping authority, {time}"));
            }
            Some(Head { checkpoint: verified.checkpoint, note })
        }
        Err(why) => {
            report.failed("checkpoint", "", why);
            None
        }
    }
}
