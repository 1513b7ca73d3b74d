//! The log's entries in their order, before they are numbered.

use evidence::digest::Digest;
use evidence::enrolment::{Login, LoginType};
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::text::FixedBytes;

use super::*;

/// Drafts the first entry of a log: its key, the CA, the authority.
pub fn genesis(log_key: String) -> Draft {
    let refs =
        [("log", log_key), ("ca", ca_digest().to_string()), ("authority", authority().id().to_string())];
    Draft::new(EntryType::LogGenesis, Chain::Deployment, "07:00:00", refs, |draft| {
        own(&draft.act_by("collector:c1"))
    })
}

/// Drafts the entry of a roster.
pub fn published(roster: &Signed, version: u64, time: &str) -> Draft {
    let refs = [("roster", roster.digest().to_string()), ("version", version.to_string())];
    Draft::new(EntryType::RosterPublished, Chain::Deployment, time, refs, |_| roster.clone().into())
}

impl Recipe<'_> {
    #[expect(clippy::too_many_arguments, reason = "each is one document of the chain")]
    pub(super) fn draft(
        &self,
        rosters: &[Signed],
        token: &Signed,
        enrolment: &Signed,
        evidence_key: String,
        order: &Signed,
        order_roster: Digest,
        approval: &Signed,
    ) -> Vec<Draft> {
        let login = Login {
            type_: LoginType,
            deployment: "acme".parse().unwrap(),
            person: "alice".parse().unwrap(),
            challenge: FixedBytes([7; 32]),
            tls_spki_sha256: Digest([5; 32]),
            csr_sha256: Digest([2; 32]),
            at: at("08:30:00"),
        };
        let enrolled = |name| match name {
            "endpoint" => "web-03".to_owned(),
            "generation" => "1".to_owned(),
            _ => token.digest().to_string(),
        };
        vec![
            genesis(log_key(self.log, self.origin)),
            published(&rosters[0], 1, "08:00:01"),
            Draft::new(
                EntryType::EndpointAdmitted,
                Chain::Deployment,
                "08:10:01",
                ["endpoint", "generation", "token"].map(|name| (name, enrolled(name))),
                |_| token.clone().into(),
            ),
            Draft::new(
                EntryType::AgentEnrolled,
                Chain::Deployment,
                "08:20:01",
                [
                    ("endpoint", enrolled("endpoint")),
                    ("generation", enrolled("generation")),
                    ("token", enrolled("token")),
                    ("evidence_key", evidence_key),
                ],
                |_| enrolment.clone().into(),
            ),
            Draft::new(
                EntryType::LoginIssued,
                Chain::Deployment,
                "08:30:01",
                [("person", "alice".into()), ("key", key(ALICE).public().fingerprint().to_string())],
                |_| sign(&login, &[ALICE]).into(),
            ),
            published(&rosters[1], 2, "09:00:01"),
            Draft::new(
                EntryType::IncidentOpened,
                incident(),
                "09:10:00",
                [("incident", INCIDENT.into())],
                |draft| {
                    let mut act = draft.act_by("person:alice");
                    act.detail = Some(title(self.title).1);
                    sign(&act, &[ALICE]).into()
                },
            ),
            Draft::new(
                EntryType::IncidentOpened,
                other_incident(),
                "09:20:00",
                [("incident", "INC-2026-0008".into())],
                |draft| draft.signed("person:alice", ALICE),
            ),
            Draft::new(
                EntryType::OrderIssued,
                incident(),
                "09:30:01",
                [("order", order.digest().to_string()), ("roster", order_roster.to_string())],
                |_| order.clone().into(),
            ),
            Draft::new(
                EntryType::OrderApproved,
                incident(),
                "09:35:01",
                [("order", order.digest().to_string())],
                |_| approval.clone().into(),
            ),
        ]
    }

    pub(super) fn draft_collections(
        first: &(Delegation, Signed, Container),
        second: &(Delegation, Signed, Container),
        manifest: &Signed,
        title: Digest,
    ) -> Vec<Draft> {
        let started = |(delegation, signed, _): &(Delegation, Signed, Container), time| {
            Draft::new(
                EntryType::CollectionStarted,
                incident(),
                time,
                [
                    ("order", delegation.order.to_string()),
                    ("endpoint", delegation.endpoint.to_string()),
                    ("collection", delegation.collection.to_string()),
                    ("attempt", delegation.attempt.to_string()),
                ],
                |_| signed.clone().into(),
            )
        };
        let collector = |draft: &Draft| own(&draft.act_by("collector:c1"));
        let seals: Vec<String> =
            first.2.segments.iter().map(|(_, seal)| Digest::of(seal).to_string()).collect();
        vec![
            started(first, "10:00:01"),
            Draft::new(
                EntryType::CollectionProgress,
                incident(),
                "10:05:00",
                [
                    ("collection", first.0.collection.to_string()),
                    ("index", "0".into()),
                    ("seal", seals.first().cloned().unwrap_or_default()),
                ],
                collector,
            ),
            Draft::new(
                EntryType::CollectionInterrupted,
                incident(),
                "10:10:00",
                [
                    ("collection", first.0.collection.to_string()),
                    ("seal", seals.last().cloned().unwrap_or_default()),
                    ("segments", seals.len().to_string()),
                ],
                collector,
            ),
            started(second, "10:20:00"),
            Draft::new(
                EntryType::CollectionStored,
                incident(),
                "10:30:00",
                [
                    ("collection", second.0.collection.to_string()),
                    ("manifest", manifest.digest().to_string()),
                    ("order", second.0.order.to_string()),
                    ("endpoint", second.0.endpoint.to_string()),
                    ("copies", "2".into()),
                    ("degraded", "no".into()),
                    ("independent", "yes".into()),
                ],
                |_| manifest.clone().into(),
            ),
            Draft::new(
                EntryType::EvidenceAccessed,
                incident(),
                "11:00:00",
                [("person", "alice".into()), ("object", format!("{}/items", second.0.collection))],
                collector,
            ),
            Draft::new(EntryType::IncidentNoted, incident(), "11:30:00", [], |draft| {
                let mut act = draft.act_by("person:dan");
                act.detail = Some(Digest::of(title.to_string().as_bytes()));
                sign(&act, &[DAN]).into()
            }),
        ]
    }
}
