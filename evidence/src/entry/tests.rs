use super::*;
use crate::entry::act::{Act, ActNonce, ActType};
use crate::text::FixedBytes;

fn act(type_: EntryType, incident: &str) -> Act {
    Act {
        type_: ActType,
        deployment: "acme".parse().unwrap(),
        act: type_,
        incident: incident.parse().unwrap(),
        at: "2026-11-21T10:00:00.000Z".parse().unwrap(),
        by: "person:ada".parse().unwrap(),
        refs: vec![],
        fields: vec![("severity".into(), "high".into())],
        detail: None,
        nonce: ActNonce::Once(FixedBytes([7; 16])),
    }
}

fn noted() -> Entry {
    let key = crate::keys::SigningKey::from_seed(&[1; 32]);
    let signed = Signed::sign(&act(EntryType::IncidentNoted, "INC-2026-0007"), &[&key]).unwrap();
    Entry {
        envelope: Envelope {
            entry: EntryVersion,
            deployment: "acme".parse().unwrap(),
            type_: EntryType::IncidentNoted,
            incident: "INC-2026-0007".parse().unwrap(),
            seq: 3,
            prev: Digest([9; 32]),
            time: "2026-11-21T10:00:01.000Z".parse().unwrap(),
            event: signed.digest(),
            refs: vec![],
            act: ActLocation::Inline,
        },
        act: Some(signed.into()),
    }
}

#[test]
fn an_entry_comes_back_as_it_went() {
    let bytes = noted().encode().unwrap();
    assert_eq!(Entry::parse(&bytes).unwrap(), noted());
    assert_eq!(Entry::parse(&bytes).unwrap().encode().unwrap(), bytes);
}

#[test]
fn every_type_is_named_once_and_parses_back() {
    for type_ in EntryType::ALL {
        assert_eq!(type_.as_str().parse(), Ok(*type_));
        assert!(type_.rule().refs.is_sorted_by(|one, two| one < two), "{type_}");
    }
    assert_eq!("incident.unheard-of".parse::<EntryType>(), Err(UnknownEntryType));
}

/// Its refs, signatures and chain are for a later version to judge. Nobody writes it with this one.
#[test]
fn entry_2_an_entry_of_a_later_type_keeps_its_name_and_is_not_written() {
    let mut later = noted();
    later.envelope.type_ = "evidence.invented".parse().unwrap();
    later.envelope.refs = vec![("colour".to_owned(), "blue".to_owned())];
    let act = later.act.as_mut().unwrap();
    act.signatures.clear();
    let mut bytes = json::to_document(&later.envelope).unwrap();
    bytes.extend(act.encode());
    let read = Entry::parse(&bytes).unwrap();
    assert_eq!(read, later);
    assert_eq!(read.envelope.type_.to_string(), "evidence.invented");
    assert!(!read.envelope.type_.is_known());
    assert!(matches!(read.encode(), Err(EntryError::NotWritten { .. })));
    let long = "a".repeat(41);
    for text in ["", "Evidence.invented", "evidence invented", "evidence\u{0}", "evidence-invented", &long] {
        assert_eq!(text.parse::<EntryType>(), Err(UnknownEntryType), "{text:?}");
    }
    assert!("a".repeat(40).parse::<EntryType>().is_ok());
    // What holds the act to the entry holds here too.
    later.envelope.event = Digest::ZERO;
    let mut bytes = json::to_document(&later.envelope).unwrap();
    bytes.extend(later.act.unwrap().encode());
    assert!(matches!(Entry::parse(&bytes), Err(EntryError::Event { .. })));
}

#[test]
fn the_specification_has_the_same_table() {
    let text = include_str!("../../../docs/spec/ledger.md");
    for type_ in EntryType::ALL {
        assert!(text.contains(&format!("`{type_}`")), "docs/spec/ledger.md lacks {type_}");
    }
}

#[test]
fn an_entry_that_breaks_a_rule_of_its_type_is_refused() {
    let mut wrong_event = noted();
    wrong_event.envelope.event = Digest::ZERO;
    let mut other_chain = noted();
    other_chain.envelope.incident = Chain::Deployment;
    let mut extra_ref = noted();
    extra_ref.envelope.refs = pairs::sorted([("host", "web-03".into())]);
    let mut missing_ref = noted();
    missing_ref.envelope.type_ = EntryType::OrderApproved;
    let mut unsigned = noted();
    unsigned.act.as_mut().unwrap().signatures.clear();
    let mut twice = noted();
    let armour = twice.act.as_ref().unwrap().signatures[0].clone();
    twice.act.as_mut().unwrap().signatures.push(armour);
    let mut gone = noted();
    gone.act = None;
    let mut elsewhere = noted();
    elsewhere.envelope.act = ActLocation::Digest;
    for (entry, why) in [
        (wrong_event, "digest of its act"),
        (other_chain, "belongs to an incident"),
        (extra_ref, "has no ref host"),
        (missing_ref, "lacks the ref order"),
        (unsigned, "number of signatures"),
        (twice, "number of signatures"),
        (gone, "inline act is missing"),
        (elsewhere, "act is elsewhere"),
    ] {
        let said = entry.encode().unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

/// `encode` refuses free text too, so that an honest log never writes it. Another log writes what it likes.
#[test]
fn an_entry_of_a_foreign_log_with_free_text_in_a_ref_is_refused() {
    let key = crate::keys::SigningKey::from_seed(&[1; 32]);
    let signed = Signed::sign(&act(EntryType::LoginIssued, ""), &[&key]).unwrap();
    let mut login = noted();
    login.envelope.type_ = EntryType::LoginIssued;
    login.envelope.incident = Chain::Deployment;
    login.envelope.event = signed.digest();
    login.act = Some(signed.into());
    login.envelope.refs =
        pairs::sorted([("key", crate::keys::Fingerprint([1; 32]).to_string()), ("person", "ada".into())]);
    let honest = String::from_utf8(login.encode().unwrap()).unwrap();
    Entry::parse(honest.as_bytes()).unwrap();
    for (text, why) in [
        ("Ada Lovelace", "printable ASCII without blanks"),
        ("Ada.Lovelace", "the ref person has another form"),
        ("/home/ada", "the ref person has another form"),
        ("ada@example.org", "the ref person has another form"),
    ] {
        let foreign = honest.replacen("[\"person\",\"ada\"]", &format!("[\"person\",\"{text}\"]"), 1);
        assert_ne!(foreign, honest);
        let said = Entry::parse(foreign.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn an_act_that_may_hold_text_is_never_inline() {
    let mut order = noted();
    order.envelope.type_ = EntryType::OrderIssued;
    order.envelope.refs =
        pairs::sorted([("order", Digest::ZERO.to_string()), ("roster", Digest::ZERO.to_string())]);
    assert!(order.encode().unwrap_err().to_string().contains("must not be inline"));
}

#[test]
fn a_chain_has_no_gap_no_wrong_link_and_no_time_running_back() {
    let mut head = ChainHead { next_seq: 3, prev: Digest([9; 32]), time: Time::EPOCH };
    let entry = noted();
    head.step(&entry.envelope, Digest([1; 32])).unwrap();
    assert_eq!(
        head.step(&entry.envelope, Digest([1; 32])),
        Err(ChainError::Sequence { expected: 4, found: 3 })
    );
    let mut next = entry.envelope;
    next.seq = 4;
    assert_eq!(head.step(&next, Digest([2; 32])), Err(ChainError::Link { seq: 4 }));
    next.prev = Digest([1; 32]);
    next.time = Time::EPOCH;
    assert_eq!(head.step(&next, Digest([2; 32])), Err(ChainError::Time { seq: 4 }));
}

#[test]
fn no_mutation_of_an_entry_panics_and_what_parses_prints_back() {
    let bytes = noted().encode().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(entry) = Entry::parse(&flipped) {
                // `encode` refuses what this version does not write; its bytes come back all the same.
                let mut printed = json::to_document(&entry.envelope).unwrap();
                printed.extend(entry.act.iter().flat_map(ActObject::encode));
                assert_eq!(printed, flipped);
                match entry.encode() {
                    Ok(encoded) => assert_eq!(encoded, flipped),
                    Err(refused) => {
                        assert!(matches!(refused, EntryError::NotWritten { .. }), "{refused}");
                        assert!(!entry.envelope.type_.is_known());
                    }
                }
            }
        }
        assert!(Entry::parse(&bytes[..at]).is_err());
    }
}
