//! `logkey-*`, `log-4`: forged changes of the log key.

use custody::rule::RuleId;
use custody::{State, View};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::log_key::{LogKeyChange, LogKeyChangeType, LogKeys, Reason};
use evidence::signed::Signed;
use testkit::bundles::*;

use crate::world::*;

const ORIGIN: &str = "exhibit/acme";
/// Where the first change is recorded.
const CHANGED: u64 = NOTED as u64 + 1;

fn change(number: u64, [old, new]: [u8; 2], size: u64) -> LogKeyChange {
    LogKeyChange {
        type_: LogKeyChangeType,
        deployment: "acme".parse().unwrap(),
        number,
        reason: Reason::Planned,
        old: log_key(old, ORIGIN).parse().unwrap(),
        new: log_key(new, ORIGIN).parse().unwrap(),
        size,
        root: Digest([7; 32]),
        issued: at("11:40:00"),
    }
}

fn recorded(type_: EntryType, change: &LogKeyChange, signer: u8) -> Draft {
    let mut draft = Draft::new(type_, Chain::Deployment, "11:45:00", [], |_| sign(change, &[signer]).into());
    draft.refs = change.refs();
    draft
}

fn rotated(change: &LogKeyChange) -> Draft {
    recorded(EntryType::KeyRotated, change, AUTHORITY)
}

/// Records changes behind everything else.
fn record(recipe: &mut Recipe<'static>, changes: &'static [(u64, [u8; 2], u64)]) {
    recipe.drafts = Box::new(|drafts| {
        drafts.extend(changes.iter().map(|(number, keys, size)| rotated(&change(*number, *keys, *size))));
    });
}

forgeries! {
    logkey_1_over_an_empty_history: LogKey1 "invalid document: size is not 1 or more", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut draft = rotated(&change(1, [LOG, 41], CHANGED));
            draft.act = edited(&draft.act, "exhibit-log-key-v1", &[AUTHORITY], ("\"size\":17", "\"size\":0"));
            drafts.push(draft);
        });
    }
    logkey_2_signed_by_a_stranger: LogKey2 "0 of the 1 authority signatures it needs", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.push(recorded(EntryType::KeyRotated, &change(1, [LOG, 41], CHANGED), MALLORY));
        });
    }
    logkey_3_a_change_is_left_out: LogKey3 "change 2 where 1 follows", |recipe| {
        record(recipe, &[(2, [LOG, 41], CHANGED)]);
    }
    logkey_4_another_key_than_the_one_in_force:
        LogKey4 "change 1 of the log key: its old key is not the one in force", |recipe| {
        record(recipe, &[(1, [42, 41], CHANGED)]);
    }
    logkey_4_back_to_an_old_key: LogKey4 "change 2 of the log key: its new key was the log's before", |recipe| {
        record(recipe, &[(1, [LOG, 41], CHANGED), (2, [41, LOG], CHANGED + 1)]);
    }
    logkey_5_over_the_history_before_the_last:
        LogKey5 "change 2 of the log key: its size is below the change before it", |recipe| {
        record(recipe, &[(1, [LOG, 41], CHANGED), (2, [41, 42], CHANGED)]);
    }
    logkey_6_below_its_size: LogKey6 "change 1 of the log key stands elsewhere than it must", |recipe| {
        record(recipe, &[(1, [LOG, 41], CHANGED + 1)]);
    }
    logkey_6_stolen_and_entries_in_between: LogKey6 "change 1 of the log key stands elsewhere than it must", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let stolen = LogKeyChange { reason: Reason::Compromised, ..change(1, [LOG, 41], CHANGED - 1) };
            drafts.push(recorded(EntryType::LogSuccession, &stolen, AUTHORITY));
        });
    }
    logkey_7_recorded_as_what_it_is_not: LogKey7 "a key that is planned is recorded otherwise", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.push(recorded(EntryType::LogSuccession, &change(1, [LOG, 41], CHANGED), AUTHORITY));
        });
    }
    logkey_7_another_size_than_its_own: LogKey7 "it names another size than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut draft = rotated(&change(1, [LOG, 41], CHANGED));
            set(&mut draft, "size", "16");
            drafts.push(draft);
        });
    }
    logkey_9_a_change_too_many: LogKey9 "more than 64 changes of the log key", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            for number in 1..=65 {
                let [old, new] = [number, number + 1].map(|place| if place == 1 { LOG } else { 100 + place });
                let size = CHANGED + u64::from(number) - 1;
                drafts.push(rotated(&change(number.into(), [old, new], size)));
            }
        });
    }
}

fn signed(keys: [u8; 2], size: u64) -> Signed {
    sign(&change(1, keys, size), &[AUTHORITY])
}

/// The line of keys of a reader who has a change by the authority's word only.
fn announced(change: &Signed) -> LogKeys {
    let pins = pins();
    LogKeys::signed(&pins.deployment, &pins.authority, pins.log_keys.first(), std::slice::from_ref(change))
        .unwrap()
}

#[test]
fn logkey_12_another_change_than_the_one_taken_before() {
    let mut recipe = Recipe::one_endpoint();
    record(&mut recipe, &[(1, [LOG, 41], CHANGED)]);
    let logged = recipe.logged();
    for (line, wanted) in [
        (signed([LOG, 41], CHANGED), None),
        (signed([LOG, 42], CHANGED), Some("another than the one accepted before")),
        (signed([LOG, 41], CHANGED - 1), Some("another than the one accepted before")),
    ] {
        let mut state = State::new(pins(), View::Whole);
        for index in 0..=NOTED {
            take(&mut state, &logged, index).unwrap();
        }
        state.set_line(announced(&line));
        match (take(&mut state, &logged, NOTED + 1), wanted) {
            (Ok(()), None) => assert_eq!(state.line().changes()[0].index, Some(CHANGED)),
            (Err(broken), Some(says)) => {
                assert_eq!(broken.rule, RuleId::LogKey12);
                assert!(broken.says.ends_with(says), "{broken}");
            }
            (taken, wanted) => panic!("{taken:?} {wanted:?}"),
        }
    }
}

#[test]
fn log_4_a_later_key_of_the_pinned_line() {
    let mut recipe = Recipe::one_endpoint();
    recipe.drafts = Box::new(|drafts| drafts[GENESIS] = genesis(log_key(41, ORIGIN)));
    let logged = recipe.logged();
    let mut state = State::new(pins(), View::Whole);
    state.set_line(announced(&signed([LOG, 41], 5)));
    let broken = take(&mut state, &logged, GENESIS).unwrap_err();
    assert_eq!(broken.to_string(), "log-4: it names another log key than the first");
}
