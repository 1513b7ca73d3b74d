//! A second person's word, and persons who leave the roster.

use evidence::order::Approval;
use lab::proxy::Seen;
use lab::{Lab, Options, attempt, run, wait_for};
use proto::v1::ApproveOrderRequest;
use testkit::orders;

use super::{count, refused, roster, said, small, timeline, verified, verified_by_strangers};
use crate::bad_input::{now, signed_by, wire};
use crate::faults::fixture;
use crate::field::{Field, Random};

const MIB: u64 = 1 << 20;

/// Nothing is there; that a plan names it makes the plan sensitive.
const PRIVATE: &str = "/etc/ssh/no-such-file";

fn state(field: &Field, order: &str) -> String {
    field.show(order).unwrap().row.unwrap().state
}

/// Orders that went to the endpoint.
fn delivered(field: &Field, order: &str) -> usize {
    let seen = field.proxy.seen();
    let is_it = |what: &Seen| matches!(what, Seen::Order { order: one } if one.to_string() == order);
    seen.iter().filter(|one| is_it(&one.what)).count()
}

fn decide(field: &Field, person: &str, verb: &str, order: &str) {
    run(field.lab.exhibit_as(person).args(["order", verb, order])).unwrap();
}

#[test]
fn a_sensitive_order_needs_another_persons_word() {
    let mut field = Field::with(&Options {
        authority: ["--two-persons", "sensitive"].map(str::to_owned).to_vec(),
        ..Options::default()
    })
    .unwrap();
    // Now alice has every role it takes, and still is one person.
    roster(&field.lab, 2, &["--add", "alice=responder,approver,endpoint-admin,auditor"]);
    field.lab.log_in("bob").unwrap();
    let profile = small(&field.lab, &[PRIVATE]);
    let incident = field.incident().unwrap();

    let order = field.order(&incident, &profile, &[]).unwrap();
    assert_eq!(state(&field, &order), "awaiting-approval");
    let own = attempt(field.lab.exhibit().args(["order", "approve", &order])).unwrap();
    let (code, text) = said(&own);
    assert_eq!(code, Some(64), "{text}");
    let approval = Approval {
        deployment: "lab".parse().unwrap(),
        approver: "alice".parse().unwrap(),
        ..orders::approval(order.parse().unwrap(), now())
    };
    let approval = wire(&signed_by(&approval, &field.lab.path("admin/keys/alice")));
    let own = field
        .block(async |channel| {
            let request = ApproveOrderRequest { approval };
            proto::service::order_client(channel).approve_order(request).await
        })
        .map(drop)
        .expect_err("alice approves her own order");
    assert!(own.to_string().contains("another person"), "{own}");
    assert_eq!(state(&field, &order), "awaiting-approval");
    println!(
        "tried: alice, responder and approver, approving her own order, by CLI and at the wire; got: exit 64, then {own}"
    );

    // Rejected first: by now an endpoint that gets what it should not would have got it.
    let rejected = field.order(&incident, &profile, &[]).unwrap();
    decide(&field, "bob", "reject", &rejected);
    assert_eq!(state(&field, &rejected), "rejected");
    let late = refused(field.lab.exhibit_as("bob").args(["order", "approve", &rejected]), "rejected already");
    assert_eq!(delivered(&field, &order) + delivered(&field, &rejected), 0);
    decide(&field, "bob", "approve", &order);
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    assert_eq!(delivered(&field, &rejected), 0);
    let types = timeline(&field.lab, &incident);
    assert_eq!(
        ["order.issued", "order.approved", "order.rejected", "collection.stored"]
            .map(|one| count(&types, one)),
        [2, 1, 1, 1],
        "{types:?}"
    );
    println!(
        "tried: two sensitive orders, bob approves one and rejects one; got: the first waited, ran and is stored, the second never reached the endpoint ({late})"
    );

    let dir = field.lab.path("noise");
    for number in 0..64 {
        fixture::noise(&dir.join(number.to_string()), 1, &mut Random::new(number));
    }
    let glob = format!("{}/**", dir.display());
    let long = field.lab.files_profile("long", &[PRIVATE, &glob]).unwrap();
    field.proxy.limit(Some(4 * MIB));
    let cancelled = field.order(&incident, &long, &["--attempts", "3"]).unwrap();
    decide(&field, "bob", "approve", &cancelled);
    wait_for("a segment", || {
        let rows = field.show(&cancelled)?.attempts;
        Ok(rows.into_iter().find(|row| row.segments > 0).map(drop))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    for role in ["__reader", "__sealer"] {
        assert!(!field.agent().children(role).unwrap().is_empty(), "{role}");
    }
    run(field.lab.exhibit().args(["order", "cancel", &cancelled])).unwrap();
    wait_for("reader and sealer ended", || {
        let reader = field.agent().children("__reader")?;
        let sealer = field.agent().children("__sealer")?;
        Ok((reader.is_empty() && sealer.is_empty()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    let ended = field.wait_ended(&cancelled).unwrap();
    assert_eq!((ended.state.as_str(), ended.attempt), ("interrupted", 1), "{}", ended.detail);
    assert_eq!(state(&field, &cancelled), "cancelled");
    field.proxy.limit(None);
    // The endpoint is free for the next order, and does not come back to this one.
    let next = field.order(&incident, &profile, &[]).unwrap();
    decide(&field, "bob", "approve", &next);
    assert_eq!(field.wait_ended(&next).unwrap().state, "stored", "{}", field.logs());
    assert_eq!(field.show(&cancelled).unwrap().attempts.len(), 1);
    let types = timeline(&field.lab, &incident);
    assert_eq!(
        ["order.cancelled", "collection.interrupted", "collection.stored"].map(|one| count(&types, one)),
        [1, 1, 2],
        "{types:?}"
    );
    assert_eq!(verified(&field.lab, &incident), 3);
    verified_by_strangers(&field.lab, &incident);
    println!(
        "tried: cancelling an approved order after {} segments; got: reader and sealer ended, collection.interrupted, no second attempt, and the bundle of all verifies",
        ended.segments
    );
}

#[test]
fn who_left_the_roster_is_out_at_once_and_stays_out() {
    let mut lab = Lab::with(&Options {
        authority: ["--person", "carol=responder"].map(str::to_owned).to_vec(),
        ..Options::default()
    })
    .unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    lab.log_in("bob").unwrap();
    lab.log_in("carol").unwrap();
    let profile = small(&lab, &[]);
    let incident = lab.incident().unwrap();
    let order = |lab: &Lab| {
        let mut order = lab.exhibit_as("carol");
        order.args(["collect", "--incident", &incident, "--on", "web-03", "--purpose", "test"]);
        order.args(["--wait", "--profile"]).arg(&profile);
        order
    };
    run(&mut order(&lab)).unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));

    roster(&lab, 2, &["--remove", "bob", "--remove", "carol"]);
    let session = refused(lab.exhibit_as("bob").args(["order", "list"]), "certificate was revoked");
    let ordering = refused(&mut order(&lab), "certificate was revoked");
    let login = refused(lab.exhibit_as("bob").arg("login"), "ask the admins");
    println!(
        "tried: bob and carol removed from the roster while logged in; got: read: {session}; order: {ordering}; login: {login}"
    );
    assert!(lab.stop_server().unwrap());
    lab.start_server().unwrap();
    let again = refused(&mut order(&lab), "needs role responder");
    let cat = ["evidence", "cat", "00000000", "/x", "--purpose", "x"];
    let reading = refused(lab.exhibit_as("bob").args(cat), "needs role responder");
    assert_eq!(verified(&lab, &incident), 1, "what carol ordered in her time holds");
    verified_by_strangers(&lab, &incident);
    println!("tried: their sessions after a restart of the collector; got: order: {again}; read: {reading}");

    let key = lab.path("admin/keys/carol.pub");
    roster(&lab, 3, &["--add", &format!("carol=responder:{}", key.display())]);
    run(lab.exhibit_as("carol").arg("login")).unwrap();
    lab.wait_connected("web-03").unwrap();
    run(&mut order(&lab)).unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));
    assert_eq!(verified(&lab, &incident), 2);
    println!(
        "tried: carol back in roster 3; got: she logs in and orders, and the bundle with both her orders verifies"
    );
}
