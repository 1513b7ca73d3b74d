//! The private keys of the authority and of persons never reach a collector: after a whole job, no form of them lies in its folders.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::keys::{PublicKey, SigningKey};
use lab::Lab;
use testkit::walk::files_below;

/// A private key in every form in which a program might have written it down.
struct Forms {
    name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Forms {
    /// Of a key file of OpenSSH.
    fn of(path: &Path) -> Self {
        let pem = fs_err::read_to_string(path).unwrap();
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let body = STANDARD.decode(lines.concat()).unwrap();
        let public = fs_err::read_to_string(path.with_extension("pub")).unwrap();
        let public: Vec<&str> = public.split_whitespace().take(2).collect();
        let public: PublicKey = public.join(" ").parse().unwrap();
        // The secret half is the only run of 32 bytes in the file that makes this public key.
        let seed: [u8; 32] = body
            .windows(32)
            .map(|window| window.try_into().unwrap())
            .find(|seed| SigningKey::from_seed(seed).public() == public)
            .unwrap_or_else(|| panic!("{} holds no secret for its public half", path.display()));
        let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![
            ("bytes", seed.to_vec()),
            ("hex", hex.clone().into_bytes()),
            ("upper-case hex", hex.to_uppercase().into_bytes()),
            ("lines of OpenSSH", lines[1].as_bytes().to_vec()),
        ];
        // In base64 the same bytes look different at each of three places; the characters at the edges depend on the neighbours.
        for (name, shift) in [("base64", 0), ("base64, one byte on", 1), ("base64, two bytes on", 2)] {
            let text = STANDARD.encode([&vec![0; shift][..], &seed].concat());
            let first = [0, 2, 3][shift];
            forms.push((name, text.as_bytes()[first..40].to_vec()));
        }
        Self { name: path.file_name().unwrap().to_string_lossy().into_owned(), forms }
    }

    /// The forms that stand in the bytes.
    fn found(&self, bytes: &[u8]) -> Vec<&'static str> {
        let holds = |needle: &[u8]| {
            let first = needle[0];
            let mut at = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
            at.any(|(at, _)| bytes[at..].starts_with(needle))
        };
        self.forms.iter().filter(|(_, needle)| holds(needle)).map(|(form, _)| *form).collect()
    }
}

#[test]
fn no_private_key_of_authority_or_persons_is_anywhere_in_a_collector_after_a_whole_job() {
    let mut lab = Lab::new().unwrap();
    lab.log_in("bob").unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let fixture = lab.path("fixture");
    fs_err::create_dir(&fixture).unwrap();
    fs_err::write(fixture.join("file"), b"what is to be collected\n").unwrap();
    let profile = lab.files_profile("fixture", &[&format!("{}/**", fixture.display())]).unwrap();
    let incident = lab.incident().unwrap();
    lab.collect(&incident, "web-03", &profile).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    lab.export(&incident).unwrap();

    let is_private = |path: &PathBuf| {
        fs_err::read_to_string(path).is_ok_and(|text| text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"))
    };
    let keys: Vec<Forms> = files_below(&lab.path("admin"))
        .iter()
        .filter(|path| is_private(path))
        .map(|path| Forms::of(path))
        .collect();
    let mut names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.contains(&"alice") && names.contains(&"bob") && names.len() >= 3, "{names:?}");
    // The search finds what is there.
    for key in &keys {
        let (_, seed) = &key.forms[0];
        let around = [b"before", seed.as_slice(), b"behind"].concat();
        assert_eq!(key.found(&around), ["bytes"]);
        for shift in 0..3 {
            let text = STANDARD.encode([&vec![7; shift][..], seed, b"behind"].concat());
            assert_eq!(key.found(text.as_bytes()).len(), 1, "{} at {shift}", key.name);
        }
    }
    let mut searched = 0;
    for folder in ["server", "store-a", "store-b"] {
        let files = files_below(&lab.path(folder));
        assert!(!files.is_empty(), "{folder}");
        for path in files {
            let bytes = fs_err::read(&path).unwrap();
            searched += bytes.len();
            for key in &keys {
                assert_eq!(key.found(&bytes), [""; 0], "{} in {}", key.name, path.display());
            }
        }
    }
    println!(
        "tried: {} private keys in 7 forms in {searched} bytes of a collector after a whole job; got: none",
        keys.len()
    );
}
