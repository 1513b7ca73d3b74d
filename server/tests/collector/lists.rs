//! Lists that no single message holds: the endpoints and collections of a large deployment, and a timeline of long notes.

use evidence::entry::EntryType;
use evidence::entry::detail::TEXT_BYTES_MAX;
use evidence::id::Chain;
use proto::limits::RESPONSE_BYTES_MAX;
use proto::parts::join;
use proto::v1::attend_request::Message as Up;
use proto::{service, v1};
use rusqlite::Connection;

use crate::lab::*;
use crate::people::Call;

const ENDPOINTS: usize = 10_000;

/// Gives the deployment 10,000 endpoints more, like `web-03`, each with eight collections. The collector only lists these rows: no
/// entry of its ledger stands behind them.
fn enlarge(lab: &Collector, incident: &str) {
    let db = Connection::open(lab.path("server/exhibit.db")).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
    db.execute(
        &format!(
            "{numbers} INSERT INTO endpoints SELECT printf('host-%05d', i), generation, state, token, evidence_key,
                 fingerprint, tls_spki_sha256, enrolled, idx FROM n, endpoints WHERE endpoint = 'web-03'"
        ),
        [ENDPOINTS],
    )
    .unwrap();
    db.execute(
        &format!(
            "{numbers} INSERT INTO collections (id, incident, order_id, endpoint, generation, attempt, delegation, sealer,
                 state, begun, ended, started_idx)
             SELECT randomblob(32), ?2, randomblob(32), printf('host-%05d', 1 + i % ?3), 1, 1, randomblob(32), evidence_key,
                 'interrupted', enrolled, enrolled, 0 FROM n, endpoints WHERE endpoint = 'web-03'"
        ),
        (8 * ENDPOINTS, incident, ENDPOINTS),
    )
    .unwrap();
}

async fn endpoints(session: &Session, name: &str) -> Vec<v1::EndpointRow> {
    let request = v1::ListEndpointsRequest { endpoint: name.to_owned() };
    let answer = service::endpoint_client(session.channel.clone()).list_endpoints(request).await;
    join(answer).await.unwrap().endpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_endpoints_and_their_collections_are_listed_whole() {
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let web = ada.enrol(&lab, "web-03", 1).await;
    let incident = ada.open_incident().await;
    enlarge(&lab, &incident);

    // An inventory may have 64 KiB. It comes with its endpoint, and never 10,000 of them in a list.
    let call = Call::attend(&lab, &web, 0, 1).await;
    let inventory_json = format!("\"{}\"", "x".repeat((64 << 10) - 2));
    let heartbeat = v1::Heartbeat { inventory_json: inventory_json.clone(), ..Default::default() };
    call.requests.send(v1::AttendRequest { message: Some(Up::Heartbeat(heartbeat)) }).await.unwrap();
    wait::until_async("the inventory", async || {
        let shown = endpoints(&ada, "web-03").await;
        shown.len() == 1 && shown[0].inventory_json == inventory_json
    })
    .await;

    let all = endpoints(&ada, "").await;
    let names: Vec<&str> = all.iter().map(|row| row.endpoint.as_str()).collect();
    assert_eq!(names.len(), ENDPOINTS + 1);
    assert!(names.is_sorted() && names.contains(&"web-03"), "in the order of the database");
    assert!(all.iter().all(|row| row.inventory_json.is_empty()));
    assert!(endpoints(&ada, "nobody").await.is_empty() && endpoints(&ada, "no name").await.is_empty());

    let request = v1::ListCollectionsRequest { incident };
    let answer = service::evidence_client(ada.channel.clone()).list_collections(request).await;
    let collections = join(answer).await.unwrap();
    assert_eq!(collections.collections.len(), 8 * ENDPOINTS);
    assert!(prost::Message::encoded_len(&collections) > RESPONSE_BYTES_MAX, "one message would have done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_of_the_longest_notes_is_shown_whole() {
    const NOTES: usize = 66;
    let lab = start();
    let ada = lab.login("ada", ADA).await;
    let incident = ada.open_incident().await;
    let mut client = service::incident_client(ada.channel.clone());
    let text = "x".repeat(TEXT_BYTES_MAX);
    for _ in 0..NOTES {
        let chain = Chain::Incident(incident.parse().unwrap());
        client.record_act(ada.act(EntryType::IncidentNoted, chain, &[], &[], Some(&text))).await.unwrap();
    }
    let request = v1::ShowIncidentRequest { incident: incident.clone() };
    let shown = join(client.show_incident(request).await).await.unwrap();
    assert_eq!(shown.incident.as_ref().unwrap().incident, incident);
    let notes = shown.timeline.iter().filter(|row| row.summary == text).count();
    assert_eq!((notes, shown.timeline.len()), (NOTES, NOTES + 1));
    assert!(prost::Message::encoded_len(&shown) > RESPONSE_BYTES_MAX, "one message would have done");
}
