//! Several endpoints at one collector: three uploads while every flush is slow, and two orders over a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lab::proxy::{Proxy, Seen, Timed, acknowledged};
use lab::{Lab, rows, run, text, wait_for};
use serde_json::Value;

use super::{fixture, line};
use crate::durability::{can_trace, trace};
use crate::field::{Random, lost};

const MIB: u64 = 1 << 20;

/// How long each flush of the collector is held up. An upload of two segments then takes several seconds.
const FLUSH_DELAY: Duration = Duration::from_millis(500);

/// Segments that an agent may have sent without an acknowledgement (ARCHITECTURE.md, Limits).
const WINDOW: u64 = 3;

/// A collector and several endpoints with their agents, each behind a proxy of its own.
struct Crowd {
    // Dropped first: the agents end before what they talk to.
    lab: Lab,
    proxies: BTreeMap<&'static str, Proxy>,
}

impl Crowd {
    fn new(names: &[&'static str]) -> Self {
        let mut crowd = Self { lab: Lab::new().unwrap(), proxies: BTreeMap::new() };
        for name in names {
            let proxy = Proxy::start(&crowd.lab, name).unwrap();
            let token = crowd.lab.token(name, &["--address", &proxy.address()]).unwrap();
            run(crowd
                .lab
                .tool("exhibit-agent")
                .args(["enrol", "--token", &token, "--state"])
                .arg(crowd.lab.state(name)))
            .unwrap();
            crowd.lab.start_agent(name, &[]).unwrap();
            crowd.proxies.insert(name, proxy);
        }
        crowd
    }

    /// A profile that collects `mib` MiB of noise.
    fn profile(&self, mib: usize) -> PathBuf {
        let dir = self.lab.path("fixture");
        fixture::noise(&dir, mib, &mut Random::new(41));
        self.lab.files_profile("crowd", &[&format!("{}/**", dir.display())]).unwrap()
    }

    /// Issues an order of one attempt to all endpoints. Returns its id.
    fn order(&self, incident: &str, profile: &Path) -> String {
        let names: Vec<&str> = self.proxies.keys().copied().collect();
        let output = run(self
            .lab
            .exhibit()
            .args(["--json", "collect", "--incident", incident, "--on", &names.join(",")])
            .args(["--purpose", "test", "--no-wait", "--attempts", "1", "--profile"])
            .arg(profile))
        .unwrap();
        text(&serde_json::from_slice(&output.stdout).unwrap(), "order").unwrap()
    }

    /// Waits until an order has stored a collection of each endpoint at the first attempt.
    fn wait_stored(&self, order: &str) {
        for name in self.proxies.keys() {
            let row = wait_for(&format!("the end of {order} on {name}"), || {
                let shown = self.lab.json(&["order", "show", order])?;
                let attempts = rows(shown.get("attempts").unwrap_or(&Value::Null));
                let row = attempts.into_iter().find(|row| row["endpoint"] == *name);
                Ok(row
                    .filter(|row| !["waiting", "sent", "running"].contains(&row["state"].as_str().unwrap())))
            })
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.lab.logs()));
            assert_eq!(
                (&row["state"], &row["attempt"]),
                (&"stored".into(), &1.into()),
                "{row}\n{}",
                self.lab.logs()
            );
        }
    }

    /// Checks what the proxies saw: every upload went on where the collector was, and everything acknowledged is in both stores.
    /// Returns the number of upload calls.
    fn check_uploads(&self) -> usize {
        let mut calls = 0;
        for (name, proxy) in &self.proxies {
            for (collection, seen) in by_collection(&proxy.seen()) {
                let (uploads, _) = line::assert_resumed(&seen);
                assert!(
                    window(&seen) <= WINDOW,
                    "{name} sent {} segments ahead in {collection}",
                    window(&seen)
                );
                let acknowledged = acknowledged(&seen).unwrap();
                let stores = [self.lab.path("store-a"), self.lab.path("store-b")];
                assert_eq!(lost(&stores, &acknowledged), Vec::<String>::new());
                calls += uploads;
            }
        }
        calls
    }
}

/// The uploads that a proxy saw, by collection.
fn by_collection(seen: &[Timed]) -> BTreeMap<String, Vec<Timed>> {
    let mut found: BTreeMap<String, Vec<Timed>> = BTreeMap::new();
    for one in seen {
        if let Seen::Upload { collection }
        | Seen::Sent { collection, .. }
        | Seen::Position { collection, .. }
        | Seen::Stored { collection } = &one.what
        {
            found.entry(collection.clone()).or_default().push(one.clone());
        }
    }
    found
}

/// The most segments that were on their way without an acknowledgement.
fn window(seen: &[Timed]) -> u64 {
    let (mut acknowledged, mut largest) = (0, 0);
    for one in seen {
        match one.what {
            Seen::Position { next_index, .. } => acknowledged = next_index,
            Seen::Sent { index, .. } => largest = largest.max(index + 1 - acknowledged),
            _ => {}
        }
    }
    largest
}

#[test]
fn three_uploads_at_once_are_stored_though_every_flush_is_slow() {
    if !can_trace("three_uploads_at_once_are_stored_though_every_flush_is_slow") {
        return;
    }
    let mut crowd = Crowd::new(&["app-01", "db-01", "web-03"]);
    let profile = crowd.profile(34);
    let incident = crowd.lab.incident().unwrap();
    let pid = crowd.lab.server().unwrap().pid();
    let mut tracer = trace(pid, &crowd.lab.path("trace"), FLUSH_DELAY);
    let order = crowd.order(&incident, &profile);
    crowd.wait_stored(&order);
    tracer.terminate().unwrap();

    // One call for each collection: no line was given up, no lease ran out, nothing was sent again.
    assert_eq!(crowd.check_uploads(), 3);
    let (mut begun, mut stored, mut ahead): (Vec<SystemTime>, Vec<SystemTime>, u64) = Default::default();
    for proxy in crowd.proxies.values() {
        let seen = proxy.seen();
        let at = |wanted: fn(&Seen) -> bool| {
            proxy.begun() + seen.iter().find(|one| wanted(&one.what)).expect("it was seen").at
        };
        begun.push(at(|what| matches!(what, Seen::Upload { .. })));
        stored.push(at(|what| matches!(what, Seen::Stored { .. })));
        ahead = ahead.max(window(&seen));
    }
    assert!(begun.iter().max() < stored.iter().min(), "the uploads were not at once: {begun:?} {stored:?}");
    assert!(ahead >= 2, "nobody was held back");
    assert_eq!(crowd.lab.last_collection(&incident).unwrap()["copies"], 2);
    println!(
        "tried: three uploads at once to a collector whose every flush takes {FLUSH_DELAY:?} longer; got: all stored at the first attempt, one call each, at most {ahead} segments ahead"
    );
}

#[test]
fn two_endpoints_and_two_orders_go_on_over_a_restart_of_the_collector() {
    let mut crowd = Crowd::new(&["db-01", "web-03"]);
    let profile = crowd.profile(48);
    let incident = crowd.lab.incident().unwrap();
    for proxy in crowd.proxies.values() {
        proxy.limit(Some(16 * MIB));
    }
    let orders = [crowd.order(&incident, &profile), crowd.order(&incident, &profile)];
    for proxy in crowd.proxies.values() {
        wait_for("segments of both endpoints", || {
            let reached = |what: &Seen| matches!(what, Seen::Position { next_index: 2.., .. });
            Ok(proxy.seen().iter().any(|one| reached(&one.what)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:?}\n{}", crowd.lab.logs()));
    }
    crowd.lab.kill_server().unwrap();
    crowd.lab.start_server().unwrap();
    for proxy in crowd.proxies.values() {
        proxy.limit(None);
    }
    for order in &orders {
        crowd.wait_stored(order);
    }
    let calls = crowd.check_uploads();
    assert!(calls >= 6, "the collections that ran were not cut: {calls} calls for 4 of them");

    let listed = rows(&crowd.lab.json(&["collection", "list", "--incident", &incident]).unwrap());
    let mut found: Vec<(String, String)> =
        listed.iter().map(|row| (text(row, "order").unwrap(), text(row, "endpoint").unwrap())).collect();
    found.sort();
    let mut expected: Vec<(String, String)> = orders
        .iter()
        .flat_map(|order| crowd.proxies.keys().map(|name| (order.clone(), (*name).to_owned())))
        .collect();
    expected.sort();
    assert_eq!(found, expected, "each order has one collection of each endpoint");
    run(crowd.lab.exhibit().args(["ledger", "fsck", "--evidence"])).unwrap();
    let bundle = crowd.lab.export(&incident).unwrap();
    let report = crowd.lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!(
        "tried: SIGKILL of the collector while two endpoints obey two orders; got: four collections at the first attempt in {calls} upload calls, and a bundle that verifies"
    );
}
