//! Entries that the log key signed and no honest collector writes. The mirror stops before each and says which rule it breaks.

use std::sync::Arc;

use custody::rule::RuleId;
use evidence::causes;
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use evidence::id::Chain;
use mirror::cosign::Role;
use mirror::pull::{PullError, Round};
use store::Key;
use testkit::bundles::{ALICE, AUTHORITY, CAT, MALLORY, first_roster, log_key, own, sign};
use testkit::chains::Hands;
use testkit::people::next_roster;

use crate::world::{BY_ALICE, Log, Mirror, ORIGIN};

/// Mallory, in the name of alice.
const BY_MALLORY: (&str, u8) = ("person:alice", MALLORY);

struct Forgery {
    name: &'static str,
    /// Adds it, and what must stand before it, to an incident that is open. At most three entries.
    add: fn(&mut Log, &Chain),
    breaks: RuleId,
    /// The rest of the alarm.
    says: &'static str,
}

/// Publishes each forgery. The mirror must hold up to there and no further, and say which rule it breaks.
fn refuse(forgeries: &[Forgery]) {
    for Forgery { name, add, breaks, says } in forgeries {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(&dir.path().join("source"));
        let chain = log.incident(1);
        log.reads(&chain, 5);
        let good = log.publish();
        let mirror = Mirror::new(dir.path());
        mirror.round(&log, &good).unwrap();
        let held = log.size();
        add(&mut log, &chain);
        log.reads(&chain, 3);
        let note = log.publish();
        let refused = mirror.round(&log, &note).unwrap_err();
        let PullError::Rule { index, broken } = &refused else { panic!("{name}: {refused:?}") };
        assert_eq!((broken.rule, broken.says.as_str()), (*breaks, *says), "{name}");
        assert!((held..held + 3).contains(index), "{name}: entry {index}");
        // An alarm says no more and no less than this.
        let alarm = format!("entry {index} breaks the rules: {breaks}: {says}");
        assert_eq!(causes::chain(&refused), alarm, "{name}");
        let last = |role| mirror.cosigner.last(role).unwrap().log.checkpoint.size;
        assert_eq!(last(Role::Mirror), held, "{name}");
        // Its statement is about consistency alone, and that holds.
        assert_eq!(last(Role::Witness), log.size(), "{name}");
        // Again, and in another process: the same.
        let again = mirror.round(&log, &note);
        assert!(
            matches!(&again, Err(PullError::Rule { broken: again, .. }) if again == broken),
            "{name}: {again:?}"
        );
    }
}

/// Adds an honest read, changed after it was numbered.
fn changed(log: &mut Log, chain: &Chain, change: fn(&mut Entry)) {
    let refs = [("object", "x/bundle".to_owned()), ("person", "alice".to_owned())];
    let read =
        log.draft(EntryType::EvidenceAccessed, chain, refs, |draft| own(&draft.act_by("collector:c1")));
    log.append(read, &Hands { entry: &|(_, entry)| change(entry), ..Hands::NONE });
}

#[test]
fn chains_must_continue() {
    refuse(&[
        Forgery {
            name: "a number is left out",
            add: |log, chain| changed(log, chain, |entry| entry.envelope.seq += 1),
            breaks: RuleId::Entry9,
            says: "sequence number 7 where 6 follows",
        },
        Forgery {
            name: "links to another entry",
            add: |log, chain| changed(log, chain, |entry| entry.envelope.prev.0[0] ^= 1),
            breaks: RuleId::Entry10,
            says: "entry 6 does not link to the one before it",
        },
        Forgery {
            name: "dated before the entry before",
            add: |log, chain| {
                changed(log, chain, |entry| {
                    entry.envelope.time = "2026-11-01T00:00:00.000Z".parse().unwrap();
                });
            },
            breaks: RuleId::Entry11,
            says: "entry 6 is dated before the one before it",
        },
        Forgery {
            name: "of another deployment",
            add: |log, chain| {
                changed(log, chain, |entry| entry.envelope.deployment = "acne".parse().unwrap())
            },
            breaks: RuleId::Entry8,
            says: "it is of deployment acne",
        },
        Forgery {
            name: "other refs than its act",
            add: |log, chain| {
                changed(log, chain, |entry| entry.envelope.refs[1].1 = "bob".to_owned());
            },
            breaks: RuleId::Entry15,
            says: "its refs are not those of its act",
        },
        Forgery {
            name: "the log begins again",
            add: |log, _| {
                let mut again = testkit::bundles::genesis(log_key(41, ORIGIN));
                again.time = testkit::chains::at("09:00:00");
                log.push(again);
            },
            breaks: RuleId::Log1,
            says: "log.genesis is the first entry, and no other",
        },
    ]);
}

/// Types of a later version break no rule: what `/witness` says of them is as true as of others.
#[test]
fn entry_2_an_entry_of_a_later_type_waits_for_a_newer_mirror_and_the_witness_goes_on() {
    for name in ["evidence.invented", "custody.offered"] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(&dir.path().join("source"));
        let chain = log.incident(1);
        let good = log.publish();
        let mirror = Mirror::new(dir.path());
        mirror.round(&log, &good).unwrap();
        let held = log.size();
        log.own(name.parse().unwrap(), &chain, [("colour", "blue".to_owned())]);
        log.reads(&chain, 3);
        let note = log.publish();
        for _ in 0..2 {
            let waits = mirror.round(&log, &note).unwrap_err();
            assert!(matches!(&waits, PullError::NotKnown { index, .. } if *index == held), "{waits:?}");
            let alarm = format!("entry {held}: this mirror does not know {name}: upgrade it");
            assert_eq!(causes::chain(&waits), alarm);
            let last = |role| mirror.cosigner.last(role).unwrap().log.checkpoint.size;
            assert_eq!((last(Role::Mirror), last(Role::Witness)), (held, log.size()), "{name}");
        }
    }
}

#[test]
fn signatures_must_be_of_who_the_type_asks_for() {
    refuse(&[
        Forgery {
            name: "a stranger closes in the name of alice",
            add: |log, chain| {
                log.signed(EntryType::IncidentClosed, chain, [], BY_MALLORY);
            },
            breaks: RuleId::Entry17,
            says: "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, no key of alice as responder then",
        },
        Forgery {
            name: "a person's act that the collector recorded in that person's name, unsigned, as one of its own types",
            add: |log, chain| {
                let refs = [("object", "x/bundle".to_owned()), ("person", "alice".to_owned())];
                let read = log.draft(EntryType::EvidenceAccessed, chain, refs, |draft| {
                    own(&draft.act_by("person:alice"))
                });
                log.push(read);
            },
            breaks: RuleId::Entry16,
            says: "recorded without a signature in the name of person:alice",
        },
        Forgery {
            name: "a text that is no detail object",
            add: |log, chain| {
                let bytes = b"{\"text\":\"planted\"}\n";
                let text = Digest::of(bytes);
                log.store.create(&Key::detail(text.as_bytes()), bytes).unwrap();
                let noted = log
                    .draft(EntryType::IncidentNoted, chain, [], |draft| draft.told(BY_ALICE.0, ALICE, text));
                log.push(noted);
            },
            breaks: RuleId::Entry19,
            says: "read detail object: missing field `salt`",
        },
        Forgery {
            name: "a signature over other bytes",
            add: |log, chain| {
                let mut by_alice =
                    |type_| log.draft(type_, chain, [], |draft| draft.signed(BY_ALICE.0, ALICE));
                let other = by_alice(EntryType::IncidentReopened);
                let mut closed = by_alice(EntryType::IncidentClosed);
                closed.act.signatures = other.act.signatures;
                log.push(closed);
            },
            breaks: RuleId::Entry17,
            says: "signature of the document: signature does not match the bytes",
        },
        Forgery {
            name: "nobody signed what a person must sign",
            add: |log, chain| {
                log.own(EntryType::IncidentClosed, chain, []);
            },
            breaks: RuleId::Entry7,
            says: "incident.closed: its act has another number of signatures than its type asks",
        },
        Forgery {
            name: "a mirror that nobody admitted retires",
            add: |log, _| {
                let refs = [("mirror", "backup-9".to_owned())];
                log.signed(EntryType::MirrorRetired, &Chain::Deployment, refs, ("person:cat", CAT));
            },
            breaks: RuleId::Mirror4,
            says: "there is no mirror backup-9",
        },
    ]);
}

#[test]
fn one_act_is_one_entry_and_a_roster_needs_its_authority() {
    refuse(&[
        Forgery {
            name: "one act twice",
            add: |log, chain| {
                let closed =
                    log.draft(EntryType::IncidentClosed, chain, [], |draft| draft.signed(BY_ALICE.0, ALICE));
                let act = closed.act.clone();
                log.push(closed);
                log.record(EntryType::IncidentClosed, chain, [], act);
            },
            breaks: RuleId::Entry14,
            says: "the same act was recorded before",
        },
        Forgery {
            name: "a roster that a stranger signed",
            add: |log, _| {
                let first = first_roster();
                let signed = sign(&first, &[AUTHORITY]).digest();
                let next = next_roster(&first, signed, first.issued, first.not_after);
                let next = sign(&next, &[MALLORY]);
                log.store.create(&Key::document(next.digest().as_bytes()), &next.encode()).unwrap();
                let refs = [("roster", next.digest().to_string()), ("version", "2".to_owned())];
                log.record(EntryType::RosterPublished, &Chain::Deployment, refs, next);
            },
            breaks: RuleId::Roster2,
            says: "0 of the 1 authority signatures it needs",
        },
    ]);
}

#[test]
fn an_object_with_bad_signatures_does_not_take_its_key_in_the_own_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let note = log.publish();
    // The roster's document is right, its signature is another's.
    let roster = log.store.list("documents/").unwrap()[0].clone();
    let honest = log.store.read(&roster).unwrap();
    let evil = sign(&first_roster(), &[MALLORY]).encode();
    let path = dir.path().join("source").join(roster.as_str());
    let serve = |bytes: &[u8]| {
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, bytes).unwrap();
    };
    serve(&evil);
    let mirror = Mirror::new(dir.path());
    let refused = mirror.round(&log, &note);
    assert!(
        matches!(&refused, Err(PullError::Rule { index: 1, broken }) if broken.rule == RuleId::Roster2),
        "{refused:?}"
    );
    serve(&honest);
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(2));
    assert_eq!(mirror.own.read(&roster).unwrap(), honest);
    drop(Arc::clone(&mirror.cosigner));
}

fn approve(log: &mut Log, chain: &Chain, by: (&str, u8)) {
    let refs = [("count", "6".to_owned()), ("plan", Digest::of(b"plan").to_string())];
    log.signed(EntryType::DispositionApproved, chain, refs, by);
}

#[test]
fn nothing_is_said_to_go_that_something_keeps_or_nobody_approved() {
    refuse(&[
        Forgery {
            name: "approved while the incident goes on",
            add: |log, chain| approve(log, chain, BY_ALICE),
            breaks: RuleId::Disposal1,
            says: "the incident is open",
        },
        Forgery {
            name: "approved while nobody has set a retention",
            add: |log, chain| {
                log.signed(EntryType::IncidentClosed, chain, [], BY_ALICE);
                approve(log, chain, BY_ALICE);
            },
            breaks: RuleId::Disposal1,
            says: "no retention is set",
        },
        Forgery {
            name: "destroyed while the incident goes on",
            add: |log, chain| {
                let refs = [
                    ("count", "6".to_owned()),
                    ("object", "INC-2026-0001/details".to_owned()),
                    ("plan", Digest::of(b"plan").to_string()),
                    ("store", "one".to_owned()),
                ];
                log.own(EntryType::DispositionExecuted, chain, refs);
            },
            breaks: RuleId::Disposal9,
            says: "the incident is open",
        },
        Forgery {
            name: "approved by a stranger in the name of alice",
            add: |log, chain| approve(log, chain, BY_MALLORY),
            breaks: RuleId::Entry17,
            says: "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, no key of alice as approver or responder then",
        },
    ]);
}
