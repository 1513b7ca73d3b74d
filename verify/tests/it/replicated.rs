//! Where the pinned quorum names a mirror, evidence lies with one: said by the mirror itself, or the bundle is not verified.

use evidence::digest::Digest;
use exhibit_verify::{Report, Verdict};
use ledger::KeyType;

use crate::verdicts::*;
use testkit::bundles::*;

const HEAD: (u8, &str) = (73, "backup-1/mirror");

fn judge(told: Option<Told>) -> Report {
    let recipe = Recipe {
        cosigners: vec![HEAD],
        drafts: Box::new(move |drafts| {
            if let Some(told) = &told {
                mirrored(drafts, told);
            }
        }),
        ..Recipe::default()
    };
    let mirror = signer(HEAD.0, HEAD.1).verifier_key(KeyType::CosignatureV1);
    let mut pins = trust_files();
    let policy = format!("log {}\nwitness m1 {mirror}\nquorum m1\n", log_key(LOG, "exhibit/acme"));
    pins.insert("policy".to_owned(), policy.into_bytes());
    let (report, said) = both(&recipe.build().files, &pins);
    let ok =
        |text: &str| text.lines().any(|line| line.starts_with("ok ") && line.contains("custody.replicated "));
    if report.exit_code() != 1 {
        assert_eq!(ok(&said), ok(&report.text()), "{}\n{said}", report.text());
    }
    report
}

fn verdict(report: &Report) -> Verdict {
    report.checks.iter().find(|check| check.check == "custody.replicated").unwrap().verdict
}

#[test]
fn a_statement_of_each_stored_collection_is_asked_for() {
    let report = judge(Some(Told::default()));
    assert_eq!((report.exit_code(), verdict(&report)), (0, Verdict::Ok), "{}", report.text());
    // A mirror that was retired afterwards had the bytes when it said so.
    let report = judge(Some(Told { retired: Retired::After, ..Told::default() }));
    assert_eq!((report.exit_code(), verdict(&report)), (0, Verdict::Ok), "{}", report.text());
    let report = judge(None);
    assert_eq!((report.exit_code(), verdict(&report)), (2, Verdict::NotChecked), "{}", report.text());
    assert!(report.text().contains("no mirror has said that it holds"));
}

#[test]
fn a_forged_statement_is_refused_whatever_is_forged() {
    let forged = [
        ("another key", Told { signer: 71, ..Told::default() }),
        ("another manifest", Told { manifest: Some(Digest::of(b"another")), ..Told::default() }),
        ("another mirror's name in the refs", Told { mirror: "backup-2", ..Told::default() }),
        (
            "a mirror that was never admitted",
            Told { by: "mirror:backup-2", mirror: "backup-2", ..Told::default() },
        ),
        ("a checkpoint without the collection", Told { above: 0, ..Told::default() }),
        ("a checkpoint that was not there yet", Told { above: 2, ..Told::default() }),
        ("a mirror that had been retired", Told { retired: Retired::Before, ..Told::default() }),
    ];
    for (what, told) in forged {
        let report = judge(Some(told));
        assert_eq!(report.exit_code(), 1, "{what}: {}", report.text());
        let failed = report
            .checks
            .iter()
            .any(|check| check.check == "custody.acts" && check.verdict == Verdict::Failed);
        assert!(failed, "{what}: {}", report.text());
    }
}
