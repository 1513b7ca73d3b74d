//! Stock OpenSSH as oracle, both ways: it accepts what we sign, we accept what it signs, and with our
//! allowed_signers no key can sign what its role does not allow.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evidence::bundle::allowed_signers;
use evidence::keys::PublicKey;
use evidence::keys::sshsig::{self, SshSigError};

use testkit::packages::*;
use testkit::vectors::{load, save};

const ORDER: &str = "exhibit-order-v1";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        save(&path, bytes);
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Runs ssh-keygen with a file as its input; true when it exits with 0.
fn ssh_keygen(arguments: &[&str], input: Option<&Path>) -> bool {
    let input = input.map_or(Stdio::null(), |path| std::fs::File::open(path).unwrap().into());
    let output = Command::new("ssh-keygen").args(arguments).stdin(input).output().unwrap();
    output.status.success()
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A fresh key pair in OpenSSH's own file.
fn key_file(folder: &Folder, name: &str) -> (PathBuf, PublicKey) {
    let path = folder.path(name);
    assert!(ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", utf8(&path)], None));
    let public = String::from_utf8(load(path.with_extension("pub"))).unwrap();
    (path, public.trim().parse().unwrap())
}

fn verifies(
    folder: &Folder,
    signers: &Path,
    principal: &str,
    namespace: &str,
    armour: &str,
    message: &[u8],
) -> bool {
    let signature = folder.file("verify.sig", armour.as_bytes());
    let message = folder.file("verify.message", message);
    let arguments =
        ["-Y", "verify", "-f", utf8(signers), "-I", principal, "-n", namespace, "-s", utf8(&signature)];
    ssh_keygen(&arguments, Some(&message))
}

#[test]
fn ssh_keygen_accepts_what_we_sign_whatever_the_length() {
    let folder = Folder::new();
    let signers =
        folder.file("allowed", format!("ada namespaces=\"{ORDER}\" {}\n", key(ADA).public()).as_bytes());
    for message in [&b""[..], b"x", b"line\n", &[0xff; 5000]] {
        let armour = sshsig::sign(&key(ADA), ORDER, message).unwrap();
        assert!(verifies(&folder, &signers, "ada", ORDER, &armour, message));
        assert!(!verifies(&folder, &signers, "ada", ORDER, &armour, b"other"));
        let signature = folder.file("novalidate.sig", armour.as_bytes());
        let message = folder.file("novalidate.message", message);
        let check = ["-Y", "check-novalidate", "-n", ORDER, "-s", utf8(&signature)];
        assert!(ssh_keygen(&check, Some(&message)));
    }
    // The armour's last line takes every length over namespaces of 1 to 64 characters, a full line among them.
    for length in 1..=64 {
        let namespace = "n".repeat(length);
        let armour = sshsig::sign(&key(ADA), &namespace, b"message").unwrap();
        let signature = folder.file("length.sig", armour.as_bytes());
        let message = folder.file("length.message", b"message");
        let check = ["-Y", "check-novalidate", "-n", &namespace, "-s", utf8(&signature)];
        assert!(ssh_keygen(&check, Some(&message)), "namespace of {length}");
    }
}

#[test]
fn we_accept_what_ssh_keygen_signs_and_write_the_same_armour() {
    let folder = Folder::new();
    let (path, public) = key_file(&folder, "id");
    for length in [1, 5, 16, 33, 47, 64] {
        let namespace = "n".repeat(length);
        let name = format!("message-{length}");
        let message = folder.file(&name, b"{\"type\":\"x\"}\n");
        assert!(ssh_keygen(&["-q", "-Y", "sign", "-f", utf8(&path), "-n", &namespace, utf8(&message)], None));
        let armour = String::from_utf8(load(folder.path(&format!("{name}.sig")))).unwrap();
        assert_eq!(sshsig::verify(&armour, &namespace, b"{\"type\":\"x\"}\n").unwrap(), public);
        assert_eq!(sshsig::SshSig::parse(&armour).unwrap().armour(), armour);
    }
    // sha256 is a choice of ssh-keygen that our formats do not have.
    let message = folder.file("sha256", b"message");
    assert!(ssh_keygen(
        &["-q", "-Y", "sign", "-O", "hashalg=sha256", "-f", utf8(&path), "-n", ORDER, utf8(&message)],
        None
    ));
    let armour = String::from_utf8(load(folder.path("sha256.sig"))).unwrap();
    assert!(matches!(sshsig::verify(&armour, ORDER, b"message"), Err(SshSigError::Blob)));
}

#[test]
fn fingerprints_are_those_that_ssh_keygen_prints() {
    let folder = Folder::new();
    let public = key(ADA).public();
    let path = folder.file("key.pub", format!("{public}\n").as_bytes());
    let output = Command::new("ssh-keygen").args(["-l", "-f", utf8(&path)]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.split(' ').nth(1).unwrap(), public.fingerprint().to_string());
}

#[test]
fn other_algorithms_are_refused_with_the_command_that_makes_the_right_one() {
    let folder = Folder::new();
    for kind in ["rsa", "ecdsa"] {
        let path = folder.path(kind);
        assert!(ssh_keygen(&["-q", "-t", kind, "-N", "", "-C", "", "-f", utf8(&path)], None));
        let public = String::from_utf8(load(path.with_extension("pub"))).unwrap();
        let error = public.trim().parse::<PublicKey>().unwrap_err().to_string();
        assert!(error.contains("ssh-keygen -t ed25519"), "{error}");
    }
}

#[test]
fn allowed_signers_bind_each_key_to_what_its_roles_may_sign() {
    let folder = Folder::new();
    let signers = folder.file("allowed_signers", &allowed_signers(&second_roster(), [enrolled_key()]));
    let all = [
        "exhibit-act-v1",
        "exhibit-approval-v1",
        "exhibit-bundle-v1",
        "exhibit-delegation-v1",
        "exhibit-enrolment-v1",
        "exhibit-login-v1",
        "exhibit-manifest-v1",
        "exhibit-order-v1",
        "exhibit-renewal-v1",
        "exhibit-roster-v1",
        "exhibit-token-v1",
        "exhibit-seal-v1",
    ];
    let people = ["exhibit-act-v1", "exhibit-login-v1"];
    let expected: [(&str, u8, Vec<&str>); 6] = [
        ("authority", 1, vec!["exhibit-roster-v1"]),
        (
            "person:ada",
            ADA_SECOND,
            [&people[..], &["exhibit-order-v1", "exhibit-bundle-v1", "exhibit-approval-v1"]].concat(),
        ),
        ("person:bob", BOB, [&people[..], &["exhibit-approval-v1"]].concat()),
        ("person:cat", CAT, [&people[..], &["exhibit-token-v1"]].concat()),
        ("person:dan", DAN, people.to_vec()),
        (
            "endpoint:web-03#2",
            EVIDENCE,
            vec![
                "exhibit-delegation-v1",
                "exhibit-enrolment-v1",
                "exhibit-manifest-v1",
                "exhibit-renewal-v1",
            ],
        ),
    ];
    for (principal, number, allowed) in expected {
        for namespace in all {
            let armour = sshsig::sign(&key(number), namespace, b"document\n").unwrap();
            let verified = verifies(&folder, &signers, principal, namespace, &armour, b"document\n");
            assert_eq!(verified, allowed.contains(&namespace), "{principal} {namespace}");
        }
    }
    let armour = sshsig::sign(&key(BOB), "exhibit-act-v1", b"document\n").unwrap();
    assert!(!verifies(&folder, &signers, "person:ada", "exhibit-act-v1", &armour, b"document\n"));
}

/// OpenSSH's own software authenticator (Debian package openssh-tests), where it is installed; `EXHIBIT_SK_PROVIDER`
/// names another place. Hand-made signatures are tested beside `sshsig` in any case.
#[test]
fn a_signature_by_a_fido_key_holds_when_openssh_has_its_test_authenticator() {
    let installed = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";
    let provider = std::env::var("EXHIBIT_SK_PROVIDER").unwrap_or_else(|_| installed.to_owned());
    if !Path::new(&provider).exists() {
        println!(
            "SKIPPED a_signature_by_a_fido_key_holds_when_openssh_has_its_test_authenticator: no {provider} (openssh-tests)"
        );
        return;
    }
    let folder = Folder::new();
    let path = folder.path("sk");
    let run = |arguments: &[&str]| {
        let status = Command::new("ssh-keygen")
            .args(arguments)
            .env("SSH_SK_PROVIDER", &provider)
            .stdin(Stdio::null())
            .output();
        assert!(status.unwrap().status.success(), "{arguments:?}");
    };
    run(&["-q", "-t", "ed25519-sk", "-w", &provider, "-N", "", "-C", "", "-f", utf8(&path)]);
    let public: PublicKey =
        String::from_utf8(load(path.with_extension("pub"))).unwrap().trim().parse().unwrap();
    assert_eq!(public.application(), Some("ssh:"));
    let message = folder.file("message", b"document\n");
    run(&["-q", "-Y", "sign", "-f", utf8(&path), "-n", ORDER, utf8(&message)]);
    let armour = String::from_utf8(load(folder.path("message.sig"))).unwrap();
    assert_eq!(sshsig::verify(&armour, ORDER, b"document\n").unwrap(), public);
    assert!(sshsig::verify(&armour, ORDER, b"documents\n").is_err());

    // ssh-keygen can make a key that needs no touch; what it signs is refused here, as ssh-keygen itself would not.
    let path = folder.path("untouched");
    run(&[
        "-q",
        "-t",
        "ed25519-sk",
        "-O",
        "no-touch-required",
        "-w",
        &provider,
        "-N",
        "",
        "-C",
        "",
        "-f",
        utf8(&path),
    ]);
    let message = folder.file("untouched.message", b"document\n");
    run(&["-q", "-Y", "sign", "-f", utf8(&path), "-n", ORDER, utf8(&message)]);
    let armour = String::from_utf8(load(folder.path("untouched.message.sig"))).unwrap();
    assert!(matches!(sshsig::verify(&armour, ORDER, b"document\n"), Err(SshSigError::UserPresence)));
}
