//! Evidence that was withheld and called destroyed, and certificates that contradict the chain.

use super::*;

#[test]
fn evidence_withheld_and_called_destroyed() {
    let approved_alone = || {
        disposed(|ending| {
            ending.approved();
        })
    };
    refused(vec![
        (
            "approved, and nobody says that it is gone",
            "coverage",
            "is in the ledger but not in the bundle",
            approved_alone(),
        ),
        (
            "one of two copies gone, the other under a hold",
            "coverage",
            "is disposed of in 1 of 2 copies and the rest is kept",
            disposed(|ending| {
                let plan = ending.approved();
                for object in plan.objects() {
                    ending.executed(&plan, &object, "store-a");
                }
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
            }),
        ),
        (
            "one store twice",
            "disposition",
            "was recorded as gone from store:store-a before",
            disposed(|ending| {
                let plan = ending.approved();
                let object = stored(ending);
                ending.executed(&plan, &object, "store-a");
                ending.executed(&plan, &object, "store-a");
            }),
        ),
        (
            "a mirror's word in place of a store's",
            "coverage",
            "is in the ledger but not in the bundle",
            with! {
                drafts: |drafts: &mut Vec<Draft>| {
                    mirrored(drafts, &Told::default());
                    let mut ending = Ending::of(drafts);
                    let plan = ending.approved();
                    for object in plan.objects() {
                        ending.confirmed(&plan, &object, BACKUP_1);
                    }
                },
                files: |files: &mut Files| without_evidence(files, &collections(files)),
            },
        ),
        (
            "a store's word signed by a mirror",
            "custody.acts",
            "disposition.confirmed at",
            with! {
                drafts: |drafts: &mut Vec<Draft>| {
                    mirrored(drafts, &Told::default());
                    let mut ending = Ending::of(drafts);
                    let plan = ending.approved();
                    ending.destroyed(&plan);
                    let object = stored(&ending);
                    ending.confirmed(&plan, &object, ("backup-1", MALLORY));
                },
                files: |files: &mut Files| without_evidence(files, &collections(files)),
            },
        ),
        (
            "a mirror that was never admitted",
            "custody.acts",
            "mirror-7: disposition.confirmed at 35: no mirror backup-2 was admitted before",
            disposed(|ending| {
                let plan = ending.approved();
                ending.destroyed(&plan);
                let object = stored(ending);
                ending.confirmed(&plan, &object, ("backup-2", BACKUP));
            }),
        ),
        (
            "the collector in the name of a person",
            "custody.acts",
            "recorded without a signature in the name of person:alice",
            disposed(|ending| {
                let plan = ending.approved();
                ending.destroyed(&plan);
                let draft = ending.drafts.last_mut().unwrap();
                draft.act = own(&draft.act_by("person:alice"));
            }),
        ),
        (
            "one collection gone, the other left out as well",
            "coverage",
            "is in the ledger but not in the bundle",
            disposed(|ending| {
                let plan = ending.approved();
                let gone = plan.objects().into_iter().find(|object| *object != stored(ending)).unwrap();
                for store in STORES {
                    ending.executed(&plan, &gone, store);
                }
            }),
        ),
        (
            "seals left behind",
            "container",
            "is missing",
            and(all_gone(), |files| {
                let seals = Recipe::default().build().files;
                let seals = seals.into_iter().filter(|(name, _)| name.contains("/seals/"));
                files.extend(seals);
            }),
        ),
        (
            "the manifest left out",
            "custody.acts",
            "",
            and(all_gone(), |files| files.retain(|name, _| !name.contains("/manifest.json"))),
        ),
        (
            "the delegation left out",
            "manifest",
            "manifest.json is missing",
            and(all_gone(), |files| files.retain(|name, _| !name.starts_with("evidence/"))),
        ),
    ]);
}

#[test]
fn certificates_that_say_something_else() {
    let told = |change: fn(&mut String)| {
        and(all_gone(), move |files| {
            let mut text = String::from_utf8(files.remove("destruction.json").unwrap()).unwrap();
            change(&mut text);
            files.insert("destruction.json".into(), text.into_bytes());
        })
    };
    let otherwise = "destruction.json says something else than the chain";
    let last_gone = |text: &mut String| {
        let (begin, end) = (text.rfind(",{\"object\"").unwrap(), text.rfind("],\"waiting\"").unwrap());
        text.replace_range(begin..end, "");
    };
    refused(vec![
        ("an entry is missing", "disposition", otherwise, told(last_gone)),
        (
            "another person",
            "disposition",
            otherwise,
            told(|text| *text = text.replacen("\"person\":\"bob\"", "\"person\":\"cat\"", 1)),
        ),
        (
            "another count",
            "disposition",
            otherwise,
            told(|text| *text = text.replacen("\"count\":3", "\"count\":4", 1)),
        ),
        ("the same in another spelling", "disposition", otherwise, told(|text| text.insert(1, ' '))),
        (
            "none",
            "disposition",
            "destruction.json is missing, though something is gone",
            and(all_gone(), |files| drop(files.remove("destruction.json"))),
        ),
        (
            "one, and nothing is gone",
            "disposition",
            "though the chain says of nothing that it is gone",
            with! { files: |files: &mut Files| drop(files.insert("destruction.json".into(), b"{}\n".to_vec())) },
        ),
        (
            "one, and only approvals are here",
            "disposition",
            "though the chain says of nothing that it is gone",
            with! {
                drafts: |drafts: &mut Vec<Draft>| { Ending::of(drafts).approved(); },
                files: |files: &mut Files| drop(files.insert("destruction.json".into(), all_gone().build().files["destruction.json"].clone())),
            },
        ),
    ]);
}
