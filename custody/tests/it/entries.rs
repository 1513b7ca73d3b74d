//! `entry-*`, `log-*`: forged leaves, chains and acts.

use custody::rule::RuleId;
use custody::{At, State, View};
use evidence::digest::Digest;
use evidence::entry::{ActLocation, Entry, EntryType, pairs};
use evidence::id::Chain;
use testkit::bundles::{
    ALICE, DAN, Draft, MALLORY, Recipe, ca_digest, genesis, incident, log_key, other_incident, own, sign,
};

use crate::world::*;

const BY_DAN: (&str, u8) = ("person:dan", DAN);

/// Changes the note of dan after it was numbered.
fn noted(recipe: &mut Recipe<'static>, change: fn(&mut Entry)) {
    recipe.entry = Box::new(move |(place, entry)| {
        if *place == NOTED {
            change(entry);
        }
    });
}

/// Replaces a text in the leaf of dan's note.
fn leaf(recipe: &mut Recipe<'static>, from: &'static str, to: &'static str) {
    recipe.leaf = Box::new(move |(place, bytes)| {
        if *place == NOTED {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            *bytes = text.replace(from, to).into_bytes();
        }
    });
}

const BY_ALICE: (&str, u8) = ("person:alice", ALICE);

/// Gives the act of a draft other fields, which a person signs.
fn fields(draft: &mut Draft, (by, number): (&str, u8), fields: &[(&str, &str)]) {
    let mut act = draft.act_by(by);
    act.fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    draft.act = sign(&act, &[number]).into();
}

/// Opens an incident with these words for class, severity and traffic light.
fn opened(draft: &mut Draft, [class, severity, tlp]: [&str; 3]) {
    fields(draft, BY_ALICE, &[("class", class), ("severity", severity), ("tlp", tlp)]);
}

forgeries! {
    entry_1_not_one_compact_line: Entry1 "read entry envelope: not compact JSON at byte 0", |recipe| {
        leaf(recipe, "{\"entry\"", " {\"entry\"");
    }
    entry_1_an_act_without_a_field: Entry1 "read document: missing field `nonce`", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let act = &drafts[NOTED].act;
            let text = String::from_utf8(act.document.clone()).unwrap();
            let nonce = &text[text.find(",\"nonce\"").unwrap()..text.len() - 2];
            drafts[NOTED].act = edited(act, "exhibit-act-v1", &[DAN], (nonce, ""));
        });
    }
    entry_2_a_type_that_nobody_knows: Entry2 "this version does not know this type", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.push(by("evidence.invented".parse().unwrap(), "11:40:00", BY_DAN, &[]));
        });
    }
    entry_2_a_type_that_is_no_name: Entry2 "read entry envelope: unknown entry type", |recipe| {
        leaf(recipe, "incident.noted", "incident noted");
    }
    entry_3_in_the_other_kind_of_chain: Entry3 "incident.noted: it belongs to an incident's chain", |recipe| {
        noted(recipe, |entry| entry.envelope.incident = Chain::Deployment);
    }
    entry_4_a_ref_too_many: Entry4 "incident.noted has no ref host", |recipe| {
        noted(recipe, |entry| entry.envelope.refs.push(("host".into(), "web-03".into())));
    }
    entry_5_bytes_behind_an_act_that_is_elsewhere:
        Entry5 "incident.noted: bytes behind the envelope of an entry whose act is elsewhere", |recipe| {
        noted(recipe, |entry| entry.envelope.act = ActLocation::Digest);
    }
    entry_6_an_event_that_is_not_the_digest: Entry6 "incident.noted: event is not the digest of its act", |recipe| {
        noted(recipe, |entry| entry.envelope.event.0[0] ^= 1);
    }
    entry_7_signed_by_nobody:
        Entry7 "incident.noted: its act has another number of signatures than its type asks", |recipe| {
        noted(recipe, |entry| entry.act.as_mut().unwrap().signatures.clear());
    }
    entry_8_of_another_deployment: Entry8 "it is of deployment acne", |recipe| {
        noted(recipe, |entry| entry.envelope.deployment = "acne".parse().unwrap());
    }
    entry_9_a_number_is_left_out: Entry9 "sequence number 10 where 9 follows", |recipe| {
        noted(recipe, |entry| entry.envelope.seq += 1);
    }
    entry_10_links_to_another_entry: Entry10 "entry 9 does not link to the one before it", |recipe| {
        noted(recipe, |entry| entry.envelope.prev.0[0] ^= 1);
    }
    entry_11_dated_before_the_entry_before: Entry11 "entry 9 is dated before the one before it", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[NOTED].time = testkit::bundles::at("10:59:59"));
    }
    entry_12_dated_before_an_entry_of_another_chain:
        Entry12 "it is dated 2026-11-21T09:29:59.000Z, before the entry before it in the log", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let noted = Draft::new(EntryType::IncidentNoted, other_incident(), "09:29:59", [], |draft| {
                draft.signed(BY_DAN.0, BY_DAN.1)
            });
            drafts.insert(APPROVED, noted);
        });
    }
    entry_14_one_act_twice: Entry14 "the same act was recorded before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let Draft { type_, chain, time, refs, act } = &drafts[NOTED];
            let (chain, refs, act) = (chain.clone(), refs.clone(), act.clone());
            drafts.push(Draft { type_: *type_, chain, time: *time, refs, act });
        });
    }
    entry_15_about_something_else: Entry15 "its act is about something else", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts[NOTED].act = by(EntryType::IncidentClosed, "11:30:00", BY_DAN, &[]).act;
        });
    }
    entry_15_other_refs_than_its_act: Entry15 "its refs are not those of its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[ACCESSED], "person", "bob"));
    }
    entry_16_unsigned_in_the_name_of_a_person:
        Entry16 "recorded without a signature in the name of person:alice", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts[ACCESSED].act = own(&drafts[ACCESSED].act_by("person:alice"));
        });
    }
    entry_17_a_signature_over_other_bytes:
        Entry17 "signature of the document: signature does not match the bytes", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let other = by(EntryType::IncidentNoted, "11:30:01", BY_DAN, &[]);
            drafts[NOTED].act.signatures = other.act.signatures;
        });
    }
    entry_17_a_stranger_in_the_name_of_dan: Entry17 "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, no key of dan as analyst or responder then", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[NOTED].act = drafts[NOTED].signed("person:dan", MALLORY));
    }
    entry_17_a_person_without_the_role: Entry17 "signed by SHA256:OI2/1Lfa4agZldS95DqvyQGDhgfEFcZ2QH/JP8SEa6w, no key of dan as responder then", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.push(by(EntryType::IncidentClosed, "11:40:00", BY_DAN, &[]));
        });
    }
    entry_17_in_the_name_of_a_mirror: Entry17 "a person signed in the name of mirror:backup-1", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[NOTED].act = drafts[NOTED].signed("mirror:backup-1", DAN));
    }
    entry_21_a_reserved_type: Entry21 "this version does not know this type", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.push(by(EntryType::EvidenceDerived, "11:40:00", BY_DAN, &[]));
        });
    }
    entry_22_a_field_that_no_type_has:
        Entry22 "incident.noted has the fields \"remark\", which are not those of its type", |recipe| {
        recipe.drafts = Box::new(|drafts| fields(&mut drafts[NOTED], BY_DAN, &[("remark", "planted")]));
    }
    entry_22_a_field_is_missing:
        Entry22 "incident.opened has the fields \"class, severity\", which are not those of its type", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            fields(&mut drafts[OPENED], BY_ALICE, &[("class", "test"), ("severity", "low")]);
        });
    }
    entry_22_a_part_of_the_fields_of_a_partial_production:
        Entry22 "evidence.accessed has the fields \"partial\", which are not those of its type", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut act = drafts[ACCESSED].act_by("collector:c1");
            act.fields = vec![("partial".into(), "yes".into())];
            drafts[ACCESSED].act = own(&act);
        });
    }
    entry_22_a_number_in_another_form: Entry22 "the field items cannot be \"01\"", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut act = drafts[ACCESSED].act_by("collector:c1");
            let selection = Digest::ZERO.to_string();
            act.fields = pairs::sorted([("items", "01".into()), ("partial", "yes".into()), ("selection", selection)]);
            drafts[ACCESSED].act = own(&act);
        });
    }
    incident_3_a_severity_that_is_none: Incident3 "the field severity is not in its list: \"extreme\"", |recipe| {
        recipe.drafts = Box::new(|drafts| opened(&mut drafts[OPENED], ["test", "extreme", "red"]));
    }
    incident_3_a_class_that_is_none: Incident3 "the field class is not in its list: \"Test\"", |recipe| {
        recipe.drafts = Box::new(|drafts| opened(&mut drafts[OPENED], ["Test", "low", "red"]));
    }
    incident_3_a_traffic_light_that_is_none: Incident3 "the field tlp is not in its list: \"white\"", |recipe| {
        recipe.drafts = Box::new(|drafts| opened(&mut drafts[OPENED], ["test", "low", "white"]));
    }
    access_3_everything: Access3 "it names an object that nobody can be given", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            set(&mut drafts[ACCESSED], "object", "everything");
            drafts[ACCESSED].act = own(&drafts[ACCESSED].act_by("collector:c1"));
        });
    }
    access_3_the_bundle_of_another_incident: Access3 "it names an object that nobody can be given", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            set(&mut drafts[ACCESSED], "object", "INC-2026-0008/bundle");
            drafts[ACCESSED].act = own(&drafts[ACCESSED].act_by("collector:c1"));
        });
    }
    recovery_1_restored_to_more_than_there_is: Recovery1 "restored to 18 entries, which came later", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("size", "18".to_owned())];
            let deployment = Chain::Deployment;
            drafts.push(Draft::new(EntryType::RecoveryPerformed, deployment, "11:40:00", refs, |draft| {
                own(&draft.act_by("collector:c1"))
            }));
        });
    }
    log_1_the_log_begins_again: Log1 "log.genesis is the first entry, and no other", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut again = genesis(log_key(41, "exhibit/acme"));
            again.time = testkit::bundles::at("09:05:00");
            drafts.push(again);
        });
    }
    log_2_the_log_begins_with_something_else: Log2 "log.genesis is the first entry, and no other", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.remove(GENESIS)));
    }
    log_3_another_log: Log3 "it names a log key that is none of the pinned log", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[GENESIS] = genesis(log_key(41, "exhibit/acme")));
    }
    log_5_another_ca: Log5 "it names another ca than the pinned one", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            set(&mut drafts[GENESIS], "ca", &Digest::of(b"another").to_string());
            assert_ne!(ca_digest(), Digest::of(b"another"));
            drafts[GENESIS].act = own(&drafts[GENESIS].act_by("collector:c1"));
        });
    }
    log_5_another_authority: Log5 "it names another authority than the pinned one", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            set(&mut drafts[GENESIS], "authority", &Digest::of(b"another").to_string());
            drafts[GENESIS].act = own(&drafts[GENESIS].act_by("collector:c1"));
        });
    }
}

/// Folds the log of a bundle without its login.
fn without_login(recipe: Recipe<'static>, view: View) -> Result<(), String> {
    let logged = recipe.logged();
    let mut state = State::new(pins(), view);
    for index in (0..logged.leaves.len()).filter(|index| *index != LOGIN) {
        take(&mut state, &logged, index).map_err(|broken| broken.to_string())?;
    }
    Ok(())
}

#[test]
fn the_deployments_chain_has_gaps_in_a_bundle_and_nowhere_else() {
    let whole = without_login(Recipe::one_endpoint(), View::Whole);
    assert_eq!(whole.unwrap_err(), "entry-9: sequence number 5 where 4 follows");
    without_login(Recipe::one_endpoint(), View::Bundle).unwrap();
    // Neighbours are linked, and numbers do not fall.
    let forged = |change: fn(&mut Entry)| Recipe {
        entry: Box::new(move |(place, entry)| {
            if *place == ENROLLED {
                change(entry);
            }
        }),
        ..Recipe::one_endpoint()
    };
    let broken = |change| without_login(forged(change), View::Bundle).unwrap_err();
    assert_eq!(
        broken(|entry| entry.envelope.prev.0[0] ^= 1),
        "entry-10: entry 3 does not link to the one before it"
    );
    assert_eq!(broken(|entry| entry.envelope.seq = 2), "entry-9: sequence number 2 where 3 follows");
}

#[test]
fn entry_13_an_index_that_does_not_rise() {
    let logged = Recipe::one_endpoint().logged();
    let mut state = State::new(pins(), View::Whole);
    for index in 0..NOTED {
        take(&mut state, &logged, index).unwrap();
    }
    let bytes = &logged.leaves[NOTED];
    let entry = custody::entry::read(bytes).unwrap();
    let at = |index| At { index, leaf: ledger::leaf_hash(bytes) };
    let broken = state.follows(at(NOTED as u64 - 1), &entry).unwrap_err();
    assert_eq!(broken.rule, RuleId::Entry13);
    assert_eq!(broken.says, "index 15 where 16 or a later one follows");
    // The other chains have gaps in a bundle.
    state.follows(at(NOTED as u64 + 7), &entry).unwrap();
    assert_eq!(entry.envelope.incident, incident());
    assert_ne!(ALICE, DAN);
}
