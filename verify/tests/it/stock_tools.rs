//! The same bundle under tools that know nothing of us: sha256sum, ssh-keygen, openssl, tar; and verify.py, which calls them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::verdicts::*;
use testkit::bundles::*;

struct Unpacked {
    laid: Laid,
    files: Files,
}

fn unpack() -> Unpacked {
    let files = Recipe::default().build().files;
    Unpacked { laid: Laid::out(&files, &trust_files()), files }
}

impl Unpacked {
    fn root(&self) -> PathBuf {
        self.laid.bundle()
    }

    fn sums_hold(&self) -> bool {
        let mut command = Command::new("sha256sum");
        let status = command
            .args(["-c", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(self.root())
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        status.status().unwrap().success()
    }

    fn signed(
        &self,
        allowed: &Path,
        principal: &str,
        namespace: &str,
        signature: &str,
        document: &str,
    ) -> bool {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-Y", "verify", "-I", principal, "-n", namespace, "-f"])
            .arg(allowed)
            .arg("-s")
            .arg(self.root().join(signature));
        let document = fs_err::File::open(self.root().join(document)).unwrap().into_parts().0;
        let status = command.stdin(document).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.unwrap().success()
    }

    fn find(&self, ending: &str) -> String {
        self.files.keys().find(|name| name.ends_with(ending)).unwrap().clone()
    }

    fn script(&self) -> Option<i32> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/verify.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(self.root()).arg(self.laid.trust());
        command.output().unwrap().status.code()
    }
}

#[test]
fn sha256sum_takes_the_good_bundle_and_refuses_a_flip_in_every_covered_file() {
    let bundle = unpack();
    assert!(bundle.sums_hold());
    let sums = String::from_utf8(bundle.files["SHA256SUMS"].clone()).unwrap();
    for line in sums.lines() {
        let (_, name) = line.split_once("  ").unwrap();
        let path = bundle.root().join(name);
        let good = bundle.files[name].clone();
        let mut flipped = good.clone();
        let at = good.len() / 3;
        flipped[at] ^= 1 << (at % 8);
        fs_err::write(&path, &flipped).unwrap();
        assert!(!bundle.sums_hold(), "{name}");
        fs_err::write(&path, &good).unwrap();
    }
    assert!(bundle.sums_hold());
}

#[test]
fn ssh_keygen_takes_each_signature_by_its_signer_in_its_namespace_only() {
    let bundle = unpack();
    let (allowed, authority) =
        (bundle.root().join("deployment/allowed_signers"), bundle.laid.trust().join("authority"));
    let order = bundle.find(".targets/web-03.json").replace(".targets/web-03", "");
    let approval = bundle.files.keys().find(|name| name.starts_with("approvals/")).unwrap().clone();
    let manifest = bundle.find("/manifest.json");
    let delegation = manifest.replace("manifest", "delegation");
    let endpoint = "endpoint:web-03#1";
    let signatures = [
        (&authority, "authority", "exhibit-roster-v1", "deployment/roster-1.json", 1),
        (&authority, "authority", "exhibit-roster-v1", "deployment/roster-2.json", 1),
        (&allowed, "person:alice", "exhibit-bundle-v1", "SHA256SUMS", 1),
        (&allowed, "person:alice", "exhibit-order-v1", &order, 1),
        (&allowed, "person:bob", "exhibit-approval-v1", &approval, 1),
        (&allowed, "person:cat", "exhibit-token-v1", "deployment/token-web-03-1.json", 1),
        (&allowed, endpoint, "exhibit-enrolment-v1", "deployment/enrolment-web-03-1.json", 2),
        (&allowed, endpoint, "exhibit-delegation-v1", &delegation, 1),
        (&allowed, endpoint, "exhibit-manifest-v1", &manifest, 2),
    ];
    for (allowed, who, namespace, document, number) in signatures {
        let signature = match (document, number) {
            (document, 1) => format!("{document}.sig"),
            (document, number) => format!("{document}.{number}.sig"),
        };
        assert!(bundle.signed(allowed, who, namespace, &signature, document), "{document} by {who}");
        assert!(
            !bundle.signed(allowed, who, "exhibit-act-v1", &signature, document),
            "{document} in another namespace"
        );
        assert!(
            !bundle.signed(allowed, "person:dan", namespace, &signature, document),
            "{document} by another"
        );
        assert!(
            !bundle.signed(allowed, who, namespace, &signature, "README.txt"),
            "another document than {document}"
        );
    }
    // The evidence key may not sign a roster, whoever takes the bundle's own list of keys.
    let armour = evidence::keys::sshsig::sign(
        &key(EVIDENCE),
        "exhibit-roster-v1",
        &bundle.files["deployment/roster-2.json"],
    )
    .unwrap();
    fs_err::write(bundle.root().join("deployment/roster-2.json.sig"), armour).unwrap();
    for (allowed, who) in [(&authority, "authority"), (&allowed, "authority"), (&allowed, endpoint)] {
        assert!(!bundle.signed(
            allowed,
            who,
            "exhibit-roster-v1",
            "deployment/roster-2.json.sig",
            "deployment/roster-2.json"
        ));
    }
}

#[test]
fn openssl_takes_the_checkpoints_signature_over_its_text_only() {
    let bundle = unpack();
    let folder = bundle.laid.folder();
    let key = log_key(LOG, "exhibit/acme");
    let point = STANDARD.decode(key.splitn(3, '+').nth(2).unwrap()).unwrap();
    // RFC 8410: SubjectPublicKeyInfo of Ed25519; the note's key begins with its type.
    let info =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], &point[1..]].concat();
    fs_err::write(folder.join("log.der"), info).unwrap();
    let verify = |text: &str| {
        fs_err::write(folder.join("text"), text).unwrap();
        let mut command = Command::new("openssl");
        command.args([
            "pkeyutl",
            "-verify",
            "-pubin",
            "-keyform",
            "DER",
            "-inkey",
            "log.der",
            "-rawin",
            "-in",
            "text",
            "-sigfile",
            "signature",
        ]);
        command.current_dir(&folder).output().unwrap().status.success()
    };
    for name in ["ledger/checkpoint", "export/checkpoint"] {
        let note = String::from_utf8(bundle.files[name].clone()).unwrap();
        let (text, line) = note.split_once("\n\n").unwrap();
        let signature = STANDARD.decode(line.trim_end().rsplit(' ').next().unwrap()).unwrap();
        fs_err::write(folder.join("signature"), &signature[4..]).unwrap();
        let text = format!("{text}\n");
        assert!(verify(&text), "{name}");
        assert!(!verify(&text.replacen("acme", "acmf", 1)), "{name}");
    }
}

#[test]
fn tar_lists_and_extracts_what_the_records_say() {
    let bundle = unpack();
    let container =
        bundle.root().join(bundle.find("/manifest.json").replace("manifest.json", "container.tar.zst"));
    let list = Command::new("tar").args(["--zstd", "-tf"]).arg(&container).output().unwrap();
    assert!(list.status.success());
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().count(), 11, "{list}");
    assert!(list.contains("[root]/etc/hello\n") && list.ends_with("live/outcomes.jsonl\n"), "{list}");
    let hello = Command::new("tar")
        .args(["--zstd", "-xOf"])
        .arg(&container)
        .arg("[root]/etc/hello")
        .output()
        .unwrap();
    assert_eq!(hello.stdout, b"hello world\n");
}

#[test]
fn the_script_agrees_on_the_good_bundle_and_on_altered_ones() {
    let bundle = unpack();
    assert_eq!(bundle.script(), Some(0));
    for name in ["custody/000003.entry", "export/entry", "export/checkpoint", "SHA256SUMS.sig"] {
        let good = bundle.files[name].clone();
        let mut flipped = good.clone();
        let at = good.len() / 2;
        flipped[at] ^= 1;
        fs_err::write(bundle.root().join(name), flipped).unwrap();
        assert_eq!(bundle.script(), Some(1), "{name}");
        fs_err::write(bundle.root().join(name), good).unwrap();
    }
    fs_err::write(bundle.root().join("planted"), "x").unwrap();
    assert_eq!(bundle.script(), Some(1));
}

#[test]
#[ignore = "measures: 128 MiB that do not compress"]
fn speed_of_a_large_container() {
    let long = testkit::containers::noise(128 << 20);
    let bundle = Recipe { long, cuts: vec![8; 15], ..Recipe::default() }.build();
    let folder = tempfile::tempdir().unwrap();
    save(&bundle.files, folder.path());
    let begun = std::time::Instant::now();
    let report = exhibit_verify::verify(folder.path(), &trust(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:.0} MB/s of stored bytes ({seconds:.2} s)", f64::from(128 << 20) / 1e6 / seconds);
}
