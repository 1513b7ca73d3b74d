//! Acts that people sign: reads them, judges them against the roster and the entry table, stores their texts, records them.
//!
//! Guarantee: an act is recorded only if the person it names signed it and holds a role that the entry table asks for. The stores
//! hold its text before the ledger has the entry that names it. Not here: the meaning of an act for incidents, orders and endpoints
//! (the guards of the callers).

use crate::log::recorder::Recorded;
use crate::rows::condition::Condition;
use std::time::Duration;

use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::entry::fields;
use evidence::entry::{ActObject, EntryType, Signers};
use evidence::id::{Actor, PersonId};
use evidence::roster::Role;
use evidence::signed::Signed;
use evidence::time::Time;
use proto::status::Class;
use store::Key;

use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _, chain};

/// How far a person's clock may differ from ours in either direction. An act says when it happened.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// An act that may be recorded.
#[derive(Debug)]
pub struct Weighed {
    /// The content of the act.
    pub act: Act,
    /// The person who signed it.
    pub person: PersonId,
    /// The act as signed.
    pub object: ActObject,
}

/// Judges a person's act and stores its text.
///
/// # Errors
/// A refusal that says what is wrong with the act.
pub async fn weigh(
    collector: &Collector,
    signed: Signed,
    detail: &[u8],
    allowed: &[EntryType],
) -> Result<Weighed, Failure> {
    let (act, signers) = signed.open::<Act>().map_err(|error| Failure::malformed(chain(&error)))?;
    if act.deployment != collector.deployment {
        return Err(Failure::malformed(format!("the act is of deployment {}", act.deployment)));
    }
    if !allowed.contains(&act.act) {
        return Err(Failure::malformed(format!("{} is not recorded by this call", act.act)));
    }
    let rule = act.act.rule();
    let Signers::Person(names) = rule.signers else {
        return Err(Failure::malformed(format!("{} is not an act of a person", act.act)));
    };
    let roles: Vec<_> = names.iter().filter_map(|name| Role::from_word(name)).collect();
    let (Actor::Person(person), [key]) = (act.by.clone(), signers.as_slice()) else {
        return Err(Failure::malformed("the act is not signed by exactly the one person it names"));
    };
    collector.people.newest().speaks_for(key, &person, &roles)?;
    check_refs(&act, rule.refs)?;
    fields::check(&act).map_err(|error| Failure::malformed(error.to_string()))?;
    check_time("the act", act.at, crate::clock::now())?;
    store_detail(collector, &act, detail).await?;
    Ok(Weighed { act, person, object: ActObject::from(signed) })
}

/// Refuses an act from a clock that is far off, and the replay of an old act.
///
/// # Errors
/// A refusal that names both times.
pub fn check_time(what: &str, at: Time, now: Time) -> Result<(), Failure> {
    if at.since(now) > CLOCK_TOLERANCE || now.since(at) > CLOCK_TOLERANCE {
        return Err(Failure::precondition(format!(
            "{what} is dated {at}, it is {now} here; set the clock and sign again"
        )));
    }
    Ok(())
}

/// Refuses an act whose refs are not exactly those of its type, in order.
///
/// # Errors
/// A refusal that names both.
pub fn check_refs(act: &Act, wanted: &[&str]) -> Result<(), Failure> {
    let names: Vec<_> = act.refs.iter().map(|(name, _)| name.as_str()).collect();
    if names == wanted {
        return Ok(());
    }
    Err(Failure::malformed(format!("{} has the refs {names:?}, its type has {wanted:?}", act.act)))
}

/// A ref of an act.
///
/// # Errors
/// If the act lacks the ref. [`check_refs`] has refused such an act before.
pub fn required_ref<'act>(act: &'act Act, name: &str) -> Result<&'act str, Failure> {
    act.reference(name).ok_or_else(|| Failure::malformed(format!("the act has no ref {name}")))
}

async fn store_detail(collector: &Collector, act: &Act, bytes: &[u8]) -> Result<(), Failure> {
    let Some(digest) = act.detail else {
        return if bytes.is_empty() {
            Ok(())
        } else {
            Err(Failure::malformed("a detail object came with an act that names none"))
        };
    };
    Detail::open(bytes, &digest).map_err(|error| Failure::malformed(chain(&error)))?;
    put_detail(collector, Key::detail(digest.as_bytes()), bytes.to_vec()).await
}

/// Makes a text of our own durable and returns the digest that an act commits to.
pub async fn store_text(collector: &Collector, text: &str) -> Result<evidence::digest::Digest, Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).or_unavailable("draw a salt")?;
    let detail = Detail { salt: evidence::text::FixedBytes(salt), text: text.to_owned() };
    let (bytes, digest) = detail.encode().map_err(|error| Failure::new(Class::OverLimit, chain(&error)))?;
    put_detail(collector, Key::detail(digest.as_bytes()), bytes).await?;
    Ok(digest)
}

async fn put_detail(collector: &Collector, key: Key, bytes: Vec<u8>) -> Result<(), Failure> {
    let replicas = collector.replicas.clone();
    blocking(move || replicas.create(&key, &bytes)).await?.map(drop).or_unavailable("store the text")
}

/// Records a weighed act under its guard.
///
/// # Errors
/// The guard's refusal, or the reason why the ledger cannot record the act.
pub async fn submit(
    collector: &Collector,
    weighed: Weighed,
    condition: Option<Condition>,
) -> Result<Recorded, Failure> {
    let Weighed { act, object, .. } = weighed;
    collector.recorder.submit(act.act, act.incident, act.refs, object, condition).await
}
