//! The entries after the evidence: the end of the incident, two approvals, destruction store by store. A test can falsify each step.

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object};
use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use evidence::json;
use evidence::roster::Role;
use evidence::time::Time;

use super::*;

/// Ids of the collector's stores that hold the evidence.
pub const STORES: [&str; 2] = ["store-a", "store-b"];

/// Entries after those of the bundle, a minute apart.
pub struct Ending<'a> {
    pub drafts: &'a mut Vec<Draft>,
    minute: u32,
}

impl<'a> Ending<'a> {
    /// Closes the incident, and lets its retention end.
    pub fn of(drafts: &'a mut Vec<Draft>) -> Self {
        let mut ending = Self { drafts, minute: 31 };
        ending.person(EntryType::IncidentClosed, "alice", ALICE, &[]);
        ending.keep_until("11:00:00");
        ending
    }

    fn next_time(&mut self) -> String {
        self.minute += 1;
        format!("11:{:02}:00", self.minute)
    }

    /// Sets the retention to a time of the bundle's day.
    pub fn keep_until(&mut self, time: &str) {
        let until = at(time).to_string();
        self.person(EntryType::RetentionChanged, "bob", BOB, &[("until", &until)]);
    }

    pub fn act(
        &mut self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, &str)],
        make: impl FnOnce(&Draft) -> ActObject,
    ) -> Digest {
        let time = self.next_time();
        let mut draft = Draft::new(type_, chain, &time, [], |_| own_nothing());
        draft.refs = refs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        draft.refs.sort();
        draft.act = make(&draft);
        let event = draft.act.event();
        self.drafts.push(draft);
        event
    }

    /// Adds an act of a person about the incident.
    pub fn person(&mut self, type_: EntryType, by: &str, number: u8, refs: &[(&str, &str)]) -> Digest {
        let by = format!("person:{by}");
        self.act(type_, incident(), refs, |draft| draft.signed(&by, number))
    }

    /// Folds the incident's chain as it is now.
    fn course(&self) -> Course {
        let mut course = Course::new("acme".parse().unwrap(), INCIDENT.parse().unwrap());
        let of_incident = self.drafts.iter().filter(|draft| draft.chain == incident());
        for draft in of_incident {
            let act: Option<Act> = json::parse_document(&draft.act.document).ok();
            let entry = (0, draft.time, draft.type_, draft.act.event());
            fold(&mut course, entry, &draft.refs, act.as_ref(), false);
        }
        course
    }

    /// The plan of all entries so far.
    pub fn plan(&self) -> evidence::disposal::Plan {
        let course = self.course();
        course.plan(course.len())
    }

    pub fn approve(&mut self, plan: &evidence::disposal::Plan, by: &str, number: u8) -> Digest {
        let (digest, count) = (plan.digest().to_string(), plan.count.to_string());
        let refs = [("plan", digest.as_str()), ("count", count.as_str())];
        self.person(EntryType::DispositionApproved, by, number, &refs)
    }

    /// The plan of all entries so far, approved by bob and alice.
    pub fn approved(&mut self) -> evidence::disposal::Plan {
        let plan = self.plan();
        self.approve(&plan, "bob", BOB);
        self.approve(&plan, "alice", ALICE);
        plan
    }

    pub fn executed(&mut self, plan: &evidence::disposal::Plan, object: &Object, store: &str) -> Digest {
        let (digest, object) = (plan.digest().to_string(), object.to_string());
        let refs = [("plan", digest.as_str()), ("object", &object), ("count", "3"), ("store", store)];
        let collector = |draft: &Draft| own(&draft.act_by("collector:c1"));
        self.act(EntryType::DispositionExecuted, incident(), &refs, collector)
    }

    /// Adds a confirmation, signed by a mirror's act key.
    pub fn confirmed(
        &mut self,
        plan: &evidence::disposal::Plan,
        object: &Object,
        (mirror, number): (&str, u8),
    ) -> Digest {
        let (digest, object) = (plan.digest().to_string(), object.to_string());
        let refs = [("plan", digest.as_str()), ("object", &object), ("count", "3"), ("mirror", mirror)];
        let by = format!("mirror:{mirror}");
        let signed = |draft: &Draft| draft.signed(&by, number);
        self.act(EntryType::DispositionConfirmed, incident(), &refs, signed)
    }

    /// Adds the destruction of everything that a plan names, on each store.
    pub fn destroyed(&mut self, plan: &evidence::disposal::Plan) {
        for object in plan.objects() {
            for store in STORES {
                self.executed(plan, &object, store);
            }
        }
    }
}

fn own_nothing() -> ActObject {
    ActObject { document: vec![], signatures: vec![] }
}

/// Takes an entry whatever it says: an exporter who forges would fold like this.
fn fold(
    course: &mut Course,
    entry: (u64, Time, EntryType, Digest),
    refs: &[(String, String)],
    act: Option<&Act>,
    is_approver: bool,
) {
    let (index, time, type_, event) = entry;
    course.apply(&Fact {
        index,
        time,
        type_,
        event,
        refs,
        by: act.map(|act| &act.by),
        detail: act.and_then(|act| act.detail),
        is_approver,
    });
}

/// True if the person is an approver in the roster that is in force at an entry.
fn is_approver(files: &Files, published: &[(u64, String)], index: u64, act: &Act) -> bool {
    let version = published.iter().rfind(|(at, _)| *at < index).map(|(_, version)| version);
    let Some(document) = version.and_then(|version| files.get(&format!("deployment/roster-{version}.json")))
    else {
        return false;
    };
    let roster: Roster = json::parse_document(document).unwrap();
    let mut persons = roster.persons.iter();
    persons
        .any(|one| act.by == by_actor(&format!("person:{}", one.id)) && one.roles.contains(&Role::Approver))
}

/// Makes the certificate from the bundle's own entries, whether they are valid or not.
pub fn certificate(files: &Files) -> Option<Vec<u8>> {
    let mut course = Course::new("acme".parse().unwrap(), INCIDENT.parse().unwrap());
    let entry_of = |name: &str| {
        let proof = ledger::ProofFile::parse(&files[&name.replace(".entry", ".tlog-proof")]).unwrap();
        (proof.index(), Entry::parse(&files[name]).unwrap())
    };
    let names = files.keys().filter(|name| name.ends_with(".entry"));
    let (deployment, chain): (Vec<_>, Vec<_>) = names
        .filter(|name| name.starts_with("custody/"))
        .partition(|name| name.starts_with("custody/deployment/"));
    let mut deployment: Vec<(u64, Entry)> = deployment.into_iter().map(|name| entry_of(name)).collect();
    deployment.sort_by_key(|(index, _)| *index);
    let of = |type_: EntryType, name: &'static str| {
        let found = deployment.iter().filter(move |(_, entry)| entry.envelope.type_ == type_);
        found.map(move |(index, entry)| (*index, entry.envelope.reference(name).unwrap().to_owned()))
    };
    let published: Vec<(u64, String)> = of(EntryType::RosterPublished, "version").collect();
    for name in chain {
        let (index, entry) = entry_of(name);
        let act = entry.act.as_ref().and_then(|act| json::parse_document::<Act>(&act.document).ok());
        let envelope = &entry.envelope;
        let approver = act.as_ref().is_some_and(|act| is_approver(files, &published, index, act));
        let entry = (index, envelope.time, envelope.type_, envelope.event);
        fold(&mut course, entry, &envelope.refs, act.as_ref(), approver);
    }
    let retired = of(EntryType::MirrorRetired, "mirror").map(|(_, mirror)| mirror.parse().unwrap());
    Some(json::to_document(&course.destruction(&retired.collect())?).unwrap())
}

/// Leaves out the evidence of these collections, as after a disposal. The certificate repeats what the entries say.
pub fn without_evidence(files: &mut Files, collections: &[Digest]) {
    for id in collections {
        let folder = format!("evidence/{id}/");
        files.retain(|name, _| {
            !name
                .strip_prefix(&folder)
                .is_some_and(|file| file.starts_with("seals/") || file == "container.tar.zst")
        });
    }
    edit(files, "bundle.json", |overview: &mut Overview| {
        overview.collections.retain(|id| !collections.contains(id));
    });
    if let Some(bytes) = certificate(files) {
        files.insert("destruction.json".into(), bytes);
        files.insert("destruction.txt".into(), b"Certificate of destruction, for people.\n".to_vec());
    }
}

/// All collections of a bundle.
pub fn collections(files: &Files) -> Vec<Digest> {
    let overview: Overview = json::parse_document(&files["bundle.json"]).unwrap();
    overview.collections
}
