//! The files of a bundle whose bytes the specification determines: one set of facts gives one file, in whatever order they are met.

use evidence::bundle::{
    EnrolledKey, Overview, allowed_signers, destruction_json, destruction_txt, target_proof,
};
use evidence::digest::Digest;
use evidence::disposal::{Destruction, DestructionType};
use evidence::order::{TargetProof, TargetSet};

use testkit::packages::*;

fn enrolled(endpoint: &str, generation: &str, number: u8) -> EnrolledKey {
    EnrolledKey {
        endpoint: endpoint.parse().unwrap(),
        generation: generation.parse().unwrap(),
        evidence_key: key(number).public(),
    }
}

/// The names of the endpoints in the file, from top to bottom.
fn endpoints(file: &[u8]) -> Vec<String> {
    let text = str::from_utf8(file).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("endpoint:")?.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn allowed_signers_orders_enrolments_by_name_and_then_by_generation_as_a_number() {
    let met = [
        enrolled("web-03", "1", 20),
        enrolled("db-01", "10", 21),
        enrolled("mail-07", "1", 22),
        enrolled("db-01", "2", 23),
        enrolled("web-03a", "1", 24),
        enrolled("app-01", "1", 25),
        enrolled("db-01", "9", 26),
        enrolled("db-010", "1", 27),
    ];
    let expected = allowed_signers(&second_roster(), met.clone());
    assert_eq!(
        endpoints(&expected),
        ["app-01#1", "db-01#2", "db-01#9", "db-01#10", "db-010#1", "mail-07#1", "web-03#1", "web-03a#1"]
    );
    for turned in 0..met.len() {
        let mut other = met.to_vec();
        other.rotate_left(turned);
        assert_eq!(allowed_signers(&second_roster(), other.clone()), expected, "begun at {turned}");
        other.reverse();
        assert_eq!(allowed_signers(&second_roster(), other), expected, "backwards from {turned}");
    }
    let text = String::from_utf8(expected).unwrap();
    let first_endpoint = text.lines().position(|line| line.starts_with("endpoint:")).unwrap();
    assert!(
        first_endpoint > 0 && text.lines().skip(first_endpoint).all(|line| line.starts_with("endpoint:"))
    );
    assert!(text.ends_with('\n') && text.lines().all(|line| line.contains(" namespaces=\"")), "{text}");
}

#[test]
fn an_enrolment_that_is_met_twice_has_one_line() {
    let twice = [enrolled("db-01", "2", 23), enrolled("db-01", "2", 23)];
    let once = [enrolled("db-01", "2", 23)];
    assert_eq!(allowed_signers(&second_roster(), twice), allowed_signers(&second_roster(), once));
}

#[test]
fn bundle_json_lists_collections_sorted() {
    let listed = Overview::listed([Digest([9; 32]), Digest([1; 32]), Digest([5; 32])]);
    assert_eq!(listed, [Digest([1; 32]), Digest([5; 32]), Digest([9; 32])]);
}

#[test]
fn a_target_proof_is_the_same_for_any_order_of_the_list() {
    let (one, mut turned) = (targets(), targets().targets().to_vec());
    turned.reverse();
    let other = TargetSet::new(turned).unwrap();
    let name = target().endpoint;
    let file = target_proof(&one, &name).unwrap().unwrap();
    assert_eq!(target_proof(&other, &name).unwrap().unwrap(), file);
    let proof: TargetProof = evidence::json::parse_document(&file).unwrap();
    proof.verify(&target(), &one.root()).unwrap();
    assert_eq!(target_proof(&one, &"nobody".parse().unwrap()).unwrap(), None);
}

#[test]
fn a_certificate_of_destruction_is_one_line_for_programs_and_a_page_for_people() {
    let record = Destruction {
        type_: DestructionType,
        deployment: "acme".parse().unwrap(),
        incident: "INC-2026-0007".parse().unwrap(),
        entries: 12,
        plans: vec![],
    };
    let json = String::from_utf8(destruction_json(&record).unwrap()).unwrap();
    assert_eq!(
        json,
        "{\"type\":\"exhibit-destruction-v1\",\"deployment\":\"acme\",\"incident\":\"INC-2026-0007\",\"entries\":12,\"plans\":[]}\n"
    );
    let text = String::from_utf8(destruction_txt(&record)).unwrap();
    assert!(
        text.starts_with("CERTIFICATE OF DESTRUCTION\nIncident INC-2026-0007, deployment acme\n"),
        "{text}"
    );
    assert!(text.contains("12 custody entries"), "{text}");
}
