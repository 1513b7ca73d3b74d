//! Publishes new rosters while the collector runs: an operator drops the signed file, and the collector puts it in force.
//!
//! Guarantee: it publishes only the next version, signed by the pinned authority. Persons whom the new roster omits lose their
//! connections at once. The collector cannot make a roster. Not here: signing one (`exhibit authority`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use proto::status::Class;

use certs::name::Subject;
use certs::revocation::Revocation;

use crate::collector::Collector;
use crate::failure::{Failure, chain};
use crate::people::Published;
use crate::rows;
use crate::rows::condition::{Condition, Denied};

/// How often to look for a dropped roster.
const LOOK: Duration = Duration::from_secs(1);

/// The path in the run directory where an operator drops a roster.
pub fn drop_path(run_directory: &Path) -> PathBuf {
    run_directory.join("roster-next.signed")
}

/// The path of the file that explains a refusal.
pub fn refusal_path(run_directory: &Path) -> PathBuf {
    run_directory.join("roster-next.refused")
}

/// Publishes rosters as they are dropped, until the collector stops.
pub async fn publish_dropped(collector: &Collector, run_directory: &Path) {
    let drop_path = drop_path(run_directory);
    loop {
        tokio::select! {
            () = collector.intake.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let bytes = match fs_err::read(&drop_path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::error!(%error, "Dropped roster cannot be read");
                continue;
            }
        };
        let refused = publish(collector, &bytes).await.err();
        if let Some(failure) = &refused {
            tracing::error!(cause = %chain(failure), "Dropped roster is not published");
            if failure.class() == Class::Unavailable {
                continue;
            }
        }
        if let Err(error) = answer(run_directory, &drop_path, refused.as_ref()) {
            tracing::error!(%error, "Dropped roster cannot be cleared away");
        }
    }
}

fn answer(run_directory: &Path, drop_path: &Path, refused: Option<&Failure>) -> io::Result<()> {
    if let Some(failure) = refused {
        let text = format!("{}\n", chain(failure));
        durable::replace(&refusal_path(run_directory), text.as_bytes(), 0o644)?;
    }
    durable::remove(drop_path)
}

/// Publishes a roster: first records the entry, then puts the roster in force.
///
/// # Errors
/// If it is not the next roster of the pinned authority.
pub async fn publish(collector: &Collector, bytes: &[u8]) -> Result<(), Failure> {
    let published =
        collector.people.successor(bytes).map_err(|error| Failure::precondition(chain(&error)))?;
    published
        .admitted
        .in_force(crate::clock::now())
        .map_err(|error| Failure::precondition(error.to_string()))?;
    let version = published.roster().version;
    let refs = [("roster", published.digest().to_string()), ("version", version.to_string())];
    let condition: Condition = Box::new(move |tx| {
        let newest = rows::rosters::newest(tx)?.map_or(0, |row| row.version);
        let text = match newest.checked_add(1) {
            Some(next) if next == version => return Ok(()),
            Some(next) => format!("roster {newest} is in force; the next is {next}"),
            None => format!("roster {newest} is in force, and no number follows it"),
        };
        Err(Denied::no(Class::Precondition, text))
    });
    let act = ActObject::from(published.signed.clone());
    collector
        .recorder
        .record_if(EntryType::RosterPublished, Chain::Deployment, &refs, act, condition)
        .await?;
    let before = collector.people.newest();
    cut_leavers(collector, &before, &published);
    collector.people.put_in_force(published);
    tracing::info!(version, "Roster is in force");
    Ok(())
}

fn cut_leavers(collector: &Collector, before: &Published, now: &Published) {
    for person in &before.roster().persons {
        if now.roster().person(&person.id).is_none() {
            let cut = collector.registry.revoke(Revocation::Subject(Subject::Person(person.id.clone())));
            tracing::info!(person = %person.id, connections_cut = cut, "Person left the roster");
        }
    }
    for person in &now.roster().persons {
        collector.registry.restore(&Subject::Person(person.id.clone()));
    }
}
