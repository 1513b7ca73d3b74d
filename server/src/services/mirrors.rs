//! Mirrors at the collector: signed acts admit and retire them, the collector certifies their keys, and they report on evidence.
//!
//! Guarantee: an act of an endpoint-admin admitted every mirror, and an id is admitted once. The collector records a statement about
//! evidence once per mirror and collection, signed by the act key that the admission names. Not here: what a mirror checks
//! (crate `mirror`, which trusts nothing here).

pub(crate) mod wire;

use certs::authority::COLLECTOR_LIFE;
use certs::name::{Identity, Subject};
use certs::request::Request;
use certs::revocation::{Registry, Revocation};
use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, MirrorId};
use evidence::keys::Fingerprint;
use evidence::signed::Signed;
use ledger::{Hash, KeyType, VerifierKey};
use proto::status::Class;
use rusqlite::Connection;

use crate::acts::submit;
use crate::acts::{self, Weighed};
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::log::ledger::Published;
use crate::log::recorder::Recorded;
use crate::rows::condition::{Condition, Denied};
use crate::rows::mirrors::{live, of_kind};
use crate::rows::{self, DbError};

/// Records `mirror.admitted`. The caller has verified the act.
///
/// # Errors
/// If the keys cannot be a mirror's, or the id or a key is taken.
pub async fn admit(collector: &Collector, weighed: Weighed) -> Result<Recorded, Failure> {
    let mirror = named_mirror(&weighed.act)?;
    for (name, role) in [("witness_key", "witness"), ("mirror_key", "mirror")] {
        let text = acts::required_ref(&weighed.act, name)?;
        let key = VerifierKey::parse(text)
            .map_err(|error| Failure::malformed(format!("ref {name}: {}", chain(&error))))?;
        if key.kind() != KeyType::CosignatureV1 || key.name() != format!("{mirror}/{role}") {
            return Err(Failure::malformed(format!(
                "ref {name} is no cosigner key (type 0x04) named {mirror}/{role}"
            )));
        }
    }
    let values: Vec<String> = weighed
        .act
        .refs
        .iter()
        .filter(|(name, _)| name != "mirror")
        .map(|(_, value)| value.clone())
        .collect();
    let id = mirror.to_string();
    let condition: Condition = Box::new(move |tx| {
        for row in of_kind(tx, EntryType::MirrorAdmitted)? {
            if row.reference("mirror") == Some(id.as_str()) {
                return Err(Denied::no(
                    Class::Exists,
                    format!("mirror {id} was admitted before; an id is admitted once, take another"),
                ));
            }
            if row.refs.iter().any(|(_, value)| values.contains(value)) {
                return Err(Denied::no(
                    Class::Exists,
                    "one of the keys belongs to another mirror; make new ones",
                ));
            }
        }
        Ok(())
    });
    let recorded = submit(collector, weighed, Some(condition)).await?;
    tracing::info!(mirror = %mirror, "Mirror admitted");
    Ok(recorded)
}

/// Records `mirror.retired` and disconnects the mirror.
///
/// # Errors
/// If there is no such mirror, or it was retired before.
pub async fn retire(collector: &Collector, weighed: Weighed) -> Result<Recorded, Failure> {
    let mirror = named_mirror(&weighed.act)?;
    let id = mirror.to_string();
    let condition: Condition = Box::new(move |tx| {
        live(tx, &id)?
            .map(drop)
            .ok_or_else(|| Denied::no(Class::Missing, format!("no mirror {id} is admitted")))
    });
    let recorded = submit(collector, weighed, Some(condition)).await?;
    let cut = collector.registry.revoke(Revocation::Subject(Subject::Mirror(mirror.clone())));
    tracing::info!(mirror = %mirror, connections_cut = cut, "Mirror retired");
    Ok(recorded)
}

/// Fills the deny list with the retired mirrors.
pub fn remember(reader: &Connection, registry: &Registry) -> Result<(), DbError> {
    for row in of_kind(reader, EntryType::MirrorRetired)? {
        registry.revoke(Revocation::Subject(Subject::Mirror(row.parsed("mirror")?)));
    }
    Ok(())
}

/// Issues a certificate for the mirror whose TLS key made the request.
pub async fn certify(collector: &Collector, csr: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let request = Request::read(csr).map_err(|error| Failure::malformed(chain(&error)))?;
    let digest = request.key.spki_sha256().to_string();
    let named = digest.clone();
    let found = collector
        .db
        .read_async(move |reader| {
            let kind = EntryType::MirrorAdmitted;
            let Some(row) = rows::entries::first_with_ref(reader, kind, "tls_spki_sha256", &named)? else {
                return Ok::<_, DbError>(None);
            };
            let mirror: MirrorId = row.parsed("mirror")?;
            Ok(live(reader, mirror.as_str())?.map(|_admitted| mirror))
        })
        .await?;
    let Some(mirror) = found else {
        return Err(Failure::forbidden(format!(
            "no admitted mirror has the TLS key {digest}; an endpoint-admin admits it: exhibit mirror admit"
        )));
    };
    let identity = Identity::new(collector.deployment.clone(), Subject::Mirror(mirror));
    collector.issue(&request.key, &identity, COLLECTOR_LIFE)
}

/// Refuses a mirror that is not admitted, or no longer.
pub async fn check_admitted(collector: &Collector, mirror: &MirrorId) -> Result<(), Failure> {
    let id = mirror.to_string();
    let found = collector.db.read_async(move |reader| live(reader, &id)).await?;
    found.map(drop).ok_or_else(|| Failure::forbidden(format!("mirror {mirror} is not admitted here")))
}

/// Checks that an act is of that type and that the mirror made it in its own name, for this deployment. Returns the act and its key.
fn own_act(
    collector: &Collector,
    mirror: &MirrorId,
    signed: &Signed,
    type_: EntryType,
) -> Result<(Act, Fingerprint), Failure> {
    let (act, mut signers) = signed.open::<Act>().map_err(|error| Failure::malformed(chain(&error)))?;
    let (Some(key), true) = (signers.pop(), signers.is_empty()) else {
        return Err(Failure::malformed("a mirror's act has one signature"));
    };
    let own = act.act == type_
        && act.by == Actor::Mirror(mirror.clone())
        && act.deployment == collector.deployment
        && act.nonce == ActNonce::ByContent
        && act.reference("mirror") == Some(mirror.as_str());
    if !own {
        return Err(Failure::malformed(format!("this is no {type_} by mirror {mirror} without nonce")));
    }
    acts::check_refs(&act, act.act.rule().refs)?;
    Ok((act, key.fingerprint()))
}

/// Records a mirror's statement that it holds a collection.
///
/// # Errors
/// If the statement is not the mirror's own, or contradicts the ledger.
pub async fn replicated(
    collector: &Collector,
    mirror: &MirrorId,
    signed: Signed,
) -> Result<Recorded, Failure> {
    let (act, key) = own_act(collector, mirror, &signed, EntryType::EvidenceReplicated)?;
    let published = collector.recorder.sequencer().log().published();
    let size: u64 = acts::required_ref(&act, "size")?
        .parse()
        .map_err(|_other_form| Failure::malformed("the act's ref size is no number"))?;
    if size > published.size {
        return Err(Failure::malformed(format!(
            "it names a checkpoint of size {size}, the log has {}",
            published.size
        )));
    }
    check_root(collector, &act, size, &published).await?;
    let condition = may_state(&act, mirror, &key, size)?;
    let recorded = collector
        .recorder
        .submit(act.act, act.incident, act.refs, ActObject::from(signed), Some(condition))
        .await?;
    if recorded.is_new {
        tracing::info!(mirror = %mirror, index = recorded.index, "A mirror holds a collection");
    }
    Ok(recorded)
}

/// Records a mirror's statement that it destroyed its copy of an object.
///
/// # Errors
/// If the statement is not the mirror's own, or no approved plan asks for the destruction.
pub async fn disposed(collector: &Collector, mirror: &MirrorId, signed: Signed) -> Result<Recorded, Failure> {
    let (act, key) = own_act(collector, mirror, &signed, EntryType::DispositionConfirmed)?;
    let Some(incident) = act.incident.incident().cloned() else {
        return Err(Failure::malformed("disposition.confirmed is about an incident"));
    };
    let (deployment, id, key) = (collector.deployment.clone(), mirror.to_string(), key.to_string());
    let said = act.clone();
    let condition: Condition = Box::new(move |tx| {
        match live(tx, &id)? {
            Some(row) if row.reference("key") == Some(key.as_str()) => {}
            _ => {
                return Err(Denied::no(
                    Class::Forbidden,
                    format!("{key} is not the act key of an admitted mirror {id}"),
                ));
            }
        }
        let course = crate::rows::disposals::course_now(tx, &deployment, &incident)?;
        let fact = evidence::disposal::Fact {
            index: u64::MAX,
            time: crate::clock::now(),
            type_: said.act,
            event: Digest::ZERO,
            refs: &said.refs,
            by: Some(&said.by),
            detail: said.detail,
            is_approver: false,
        };
        course.judge(&fact).map_err(|refusal| {
            let class = match refusal {
                evidence::disposal::Refusal::GoneBefore { .. } => Class::Exists,
                _ => Class::Precondition,
            };
            Denied::no(class, refusal.to_string())
        })
    });
    let object = ActObject::from(signed);
    let recorded =
        collector.recorder.submit(act.act, act.incident, act.refs, object, Some(condition)).await?;
    if recorded.is_new {
        tracing::info!(mirror = %mirror, index = recorded.index, "A mirror destroyed its copy");
    }
    Ok(recorded)
}

/// Checks that a statement names this log's root at its size. A statement about another history is refused.
async fn check_root(
    collector: &Collector,
    act: &Act,
    size: u64,
    published: &Published,
) -> Result<(), Failure> {
    let root: Option<Digest> = act.reference("root").and_then(|root| root.parse().ok());
    let root = root.ok_or_else(|| Failure::malformed("ref root"))?;
    let (log, to) = (collector.recorder.sequencer().log().clone(), published.size);
    let proof = blocking(move || log.consistency_between(size, to))
        .await?
        .or_unavailable("prove a size of its ledger")?;
    ledger::verify_consistency(size, &Hash(root.0), published.size, &published.root, &proof)
        .map_err(|_other_root| Failure::malformed("it names a root that this log never had at that size"))
}

/// The condition of a statement: the mirror is admitted under this key, the collection is stored below `size` under this
/// manifest, and the mirror has not stated it already.
fn may_state(act: &Act, mirror: &MirrorId, key: &Fingerprint, size: u64) -> Result<Condition, Failure> {
    let value = |name| acts::required_ref(act, name).map(str::to_owned);
    let (id, key) = (mirror.to_string(), key.to_string());
    let (collection, manifest) = (value("collection")?, value("manifest")?);
    let incident = act.incident.clone();
    Ok(Box::new(move |tx| {
        let refused = |text: String| Err(Denied::no(Class::Precondition, text));
        match live(tx, &id)? {
            Some(row) if row.reference("key") == Some(key.as_str()) => {}
            _ => {
                return Err(Denied::no(
                    Class::Forbidden,
                    format!("{key} is not the act key of an admitted mirror {id}"),
                ));
            }
        }
        let mut is_stored = false;
        for row in rows::entries::of_chain(tx, &incident, 0, u64::from(u32::MAX))? {
            if row.reference("collection") != Some(collection.as_str()) {
                continue;
            }
            if row.kind == EntryType::CollectionStored {
                is_stored = row.index < size && row.reference("manifest") == Some(manifest.as_str());
            }
            let own =
                row.kind == EntryType::EvidenceReplicated && row.reference("mirror") == Some(id.as_str());
            if own {
                return Err(Denied::no(
                    Class::Exists,
                    format!("mirror {id} has stated collection {collection} before, at {}", row.index),
                ));
            }
        }
        if is_stored {
            Ok(())
        } else {
            refused(format!(
                "incident {incident} has no collection.stored of {collection} with that manifest below {size}"
            ))
        }
    }))
}

fn named_mirror(act: &Act) -> Result<MirrorId, Failure> {
    acts::required_ref(act, "mirror")?
        .parse()
        .map_err(|error| Failure::malformed(format!("ref mirror: {error}")))
}
