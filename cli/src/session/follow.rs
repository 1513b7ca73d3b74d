//! Asks the collector which key signs the ledger now, and follows the line of changes from the pinned key to that key.

use evidence::log_key::LOG_KEY_CHANGES_MAX;
use proto::{convert, v1};

use super::{Session, refused};
use crate::failure::{because, failed};
use crate::log_keys;
use crate::pins::Pins;

impl Session {
    /// Asks which key signs the ledger, and pins the newest key if the line of changes is valid.
    /// Fails if the line is not valid, or differs from the one accepted before.
    pub async fn follow_log_keys(&mut self) -> anyhow::Result<()> {
        let mut client = proto::service::ledger_client(self.channel());
        let shown = match client.log_keys(v1::LogKeysRequest {}).await {
            Ok(answer) => answer.into_inner().changes,
            // A collector of an earlier release does not know the call. Its log has one key.
            Err(status) if status.code() == tonic::Code::Unimplemented => Vec::new(),
            Err(status) => return Err(refused(status)),
        };
        let known = self.pins.log_keys.number();
        if shown.is_empty() && known == 0 {
            return Ok(());
        }
        let lied = |why: String| {
            failed(
                format!("the collector shows changes of the log key that do not hold: {why}"),
                "nothing it says is believed: keep this home as it is and tell the admins, who alone can let another key follow",
            )
        };
        let shown = convert::proven_list("changes", shown, LOG_KEY_CHANGES_MAX)?;
        let changes: Vec<(Vec<u8>, Vec<u8>)> =
            shown.iter().map(|one| (one.entry.to_vec(), one.proof.to_vec())).collect();
        let pinned = self.pins.log_keys.current().clone();
        let keys = log_keys::prove(&self.pins.authority, &pinned, &changes).map_err(lied)?;
        keys.continues(&self.pins.log_keys).map_err(|cause| lied(because(&cause)))?;
        if keys.number() == known {
            return Ok(());
        }
        log_keys::store(&self.home, &keys, &changes)?;
        self.pins = Pins::load(&self.home)?;
        self.output.print_note(&format!(
            "the ledger has a new log key, signed by the authority and pinned from now on: {}",
            keys.current()
        ));
        Ok(())
    }
}
