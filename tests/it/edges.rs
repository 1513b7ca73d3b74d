//! Ends of the ranges, through real processes: the shortest collection, the longest order, the last attempt, the earliest
//! export. Each was wrong once.

use std::process::Command;

use lab::{attempt, is_root, wait_for};

use crate::faults::fixture;
use crate::field::{Field, Random};

const MIB: u64 = 1 << 20;

/// The seal is there before the collector has said where the upload stands.
#[test]
fn a_tiny_collection_over_a_slow_line_is_stored() {
    let field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::write(dir.join("one"), "one").unwrap();
    let profile = field.lab.files_profile("tiny", &[&format!("{}/one", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    for bytes_per_second in [4_000, 64_000] {
        field.proxy.limit(Some(bytes_per_second));
        let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
        let ended = field.wait_ended(&order).unwrap();
        assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
        assert_eq!(ended.segments, 1);
    }
    println!("tried: one file of 3 bytes over 4 and 64 kB/s; got: stored at the first attempt");
}

/// An order may be as long as its plan: 1,024 globs. The link takes it in one message from the collector.
#[test]
fn a_long_order_reaches_the_endpoint_whole() {
    let field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    let deep = dir.join("a-name-that-is-long-enough-to-make-the-order-long/and-another-one-below-it");
    fs_err::create_dir_all(&deep).unwrap();
    let mut globs = Vec::new();
    for number in 0..1024 {
        let path = deep.join(format!("a-file-with-a-long-name-too-{number:04}.log"));
        fs_err::write(&path, number.to_string()).unwrap();
        globs.push(path.display().to_string());
    }
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let profile = field.lab.files_profile("long", &globs).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    let row = field.collection(&ended.collection).unwrap();
    assert!(row.items >= 1024, "{} items", row.items);
    let document = field.show(&order).unwrap().order.unwrap().document.len();
    assert!(document > 100_000, "{document} bytes are no long order");
    println!("tried: an order of {document} bytes (1,024 globs); got: stored, {} items", row.items);
}

/// Two attempts die with their agent; the third is made and stored, and there is no fourth.
#[test]
fn the_third_attempt_is_made_and_is_the_last() {
    let mut field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 64, &mut Random::new(31));
    let profile = field.lab.files_profile("thrice", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    field.proxy.limit(Some(8 * MIB));
    let order = field.order(&incident, &profile, &["--attempts", "3"]).unwrap();
    for attempt in 1..=2 {
        wait_for("segments of an attempt", || {
            let rows = field.show(&order)?.attempts;
            Ok(rows.into_iter().find(|row| row.attempt == attempt && row.segments > 0).map(drop))
        })
        .unwrap_or_else(|error| panic!("attempt {attempt}: {error:?}\n{}", field.logs()));
        field.kill_agent().unwrap();
        if attempt == 2 {
            field.proxy.limit(None);
        }
        field.start_agent(&[]).unwrap();
    }
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!((ended.state.as_str(), ended.attempt), ("stored", 3), "{}\n{}", ended.detail, field.logs());
    let timeline = field.lab.json(&["incident", "show", &incident]).unwrap();
    let types: Vec<String> = lab::rows(timeline.get("timeline").unwrap())
        .iter()
        .map(|row| lab::text(row, "type").unwrap())
        .collect();
    let count = |wanted: &str| types.iter().filter(|found| *found == wanted).count();
    assert_eq!(
        (count("collection.started"), count("collection.interrupted"), count("collection.stored")),
        (3, 2, 1),
        "{types:?}"
    );
    println!(
        "tried: SIGKILL of the agent in attempts 1 and 2 of 3; got: 2 interrupted, 1 stored, all in the ledger"
    );
}

/// What is there so far can be handed over while the collection runs, and it verifies.
#[test]
fn an_incident_is_exported_while_its_collection_runs() {
    let field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 48, &mut Random::new(32));
    let profile = field.lab.files_profile("early", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    field.proxy.limit(Some(MIB / 2));
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    wait_for("the collection started", || {
        let rows = field.show(&order)?.attempts;
        Ok(rows.iter().any(|row| !row.collection.is_empty()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    let early = field.lab.export(&incident).unwrap();
    let report = field.lab.verify(&early).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    field.proxy.limit(None);
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    println!(
        "tried: an export while the first segment was under way; got: a bundle that verifies, and the collection went on"
    );
}

/// Whoever reads gets the whole bytes while one copy is whole; what is missing everywhere is found.
#[test]
fn a_damaged_copy_is_passed_over_and_mended_and_a_missing_one_is_told() {
    let field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    let source = fixture::noise(&dir, 12, &mut Random::new(33));
    let profile = field.lab.files_profile("damage", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    let ended = field.wait_ended(&order).unwrap();
    assert_eq!(ended.state, "stored", "{}\n{}", ended.detail, field.logs());
    let acknowledged = field.acknowledged().unwrap();
    let ((collection, index), digests) = acknowledged.iter().next().unwrap();
    let name = format!("segments/{collection}/{index:06}-{}.zst", digests.sha256);
    let first = field.stores[0].join(&name);
    let whole = fs_err::read(&first).unwrap();
    let mut bytes = whole.clone();
    for byte in &mut bytes[4_000_000..4_000_600] {
        *byte ^= 0x55;
    }
    // Stored objects are read-only; a failing disk does not ask.
    fs_err::remove_file(&first).unwrap();
    fs_err::write(&first, &bytes).unwrap();
    let copy = field.lab.path("copy");
    let mut get = field.lab.exhibit();
    get.args(["evidence", "get", collection]).arg(&source);
    get.arg("--out").arg(&copy).args(["--purpose", "look"]);
    lab::run(&mut get).unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    assert!(fs_err::read(&copy).unwrap() == fs_err::read(&source).unwrap());
    wait_for("the damaged copy mended", || Ok((fs_err::read(&first)? == whole).then_some(())))
        .unwrap_or_else(|error| panic!("{error:?}\n{}", field.logs()));
    field.fsck().unwrap();
    for store in &field.stores {
        fs_err::remove_file(store.join(&name)).unwrap();
    }
    let output = lab::attempt(field.lab.exhibit().args(["ledger", "fsck"])).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("was acknowledged").count(), 2, "{said}");
    assert!(said.contains(&name), "{said}");
    println!(
        "tried: 600 flipped bytes in one copy, then the object gone from both stores; got: whole bytes read, copy mended, fsck names both"
    );
}

/// A disk that fills while a bundle comes in: what lies there does not pass for a bundle, and the next export is whole.
#[test]
fn a_bundle_without_room_is_no_bundle() {
    if !is_root("a_bundle_without_room_is_no_bundle") {
        return;
    }
    let field = Field::new().unwrap();
    let dir = field.lab.path("fixture");
    fixture::noise(&dir, 4, &mut Random::new(15));
    let profile = field.lab.files_profile("four", &[&format!("{}/**", dir.display())]).unwrap();
    let incident = field.incident().unwrap();
    let order = field.order(&incident, &profile, &["--attempts", "1"]).unwrap();
    assert_eq!(field.wait_ended(&order).unwrap().state, "stored");
    let small = field.lab.path("small");
    fs_err::create_dir(&small).unwrap();
    let export = field.lab.exhibit();
    // Two looks at what is left: names, and what our verifier says of it.
    let script = "mount -t tmpfs -o size=2m small \"$1\" || exit 99; place=$1; verifier=$2; trust=$3; shift 3; \
        \"$@\"; code=$?; find \"$place\" -name SHA256SUMS; \
        \"$verifier\" \"$place/bundle\" --trust \"$trust\" >/dev/null 2>&1 && echo good; exit $code";
    let output = attempt(
        Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(&small)
            .arg(lab::bin_dir().join("exhibit-verify"))
            .arg(field.lab.trust().unwrap())
            .arg(export.get_program())
            .args(export.get_args())
            .args(["bundle", "export", &incident, "--purpose", "test", "--out"])
            .arg(small.join("bundle")),
    )
    .unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{out}\n{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!out.contains("good") && !out.contains("bundle/SHA256SUMS"), "{out}");
    let bundle = field.lab.export(&incident).unwrap();
    let report = field.lab.verify(&bundle).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    println!(
        "tried: a bundle of 4 MiB on a file system of 2 MiB; got: exit 2, no bundle; then a whole one elsewhere"
    );
}
