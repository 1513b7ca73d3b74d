//! Bundles of an incident with several endpoints, met in an order that is not that of their names, one of them in its second and tenth
//! generation. Every case is put to both verifiers.

use evidence::bundle::{EnrolledKey, allowed_signers};
use evidence::digest::Digest;
use evidence::enrolment::{Renewal, RenewalType};
use evidence::entry::EntryType;
use evidence::id::{Chain, Generation};
use evidence::manifest::Manifest;
use evidence::roster::Roster;
use evidence::text::FixedBytes;
use exhibit_verify::Verdict;

use crate::forged::{refused, with};
use crate::verdicts::*;
use testkit::bundles::*;

/// A bundle in which every endpoint collected.
fn collecting<'a>() -> Recipe<'a> {
    Recipe { machines: all_collect(), ..Recipe::default() }
}

/// The names of the endpoints in `allowed_signers`, from top to bottom.
fn endpoint_lines(files: &Files) -> Vec<String> {
    let text = String::from_utf8(files["deployment/allowed_signers"].clone()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("endpoint:")?.split(' ').next());
    lines.map(str::to_owned).collect()
}

#[test]
fn a_bundle_verifies_whichever_endpoint_was_met_first() {
    let bundle = collecting().build();
    let (report, said) = both(&bundle.files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    assert_eq!(report.collections.len(), 6, "{}", report.text());
    let sorted = ["app-01#1", "db-01#2", "db-01#10", "mail-07#1", "web-03#1"];
    assert_eq!(endpoint_lines(&bundle.files), sorted);
    let endpoints = checks(&report, Verdict::Ok).into_iter().filter(|check| check.check == "endpoint");
    let met: Vec<&str> = endpoints.map(|check| check.subject.as_str()).collect();
    assert_eq!(met, ["web-03#1", "mail-07#1", "db-01#10", "db-01#2", "app-01#1"]);
    assert!(said.contains("ok           conveniences"), "{said}");
    // The order of meeting has no influence on the file.
    let mut machines = all_collect();
    machines.reverse();
    let other = Recipe { machines, ..Recipe::default() }.build();
    assert_eq!(other.files["deployment/allowed_signers"], bundle.files["deployment/allowed_signers"]);
    let (report, said) = both(&other.files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
}

#[test]
fn an_order_under_the_last_of_twelve_rosters_holds() {
    let bundle = Recipe { roster_versions: 12, ..collecting() }.build();
    let (report, said) = both(&bundle.files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    assert!(report.text().contains("12 versions"), "{}", report.text());
    // The eleventh is left out: the twelfth was published behind it, and its entry is here.
    let recipe = Recipe {
        files: Box::new(|files: &mut Files| {
            files.retain(|name, _| !name.starts_with("deployment/roster-11."))
        }),
        roster_versions: 12,
        ..Recipe::default()
    };
    let (report, said) = both(&recipe.build().files, &trust_files());
    assert!(report.exit_code() == 1 && fails(&report, "roster"), "{}\n{said}", report.text());
}

/// The bundle's `allowed_signers` with its endpoints in another order.
fn reordered(files: &mut Files, order: impl Fn(&mut Vec<String>)) {
    let text = String::from_utf8(files["deployment/allowed_signers"].clone()).unwrap();
    let lines = text.split_inclusive('\n').map(str::to_owned);
    let (mut endpoints, mut file): (Vec<String>, Vec<String>) =
        lines.partition(|line| line.starts_with("endpoint:"));
    let before = endpoints.clone();
    order(&mut endpoints);
    assert_ne!(endpoints, before);
    file.extend(endpoints);
    files.insert("deployment/allowed_signers".into(), file.concat().into_bytes());
}

#[test]
fn allowed_signers_in_another_order_is_refused() {
    refused(vec![
        (
            "endpoints in the order of meeting",
            "conveniences",
            with! { files: |files: &mut Files| reordered(files, |lines| {
                let met = ["web-03#1", "mail-07#1", "db-01#10", "db-01#2", "app-01#1"];
                lines.sort_by_key(|line| met.iter().position(|name| line.starts_with(&format!("endpoint:{name} "))));
            }) },
        ),
        (
            "generations in the order of their digits",
            "conveniences",
            with! { files: |files: &mut Files| reordered(files, |lines| lines.sort()) },
        ),
        (
            "an endpoint left out",
            "conveniences",
            with! { files: |files: &mut Files| reordered(files, |lines| drop(lines.remove(2))) },
        ),
        (
            "an endpoint twice",
            "conveniences",
            with! { files: |files: &mut Files| reordered(files, |lines| lines.insert(1, lines[1].clone())) },
        ),
        (
            "the roster before the newest",
            "conveniences",
            with! { files: |files: &mut Files| {
                let first: Roster = evidence::json::parse_document(&files["deployment/roster-1.json"]).unwrap();
                let old = allowed_signers(&first, enrolled(files));
                assert_ne!(old, files["deployment/allowed_signers"]);
                files.insert("deployment/allowed_signers".into(), old);
            } },
        ),
        (
            "an endpoint with another's key",
            "conveniences",
            with! { files: |files: &mut Files| {
                let newest: Roster = evidence::json::parse_document(&files["deployment/roster-2.json"]).unwrap();
                let mut enrolled: Vec<EnrolledKey> = enrolled(files);
                enrolled[0].evidence_key = key(MALLORY).public();
                files.insert("deployment/allowed_signers".into(), allowed_signers(&newest, enrolled));
            } },
        ),
    ]);
}

/// A part of two endpoints' collections; the tokens and enrolments are those of these two, as the exporter leaves them.
fn part_of_two(files: &mut Files) {
    let of = collections_by_endpoint(files);
    let chosen = [("db-01".to_owned(), 10), ("app-01".to_owned(), 1)].map(|of_endpoint| of[&of_endpoint][0]);
    produce_from(files, &[(chosen[0], [2_u64].as_slice()), (chosen[1], [2, 6].as_slice())]);
    let kept = ["db-01-10", "app-01-1"];
    let entries: Vec<String> = files
        .keys()
        .filter_map(|name| name.strip_suffix(".entry"))
        .filter(|name| name.starts_with("custody/deployment/"))
        .map(str::to_owned)
        .collect();
    for base in entries {
        let entry = evidence::entry::Entry::parse(&files[&format!("{base}.entry")]).unwrap();
        let reference = |name| entry.envelope.reference(name).map(str::to_owned);
        if let (Some(endpoint), Some(generation)) = (reference("endpoint"), reference("generation"))
            && !kept.contains(&format!("{endpoint}-{generation}").as_str())
        {
            files.retain(|name, _| {
                !name.starts_with(&format!("{base}."))
                    && !name.starts_with(&format!("deployment/token-{endpoint}-{generation}."))
                    && !name.starts_with(&format!("deployment/enrolment-{endpoint}-{generation}."))
            });
        }
    }
    let orders: Vec<String> = files
        .iter()
        .filter(|(name, _)| name.starts_with("evidence/") && name.ends_with("/delegation.json"))
        .map(|(_, bytes)| {
            let delegation: evidence::seal::delegation::Delegation =
                evidence::json::parse_document(bytes).unwrap();
            delegation.order.to_string()
        })
        .collect();
    let approvals: Vec<String> = files
        .iter()
        .filter(|(name, _)| name.starts_with("approvals/") && name.ends_with(".json"))
        .filter(|(_, bytes)| {
            let approval: evidence::order::Approval = evidence::json::parse_document(bytes).unwrap();
            orders.contains(&approval.order.to_string())
        })
        .map(|(name, _)| name.trim_end_matches(".json").to_owned())
        .collect();
    files.retain(|name, _| {
        let of = |kept: &[String], prefix: &str| {
            kept.iter().any(|one| name.starts_with(&format!("{prefix}{one}.")))
        };
        if name.starts_with("orders/") {
            of(&orders, "orders/")
        } else {
            !name.starts_with("approvals/") || of(&approvals, "")
        }
    });
    let newest: Roster = evidence::json::parse_document(&files["deployment/roster-2.json"]).unwrap();
    let signers = allowed_signers(&newest, enrolled(files));
    files.insert("deployment/allowed_signers".into(), signers);
}

#[test]
fn a_part_of_two_endpoints_names_these_two_and_verifies() {
    let recipe = Recipe { files: Box::new(part_of_two), ..collecting() };
    let bundle = recipe.build();
    assert_eq!(endpoint_lines(&bundle.files), ["app-01#1", "db-01#10"]);
    let (report, said) = both(&bundle.files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    assert!(report.partial && report.items.len() == 3, "{}", report.text());
    let recipe = Recipe {
        files: Box::new(|files: &mut Files| {
            part_of_two(files);
            reordered(files, |lines| lines.reverse());
        }),
        ..collecting()
    };
    let (report, said) = both(&recipe.build().files, &trust_files());
    assert!(report.exit_code() == 1 && fails(&report, "conveniences"), "{}\n{said}", report.text());
}

/// All collect; the machine with this number among [`MACHINES`] is changed.
fn changed<'a>(number: usize, change: impl Fn(&mut Machine)) -> Recipe<'a> {
    let mut machines = all_collect();
    change(&mut machines[number]);
    Recipe { machines, ..Recipe::default() }
}

#[test]
fn one_endpoint_cannot_stand_in_for_another() {
    let [mail, tenth, second, _] = MACHINES;
    refused(vec![
        (
            "web-03's delegation by another endpoint that is enrolled",
            "delegation",
            with! { collected: move |collected: &mut Collected| collected.delegation.keys = vec![mail.key] },
        ),
        (
            "web-03's manifest by another endpoint that is enrolled",
            "manifest",
            with! { manifest: move |paper: &mut Paper<Manifest>| paper.keys = vec![SEALER, mail.key] },
        ),
        ("a delegation by another endpoint", "delegation", changed(0, |machine| machine.signs = second.key)),
        (
            "the second generation's delegation by the tenth's key",
            "delegation",
            changed(2, |machine| machine.signs = tenth.key),
        ),
        (
            "the tenth generation's delegation by the second's key",
            "delegation",
            changed(1, |machine| machine.signs = second.key),
        ),
        (
            "seals of one endpoint under another's collection",
            "seals",
            Recipe {
                files: Box::new(|files: &mut Files| {
                    let of = collections_by_endpoint(files);
                    let id = |endpoint: &str| of[&(endpoint.to_owned(), 1)][0];
                    let [from, to] = [id("app-01"), id("mail-07")];
                    for name in ["seals/000000.seal", "container.tar.zst"] {
                        let bytes = files[&format!("evidence/{from}/{name}")].clone();
                        files.insert(format!("evidence/{to}/{name}"), bytes);
                    }
                }),
                ..collecting()
            },
        ),
    ]);
}

/// The entry of a renewal of `of`, signed by the evidence key `by`.
fn renewed(of: &Machine, named: &Machine, by: u8) -> Draft {
    let renewal = Renewal {
        type_: RenewalType,
        deployment: "acme".parse().unwrap(),
        endpoint: of.endpoint.parse().unwrap(),
        generation: Generation::new(of.generation).unwrap(),
        tls_spki_sha256: Digest([90; 32]),
        nonce: FixedBytes([90; 16]),
        csr_sha256: Digest([3; 32]),
        at: at("09:06:00"),
    };
    let refs = [("endpoint", named.endpoint.to_owned()), ("generation", named.generation.to_string())];
    let signed = sign(&renewal, &[by]);
    Draft::new(EntryType::AgentRenewed, Chain::Deployment, "09:06:00", refs, |_| signed.clone().into())
}

fn with_renewal<'a>(renewal: impl Fn() -> Draft + Send + Sync + 'a) -> Recipe<'a> {
    with! { drafts: move |drafts: &mut Vec<Draft>| {
        let last = drafts.iter().rposition(|draft| draft.type_ == EntryType::AgentEnrolled).unwrap();
        drafts.insert(last + 1, renewal());
    } }
}

#[test]
fn a_renewal_holds_by_the_endpoints_own_evidence_key_alone() {
    let [mail, tenth, second, app] = MACHINES;
    let (report, said) = both(&with_renewal(|| renewed(&app, &app, app.key)).build().files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    for (why, renewal) in [
        ("another endpoint's key", renewed(&app, &app, mail.key)),
        ("an entry that names another endpoint", renewed(&app, &mail, app.key)),
        ("an entry that names another generation", renewed(&second, &tenth, second.key)),
        ("the key of another generation", renewed(&second, &second, tenth.key)),
    ] {
        let act = std::sync::Mutex::new(Some(renewal));
        let recipe = with_renewal(|| act.lock().unwrap().take().unwrap());
        let report = verify(&recipe.build().files);
        assert!(report.exit_code() == 1 && fails(&report, "endpoint"), "{why}: {}", report.text());
    }
}

/// The retirement of one generation of web-03.
fn retired(generation: &str, time: &str) -> Draft {
    let refs = [("endpoint", "web-03".to_owned()), ("generation", generation.to_owned())];
    Draft::new(EntryType::EndpointRetired, Chain::Deployment, time, refs, |draft| {
        draft.signed("person:cat", CAT)
    })
}

/// web-03 collects in its first generation after its second was enrolled. An enrolment retires nothing: only `endpoint.retired` does.
#[test]
fn a_delegation_of_an_older_generation_holds_until_that_generation_is_retired() {
    let second = Machine { collects: true, ..Machine::enrolled("web-03", 2, 140) };
    let recipe = |retirement: Option<(bool, Draft)>| {
        let retirement = std::sync::Mutex::new(retirement);
        Recipe {
            machines: [&MACHINES[..], &[second]].concat(),
            drafts: Box::new(move |drafts: &mut Vec<Draft>| match retirement.lock().unwrap().take() {
                Some((true, retired)) => {
                    let opened = drafts.iter().position(|draft| draft.type_ == EntryType::IncidentOpened);
                    drafts.insert(opened.unwrap(), retired);
                }
                Some((false, retired)) => drafts.push(retired),
                None => {}
            }),
            ..Recipe::default()
        }
    };
    let of_web = |files: &Files| {
        let mut of = collections_by_endpoint(files);
        [1, 2].map(|generation| of.remove(&("web-03".to_owned(), generation)).unwrap().len())
    };
    for (why, retirement, holds) in [
        ("nothing is retired", None, true),
        ("the older one is retired afterwards", Some((false, retired("1", "11:50:00"))), true),
        ("the older one was retired before", Some((true, retired("1", "09:05:00"))), false),
        ("the newer one was retired before", Some((true, retired("2", "09:05:00"))), false),
        ("the newer one is retired afterwards", Some((false, retired("2", "11:50:00"))), true),
    ] {
        let bundle = recipe(retirement).build();
        assert_eq!(of_web(&bundle.files), [2, 1], "{why}");
        let (report, said) = both(&bundle.files, &trust_files());
        assert_eq!(report.exit_code() == 0, holds, "{why}: {}\n{said}", report.text());
        assert_eq!(fails(&report, "delegation"), !holds, "{why}: {}", report.text());
    }
    // The newer key signs for the older generation.
    refused(vec![(
        "the first generation's delegation by the second's key",
        "delegation",
        Recipe {
            machines: [&MACHINES[..], &[second]].concat(),
            collected: Box::new(move |collected: &mut Collected| {
                collected.delegation.keys = vec![second.key]
            }),
            ..Recipe::default()
        },
    )]);
}
