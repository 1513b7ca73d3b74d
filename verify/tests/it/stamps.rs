//! Time stamps by a real authority: `openssl ts`, its keys made here.

use std::path::{Path, PathBuf};
use std::process::Command;

use exhibit_verify::{Effort, Report, Verdict, verify_memory};

use crate::verdicts::*;
use testkit::bundles::*;

pub const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// A root, a signer under it, and a folder for both.
pub struct Tsa {
    folder: tempfile::TempDir,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Tsa {
    pub fn new(algorithm: &[&str]) -> Self {
        let tsa = Self { folder: tempfile::tempdir().unwrap() };
        let key = |name: &str| {
            let arguments = [&["genpkey"], algorithm, &["-out", name]].concat();
            openssl(tsa.folder.path(), &arguments);
        };
        for name in ["root.key", "tsa.key"] {
            key(name);
        }
        tsa.run(&[
            "req", "-x509", "-new", "-key", "root.key", "-subj", "/CN=root", "-days", "3650", "-out",
            "root.pem",
        ]);
        tsa.certificate("tsa.pem", "extendedKeyUsage=critical,timeStamping\n");
        tsa.certificate("plain.pem", "");
        tsa
    }

    fn run(&self, arguments: &[&str]) {
        openssl(self.folder.path(), arguments);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs_err::read(self.path(name)).unwrap()
    }

    fn certificate(&self, name: &str, extension: &str) {
        let extension =
            format!("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n{extension}");
        fs_err::write(self.path("ext"), extension).unwrap();
        self.run(&["req", "-new", "-key", "tsa.key", "-subj", "/CN=tsa", "-out", "tsa.csr"]);
        self.run(&[
            "x509",
            "-req",
            "-in",
            "tsa.csr",
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
            "-set_serial",
            "7",
            "-days",
            "365",
            "-extfile",
            "ext",
            "-out",
            name,
        ]);
    }

    /// A response over `data`, with `digits` digits behind the seconds.
    pub fn stamp(&self, data: &[u8], digits: u8) -> Vec<u8> {
        self.stamp_with(data, digits, b"")
    }

    /// A response that holds these certificates beside the signer's.
    pub fn stamp_with(&self, data: &[u8], digits: u8, certificates: &[u8]) -> Vec<u8> {
        fs_err::write(self.path("others.pem"), certificates).unwrap();
        let others = if certificates.is_empty() { "" } else { "certs = others.pem\n" };
        let config = format!(
            "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\nsigner_digest = sha256\n\
             default_policy = 1.2.3.4.1\ndigests = sha256\nclock_precision_digits = {digits}\ness_cert_id_alg = sha256\n{others}"
        );
        fs_err::write(self.path("config"), config).unwrap();
        fs_err::write(self.path("data"), data).unwrap();
        self.run(&["ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query"]);
        self.run(&["ts", "-reply", "-config", "config", "-queryfile", "query", "-out", "response"]);
        self.read("response")
    }

    /// The last response's time info, signed again with a certificate that `openssl ts` would not use.
    fn resigned(&self, certificate: &str) -> Vec<u8> {
        self.run(&["ts", "-reply", "-in", "response", "-token_out", "-out", "token"]);
        self.run(&[
            "cms",
            "-verify",
            "-noverify",
            "-inform",
            "DER",
            "-in",
            "token",
            "-binary",
            "-out",
            "info",
        ]);
        self.run(&[
            "cms",
            "-sign",
            "-binary",
            "-cades",
            "-nodetach",
            "-nosmimecap",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.4",
            "-md",
            "sha256",
            "-in",
            "info",
            "-outform",
            "DER",
            "-signer",
            certificate,
            "-inkey",
            "tsa.key",
            "-out",
            "token",
        ]);
        let token = self.read("token");
        sequence(&[sequence(&[2, 1, 0]), token].concat())
    }
}

/// A DER sequence of 256 to 65535 bytes, or a short one.
pub fn sequence(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x30];
    match u8::try_from(body.len()) {
        Ok(length) if length < 0x80 => bytes.push(length),
        _ => {
            bytes.push(0x82);
            bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// What `exhibit-verify` says; verify.py comes to the same end, and says the same of each stamp.
fn both_judge(files: &Files, pins: &Files) -> Report {
    let (report, said) = both(files, pins);
    let lines = |verdict: &str, text: &str| {
        let of_stamps = text.lines().filter(|line| line.starts_with(verdict) && line.contains(".stamp "));
        of_stamps.count() > 0
    };
    for verdict in ["ok ", "FAILED ", "not checked "] {
        assert_eq!(
            lines(verdict, &said),
            lines(verdict, &report.text()),
            "{verdict}: {}\n{said}",
            report.text()
        );
    }
    report
}

/// A bundle with `response(data)` as both stamps, under `pinned`.
fn judge(pinned: &[u8], stamp: impl Fn(&[u8]) -> Vec<u8> + Sync + Send) -> Report {
    let insert = |files: &mut Files, data: &str, name: &str| {
        let response = stamp(&files[data]);
        files.insert(name.to_owned(), response);
    };
    let recipe = Recipe {
        files: Box::new(|files: &mut Files| insert(files, "ledger/checkpoint", "ledger/checkpoint.tsr")),
        after: Box::new(|files: &mut Files| insert(files, "SHA256SUMS", "SHA256SUMS.tsr")),
        ..Recipe::default()
    };
    let mut pins = trust_files();
    if !pinned.is_empty() {
        pins.insert("tsa.pem".into(), pinned.to_vec());
    }
    both_judge(&recipe.build().files, &pins)
}

fn verdicts(report: &Report) -> Vec<Verdict> {
    report.checks.iter().filter(|check| check.check.ends_with(".stamp")).map(|check| check.verdict).collect()
}

#[test]
fn stamps_verify_under_their_pinned_root_and_no_other() {
    for algorithm in [
        P256,
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let (tsa, other) = (Tsa::new(algorithm), Tsa::new(algorithm));
        let root = tsa.read("root.pem");
        let report = judge(&root, |data| tsa.stamp(data, 0));
        assert_eq!((report.exit_code(), verdicts(&report)), (0, vec![Verdict::Ok; 2]), "{}", report.text());
        assert!(report.vouched_by.iter().any(|who| who.starts_with("time-stamping authority")));

        let refused = |why: &str, report: &Report| {
            assert_eq!(
                (report.exit_code(), verdicts(report)),
                (1, vec![Verdict::Failed; 2]),
                "{why}: {}",
                report.text()
            );
            assert!(report.vouched_by.is_empty(), "{why}");
        };
        refused("other data", &judge(&root, |data| tsa.stamp(&data[1..], 0)));
        refused("another root", &judge(&other.read("root.pem"), |data| tsa.stamp(data, 0)));
        refused("another authority's stamp", &judge(&root, |data| other.stamp(data, 0)));
        refused(
            "a request is no stamp",
            &judge(&root, |data| {
                tsa.stamp(data, 0);
                tsa.read("query")
            }),
        );
        refused("nothing", &judge(&root, |_| vec![]));
        refused(
            "a signer that may not stamp",
            &judge(&root, |data| {
                tsa.stamp(data, 0);
                tsa.resigned("plain.pem")
            }),
        );
        refused(
            "a signer of another root under the same name",
            &judge(&root, |data| {
                other.stamp(data, 0);
                other.resigned("tsa.pem")
            }),
        );
        refused("bytes behind it", &judge(&root, |data| [tsa.stamp(data, 0), vec![0]].concat()));
        let again = judge(&root, |data| {
            tsa.stamp(data, 0);
            tsa.resigned("tsa.pem")
        });
        assert_eq!(again.exit_code(), 0, "the detour itself is sound: {}", again.text());
        let fraction = judge(&root, |data| tsa.stamp(data, 6));
        assert_eq!(
            (fraction.exit_code(), verdicts(&fraction)),
            (0, vec![Verdict::Ok; 2]),
            "{}",
            fraction.text()
        );

        let unpinned = judge(&[], |data| tsa.stamp(data, 0));
        assert_eq!((unpinned.exit_code(), verdicts(&unpinned)), (0, vec![Verdict::NotChecked; 2]));
    }
}

/// The last ECDSA-with-SHA256 in a stamp is the signer's `signatureAlgorithm`. It becomes ECDSA-with-SHA384.
fn another_signature_algorithm(stamp: &mut [u8]) {
    const ECDSA_SHA256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let at = stamp.windows(10).rposition(|part| part == ECDSA_SHA256).unwrap();
    stamp[at + 9] = 3;
}

/// docs/spec/bundle.md, *Stock tools*, lists by name what verify.py does not see. Every other test of forgeries demands the same verdict
/// of both verifiers.
#[test]
fn verify_py_takes_the_forgeries_that_the_specification_lists_and_no_others() {
    let listed: Vec<&str> = {
        let text = include_str!("../../../docs/spec/bundle.md");
        let section = text.split_once("## Stock tools\n").unwrap().1;
        let rows = section.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`: "));
        rows.map(|(name, _)| name).collect()
    };
    type Row = (&'static str, &'static [&'static str], fn(&mut [u8]));
    let rows: [Row; 3] = [
        ("a stamp whose signature algorithm was altered", P256, another_signature_algorithm),
        (
            "a stamp by an RSA key of 1024 bits",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
            |_| (),
        ),
        (
            "a stamp by a key of another curve",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
            |_| (),
        ),
    ];
    assert_eq!(listed, rows.map(|(name, _, _)| name));
    for (name, algorithm, change) in rows {
        let tsa = Tsa::new(algorithm);
        let recipe = Recipe {
            after: Box::new(|files: &mut Files| {
                let mut stamp = tsa.stamp(&files["SHA256SUMS"], 0);
                change(&mut stamp);
                files.insert("SHA256SUMS.tsr".into(), stamp);
            }),
            ..Recipe::one_endpoint()
        };
        let mut pins = trust_files();
        pins.insert("tsa.pem".into(), tsa.read("root.pem"));
        let Judged { report, code, said } = judged(&recipe.build().files, &pins);
        assert!(report.exit_code() == 1 && fails(&report, "sums.stamp"), "{name}: {}", report.text());
        assert_eq!(code, 0, "{name}: verify.py sees it now; take it from the list\n{said}");
    }
}

#[test]
fn a_stamp_that_was_taken_away_is_missed_where_the_authority_is_pinned() {
    let tsa = Tsa::new(P256);
    let judge = |pinned: bool, stamped: bool| {
        let recipe = Recipe {
            files: Box::new(|files: &mut Files| {
                if stamped {
                    let response = tsa.stamp(&files["ledger/checkpoint"], 0);
                    files.insert("ledger/checkpoint.tsr".to_owned(), response);
                }
            }),
            ..Recipe::default()
        };
        let mut pins = trust_files();
        if pinned {
            pins.insert("tsa.pem".into(), tsa.read("root.pem"));
        }
        both_judge(&recipe.build().files, &pins)
    };
    let report = judge(true, true);
    assert_eq!(report.exit_code(), 2, "{}", report.text());
    let check = report.checks.iter().find(|check| check.check == "sums.stamp");
    let check = check.unwrap();
    assert_eq!((check.verdict, check.required), (Verdict::NotChecked, true));
    assert!(check.says.contains("SHA256SUMS.tsr is missing"), "{}", check.says);
    // Nobody promised a stamp: an authority that was away for both, or none that is pinned.
    for (pinned, stamped) in [(true, false), (false, true), (false, false)] {
        let report = judge(pinned, stamped);
        assert_eq!(report.exit_code(), 0, "{pinned} {stamped}: {}", report.text());
    }
}

/// Not every bit of a response is signed (`granted` may become `grantedWithMods`), so what counts is that no flip changes what is said to
/// be
/// stamped, or when; and that almost every one is refused.
#[test]
fn a_flipped_bit_of_a_stamp_never_changes_what_it_says() {
    let tsa = Tsa::new(P256);
    let bundle = Recipe::default().build();
    let mut files = bundle.files;
    let stamp = tsa.stamp(&files["SHA256SUMS"], 0);
    files.insert("SHA256SUMS.tsr".into(), stamp.clone());
    let mut pins = trust_files();
    pins.insert("tsa.pem".into(), tsa.read("root.pem"));
    let trust = trust_of(&pins);
    let says = |files: &Files| {
        let report = verify_memory(files, &trust, Effort::UntilFailure).unwrap();
        let check = report.checks.iter().find(|check| check.check == "sums.stamp").unwrap();
        (check.verdict == Verdict::Ok).then(|| check.says.clone())
    };
    let original = says(&files).unwrap();
    let mut kept = 0;
    for at in 0..stamp.len() {
        files.get_mut("SHA256SUMS.tsr").unwrap()[at] ^= 1 << (at % 8);
        if let Some(says) = says(&files) {
            assert_eq!(says, original, "byte {at}");
            kept += 1;
        }
        files.get_mut("SHA256SUMS.tsr").unwrap()[at] ^= 1 << (at % 8);
    }
    assert!(kept * 100 < stamp.len(), "{kept} of {} flips passed", stamp.len());
}

/// Of several authorities one has to count; the others may be unknown here, but never broken.
#[test]
fn stamps_of_several_authorities_are_judged_one_by_one() {
    let (one, two) = (Tsa::new(P256), Tsa::new(P256));
    type Change = fn(&mut Vec<u8>);
    let judge_over = |pinned: &[&Tsa], second: &str, change: Change, over: fn(&[u8]) -> &[u8]| {
        let both = |files: &mut Files, data: &str, name: &str| {
            let (first, mut other) = (one.stamp(&files[data], 0), two.stamp(over(&files[data]), 0));
            change(&mut other);
            files.insert(format!("{name}.tsr"), first);
            files.insert(format!("{name}.{second}.tsr"), other);
        };
        let recipe = Recipe {
            files: Box::new(|files: &mut Files| both(files, "ledger/checkpoint", "ledger/checkpoint")),
            after: Box::new(|files: &mut Files| both(files, "SHA256SUMS", "SHA256SUMS")),
            ..Recipe::default()
        };
        let mut pins = trust_files();
        let roots: Vec<u8> = pinned.iter().flat_map(|tsa| tsa.read("root.pem")).collect();
        if !roots.is_empty() {
            pins.insert("tsa.pem".into(), roots);
        }
        let report = both_judge(&recipe.build().files, &pins);
        (report.exit_code(), verdicts(&report), report.vouched_by.len(), report.text())
    };
    let judge = |pinned: &[&Tsa], second: &str, change| judge_over(pinned, second, change, |data| data);
    use Verdict::{Failed, NotChecked, Ok};
    let whole: Change = |_| {};
    let (exit, said, vouched, text) = judge(&[&one, &two], "2", whole);
    assert_eq!((exit, said, vouched), (0, vec![Ok; 4], 2), "{text}");
    for known in [&one, &two] {
        let (exit, mut said, vouched, text) = judge(&[known], "2", whole);
        said.sort_by_key(|verdict| *verdict != Ok);
        assert_eq!((exit, said, vouched), (0, vec![Ok, Ok, NotChecked, NotChecked], 1), "{text}");
        assert!(text.contains("2.tsr") || text.contains("tsa.pem"), "{text}");
    }
    let (exit, said, vouched, text) = judge(&[&Tsa::new(P256)], "2", whole);
    assert_eq!((exit, said, vouched), (1, vec![Failed; 4], 0), "{text}");
    // Broken is broken, whoever is pinned: a stranger's stamp is still about these bytes or it is not.
    for pinned in [vec![&one, &two], vec![&one]] {
        let (exit, said, vouched, text) = judge(&pinned, "2", |stamp| *stamp.last_mut().unwrap() ^= 1);
        assert_eq!((exit, said, vouched), (1, vec![Ok, Failed, Ok, Failed], 1), "{text}");
    }
    // Whole, of a stranger, and over other bytes: it does not become right by being unknown.
    let (exit, said, vouched, text) = judge_over(&[&one], "2", whole, |data| &data[1..]);
    assert_eq!((exit, said, vouched), (1, vec![Ok, Failed, Ok, Failed], 1), "{text}");
    let (exit, said, _, text) = judge(&[&one, &two], "3", whole);
    assert_eq!((exit, said), (1, vec![Failed; 2]), "{text}");
    assert!(text.contains("one before it is not"), "{text}");
    let (exit, said, vouched, text) = judge(&[], "2", whole);
    assert_eq!((exit, said, vouched), (0, vec![NotChecked; 2], 0), "{text}");
}
