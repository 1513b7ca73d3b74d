//! What an endpoint signs about one collection: the delegation to its sealer, and the manifest.

use evidence::container::ContainerSummary;
use evidence::digest::Digest;
use evidence::keys::PublicKey;
use evidence::manifest::{
    Agent, Clock, CollectionResult, Encoding, EndpointOrigin, LogHead, Manifest, ManifestType, Origin,
    StepEnd, StepResult,
};
use evidence::order::{Order, Target};
use evidence::seal::Identity;
use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
use evidence::text::FixedBytes;
use evidence::time::{FileTime, Time};

/// The delegation of one attempt of `by` to a sealer, in the deployment `acme`.
pub fn delegation(
    by: &Target,
    order: Digest,
    attempt: u32,
    sealer: PublicKey,
    at: Time,
    nonce: FixedBytes<16>,
) -> Delegation {
    Delegation {
        type_: DelegationType,
        deployment: "acme".parse().unwrap(),
        endpoint: by.endpoint.clone(),
        generation: by.generation,
        order,
        attempt,
        collection: collection_id(&order, &by.evidence_key, attempt, &nonce),
        sealer,
        at,
        nonce,
    }
}

/// The identity that every seal of the collection repeats.
pub fn identity(delegation: &Delegation) -> Identity {
    Identity {
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: delegation.attempt.into(),
    }
}

/// The manifest of a complete collection.
pub fn manifest(
    delegation: &Delegation,
    delegation_sha256: Digest,
    evidence_key: PublicKey,
    order: &Order,
    [begun, ended]: [Time; 2],
    summary: &ContainerSummary,
) -> Manifest {
    let steps = order.plan.steps().iter().map(|step| StepResult {
        collector: step.collector().to_owned(),
        begun,
        ended,
        items: 3,
        result: StepEnd::Done,
    });
    Manifest {
        type_: ManifestType,
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        origin: Origin::Endpoint(EndpointOrigin {
            id: delegation.endpoint.clone(),
            generation: delegation.generation,
            evidence_key,
            order: delegation.order,
            attempt: delegation.attempt,
        }),
        delegation: delegation_sha256,
        encoding: Encoding::TarZstd,
        incident: order.incident.clone(),
        begun,
        ended,
        clock: Clock {
            wall: FileTime::new(1_795_262_460, 5).unwrap(),
            boot: FileTime::new(4242, 17).unwrap(),
            offset_ms: Some(12),
            synchronised: Some(true),
        },
        boot_id: Some("0f3b1c52-2f53-4d0a-8a4b-2d5b0f1f6a11".into()),
        machine_id: None,
        agent: Agent {
            version: "0.1.0".into(),
            build_sha256: Digest([6; 32]),
            uid: 990,
            capabilities: "0000000000000006".into(),
        },
        policy_sha256: Digest([5; 32]),
        limits: order.limits,
        steps: steps.collect(),
        segments: summary.segments,
        stored_len: summary.stored_len,
        plain_len: summary.plain_len,
        container_sha256: summary.container_sha256,
        items: summary.items,
        items_root: summary.items_root,
        outcomes: Manifest::outcomes_of(summary),
        content_bytes: summary.content_bytes,
        seal_head: summary.seal_head,
        footprint: vec!["one line in the system log".into()],
        limitations: vec![],
        log_head: LogHead { seq: 7, sha256: Digest([4; 32]) },
        result: CollectionResult::Complete,
    }
}
