//! Records a read before it happens.

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, PersonId};
use proto::convert::Proven;
use proto::status::Class;

use crate::acts;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::metrics;
use crate::rows;
use crate::rows::collections::CollectionRow;
use crate::services::orders::queries::{check_prefix, one};

/// Longest purpose: 1000 bytes, as in an order.
const PURPOSE_BYTES_MAX: usize = 1000;

/// Makes `evidence.accessed` durable: who reads which object. The purpose goes into an erasable text.
///
/// # Errors
/// If the entry cannot be recorded. The caller must then read nothing.
pub async fn record(
    collector: &Collector,
    row: &CollectionRow,
    person: &PersonId,
    object: &str,
    purpose: &str,
) -> Result<Proven, Failure> {
    let detail = self::purpose(collector, purpose).await?;
    let refs = [("object", format!("{}/{object}", row.id)), ("person", person.to_string())];
    let recorded = collector
        .recorder
        .record_own_with(
            EntryType::EvidenceAccessed,
            Chain::from(row.incident.clone()),
            &refs,
            &[],
            Some(detail),
        )
        .await?;
    metrics::read_begun();
    tracing::info!(collection = %row.id, person = %person, entry = recorded.index, "Evidence is read");
    Ok(recorded.proven)
}

/// Stores the purpose of a read as an erasable text.
///
/// # Errors
/// `Malformed` if the purpose is empty, `OverLimit` if it is too long; another failure if it cannot be stored.
pub async fn purpose(collector: &Collector, text: &str) -> Result<Digest, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::malformed("a read of evidence needs a purpose"));
    }
    if text.len() > PURPOSE_BYTES_MAX {
        return Err(Failure::new(
            Class::OverLimit,
            format!("a purpose has at most {PURPOSE_BYTES_MAX} bytes"),
        ));
    }
    acts::store_text(collector, text).await
}

/// As [`resolve`], for a caller that will read evidence.
///
/// # Errors
/// As [`resolve`], and a refusal that names who approved the disposal, if the collection was disposed of.
pub async fn readable(collector: &Collector, text: &str) -> Result<CollectionRow, Failure> {
    let row = resolve(collector, text).await?;
    let id = row.id;
    let disposed = collector
        .db
        .read_async(move |db| crate::rows::fence::disposal_of(db, &id, crate::clock::now()))
        .await?;
    match disposed {
        None => Ok(row),
        Some(disposed) => Err(Failure::new(
            Class::Missing,
            format!(
                "collection {} was {disposed}; what stays is its custody: exhibit disposition show {}",
                row.id, row.incident
            ),
        )),
    }
}

/// Finds the collection that a person means, by its id or a unique prefix of at least eight digits.
///
/// # Errors
/// `Missing`, or `Malformed` for a prefix that is too short or not unique.
pub async fn resolve(collector: &Collector, text: &str) -> Result<CollectionRow, Failure> {
    check_prefix(text, "collection")?;
    let prefix = text.to_owned();
    let found = collector.db.read_async(move |db| rows::collections::by_prefix(db, &prefix)).await?;
    one(found.into_iter(), "collection", text)
}
