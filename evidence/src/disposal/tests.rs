use super::*;
use crate::entry::pairs;

const INCIDENT: &str = "INC-2026-0007";

/// A chain that is folded as it grows.
struct Chain {
    course: Course,
    minute: u64,
    next_event: u8,
}

fn id(number: u8) -> Digest {
    Digest([number; 32])
}

fn collector() -> Actor {
    "collector:collector-1".parse().unwrap()
}

fn person(name: &str) -> Actor {
    format!("person:{name}").parse().unwrap()
}

impl Chain {
    /// An incident that was opened with a title, has one collection, is closed, and whose retention has ended.
    fn ready() -> Self {
        let course = Course::new("acme".parse().unwrap(), INCIDENT.parse().unwrap());
        let mut chain = Self { course, minute: 0, next_event: 100 };
        chain.add(EntryType::IncidentOpened, &[], "ada", Some(id(1)));
        chain.add(EntryType::CollectionStarted, &[("collection", id(2).to_string())], "", None);
        chain.add(EntryType::IncidentClosed, &[], "ada", Some(id(3)));
        chain.add(
            EntryType::RetentionChanged,
            &[("until", "2026-01-01T00:00:00.000Z".to_owned())],
            "bob",
            None,
        );
        chain
    }

    fn now(&self) -> Time {
        let start: Time = "2026-06-01T00:00:00.000Z".parse().unwrap();
        start.checked_add(std::time::Duration::from_secs(60 * self.minute)).unwrap()
    }

    /// Judges and takes an entry. `by`: "" the collector, `mirror:…`, or a person. Bob and eve are approvers.
    fn try_add(
        &mut self,
        type_: EntryType,
        refs: &[(&str, String)],
        by: &str,
        detail: Option<Digest>,
    ) -> Result<Digest, Refusal> {
        self.minute += 1;
        self.next_event += 1;
        let refs: Vec<_> = {
            let mut refs: Vec<_> =
                refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            refs.sort();
            refs
        };
        pairs::check(&refs).unwrap();
        let actor = match by {
            "" => collector(),
            mirror if mirror.starts_with("mirror:") => mirror.parse().unwrap(),
            name => person(name),
        };
        let fact = Fact {
            index: self.course.len() + 10,
            time: self.now(),
            type_,
            event: id(self.next_event),
            refs: &refs,
            by: Some(&actor),
            detail,
            is_approver: matches!(by, "bob" | "eve"),
        };
        self.course.judge(&fact)?;
        self.course.apply(&fact);
        Ok(fact.event)
    }

    fn add(&mut self, type_: EntryType, refs: &[(&str, String)], by: &str, detail: Option<Digest>) -> Digest {
        self.try_add(type_, refs, by, detail).unwrap()
    }

    fn approve(&mut self, plan: &Plan, by: &str) -> Result<Digest, Refusal> {
        let refs = [("plan", plan.digest().to_string()), ("count", plan.count.to_string())];
        self.try_add(EntryType::DispositionApproved, &refs, by, Some(id(50)))
    }

    fn gone(&mut self, plan: &Plan, object: &Object, place: &str) -> Result<Digest, Refusal> {
        let (type_, name, by) = match place.strip_prefix("mirror:") {
            Some(mirror) => (EntryType::DispositionConfirmed, ("mirror", mirror.to_owned()), place),
            None => (EntryType::DispositionExecuted, ("store", place.to_owned()), ""),
        };
        let refs = [
            name,
            ("plan", plan.digest().to_string()),
            ("object", object.to_string()),
            ("count", "4".to_owned()),
        ];
        self.try_add(type_, &refs, by, None)
    }

    fn hold(&mut self) -> Digest {
        self.add(EntryType::HoldPlaced, &[], "ada", None)
    }

    fn release(&mut self, hold: Digest) {
        self.add(EntryType::HoldReleased, &[("hold", hold.to_string())], "bob", None);
    }
}

#[test]
fn a_plan_names_what_the_chain_began_and_reads_back_as_it_is_written() {
    let chain = Chain::ready();
    let plan = chain.course.plan(chain.course.len());
    assert_eq!(
        plan.text(),
        format!(
            "exhibit-disposition-v1\ndeployment acme\nincident {INCIDENT}\nentries 0 4\ncollection {}\ndetail {}\ndetail {}\n",
            id(2),
            id(1),
            id(3)
        )
    );
    // The worked example of docs/spec/ledger.md.
    let specification = include_str!("../../../docs/spec/ledger.md");
    assert!(specification.contains(&plan.text()) && specification.contains(&plan.digest().to_string()));
    assert_eq!(Plan::parse(&plan.text()), Ok(plan.clone()));
    let text = plan.text();
    for wrong in [
        text.replace("entries 0 4", "entries 0 04"),
        text.replace("deployment acme\n", ""),
        text.trim_end().to_owned(),
        format!("{text}detail {}\n", id(1)),
        format!("{text}segment {}\n", id(9)),
        text.replace("deployment acme", "deployment  acme"),
    ] {
        assert!(Plan::parse(&wrong).is_err(), "{wrong}");
    }
    for object in plan.objects() {
        assert_eq!(object.to_string().parse(), Ok(object));
    }
    assert!("x/evidence".parse::<Object>().is_err() && "details".parse::<Object>().is_err());
}

#[test]
fn two_persons_one_of_them_an_approver_make_a_warrant_for_exactly_what_they_saw() {
    let mut chain = Chain::ready();
    let plan = chain.course.plan(chain.course.len());
    let digest = plan.digest();
    chain.approve(&plan, "ada").unwrap();
    assert_eq!(chain.course.warrant(&digest, chain.now()), Err(Refusal::NotApproved));
    assert!(matches!(chain.approve(&plan, "ada"), Err(Refusal::SamePerson { .. })));
    assert_eq!(chain.approve(&plan, "carl"), Err(Refusal::NoApprover));
    // Reads and exports in between do not change what is destroyed.
    chain.add(EntryType::EvidenceAccessed, &[("object", "x/items".to_owned())], "", Some(id(60)));
    chain.approve(&plan, "bob").unwrap();
    assert_eq!(chain.approve(&plan, "eve"), Err(Refusal::ApprovedBefore));
    let warrant = chain.course.warrant(&digest, chain.now()).unwrap();
    assert!(warrant.covers_collection(&[2; 32]) && !warrant.covers_collection(&[1; 32]));
    assert!(warrant.covers_detail(&[1; 32]) && warrant.covers_detail(&[3; 32]));
    assert!(!warrant.covers_detail(&[50; 32]), "the reason for the disposal stays");
    assert!(!warrant.covers_detail(&[60; 32]));
}

#[test]
fn what_keeps_evidence_keeps_every_entry_about_its_disposal_away() {
    let mut open = Chain::ready();
    open.add(EntryType::IncidentReopened, &[], "ada", None);
    let plan = open.course.plan(open.course.len());
    assert_eq!(open.approve(&plan, "ada"), Err(Refusal::Open));

    let mut early = Chain::ready();
    let until: Time = "2036-01-01T00:00:00.000Z".parse().unwrap();
    early.add(EntryType::RetentionChanged, &[("until", until.to_string())], "bob", None);
    let plan = early.course.plan(early.course.len());
    assert_eq!(early.approve(&plan, "bob"), Err(Refusal::Until { until }));

    let mut chain = Chain::ready();
    let plan = chain.course.plan(chain.course.len());
    let object = Object::Collection(id(2));
    let hold = chain.hold();
    assert!(matches!(chain.approve(&plan, "ada"), Err(Refusal::Held { count: 1, .. })));
    chain.release(hold);
    chain.approve(&plan, "ada").unwrap();
    let hold = chain.hold();
    assert!(matches!(chain.approve(&plan, "bob"), Err(Refusal::Held { .. })));
    chain.release(hold);
    chain.approve(&plan, "bob").unwrap();
    chain.gone(&plan, &object, "one").unwrap();
    // A hold at the last moment stops what is not destroyed yet. A mirror may have been faster.
    let hold = chain.hold();
    assert!(chain.course.warrant(&plan.digest(), chain.now()).is_err());
    assert!(matches!(chain.gone(&plan, &object, "two"), Err(Refusal::Held { .. })));
    chain.gone(&plan, &object, "mirror:backup-1").unwrap();
    chain.release(hold);
    chain.gone(&plan, &object, "two").unwrap();
}

#[test]
fn a_plan_is_stale_when_the_chain_went_on_and_nothing_goes_twice_or_unnamed() {
    let mut chain = Chain::ready();
    let plan = chain.course.plan(chain.course.len());
    let other = chain.course.plan(3);
    chain.approve(&plan, "ada").unwrap();
    chain.add(EntryType::IncidentNoted, &[], "ada", Some(id(9)));
    assert_eq!(chain.approve(&plan, "bob"), Err(Refusal::Stale));
    assert_eq!(chain.approve(&other, "bob"), Err(Refusal::Stale));
    let mut made_up = chain.course.plan(chain.course.len());
    made_up.collections.insert(id(77));
    assert_eq!(chain.approve(&made_up, "bob"), Err(Refusal::Stale));

    let plan = chain.course.plan(chain.course.len());
    chain.approve(&plan, "bob").unwrap();
    chain.approve(&plan, "ada").unwrap();
    let (object, texts) = (Object::Collection(id(2)), Object::Details(INCIDENT.parse().unwrap()));
    assert!(matches!(chain.gone(&plan, &Object::Collection(id(3)), "one"), Err(Refusal::NotNamed { .. })));
    for place in ["one", "two", "mirror:backup-1"] {
        chain.gone(&plan, &object, place).unwrap();
        assert!(matches!(chain.gone(&plan, &object, place), Err(Refusal::GoneBefore { .. })));
    }
    chain.gone(&plan, &texts, "one").unwrap();

    // Later evidence belongs to a plan of its own, which does not name again what was destroyed.
    chain.add(EntryType::IncidentReopened, &[], "ada", Some(id(10)));
    chain.add(EntryType::CollectionStarted, &[("collection", id(5).to_string())], "", None);
    chain.add(EntryType::IncidentClosed, &[], "ada", None);
    let next = chain.course.plan(chain.course.len());
    assert_eq!(next.collections.iter().copied().collect::<Vec<_>>(), [id(5)]);
    assert_eq!(next.from, plan.count);
    // The reasons of the approvals stay: the certificate needs them.
    assert_eq!(next.details.iter().copied().collect::<Vec<_>>(), [id(10)]);
    chain.approve(&next, "eve").unwrap();
    chain.approve(&next, "ada").unwrap();
    chain.gone(&next, &texts, "one").unwrap();
}

#[test]
fn of_two_plans_over_one_chain_the_first_to_be_approved_ends_the_other() {
    let proposed = || {
        let mut chain = Chain::ready();
        let first = chain.course.plan(chain.course.len());
        chain.approve(&first, "ada").unwrap();
        let second = chain.course.plan(chain.course.len());
        chain.approve(&second, "ada").unwrap();
        assert_ne!(first.digest(), second.digest());
        assert_eq!(first.collections, second.collections);
        (chain, first, second)
    };
    let (mut chain, first, second) = proposed();
    chain.approve(&first, "bob").unwrap();
    assert_eq!(chain.approve(&second, "bob"), Err(Refusal::Stale));
    let (mut chain, first, second) = proposed();
    chain.approve(&second, "bob").unwrap();
    assert_eq!(chain.approve(&first, "bob"), Err(Refusal::Stale));
}

#[test]
fn nobody_speaks_for_another() {
    let mut chain = Chain::ready();
    let plan = chain.course.plan(chain.course.len());
    chain.approve(&plan, "ada").unwrap();
    chain.approve(&plan, "bob").unwrap();
    let refs = |name, value: &str| {
        [
            (name, value.to_owned()),
            ("plan", plan.digest().to_string()),
            ("object", Object::Collection(id(2)).to_string()),
            ("count", "0".to_owned()),
        ]
    };
    for (type_, refs, by) in [
        (EntryType::DispositionExecuted, refs("store", "one"), "bob"),
        (EntryType::DispositionConfirmed, refs("mirror", "backup-1"), ""),
        (EntryType::DispositionConfirmed, refs("mirror", "backup-1"), "mirror:backup-2"),
        (EntryType::DispositionApproved, refs("store", "one"), ""),
    ] {
        assert!(matches!(chain.try_add(type_, &refs, by, None), Err(Refusal::Speaker { .. })), "{type_}");
    }
}

#[test]
fn the_certificate_says_who_approved_what_is_gone_and_who_has_not_confirmed() {
    let mut chain = Chain::ready();
    for mirror in ["backup-1", "backup-2"] {
        let refs = [("collection", id(2).to_string()), ("mirror", mirror.to_owned())];
        chain.add(EntryType::EvidenceReplicated, &refs, &format!("mirror:{mirror}"), None);
    }
    let plan = chain.course.plan(chain.course.len());
    chain.approve(&plan, "ada").unwrap();
    chain.approve(&plan, "bob").unwrap();
    assert_eq!(chain.course.destruction(&BTreeSet::new()), None);
    let object = Object::Collection(id(2));
    chain.gone(&plan, &object, "one").unwrap();
    chain.gone(&plan, &object, "mirror:backup-1").unwrap();
    let retired = BTreeSet::from(["backup-2".parse().unwrap()]);
    let certificate = chain.course.destruction(&retired).unwrap();
    let record = &certificate.plans[0];
    assert_eq!(record.approved.len(), 2);
    assert!(!record.approved[0].approver && record.approved[1].approver);
    assert_eq!(record.gone.len(), 2);
    assert_eq!(record.gone[1].from, Party::Mirror("backup-1".parse().unwrap()));
    let waiting: Vec<_> =
        record.waiting.iter().map(|one| (one.object.as_str(), one.mirror.as_str(), one.retired)).collect();
    let (evidence, texts) = (object.to_string(), format!("{INCIDENT}/details"));
    assert_eq!(
        waiting,
        [
            (evidence.as_str(), "backup-2", true),
            (texts.as_str(), "backup-1", false),
            (texts.as_str(), "backup-2", true)
        ]
    );
}

/// Stored in two copies, stated by a mirror, approved by two persons.
fn approved() -> (Chain, Plan, Object) {
    let mut chain = Chain::ready();
    let refs = [("collection", id(2).to_string()), ("copies", "2".to_owned())];
    chain.add(EntryType::CollectionStored, &refs, "", None);
    state(&mut chain, "backup-1");
    let plan = chain.course.plan(chain.course.len());
    chain.approve(&plan, "ada").unwrap();
    chain.approve(&plan, "bob").unwrap();
    (chain, plan, Object::Collection(id(2)))
}

fn state(chain: &mut Chain, mirror: &str) {
    let refs = [("collection", id(2).to_string()), ("mirror", mirror.to_owned())];
    chain.add(EntryType::EvidenceReplicated, &refs, &format!("mirror:{mirror}"), None);
}

#[test]
fn after_a_hold_only_what_is_gone_from_here_or_from_every_store_may_be_missing() {
    let (mut chain, plan, object) = approved();
    let (first, second, late) =
        ("backup-1".parse().unwrap(), "backup-2".parse().unwrap(), "backup-3".parse().unwrap());
    let may_lack =
        |chain: &Chain, here: Option<&crate::id::MirrorId>| chain.course.may_lack(&id(2), here, chain.now());
    assert!(!chain.course.may_lack(&id(9), Some(&first), chain.now()), "no plan names it");
    assert!(may_lack(&chain, Some(&first)) && may_lack(&chain, None));
    state(&mut chain, "backup-2");
    chain.gone(&plan, &object, "one").unwrap();
    chain.gone(&plan, &object, "mirror:backup-1").unwrap();
    let hold = chain.hold();
    assert!(may_lack(&chain, Some(&first)), "it confirmed");
    assert!(!may_lack(&chain, Some(&second)), "gone elsewhere is not gone here");
    assert!(!may_lack(&chain, Some(&late)), "a store has it yet");
    assert!(!may_lack(&chain, None));
    chain.release(hold);
    chain.gone(&plan, &object, "two").unwrap();
    let hold = chain.hold();
    assert!(!may_lack(&chain, Some(&second)), "it said that it holds a copy");
    assert!(may_lack(&chain, Some(&late)), "nobody can give it a copy");
    assert!(!may_lack(&chain, None), "the copy may be the one of who did not confirm");
    chain.gone(&plan, &object, "mirror:backup-2").unwrap();
    assert!(may_lack(&chain, Some(&second)) && may_lack(&chain, None));
    chain.release(hold);
}

#[test]
fn whoever_could_hold_a_copy_before_the_stores_gave_theirs_up_must_confirm() {
    let (mut chain, plan, object) = approved();
    let digest = plan.digest();
    let texts = Object::Details(INCIDENT.parse().unwrap());
    let late = "backup-3".parse().unwrap();
    let must =
        |chain: &Chain, object: &Object, since| chain.course.must_confirm(&digest, object, &late, since);
    // Admitted after the approvals, while a hold stood: it could still get a copy.
    let hold = chain.hold();
    let between = chain.course.approved_at(&digest).unwrap() + 1;
    assert!(must(&chain, &object, between) && must(&chain, &texts, between));
    chain.release(hold);
    chain.gone(&plan, &object, "one").unwrap();
    assert_eq!(chain.course.left_stores(&digest, &object), None);
    chain.gone(&plan, &object, "two").unwrap();
    let end = chain.course.left_stores(&digest, &object).unwrap();
    assert!(must(&chain, &object, between) && must(&chain, &object, end - 1));
    assert!(!must(&chain, &object, end) && must(&chain, &texts, end));
    // A mirror that stated that it holds a copy must confirm, whenever it was admitted, and the certificate names it.
    state(&mut chain, "backup-3");
    assert!(must(&chain, &object, end));
    let certificate = chain.course.destruction(&BTreeSet::new()).unwrap();
    let waiting = certificate.plans[0].waiting.iter();
    let evidence: Vec<_> =
        waiting.filter(|one| one.object == object.to_string()).map(|one| one.mirror.as_str()).collect();
    assert_eq!(evidence, ["backup-1", "backup-3"]);
}

#[test]
fn a_text_goes_when_no_chain_that_names_it_keeps_it() {
    // Two incidents that name one text, both to be disposed of.
    let (mut one, plan, _) = approved();
    let (mut two, _, _) = approved();
    let stays = |chains: &[&Chain], text| {
        let claims = chains.iter().filter_map(|chain| chain.course.claim(&text, chain.now()));
        text_stays(false, claims)
    };
    assert!(!stays(&[&one, &two], id(1)), "each would wait for the other");
    assert!(text_stays(true, one.course.claim(&id(1), one.now())));
    let hold = two.hold();
    assert!(stays(&[&one, &two], id(1)));
    two.release(hold);
    let open = Chain::ready();
    assert!(stays(&[&one, &open], id(1)), "not approved there");
    // The reason of an approval, in whichever chain, stays for the certificate.
    assert!(stays(&[&one], id(50)));
    // Named again after the plan: it waits for the next plan.
    assert_eq!(one.course.claim(&id(77), one.now()), None);
    one.add(EntryType::EvidenceAccessed, &[], "", Some(id(1)));
    assert!(stays(&[&one], id(1)) && plan.details.contains(&id(1)));
    let next = one.course.plan(one.course.len());
    one.approve(&next, "ada").unwrap();
    one.approve(&next, "bob").unwrap();
    assert!(!stays(&[&one, &two], id(1)));
}
