//! Logs persons in: a challenge, the roster key's signature over it, an entry, a certificate for 12 hours.
//!
//! Guarantee: a challenge works once, for 60 seconds, for the person who asked. The collector writes the entry before the
//! certificate leaves. The answer does not reveal who is in the roster. Not here: what a session may do (`certs::access`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certs::authority::PERSON_LIFE;
use certs::name::{Identity, Subject};
use certs::request::Named;
use evidence::enrolment::Login;
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Chain, PersonId};
use evidence::signed::Signed;
use proto::status::Class;
use tokio::time::Instant;

use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _, chain};

/// How long a challenge is valid.
const CHALLENGE_LIFE: Duration = Duration::from_secs(60);

/// Most challenges that wait at the same time: at 100 bytes each, one megabyte. At the listener's rate limit, filling it takes hours.
const CHALLENGES_MAX: usize = 10_000;

/// Challenges that were issued and are not used yet.
#[derive(Debug, Default)]
pub struct Challenges {
    waiting: Mutex<BTreeMap<[u8; 32], (PersonId, Instant)>>,
}

impl Challenges {
    /// Draws a fresh challenge for a caller who claims to be `person`.
    pub fn draw(&self, person: PersonId, now: Instant) -> Result<[u8; 32], Failure> {
        let mut challenge = [0; 32];
        getrandom::fill(&mut challenge).or_unavailable("draw a challenge")?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // A challenge that another thread drew a moment later counts as new.
        waiting.retain(|_, (_, drawn)| now.saturating_duration_since(*drawn) < CHALLENGE_LIFE);
        if waiting.len() >= CHALLENGES_MAX {
            return Err(Failure::new(Class::Overloaded, "too many logins wait; try again in a minute"));
        }
        waiting.insert(challenge, (person, now));
        Ok(challenge)
    }

    /// Uses up a challenge. False unless it was drawn for `person` less than 60 seconds ago.
    pub fn use_up(&self, challenge: &[u8; 32], person: &PersonId, now: Instant) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(challenge).is_some_and(|(drawn_for, drawn)| {
            drawn_for == *person && now.saturating_duration_since(drawn) < CHALLENGE_LIFE
        })
    }
}

/// Answers a signed login with a certificate chain: DER, leaf first.
///
/// # Errors
/// `Unidentified` for every fault in the signatures or the challenge.
pub async fn login(
    collector: &Collector,
    challenges: &Challenges,
    signed: Signed,
    csr: &[u8],
) -> Result<Vec<Vec<u8>>, Failure> {
    let published = collector.people.newest();
    let login = Login::verify(&signed, published.roster()).map_err(|error| {
        Failure::new(Class::Unidentified, "the login is not signed by a roster key of that person")
            .because(chain(&error))
    })?;
    if !challenges.use_up(&login.challenge.0, &login.person, Instant::now()) {
        return Err(Failure::new(
            Class::Unidentified,
            "the challenge is used, older than 60 seconds or of another person",
        ));
    }
    let named = Named {
        spki_sha256: &login.tls_spki_sha256,
        csr_sha256: &login.csr_sha256,
        challenge: &login.challenge.0,
    };
    let key = super::enrol::requested(csr, named)?;
    let signer = evidence::keys::sshsig::verify(
        signed.signatures.first().ok_or_else(|| Failure::malformed("the login has no signature"))?,
        <Login as evidence::document::Document>::TYPE,
        &signed.document,
    )
    .map_err(|error| Failure::malformed(chain(&error)))?;
    let refs = [("key", signer.fingerprint().to_string()), ("person", login.person.to_string())];
    collector
        .recorder
        .record(EntryType::LoginIssued, Chain::Deployment, &refs, ActObject::from(signed))
        .await?;
    let identity = Identity::new(collector.deployment.clone(), Subject::Person(login.person));
    collector.issue(&key, &identity, PERSON_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once_for_one_person_for_a_minute() {
        let challenges = Challenges::default();
        let (ada, eve): (PersonId, PersonId) = ("ada".parse().unwrap(), "eve".parse().unwrap());
        let now = Instant::now();
        let challenge = challenges.draw(ada.clone(), now).unwrap();
        assert!(challenges.use_up(&challenge, &ada, now));
        assert!(!challenges.use_up(&challenge, &ada, now), "used");
        let challenge = challenges.draw(ada.clone(), now).unwrap();
        assert!(!challenges.use_up(&challenge, &eve, now), "another person");
        assert!(!challenges.use_up(&challenge, &ada, now), "a wrong try uses it up");
        let challenge = challenges.draw(ada.clone(), now).unwrap();
        assert!(!challenges.use_up(&challenge, &ada, now + CHALLENGE_LIFE), "too late");
    }

    #[test]
    fn challenges_that_wait_are_bounded_and_forgotten() {
        let challenges = Challenges::default();
        let ada: PersonId = "ada".parse().unwrap();
        let now = Instant::now();
        for _ in 0..CHALLENGES_MAX {
            challenges.draw(ada.clone(), now).unwrap();
        }
        assert_eq!(challenges.draw(ada.clone(), now).unwrap_err().class(), Class::Overloaded);
        assert!(challenges.draw(ada, now + CHALLENGE_LIFE).is_ok());
    }
}
