//! Chosen items of a real collection leave with proof and without their neighbours.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::{Lab, attempt, run, text};
use testkit::walk::files_below;

/// A file, its hard link, a file with holes, one that is no UTF-8, one that cannot be a member, a symlink, a secret one.
fn fixture(lab: &Lab) -> PathBuf {
    let dir = lab.path("fixture");
    fs_err::create_dir_all(dir.join("sub")).unwrap();
    fs_err::write(dir.join("small.txt"), b"hello evidence\n").unwrap();
    fs_err::write(dir.join("sub/empty"), b"").unwrap();
    fs_err::write(dir.join("neighbour-of-small"), b"what nobody else may see\n").unwrap();
    fs_err::write(dir.join(OsStr::from_bytes(b"caf\xe9")), b"raw\n").unwrap();
    let big: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    fs_err::write(dir.join("big.bin"), &big).unwrap();
    std::os::unix::fs::symlink("small.txt", dir.join("link")).unwrap();
    fs_err::hard_link(dir.join("big.bin"), dir.join("sub/hard.bin")).unwrap();
    run(Command::new("mkfifo").arg(dir.join("fifo"))).unwrap();
    let holes = fs_err::File::create(dir.join("holes.img")).unwrap();
    holes.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(holes.file(), b"in the middle", 2 << 20).unwrap();
    dir
}

fn export(lab: &Lab, incident: &str, out: &Path, more: &[OsString]) -> Output {
    attempt(
        lab.exhibit()
            .args(["bundle", "export", incident, "--purpose", "court order", "-o"])
            .arg(out)
            .args(more),
    )
    .unwrap()
}

fn only(path: &Path) -> [OsString; 2] {
    ["--only".into(), path.as_os_str().to_owned()]
}

fn read_tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| (path.clone(), fs_err::read(&path).unwrap());
    files_below(dir).into_iter().map(read).collect()
}

#[test]
fn chosen_items_leave_with_proof_and_without_their_neighbours() {
    let mut lab = Lab::new().unwrap();
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let fixture = fixture(&lab);
    let profile = lab.files_profile("fixture", &[&format!("{}/**", fixture.display())]).unwrap();
    let incident = lab.incident().unwrap();
    let first = lab
        .collect(&incident, "web-03", &profile)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let id = text(&first, "collection").unwrap();
    // A second collection of the same incident, of which nothing is handed over.
    let other = lab.files_profile("other", &[&format!("{}/sub/**", fixture.display())]).unwrap();
    lab.collect(&incident, "web-03", &other).unwrap();

    // Mistakes are said before anything is written or recorded.
    let out = lab.path("part");
    let short = id.get(..12).unwrap();
    let secret = fixture.join("neighbour-of-small");
    for (args, code, said) in [
        (vec!["--only".into(), "etc/passwd".into()], 64, "COLLECTION:NUMBER"),
        (vec!["--only".into(), "/no/such/**".into()], 2, "chooses no item"),
        (vec!["--only".into(), format!("{short}:100000").into()], 2, "chooses no item"),
        (vec!["--only".into(), "0123456789ab:1".into()], 2, "no such collection"),
        (vec!["--from-file".into(), "/nonexistent".into()], 2, "one selector a line"),
        (only(&fixture.join("sub/hard.bin")).to_vec(), 2, "is a hard link"),
    ] {
        let output = export(&lab, &incident, &out, &args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(said) && !error.contains("panicked"), "{args:?}: {error}");
        assert!(!out.exists());
    }

    let list = lab.path("list");
    let raw = [format!("# two more\n\n{}/caf", fixture.display()).as_bytes(), b"\xe9\n"].concat();
    fs_err::write(&list, raw).unwrap();
    let scoped = |name: &str| -> Vec<OsString> {
        let mut text = OsString::from(format!("{short}:"));
        text.push(fixture.join(name));
        vec!["--only".into(), text]
    };
    let mut args: Vec<OsString> = only(&fixture.join("small.txt")).to_vec();
    args.extend(scoped("big.bin"));
    args.extend(scoped("sub/hard.bin"));
    args.extend(scoped("fif?"));
    args.extend(scoped("holes.*"));
    args.extend(["--from-file".into(), list.into_os_string()]);
    let output = export(&lab, &incident, &out, &args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), lab.logs());
    assert!(said.contains("PARTIAL PRODUCTION"), "{said}");

    let report = lab.verify(&out).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(report.partial);
    let mut shown: Vec<&str> =
        report.items.iter().map(|item| item.shown.rsplit('/').next().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["big.bin", "caf\u{fffd}", "fifo", "hard.bin", "holes.img", "small.txt"]);
    let plain = run(Command::new("python3")
        .arg(lab::checkout().join("packaging/verify.py"))
        .arg(&out)
        .arg(lab.trust().unwrap()))
    .unwrap();
    println!("{}", String::from_utf8_lossy(&plain.stdout));

    // The bytes are those of the source, by their own name in the bundle.
    let items = out.join("evidence").join(&id).join("items");
    for name in [
        OsStr::from_bytes(b"caf\xe9"),
        OsStr::new("big.bin"),
        OsStr::new("holes.img"),
        OsStr::new("small.txt"),
    ] {
        let source = fs_err::read(fixture.join(name)).unwrap();
        let path = fixture.join(name).into_os_string().into_vec();
        let shown = String::from_utf8_lossy(&path).into_owned();
        let item = report.items.iter().find(|item| item.shown == shown).unwrap();
        let content = fs_err::read(items.join(format!("{:06}.content", item.n))).unwrap();
        assert!(content == source, "{shown}");
    }
    // Nothing of what was not chosen: neither names nor content nor the titles of the incident.
    for (path, bytes) in read_tree(&out) {
        for needle in [&b"neighbour-of-small"[..], b"sub/empty", b"what nobody else may see"] {
            let found = bytes.windows(needle.len()).any(|at| at == needle)
                || path.as_os_str().as_bytes().windows(needle.len()).any(|at| at == needle);
            assert!(!found, "{} in {}", needle.escape_ascii(), path.display());
        }
        assert!(!path.ends_with("container.tar.zst") && !path.to_string_lossy().contains("/seals/"));
        assert!(!path.to_string_lossy().contains("/details/"));
    }
    assert!(!out.join("evidence").join(secret.file_name().unwrap()).exists());

    // The ledger says that it was a part, and of which items; the whole still leaves as the whole.
    let says = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).contains("[\"items\",\"6\"],[\"partial\",\"yes\"],[\"selection\",")
    };
    assert!(says(&fs_err::read(out.join("export/entry")).unwrap()), "bundle.exported");
    let custody = read_tree(&out.join("custody"));
    assert!(custody.iter().any(|(_, entry)| says(entry)), "evidence.accessed");
    let bundle = lab.export(&incident).unwrap();
    let report = lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    assert!(!report.partial);
}
