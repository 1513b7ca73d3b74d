//! The schema is what a stranger compiles: the stock `protoc` takes every file of it, and this crate was built from
//! every file of it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; helpers of tests are not seen as tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn schema() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// Every `.proto` below the schema's root, relative to it.
fn files() -> Vec<String> {
    let (root, mut folders, mut files) = (schema(), vec![schema()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

#[test]
fn the_stock_protoc_compiles_every_file() {
    let protoc = Command::new("protoc")
        .current_dir(schema())
        .args(["--proto_path=.", "--fatal_warnings", "--descriptor_set_out=/dev/null"])
        .args(files())
        .output();
    match protoc {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED the schema under protoc: protobuf-compiler is not installed");
        }
        Err(error) => panic!("run protoc: {error}"),
    }
}

#[test]
fn every_file_is_built_into_this_crate() {
    for name in files() {
        let is_in = proto::FILE_DESCRIPTOR_SET.windows(name.len()).any(|window| window == name.as_bytes());
        assert!(is_in, "{name} stands in schema/, but build.rs does not compile it");
    }
}
