//! A fold over the log behind a bundle, as a mirror makes it.

use custody::act::{Act, Beside};
use custody::rule::{Broken, RuleId};
use custody::{At, Pins, State, View};
use evidence::entry::{ActObject, EntryType};
use evidence::keys::sshsig;
use evidence::log_key::LogKeys;
use testkit::bundles::{Draft, LOG, Logged, Recipe, authority, ca_digest, incident, key, log_key};

pub fn pins() -> Pins {
    let key = ledger::VerifierKey::parse(&log_key(LOG, "exhibit/acme")).unwrap();
    Pins {
        deployment: "acme".parse().unwrap(),
        authority: authority(),
        ca_sha256: ca_digest(),
        log_keys: LogKeys::unchanged(key),
    }
}

/// Takes one entry, or says why not. A refused entry leaves the state as it was.
pub fn take(state: &mut State, logged: &Logged, index: usize) -> Result<(), Broken> {
    let bytes = &logged.leaves[index];
    let entry = custody::entry::read(bytes)?;
    let at = At { index: index as u64, leaf: ledger::leaf_hash(bytes) };
    state.follows(at, &entry)?;
    let inline = entry.act.clone();
    let object = inline.unwrap_or_else(|| logged.acts[&entry.envelope.event].clone());
    let mut beside = Beside::default();
    if entry.envelope.type_ == EntryType::CollectionStarted {
        let named = |name| entry.envelope.reference(name).unwrap().to_owned();
        beside.target = logged.targets.get(&(named("order"), named("endpoint"))).cloned();
    }
    let act = Act::read(&entry, &object, beside)?;
    let change = state.step(at, &entry, &act)?;
    state.take(change);
    Ok(())
}

/// Folds all entries.
pub fn fold(logged: &Logged) -> Result<State, (usize, Broken)> {
    let mut state = State::new(pins(), View::Whole);
    for index in 0..logged.leaves.len() {
        take(&mut state, logged, index).map_err(|broken| (index, broken))?;
    }
    Ok(state)
}

/// Folds a forged log. The fold must stop and say exactly this.
pub fn refuse(rule: RuleId, says: &str, forge: impl FnOnce(&mut Recipe<'static>)) {
    let mut recipe = Recipe::one_endpoint();
    forge(&mut recipe);
    match fold(&recipe.logged()) {
        Ok(_) => panic!("{rule}: taken, and should say: {says}"),
        Err((index, broken)) => assert_eq!(broken.to_string(), format!("{rule}: {says}"), "entry {index}"),
    }
}

/// Makes a test of each forgery: its name begins with the rule that it breaks.
macro_rules! forgeries {
    ($($test:ident: $rule:ident $says:literal, |$recipe:ident| $forge:block)*) => {
        $(#[test]
        fn $test() {
            $crate::world::refuse(
                custody::rule::RuleId::$rule,
                $says,
                |$recipe: &mut testkit::bundles::Recipe<'static>| $forge,
            );
        })*
    };
}
pub(crate) use forgeries;

/// Places of the entries of the log of [`Recipe::one_endpoint`].
pub const GENESIS: usize = 0;
pub const ADMITTED: usize = 2;
pub const ENROLLED: usize = 3;
pub const LOGIN: usize = 4;
pub const SECOND_ROSTER: usize = 5;
pub const OPENED: usize = 6;
pub const ISSUED: usize = 8;
pub const APPROVED: usize = 9;
pub const STARTED: usize = 10;
pub const PROGRESS: usize = 11;
pub const INTERRUPTED: usize = 12;
pub const STORED: usize = 14;
pub const ACCESSED: usize = 15;
pub const NOTED: usize = 16;

/// Sets a ref of a draft, and leaves its act as it is.
pub fn set(draft: &mut Draft, name: &str, value: &str) {
    let found = draft.refs.iter_mut().find(|(found, _)| found == name).unwrap();
    value.clone_into(&mut found.1);
}

/// The same act with other text in its document, signed again.
pub fn edited(act: &ActObject, namespace: &str, keys: &[u8], (from, to): (&str, &str)) -> ActObject {
    let text = String::from_utf8(act.document.clone()).unwrap();
    let document = text.replacen(from, to, 1).into_bytes();
    assert_ne!(document, act.document, "{from}");
    let sign = |number: &u8| sshsig::sign(&key(*number), namespace, &document).unwrap();
    ActObject { signatures: keys.iter().map(sign).collect(), document }
}

/// An act of a person about the incident.
pub fn by(type_: EntryType, time: &str, (person, number): (&str, u8), refs: &[(&str, String)]) -> Draft {
    let mut draft = Draft::new(type_, incident(), time, [], |draft| draft.signed(person, number));
    draft.refs = refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    draft.refs.sort();
    draft.act = draft.signed(person, number);
    draft
}
