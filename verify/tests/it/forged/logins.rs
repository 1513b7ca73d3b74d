//! Forged logins, and an endpoint that is enrolled twice. An exporter leaves logins out; if a bundle has one, the verifier judges it.

use evidence::enrolment::{EnrolmentRequest, Login};
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::json;

use super::{draft, refused, remove_entry};
use crate::verdicts::*;
use testkit::bundles::*;

/// Puts the log's login among the entries of the bundle.
fn shown(files: &mut Files) {
    let is_login = |name: &&String| {
        name.ends_with(".entry") && files[*name].windows(11).any(|part| part == b"login.issue")
    };
    let name = files.keys().filter(|name| name.starts_with(ELSEWHERE)).find(is_login).unwrap();
    let index = name.strip_prefix(ELSEWHERE).unwrap().strip_suffix(".entry").unwrap().to_owned();
    for (ending, bytes) in
        [".entry", ".tlog-proof"].into_iter().zip(remove_entry(files, &format!("{ELSEWHERE}{index}")))
    {
        files.insert(format!("custody/deployment/{index}{ending}"), bytes);
    }
}

/// A bundle that shows its login, after `change`.
fn login<'a>(change: impl Fn(&mut Draft) + Send + Sync + 'a) -> Recipe<'a> {
    Recipe {
        drafts: Box::new(move |drafts: &mut Vec<Draft>| change(draft(drafts, EntryType::LoginIssued))),
        files: Box::new(shown),
        ..Recipe::default()
    }
}

/// The login signed by the keys of these numbers, after `change`.
fn signed(draft: &mut Draft, keys: &[u8], change: impl FnOnce(&mut Login)) {
    let mut login: Login = json::parse_document(&draft.act.document).unwrap();
    change(&mut login);
    draft.act = sign(&login, keys).into();
}

#[test]
fn a_login_that_is_shown_holds_by_the_persons_own_key_alone() {
    let (report, said) = both(&login(|_| ()).build().files, &trust_files());
    assert_eq!(report.exit_code(), 0, "{}\n{said}", report.text());
    for (why, check, recipe) in [
        ("a login by a stranger", "custody.acts", login(|draft| signed(draft, &[MALLORY], |_| ()))),
        ("a login with another person's key", "custody.acts", login(|draft| signed(draft, &[BOB], |_| ()))),
        (
            "a login in the name of another person",
            "custody.acts",
            login(|draft| signed(draft, &[ALICE], |login| login.person = "bob".parse().unwrap())),
        ),
        (
            "a login with the key of an endpoint",
            "custody.acts",
            login(|draft| signed(draft, &[EVIDENCE], |_| ())),
        ),
        (
            "a login of another deployment",
            "custody.acts",
            login(|draft| signed(draft, &[ALICE], |login| login.deployment = "other".parse().unwrap())),
        ),
        (
            "a login entry with another key",
            "custody.acts",
            login(|draft| {
                draft.refs[0].1 = key(BOB).public().fingerprint().to_string();
            }),
        ),
        ("a login entry with another person", "custody.acts", login(|draft| draft.refs[1].1 = "bob".into())),
        (
            "a login by a person who had left",
            "custody.acts",
            Recipe {
                drafts: Box::new(|drafts: &mut Vec<Draft>| {
                    let at = drafts.iter().position(|draft| draft.type_ == EntryType::LoginIssued).unwrap();
                    let mut late = drafts.remove(at);
                    signed(&mut late, &[EVE], |login| login.person = "eve".parse().unwrap());
                    late.refs = vec![
                        ("key".into(), key(EVE).public().fingerprint().to_string()),
                        ("person".into(), "eve".into()),
                    ];
                    late.time = draft(drafts, EntryType::IncidentOpened).time;
                    let opened = drafts.iter().position(|draft| draft.type_ == EntryType::IncidentOpened);
                    drafts.insert(opened.unwrap(), late);
                }),
                files: Box::new(shown),
                ..Recipe::default()
            },
        ),
    ] {
        let report = verify(&recipe.build().files);
        assert!(report.exit_code() == 1 && fails(&report, check), "{why}: {}", report.text());
    }
}

/// A second enrolment of web-03 in its first generation, under the same token with the token's and the evidence key.
fn again<'a>(keys: [u8; 2]) -> Recipe<'a> {
    Recipe {
        drafts: Box::new(move |drafts: &mut Vec<Draft>| {
            let first = draft(drafts, EntryType::AgentEnrolled);
            let mut second: EnrolmentRequest = json::parse_document(&first.act.document).unwrap();
            second.at = at("08:25:00");
            second.evidence_key = key(keys[1]).public();
            let refs = [
                ("endpoint", "web-03".to_owned()),
                ("generation", "1".to_owned()),
                ("token", second.token.to_string()),
                ("evidence_key", second.evidence_key.fingerprint().to_string()),
            ];
            let signed = sign(&second, &keys);
            let behind = drafts.iter().position(|draft| draft.type_ == EntryType::AgentEnrolled).unwrap() + 1;
            let entry =
                Draft::new(EntryType::AgentEnrolled, Chain::Deployment, "08:25:01", refs, |_| signed.into());
            drafts.insert(behind, entry);
        }),
        ..Recipe::default()
    }
}

#[test]
fn an_endpoint_enrolls_once_in_one_generation() {
    refused(vec![
        ("enrolled twice with one key", "endpoint", again([TOKEN, EVIDENCE])),
        ("enrolled twice with two keys", "endpoint", again([TOKEN, MALLORY])),
    ]);
}
