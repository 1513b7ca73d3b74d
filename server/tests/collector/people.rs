//! Persons and endpoints: logins, roles, incidents, orders with two persons, delivery, rosters, enrolment's rules.

use evidence::admission::{Memory, Package, Pins, Proven, admit};
use evidence::digest::Digest;
use evidence::enrolment::{Renewal, RenewalType};
use evidence::entry::EntryType;
use evidence::id::{Chain, Generation};
use evidence::order::*;
use evidence::roster::{Roster, RosterFloor};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use proto::parts::join;
use proto::v1::attend_request::Message as Up;
use proto::v1::attend_response::Message as Down;
use proto::{convert, service, v1};
use testkit::clock::later;
use testkit::{orders, people};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::container::*;
use crate::lab::*;

/// A standing call.
pub struct Call {
    pub requests: mpsc::Sender<v1::AttendRequest>,
    answers: Streaming<v1::AttendResponse>,
}

impl Call {
    pub async fn attend(lab: &Collector, endpoint: &Endpoint, checkpoint_size: u64, starts: u64) -> Self {
        let channel = lab.connect(&endpoint.credentials).await;
        let (requests, stream) = mpsc::channel(4);
        let hello = v1::Hello {
            boot_id: "boot".into(),
            state_generation: starts,
            checkpoint_size,
            roster_version: lab.roster.read::<Roster>().unwrap().version,
            wall: "1800000000.000000000".into(),
            ..Default::default()
        };
        requests.send(v1::AttendRequest { message: Some(Up::Hello(hello)) }).await.unwrap();
        let answers =
            service::agent_client(channel).attend(ReceiverStream::new(stream)).await.unwrap().into_inner();
        let mut call = Self { requests, answers };
        assert!(matches!(call.hear().await, Some(Down::Welcome(_))));
        call
    }

    async fn hear(&mut self) -> Option<Down> {
        let heard = tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("in time");
        heard.ok().flatten().and_then(|response| response.message)
    }

    async fn order(&mut self) -> v1::OrderPackage {
        match self.hear().await {
            Some(Down::Order(package)) => package,
            other => panic!("{other:?}"),
        }
    }
}

/// Judges a package exactly as a warden does.
fn admitted(lab: &Collector, endpoint: &Endpoint, package: &v1::OrderPackage) -> Order {
    let bytes = |document: &v1::SignedDocument| Signed::try_from(document.clone()).unwrap().encode();
    let order = bytes(package.order.as_ref().unwrap());
    let approvals: Vec<Vec<u8>> = package.approvals.iter().map(bytes).collect();
    let rosters: Vec<Vec<u8>> = package.rosters.iter().map(bytes).collect();
    let order_document: Order = Signed::parse(&order).unwrap().read().unwrap();
    let proven = |proven: &'_ v1::ProvenEntry| (proven.entry.clone(), proven.proof.clone());
    let issued = proven(package.issued.as_ref().unwrap());
    let approved: Vec<_> = package.approved.iter().map(proven).collect();
    let hashes = convert::hashes("target_proof", &package.target_proof).unwrap();
    let parsed = Package {
        order: &order,
        rosters: rosters.iter().map(Vec::as_slice).collect(),
        approvals: approvals.iter().map(Vec::as_slice).collect(),
        target: TargetProof {
            index: package.target_index,
            count: order_document.targets_count,
            proof: hashes.into_iter().map(Digest::from).collect(),
        },
        issued: Proven { entry: &issued.0, proof: &issued.1 },
        approved: approved.iter().map(|(entry, proof)| Proven { entry, proof }).collect(),
        consistency: convert::hashes("consistency", &package.consistency).unwrap(),
    };
    let (target, policy, set) = (endpoint.target(), lab.policy(), authority());
    let deployment = DEPLOYMENT.parse().unwrap();
    let pins = Pins { deployment: &deployment, authority: &set, log: &policy, target: &target };
    let memory = Memory {
        roster: Some(&endpoint.accepted.roster),
        roster_floor: RosterFloor { version: 1, digest: None },
        clock_floor: Time::EPOCH,
        checkpoint: Some(&endpoint.accepted.checkpoint),
    };
    admit(&parsed, &pins, &memory, now()).unwrap().order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_needs_two_persons_goes_out_only_when_a_second_one_approved() {
    let lab = start();
    let (ada, bob) = (lab.login("ada", ADA).await, lab.login("bob", BOB).await);
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    let size = web.accepted.checkpoint.size;
    let mut call = Call::attend(&lab, &web, size, 1).await;
    let (_, signed) = issue(&lab, &ada, &incident, &web, plan(true)).await;
    // Each order that goes out makes the collector look at all of them: the unapproved one would have come before the second.
    for _ in 0..2 {
        let (_, other) = issue(&lab, &ada, &incident, &web, plan(false)).await;
        let sent = Signed::try_from(call.order().await.order.unwrap()).unwrap().digest();
        assert_eq!(sent, other.digest(), "an unapproved order went out");
    }

    let decide = |approver: &str, session: &Session, decision| {
        let approver = approver.parse().unwrap();
        let approval = Approval { approver, decision, ..orders::approval(signed.digest(), now()) };
        v1::ApproveOrderRequest { approval: Some(sign(&approval, &[&session.key]).into()) }
    };
    let mut of_ada = service::order_client(ada.channel.clone());
    let status = of_ada.approve_order(decide("ada", &ada, Decision::Approve)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "the issuer is no approver");
    let mut of_bob = service::order_client(bob.channel.clone());
    let status = of_bob.approve_order(decide("bob", &ada, Decision::Approve)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "signed by another person than it names");
    of_bob.approve_order(decide("bob", &bob, Decision::Approve)).await.unwrap();

    let package = call.order().await;
    assert_eq!(package.consistency_from, size);
    assert_eq!(admitted(&lab, &web, &package).incident.to_string(), incident);
    let status = of_bob.approve_order(decide("bob", &bob, Decision::Reject)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "a decision is made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_sent_again_until_answered_and_its_progress_is_watched_to_the_end() {
    let mut lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    let (order, signed) = issue(&lab, &ada, &incident, &web, plan(false)).await;
    let mut call = Call::attend(&lab, &web, 0, 1).await;
    assert_eq!(admitted_without_memory(&call.order().await), signed.digest());
    drop(call);
    lab.kill();
    lab.start();
    let channel = lab.connect(&ada.credentials).await;
    let request = v1::ShowOrderRequest { order: signed.digest().to_string()[..8].to_owned() };
    let mut watch = service::order_client(channel.clone()).watch_order(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().attempts[0].state, "waiting");

    let mut call = Call::attend(&lab, &web, 0, 2).await;
    call.order().await;
    let attempt = attempt(&web, &signed, 1);
    let answer = v1::OrderAnswer {
        order: signed.digest().to_string(),
        admitted: true,
        attempt: 1,
        delegation: Some((&attempt.delegation).into()),
        ..Default::default()
    };
    call.requests.send(v1::AttendRequest { message: Some(Up::Answer(answer)) }).await.unwrap();
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    let mut next = async || tokio::time::timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
    // A watch reports the newest state and may leave out one between: wait for this one before the upload ends.
    while next().await.attempts[0].state != "running" {}
    upload.finish(&attempt, 0, &web, &order).await;
    let last = loop {
        let progress = next().await;
        if progress.finished {
            break progress;
        }
    };
    assert_eq!(last.attempts[0].state, "stored");
    assert_eq!(last.row.unwrap().state, "done");
    let request = v1::ListEndpointsRequest::default();
    let endpoints = join(service::endpoint_client(channel).list_endpoints(request).await).await.unwrap();
    let row = &endpoints.endpoints[0];
    assert!(row.connected && row.warning.is_empty());

    // A restored snapshot: the count of starts goes back.
    let _again = Call::attend(&lab, &web, 0, 1).await;
    assert!(lab.log().contains("Clone alarm"));
}

fn admitted_without_memory(package: &v1::OrderPackage) -> Digest {
    Signed::try_from(package.order.clone().unwrap()).unwrap().digest()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_recorded_with_its_reason_and_a_cancellation_ends_the_upload() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    let mut call = Call::attend(&lab, &web, 0, 1).await;
    let (_, refused) = issue(&lab, &ada, &incident, &web, plan(false)).await;
    call.order().await;
    let answer = v1::OrderAnswer {
        order: refused.digest().to_string(),
        reason: "policy".into(),
        detail: "owner denies /var/secret".into(),
        ..Default::default()
    };
    call.requests.send(v1::AttendRequest { message: Some(Up::Answer(answer)) }).await.unwrap();
    let mut orders = service::order_client(ada.channel.clone());
    let request = v1::ShowOrderRequest { order: refused.digest().to_string() };
    let mut shown = v1::ShowOrderResponse::default();
    wait::until_async("the refusal", async || {
        shown = orders.show_order(request.clone()).await.unwrap().into_inner();
        shown.attempts[0].state == "refused"
    })
    .await;
    assert_eq!((shown.attempts[0].detail.as_str(), shown.row.unwrap().state.as_str()), ("policy", "done"));

    let (_, signed) = issue(&lab, &ada, &incident, &web, plan(false)).await;
    call.order().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    upload.position().await;
    let chain = Chain::Incident(incident.parse().unwrap());
    let act = ada.act(EntryType::OrderCancelled, chain, &[("order", signed.digest().to_string())], &[], None);
    service::incident_client(ada.channel.clone()).record_act(act).await.unwrap();
    assert!(
        matches!(call.hear().await, Some(Down::Cancel(cancel)) if cancel.order == signed.digest().to_string())
    );
    assert!(matches!(upload.hear().await, Said::Ended));
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    assert!(matches!(upload.hear().await, Said::Rejected(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_decide_who_may_call_and_what_counts_is_the_signature() {
    let lab = start();
    let (ada, dan) = (lab.login("ada", ADA).await, lab.login("dan", DAN).await);
    let mut of_dan = service::incident_client(dan.channel.clone());
    assert_eq!(
        of_dan.open_incident(dan.opening("INC-2026-0001")).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    // An auditor's signature through a responder's session is no responder's act.
    let mut of_ada = service::incident_client(ada.channel.clone());
    assert_eq!(
        of_ada.open_incident(dan.opening("INC-2026-0001")).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    let opening = ada.opening("INC-2026-0001");
    of_ada.open_incident(opening.clone()).await.unwrap();
    of_ada.open_incident(opening).await.expect("the same act again is the same entry");
    let status = of_ada.open_incident(ada.opening("INC-2026-0001")).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);

    let chain = Chain::Incident("INC-2026-0001".parse().unwrap());
    let mut note = ada.act(EntryType::IncidentNoted, chain.clone(), &[], &[], Some("Called the owner"));
    of_ada.record_act(note.clone()).await.unwrap();
    note = ada.act(EntryType::IncidentNoted, chain.clone(), &[], &[], Some("Called the owner"));
    note.detail = b"another text".to_vec().into();
    assert_eq!(of_ada.record_act(note).await.unwrap_err().code(), Code::InvalidArgument);
    let request = v1::ShowIncidentRequest { incident: "INC-2026-0001".into() };
    let shown = join(of_ada.show_incident(request).await).await.unwrap();
    assert_eq!(shown.incident.unwrap().title, "Odd logins on web-03");
    let summaries: Vec<_> = shown.timeline.iter().map(|row| row.summary.as_str()).collect();
    assert!(summaries.contains(&"Called the owner"), "{summaries:?}");

    let close = ada.act(EntryType::IncidentClosed, chain.clone(), &[], &[], None);
    of_ada.record_act(close).await.unwrap();
    let web = ada.enrol(&lab, "web-03", 1).await;
    let targets = TargetSet::new(vec![web.target()]).unwrap();
    let order = sign(&order(&lab, "INC-2026-0001", &targets, plan(false)), &[&ada.key]);
    let request = v1::IssueOrderRequest { order: Some(order.into()), targets: leaves(&targets) };
    let status = service::order_client(ada.channel.clone()).issue_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "the incident is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_enrols_once_a_new_generation_cuts_the_old_and_retirement_ends_it() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    // The answer got lost: the same enrolment again.
    let mut strangers = service::enrol_client(lab.stranger().await);
    let (signed, csr) = &web.request;
    let again = v1::EnrolRequest { enrolment: Some(signed.into()), csr: csr.clone().into() };
    strangers.enrol(again.clone()).await.unwrap();

    let renewal_key = certs::key::TlsKey::generate().unwrap();
    let csr = renewal_key.request(&[1; 16]).unwrap();
    let renewal = Renewal {
        type_: RenewalType,
        deployment: DEPLOYMENT.parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: Generation::FIRST,
        csr_sha256: Digest::of(&csr),
        tls_spki_sha256: renewal_key.public().spki_sha256(),
        nonce: FixedBytes([1; 16]),
        at: now(),
    };
    let signed = sign(&renewal, &[&web.evidence]);
    let request = v1::RenewRequest { renewal: Some((&signed).into()), csr: csr.into() };
    let mut agent = service::agent_client(lab.connect(&web.credentials).await);
    assert_eq!(agent.renew(request.clone()).await.unwrap().into_inner().certificates.len(), 2);
    assert_eq!(strangers.renew_expired(request).await.unwrap().into_inner().certificates.len(), 2);
    // The enrolment, replayed after a renewal, does not bring its older key back.
    assert_eq!(strangers.enrol(again).await.unwrap_err().code(), Code::FailedPrecondition);

    let mut call = Call::attend(&lab, &web, 0, 1).await;
    let second = ada.enrol(&lab, "web-03", 2).await;
    assert!(call.hear().await.is_none(), "the older generation is cut off");
    let _call = Call::attend(&lab, &second, 0, 1).await;
    let refs = [("endpoint", "web-03".to_owned()), ("generation", "2".to_owned())];
    let retire = ada.act(EntryType::EndpointRetired, Chain::Deployment, &refs, &[], None);
    service::incident_client(ada.channel.clone()).record_act(retire).await.unwrap();
    let channel = try_connect(&lab, &second).await;
    assert!(channel.is_none(), "a retired endpoint is not let in");
}

async fn try_connect(lab: &Collector, endpoint: &Endpoint) -> Option<tonic::transport::Channel> {
    let expected = certs::tls::Expected::deployment(DEPLOYMENT.parse().unwrap());
    let ca = endpoint.credentials.chain.last().unwrap();
    let config = certs::tls::client(ca, Some(&endpoint.credentials), expected).unwrap();
    let channel = certs::connect::connect(&lab.address("collector"), config).await.ok()?;
    // TLS 1.3 tells a client only at its first read that its certificate is refused.
    let (_requests, stream) = mpsc::channel::<v1::AttendRequest>(1);
    service::agent_client(channel.clone()).attend(ReceiverStream::new(stream)).await.ok().map(|_| channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_roster_comes_into_force_while_running_and_who_left_is_out() {
    let lab = start();
    let (ada, bob) = (lab.login("ada", ADA).await, lab.login("bob", BOB).await);
    let without_bob = persons().into_iter().filter(|person| person.id.as_str() != "bob").collect();
    let next = lab.next_roster(without_bob);
    assert_eq!(lab.publish(&next, 66).status.code(), Some(2), "not the authority");
    let skipping = Roster { version: next.version + 1, ..next.clone() };
    assert_eq!(lab.publish(&skipping, AUTHORITY).status.code(), Some(2), "not the next version");
    let output = lab.publish(&next, AUTHORITY);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let answer =
        service::endpoint_client(ada.channel.clone()).deployment(v1::DeploymentRequest {}).await.unwrap();
    assert_eq!(answer.into_inner().rosters.len(), 3);
    let gone = service::endpoint_client(bob.channel.clone()).deployment(v1::DeploymentRequest {}).await;
    assert!(gone.is_err(), "bob left the roster");
}

/// A roster lives at most 90 days. What a running collector does on the day after: here a roster of ten seconds ends.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_roster_has_ended_everybody_reads_and_nobody_orders_until_the_next_one() {
    let mut lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    let short = Roster { not_after: later(10), ..lab.next_roster(persons()) };
    let output = lab.publish(&short, AUTHORITY);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lab.roster = people::sign(&short, &[AUTHORITY]);
    let mut call = Call::attend(&lab, &web, 0, 1).await;

    let targets = TargetSet::new(vec![web.target()]).unwrap();
    let mut orders = service::order_client(ada.channel.clone());
    let mut issue = async |lab: &Collector| {
        let order = sign(&order(lab, &incident, &targets, plan(false)), &[&ada.key]);
        let request = v1::IssueOrderRequest { order: Some(order.into()), targets: leaves(&targets) };
        orders.issue_order(request).await
    };
    wait::until("the end of the roster", || now() > short.not_after);
    let ended = issue(&lab).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition);
    assert!(ended.message().contains("expired") && ended.message().contains("newer one"), "{ended:?}");

    // Evidence and custody stay within reach: sessions, logins, lists, notes, endpoints.
    let bob = lab.login("bob", BOB).await;
    let show = v1::ShowIncidentRequest { incident: incident.clone() };
    join(service::incident_client(bob.channel.clone()).show_incident(show).await).await.unwrap();
    let chain = Chain::Incident(incident.parse().unwrap());
    let note = ada.act(EntryType::IncidentNoted, chain, &[], &[], Some("The roster has ended"));
    service::incident_client(ada.channel.clone()).record_act(note).await.unwrap();
    assert!(web_is_connected(&ada).await);

    // The next roster may come late. It opens the way again, on the calls that stand.
    let next = lab.next_roster(persons());
    let output = lab.publish(&next, AUTHORITY);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lab.roster = people::sign(&next, &[AUTHORITY]);
    issue(&lab).await.unwrap();
    call.order().await;
}

async fn web_is_connected(session: &Session) -> bool {
    let request = v1::ListEndpointsRequest { endpoint: "web-03".to_owned() };
    let answer = service::endpoint_client(session.channel.clone()).list_endpoints(request).await;
    join(answer).await.unwrap().endpoints.iter().any(|row| row.connected)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_proven_to_whoever_asks_and_metrics_are_on_their_page() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    ada.open_incident().await;
    let mut client = service::ledger_client(ada.channel.clone());
    let checkpoint = client.checkpoint(v1::CheckpointRequest {}).await.unwrap().into_inner().checkpoint;
    let head = lab.policy().verify_checkpoint(&checkpoint).unwrap().checkpoint;
    for index in 0..head.size {
        let request = v1::ProveRequest { what: Some(v1::prove_request::What::Index(index)), cosigned: false };
        proven(&lab, &client.prove(request).await.unwrap().into_inner());
    }
    let request = v1::ConsistencyRequest { from: 1, to: head.size };
    let answer = client.consistency(request).await.unwrap().into_inner();
    assert!(!answer.proof.is_empty());
    let too_far = v1::ConsistencyRequest { from: 1, to: head.size + 99 };
    assert_eq!(client.consistency(too_far).await.unwrap_err().code(), Code::OutOfRange);
    let mut stream = client.fsck(v1::FsckRequest { evidence: true }).await.unwrap().into_inner();
    let report = stream.message().await.unwrap().unwrap();
    assert!(report.finished && report.problems.is_empty(), "{report:?}");

    let page = std::process::Command::new("curl")
        .args(["-s", "--fail", &format!("http://{}/metrics", lab.address("metrics"))])
        .output()
        .unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("exhibit_ledger_entries_total"), "{page}");
}
