//! A clumsy forger: bits that flip, and files that are cut, lost, added, renamed, or replaced by something that is not a file.

use std::os::unix::fs::symlink;
use std::process::Command;

use exhibit_verify::{Effort, Verdict, verify_memory};

use crate::verdicts::*;
use testkit::bundles::*;

/// Calls `judge` with each place and bit on all processors; collects what it returns.
pub fn everywhere(
    files: &Files,
    stride: usize,
    judge: impl Fn(&mut Files, &str, usize) -> Option<String> + Sync,
) -> Vec<String> {
    let places: Vec<(&str, usize)> =
        files.iter().flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name.as_str(), at))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let mut files = files.clone();
            let mut found = Vec::new();
            loop {
                let begin = next.fetch_add(64, std::sync::atomic::Ordering::Relaxed);
                if begin >= places.len() {
                    return found;
                }
                let end = places.len().min(begin + 64);
                for (name, at) in &places[begin..end] {
                    if at % stride == 0 {
                        found.extend(judge(&mut files, name, *at));
                    }
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_flipped_bit_of_every_file_is_rejected() {
    assert_eq!(flipped(&Recipe::one_endpoint().build(), |_| true), Vec::<String>::new());
}

/// Every bit of the files that `whole` takes, and one of each byte of the others; returns those that a verifier did not mind.
pub fn flipped(bundle: &Bundle, whole: impl Fn(&str) -> bool + Sync) -> Vec<String> {
    let trust = trust();
    everywhere(&bundle.files, 1, |files, name, at| {
        let bits = if whole(name) { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            files.get_mut(name).unwrap()[at] ^= 1 << bit;
            let code = verify_memory(files, &trust, Effort::UntilFailure).unwrap().exit_code();
            files.get_mut(name).unwrap()[at] ^= 1 << bit;
            if code != 1 {
                return Some(format!("{name} byte {at} bit {bit}: exit {code}"));
            }
        }
        None
    })
}

/// Words of the exporter, which the exporter's signature covers and nothing else can.
fn is_word(files: &Files, name: &str, at: usize) -> bool {
    if ["README.txt", "certification.txt", "verify.py"].contains(&name) {
        return true;
    }
    let text = String::from_utf8_lossy(&files[name]).into_owned();
    let begin = text.find("\"exported\":\"").map(|begin| begin + 12);
    name == "bundle.json" && begin.is_some_and(|begin| (begin..begin + 24).contains(&at))
}

/// One bit of each byte is flipped, the sums are made anew and signed by a responder: something else than the ledger's record
/// of the export must notice, for an operator could renew that, too.
pub fn resigned(bundle: &Bundle, stride: usize) -> Vec<String> {
    let trust = trust();
    let sums: Vec<String> = ["SHA256SUMS", "SHA256SUMS.sig"].map(str::to_owned).to_vec();
    everywhere(&bundle.files, stride, |files, name, at| {
        if name.starts_with("export/") || sums.iter().any(|sums| sums == name) || is_word(files, name, at) {
            return None;
        }
        files.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
        sum(files, ALICE);
        let report = verify_memory(files, &trust, Effort::Whole).unwrap();
        files.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
        let failed = checks(&report, Verdict::Failed);
        assert!(!fails(&report, "sums"), "{name} {at}");
        let noticed = failed.iter().any(|check| check.check != "export");
        (!noticed).then(|| format!("{name} byte {at}: {}", report.text()))
    })
}

#[test]
fn a_flipped_bit_under_a_responders_new_signature_is_rejected() {
    assert_eq!(resigned(&Recipe::one_endpoint().build(), 41), Vec::<String>::new());
}

#[test]
#[ignore = "minutes: every byte instead of every 41st"]
fn every_byte_flipped_under_a_responders_new_signature_is_rejected() {
    assert_eq!(resigned(&Recipe::one_endpoint().build(), 1), Vec::<String>::new());
}

#[test]
fn files_cut_lost_added_or_renamed_are_rejected() {
    let bundle = Recipe::one_endpoint().build();
    let judge = |why: String, files: &Files| match verify_memory(files, &trust(), Effort::UntilFailure) {
        Ok(report) => assert_eq!(report.exit_code(), 1, "{why}"),
        Err(error) => {
            assert!(why.ends_with(" SHA256SUMS") || why.ends_with(" SHA256SUMS renamed"), "{why}: {error}")
        }
    };
    for (name, bytes) in &bundle.files {
        let mut files = bundle.files.clone();
        files.remove(name);
        judge(format!("without {name}"), &files);
        for length in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            if length < bytes.len() {
                files.insert(name.clone(), bytes[..length].to_vec());
                judge(format!("{name} cut to {length}"), &files);
            }
        }
        for tail in [&b"\n"[..], b" ", b"\0", bytes] {
            // Nothing twice is nothing.
            if !tail.is_empty() {
                files.insert(name.clone(), [bytes, tail].concat());
                judge(format!("{name} with {} bytes more", tail.len()), &files);
            }
        }
        files.remove(name);
        files.insert(name.to_uppercase(), bytes.clone());
        if !files.contains_key(name) {
            judge(format!("{name} renamed"), &files);
        }
    }
    for extra in [
        "extra",
        "evidence/extra",
        "export/other",
        "SHA256SUMS.sig2",
        "custody/000010.entry",
        "details/x.json",
        ".hidden",
        "a b",
    ] {
        let mut files = bundle.files.clone();
        files.insert(extra.to_owned(), b"planted".to_vec());
        judge(format!("with {extra}"), &files);
    }
}

#[test]
fn a_folder_holds_plain_files_only() {
    let bundle = Recipe::one_endpoint().build();
    let trust = trust();
    type Plant = fn(&std::path::Path);
    let planted: [(&str, Plant); 6] = [
        ("an empty folder", |root| fs_err::create_dir_all(root.join("evidence/empty")).unwrap()),
        ("a symlink beside", |root| symlink("README.txt", root.join("LINK.txt")).unwrap()),
        ("a symlink in place of a file", |root| {
            fs_err::rename(root.join("README.txt"), root.parent().unwrap().join("moved")).unwrap();
            symlink("../moved", root.join("README.txt")).unwrap();
        }),
        ("a symlink in place of a folder", |root| {
            fs_err::rename(root.join("custody"), root.parent().unwrap().join("custody")).unwrap();
            symlink("../custody", root.join("custody")).unwrap();
        }),
        ("a symlink in place of SHA256SUMS", |root| {
            fs_err::rename(root.join("SHA256SUMS"), root.parent().unwrap().join("sums")).unwrap();
            symlink("../sums", root.join("SHA256SUMS")).unwrap();
        }),
        ("a FIFO", |root| assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success())),
    ];
    for (why, plant) in planted {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("bundle");
        save(&bundle.files, &root);
        let verify = || exhibit_verify::verify(&root, &trust, &mut |_| ()).unwrap();
        assert_eq!(verify().exit_code(), 0);
        plant(&root);
        let report = verify();
        assert!(report.exit_code() == 1 && fails(&report, "sums"), "{why}: {}", report.text());
    }
}
