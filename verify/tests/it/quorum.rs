//! Cosigners of the ledger's head: too few, others, of another head, stripped, replayed, flipped; and the bundle that says it has none.
//! Every case is put to `exhibit-verify` and to verify.py, which knows nothing of our code.

use std::path::Path;

use evidence::bundle::Overview;
use evidence::entry::act::Act;
use evidence::json;
use exhibit_verify::{Report, Verdict};
use ledger::{KeyType, Note, NoteSignature, ProofFile};

use crate::verdicts::*;
use testkit::bundles::*;

const M1: (u8, &str) = (60, "m1.example/mirror");
const M2: (u8, &str) = (61, "m2.example/witness");
const M3: (u8, &str) = (62, "stranger.example/w1");
const M1_ELSEWHERE: (u8, &str) = (60, "m9.example/mirror");

fn vkey((number, name): (u8, &str)) -> String {
    signer(number, name).verifier_key(KeyType::CosignatureV1).to_string()
}

/// Pins: two of m1, m2, m3.
fn pins() -> Files {
    let mut files = trust_files();
    let policy = format!(
        "log {}\nwitness m1 {}\nwitness m2 {} http://m2.example/\nwitness m3 {}\n# two of three\ngroup two 2 m1 m2 m3\nquorum two\n",
        log_key(LOG, "exhibit/acme"),
        vkey(M1),
        vkey(M2),
        vkey(M3)
    );
    files.insert("policy".to_owned(), policy.into_bytes());
    files
}

fn cosigned(cosigners: &[(u8, &'static str)]) -> Recipe<'static> {
    Recipe {
        cosigners: cosigners.to_vec(),
        drafts: Box::new(|drafts| mirrored(drafts, &Told::default())),
        ..Recipe::default()
    }
}

fn judge(bundle: &Bundle) -> Report {
    judged_under(&bundle.files, &trust_of(&pins()))
}

fn verdict(report: &Report, name: &str) -> Verdict {
    report.checks.iter().find(|check| check.check == name).unwrap().verdict
}

/// Changes the head's note, and with it every proof that leads to it: an exporter who cheats, and signs.
fn with_head(
    cosigners: &[(u8, &'static str)],
    change: impl Fn(&Note) -> Note + Clone + Send + Sync + 'static,
) -> Bundle {
    let recipe = Recipe {
        files: Box::new(move |files: &mut Files| {
            for (name, bytes) in files.iter_mut() {
                if name == "ledger/checkpoint" {
                    *bytes = change(&Note::parse(bytes).unwrap()).to_string().into_bytes();
                } else if name.starts_with("custody/") && name.ends_with(".tlog-proof") {
                    let proof = ProofFile::parse(bytes).unwrap();
                    let note = change(proof.checkpoint());
                    let proof = ProofFile::new(proof.index(), proof.hashes().to_vec(), note, None).unwrap();
                    *bytes = proof.encode().into_bytes();
                }
            }
        }),
        ..cosigned(cosigners)
    };
    recipe.build()
}

/// The note with the lines that `keep` lets through, changed.
fn lines(note: &Note, change: impl Fn(&NoteSignature) -> Option<NoteSignature>) -> Note {
    Note::new(note.text(), note.signatures().iter().filter_map(change).collect()).unwrap()
}

#[test]
fn two_of_three_pinned_cosigners_are_a_quorum_and_are_named_with_their_times() {
    let bundle = cosigned(&[M1, M2, (99, "unknown.example/w")]).build();
    let report = judge(&bundle);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(verdict(&report, "quorum"), Verdict::Ok);
    assert_eq!(verdict(&report, "custody.complete"), Verdict::Ok);
    assert_eq!(
        report.vouched_by,
        [
            "m1 (m1.example/mirror), since 2026-11-21T14:06:40.000Z: holds and checked every entry",
            "m2 (m2.example/witness), since 2026-11-21T14:06:40.000Z: saw this ledger grow without a break",
        ]
    );
    let (code, text) = script(&bundle.files, &pins());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("m1 (m1.example/mirror), since 2026-11-21T14:06:40Z"), "{text}");

    // A quorum without a mirror: whole, but nobody outside looked into the entries.
    let bundle = cosigned(&[M2, M3]).build();
    let report = judge(&bundle);
    assert_eq!(verdict(&report, "quorum"), Verdict::Ok);
    assert_eq!(verdict(&report, "custody.complete"), Verdict::NotChecked);
    assert_eq!(report.exit_code(), 2, "a mirror is pinned and did not speak: {}", report.text());
    assert_eq!(script(&bundle.files, &pins()).0, 2);
}

#[test]
fn what_is_no_quorum_is_refused() {
    let swap_times = |note: &Note| {
        // m1's signature under m2's name.
        let of = |name: &str| note.signatures().iter().find(|line| line.name() == name).cloned();
        let (one, two) = (of(M1.1).unwrap(), of(M2.1).unwrap());
        lines(note, |line| {
            Some(if line.name() == M2.1 {
                NoteSignature::new(two.name(), two.id(), one.bytes().to_vec()).unwrap()
            } else {
                line.clone()
            })
        })
    };
    let other_head = |note: &Note| {
        let text = note.text().replacen("exhibit/acme", "exhibit/acme2", 1);
        lines(note, |line| {
            Some(if line.name() == M2.1 {
                signer(M2.0, M2.1).cosign(&text, 1_795_270_000).unwrap()
            } else {
                line.clone()
            })
        })
    };
    let older_time = |note: &Note| {
        lines(note, |line| {
            let mut bytes = line.bytes().to_vec();
            if line.name() == M2.1 {
                bytes[7] ^= 1;
            }
            NoteSignature::new(line.name(), line.id(), bytes).ok()
        })
    };
    let relabelled = |note: &Note| {
        // m2's name and id over a cosignature of the log's own key.
        let two = signer(M2.0, M2.1).verifier_key(KeyType::CosignatureV1);
        lines(note, |line| {
            if line.name() != M2.1 {
                return Some(line.clone());
            }
            let own = signer(LOG, "exhibit/acme").cosign(note.text(), 1_795_270_000).unwrap();
            NoteSignature::new(two.name(), two.id(), own.bytes().to_vec()).ok()
        })
    };
    let stripped = |note: &Note| lines(note, |line| (line.name() != M2.1).then(|| line.clone()));
    let cases: Vec<(&str, &str, Bundle)> = vec![
        ("nobody", "quorum", cosigned(&[]).build()),
        ("one of two", "quorum", cosigned(&[M1]).build()),
        ("one of two, twice", "quorum", cosigned(&[M1, M1]).build()),
        ("a key under another name", "quorum", cosigned(&[M1_ELSEWHERE, M2]).build()),
        ("keys that nobody pinned", "quorum", cosigned(&[(70, M1.1), (71, M2.1)]).build()),
        ("a stripped line", "quorum", with_head(&[M1, M2], stripped)),
        ("a line under another name", "checkpoint", with_head(&[M1, M2], swap_times)),
        ("a cosignature of another head", "checkpoint", with_head(&[M1, M2], other_head)),
        ("another time", "checkpoint", with_head(&[M1, M2], older_time)),
        ("the log's own key as a cosigner", "checkpoint", with_head(&[M1, M2], relabelled)),
    ];
    for (why, check, bundle) in cases {
        let report = judge(&bundle);
        assert_eq!(report.exit_code(), 1, "{why}: {}", report.text());
        assert!(fails(&report, check), "{why}: {}", report.text());
        let (code, text) = script(&bundle.files, &pins());
        assert_eq!(code, 1, "{why}: {text}");
    }
}

#[test]
fn an_older_head_with_its_true_cosignatures_does_not_stand_for_this_one() {
    // Signed by the log and by both cosigners, and not the head that the proofs lead to.
    let bundle = cosigned(&[M1, M2]).build();
    let size = Note::parse(&bundle.files["ledger/checkpoint"]).unwrap();
    let size: u64 = size.text().lines().nth(1).unwrap().parse().unwrap();
    let older =
        ledger::Checkpoint::new("exhibit/acme", size - 1, ledger::leaf_hash(b"older")).unwrap().to_text();
    let mut note = Note::new(&older, vec![signer(LOG, "exhibit/acme").sign(&older).unwrap()]).unwrap();
    for (number, name) in [M1, M2] {
        note.add(signer(number, name).cosign(&older, 1_795_260_000).unwrap()).unwrap();
    }
    let bytes = note.to_string().into_bytes();
    let recipe = Recipe {
        files: Box::new(move |files: &mut Files| {
            files.insert("ledger/checkpoint".to_owned(), bytes.clone());
        }),
        ..cosigned(&[M1, M2])
    };
    let bundle = recipe.build();
    assert_eq!(judge(&bundle).exit_code(), 1);
    assert_eq!(script(&bundle.files, &pins()).0, 1);
}

/// A bundle of one cosigner, exported without the quorum; `in_act` and `in_overview` say so.
fn waived(in_overview: bool, in_act: bool) -> Bundle {
    let recipe = Recipe {
        files: Box::new(move |files: &mut Files| {
            let mut overview: Overview = json::parse_document(&files["bundle.json"]).unwrap();
            overview.without_quorum = in_overview;
            files.insert("bundle.json".to_owned(), json::to_document(&overview).unwrap());
        }),
        export: Box::new(move |paper: &mut Paper<Act>| {
            if in_act {
                paper.document.fields = vec![("without_quorum".to_owned(), "yes".to_owned())];
            }
        }),
        ..cosigned(&[M3])
    };
    recipe.build()
}

#[test]
fn a_bundle_without_quorum_says_so_and_is_never_silently_ok() {
    let bundle = waived(true, true);
    let report = judge(&bundle);
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    assert!(report.text().contains("exported WITHOUT QUORUM: 1 of 3"), "{}", report.text());
    let (code, text) = script(&bundle.files, &pins());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("WITHOUT QUORUM"), "{text}");

    let mut told = trust_of(&pins());
    told.accept_without_quorum = true;
    let report = judged_under(&bundle.files, &told);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert_eq!(verdict(&report, "quorum"), Verdict::NotChecked);
    assert!(report.text().contains("WITHOUT QUORUM"), "{}", report.text());
    // Who accepts that a stamped bundle has none does not accept one that hides it.
    let report = judged_under(&cosigned(&[M3]).build().files, &told);
    assert_eq!(report.exit_code(), 1, "{}", report.text());

    for (in_overview, in_act) in [(true, false), (false, true)] {
        let report = judge(&waived(in_overview, in_act));
        assert!(fails(&report, "export"), "{}", report.text());
    }
}

#[test]
fn every_byte_of_the_cosigned_head_is_held() {
    let bundle = cosigned(&[M1, M2]).build();
    let pins = trust_of(&pins());
    let length = bundle.files["ledger/checkpoint"].len();
    let mut files = bundle.files;
    for at in 0..length {
        let bit = 1 << (at % 8);
        files.get_mut("ledger/checkpoint").unwrap()[at] ^= bit;
        // An exporter who signs again: the sums hold, the head does not.
        sum(&mut files, ALICE);
        let report = judged_under(&files, &pins);
        files.get_mut("ledger/checkpoint").unwrap()[at] ^= bit;
        let noticed = ["checkpoint", "quorum", "custody.inclusion"];
        assert!(noticed.iter().any(|check| fails(&report, check)), "byte {at}: {}", report.text());
    }
}

#[test]
fn the_vector_of_a_cosigned_head_says_what_the_text_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/cosigned");
    if testkit::vectors::blessing() {
        let alone = Recipe { cosigners: vec![M1, M2], ..Recipe::one_endpoint() };
        let head = alone.build().files["ledger/checkpoint"].clone();
        let files =
            Files::from([("checkpoint".to_owned(), head), ("policy".to_owned(), pins()["policy"].clone())]);
        save(&files, &folder);
    }
    let policy = ledger::Policy::parse(&fs_err::read(folder.join("policy")).unwrap()).unwrap();
    let verified = policy.verify_checkpoint(&fs_err::read(folder.join("checkpoint")).unwrap()).unwrap();
    assert!(verified.quorum_met);
    let since = |name: &str| (name.to_owned(), 1_795_270_000);
    assert_eq!(verified.cosigners, [since("m1"), since("m2")]);
}
