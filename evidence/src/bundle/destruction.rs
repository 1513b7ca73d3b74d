//! The certificate of destruction: `destruction.json` for programs, `destruction.txt` for people.

use crate::disposal::{Destruction, Party};
use crate::json::{self, JsonError};

/// `destruction.json`: the certificate on one line. A verifier folds the chain itself and compares these bytes.
pub fn destruction_json(record: &Destruction) -> Result<Vec<u8>, JsonError> {
    json::to_document(record)
}

/// `destruction.txt`: the certificate for people. No verifier compares it: it adds nothing to `destruction.json`.
pub fn destruction_txt(record: &Destruction) -> Vec<u8> {
    let mut text = format!(
        "CERTIFICATE OF DESTRUCTION
Incident {}, deployment {}

What follows is what the ledger says; {} custody entries with their proofs are in custody/. Programs read
destruction.json. exhibit-verify checks both against the entries: signatures, roles, the plan, and that
neither hold nor retention nor an open incident kept the evidence when it was approved and destroyed.
",
        record.incident, record.deployment, record.entries
    );
    for plan in &record.plans {
        text.push_str(&format!(
            "\nPlan {}\n  names {} collections and {} texts of the entries {} to {} of the incident's chain\n",
            plan.plan,
            plan.collections.len(),
            plan.details,
            plan.from,
            // Display only: the plan of a chain without entries ends where it begins.
            plan.count.saturating_sub(1)
        ));
        for one in &plan.approved {
            let role = if one.approver { "approver" } else { "responder" };
            text.push_str(&format!(
                "  approved by {} ({role}) at {}, entry {}\n",
                one.person, one.time, one.index
            ));
        }
        for one in &plan.gone {
            let from = match &one.from {
                Party::Store(id) => format!("store {id}"),
                Party::Mirror(id) => format!("mirror {id}, which signed that"),
            };
            text.push_str(&format!(
                "  {} destroyed on {from}: {} objects, recorded {}, entry {}\n",
                one.object, one.count, one.time, one.index
            ));
        }
        for one in &plan.waiting {
            let why = if one.retired { "; it was retired, ask its operator" } else { "" };
            text.push_str(&format!("  NOT CONFIRMED: {} at mirror {}{why}\n", one.object, one.mirror));
        }
    }
    text.push_str(
        "
What this does not prove
  - Anything about copies that left before: exported bundles, items that were read, what people kept.
  - Anything about copies outside Exhibit: snapshots and backups of the stores' disks and buckets, replicas
    that the storage provider makes, stores that were taken out of the settings before.
  - That the medium forgot: a file system unlinks, a bucket deletes its versions; flash that levels wear and
    disks that remap sectors may keep bytes that no file leads to. Destroy the medium, or its key, for that.
  - That a store's or mirror's operator told the truth: each entry says what that party says.
",
    );
    text.into_bytes()
}
