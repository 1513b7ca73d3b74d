//! Reads any object of a collection, as stored.
//!
//! Guarantee: it checks the object's digest before the first byte leaves. Not here: quarantine, which nobody can read.

use evidence::digest::Digest;
use evidence::id::PersonId;
use evidence::length::len;
use proto::limits::DATA_BYTES_MAX;
use proto::v1::read_response::Message;
use proto::v1::{ReadBegin, ReadEnd};
use store::Key;

use super::access;
use super::item::{Answers, send};
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::metrics;
use crate::rows::collections::CollectionRow;

/// Reads an object for `person`.
///
/// # Errors
/// A refusal before the entry is recorded, or an error if the object cannot be read whole.
pub async fn read(
    collector: &Collector,
    person: &PersonId,
    collection: &str,
    object: &str,
    purpose: &str,
    answers: &Answers,
) -> Result<(), Failure> {
    let row = access::readable(collector, collection).await?;
    let key = key(collector, &row, object).await?;
    let replicas = collector.replicas.clone();
    let name = key.clone();
    // Read before the entry: an object that cannot be read was not accessed.
    let bytes = blocking(move || replicas.read(&name)).await?.or_unavailable("read an object")?;
    let accessed = access::record(collector, &row, person, object, purpose).await?;
    let size = len(&bytes);
    let digest = Digest::of(&bytes);
    send(
        answers,
        Message::Begin(ReadBegin { record: bytes::Bytes::new(), size, accessed: Some(accessed.into()) }),
    )
    .await?;
    let mut rest = bytes::Bytes::from(bytes);
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(DATA_BYTES_MAX));
        metrics::read_bytes(len(&chunk));
        send(answers, Message::Data(chunk)).await?;
    }
    send(answers, Message::End(ReadEnd { digest_checked: true, sha256: digest.to_string() })).await
}

/// The key for `segment/<index>`, `seal/<index>`, `manifest` or `delegation`.
async fn key(collector: &Collector, row: &CollectionRow, object: &str) -> Result<Key, Failure> {
    let unknown = || Failure::malformed("an object is segment/<index>, seal/<index>, manifest or delegation");
    match object {
        "delegation" => return Ok(Key::document(row.delegation.as_bytes())),
        "manifest" => {
            let manifest = row.manifest.as_ref();
            return manifest
                .map(|manifest| Key::document(manifest.as_bytes()))
                .ok_or_else(|| Failure::missing("the collection has no manifest"));
        }
        _ => {}
    }
    let (kind, index) = object.split_once('/').ok_or_else(unknown)?;
    // One spelling, because the ledger names the object as it was asked for (access-3).
    let index = index.parse::<u64>().ok().filter(|number| number.to_string() == index).ok_or_else(unknown)?;
    let segments = collector.segments_of(row.number).await?;
    let segment = segments.iter().find(|segment| segment.index == index);
    let segment =
        segment.ok_or_else(|| Failure::missing(format!("the collection has no segment {index}")))?;
    match kind {
        "segment" => Ok(Key::segment(row.id.as_bytes(), index, segment.sha256.as_bytes())),
        "seal" => Ok(Key::seal(row.id.as_bytes(), index, segment.seal_sha256.as_bytes())),
        _ => Err(unknown()),
    }
}
