//! Tiles, bundles and checkpoints as the collector wrote them into a directory store, under two foreign readers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use certs::identity::Credentials;
use certs::name::{Identity as Name, Subject};
use http_body_util::BodyExt as _;
use lab::proxy;
use lab::{Lab, attempt, bin_dir, run};
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use tonic::transport::Channel;

use super::{copy, log_key, python};

/// Entries of the log that is read: 41 full bundles and a part of one, two levels of tiles, and every size in between that was published.
const ENTRIES: &str = "10500";

/// A foreign reader: its name, and how it reads a ledger with a key and perhaps an older checkpoint.
struct Reader {
    name: &'static str,
    command: Vec<PathBuf>,
}

impl Reader {
    fn read(&self, ledger: &Path, key: &str, older: Option<&Path>) -> Output {
        let (program, arguments) = self.command.split_first().unwrap();
        attempt(Command::new(program).args(arguments).arg(ledger).arg(key).args(older)).unwrap()
    }
}

/// The readers that are installed here; others are skipped by name.
fn readers(test: &str, lab: &Lab) -> Vec<Reader> {
    let here = lab::checkout().join("tests/it/strangers");
    let mut readers = Vec::new();
    if let Some(python) = python(test) {
        readers.push(Reader { name: "aics-tlog", command: vec![python, here.join("audit.py")] });
    }
    let program = lab.path("reader");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(here.join("reader.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", lab.path("gocache"));
    match attempt(&mut build) {
        Ok(output) if output.status.success() => {
            readers.push(Reader { name: "x/mod/sumdb", command: vec![program] })
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb").exists(), "{said}");
            println!("SKIPPED {test} (Go): golang-golang-x-mod-dev is not installed");
        }
        Err(_) => println!("SKIPPED {test} (Go): golang-go is not installed"),
    }
    readers
}

/// A ledger with many entries in a store of a real collector, an older checkpoint of it, and the log's key.
fn grown(lab: &mut Lab) -> (PathBuf, PathBuf, String) {
    let older = lab.path("older");
    fs_err::copy(lab.path("store-a/ledger/checkpoint"), &older).unwrap();
    lab.stop_server().unwrap();
    let load = bin_dir().join("examples/ledger-load");
    let output = run(Command::new(load)
        .arg(lab.path("server"))
        .arg(bin_dir().join("exhibit-server"))
        .args([ENTRIES, "700"]))
    .unwrap();
    println!("measured: ledger-load {}", String::from_utf8_lossy(&output.stdout).trim());
    // The collector takes the log over as it finds it, and goes on.
    lab.start_server().unwrap();
    lab.incident().unwrap();
    let fetched = fetched(lab);
    lab.stop_server().unwrap();
    assert_eq!(
        fs_err::read(fetched.join("checkpoint")).unwrap(),
        fs_err::read(lab.path("store-a/ledger/checkpoint")).unwrap()
    );
    (lab.path("store-a/ledger"), older, log_key(lab))
}

/// One file of the log, as a monitor asks for it.
async fn get(channel: &mut Channel, path: &str) -> (u16, Vec<u8>) {
    let request = http::Request::get(format!("https://collector/ledger/{path}")).body(Body::empty()).unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = channel.call(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// The log as a monitor gets it from the running collector: plain GETs under alice's login certificate.
fn fetched(lab: &Lab) -> PathBuf {
    let folder = lab.path("fetched");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let credentials = lab.path("responder/session/credentials.pem");
        let mut channel = proxy::channel(&lab.path("server"), &credentials).await.unwrap();
        let (status, note) = get(&mut channel, "checkpoint").await;
        assert_eq!(status, 200);
        let text = String::from_utf8(note.clone()).unwrap();
        let size: u64 = text.lines().nth(1).unwrap().parse().unwrap();
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("checkpoint"), note).unwrap();
        let mut paths = tiles_for_growth(0, size).unwrap();
        paths.extend(bundles_for_growth(0, size).unwrap());
        for path in paths {
            let (status, bytes) = get(&mut channel, &path.to_string()).await;
            assert_eq!(status, 200, "{path}");
            let file = folder.join(path.to_string());
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, bytes).unwrap();
        }
        for other in ["tile/0/x999/999", "tile/0/..", "cosigned/x", "../store.json", "tile/0/000/"] {
            assert_eq!(get(&mut channel, other).await.0, 404, "{other}");
        }
        // Who may not read the ledger gets nothing.
        let (authority, name) = proxy::identity(&lab.path("server")).unwrap();
        let nobody = Name::new(name.deployment, Subject::Person("mallory".parse().unwrap()));
        let file = lab.path("mallory.pem");
        let issued = proxy::issue(&authority, &nobody).unwrap();
        Credentials::write_new(&file, &issued.key, &issued.chain).unwrap();
        let mut channel = proxy::channel(&lab.path("server"), &file).await.unwrap();
        let (status, body) = get(&mut channel, "checkpoint").await;
        assert_eq!((status, body), (403, Vec::new()));
    });
    folder
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Flips the lowest bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn foreign_readers_take_our_ledger_from_the_store_and_refuse_a_forged_one() {
    let test = "foreign_readers_take_our_ledger_from_the_store_and_refuse_a_forged_one";
    let mut lab = Lab::new().unwrap();
    let readers = readers(test, &lab);
    if readers.is_empty() {
        return;
    }
    let (ledger, older, key) = grown(&mut lab);
    let other_key = log_key(&Lab::new().unwrap());
    // Each forgery: what is done to a copy of the ledger.
    type Forgery = (&'static str, fn(&Path));
    let forgeries: [Forgery; 7] = [
        ("an entry", |ledger| flip(&ledger.join("tile/entries/000"))),
        ("a leaf hash", |ledger| flip(&ledger.join("tile/0/000"))),
        ("a hash of the second level", |ledger| {
            let folder = fs_err::read_dir(ledger.join("tile/1/000.p")).unwrap();
            for tile in folder {
                flip(&tile.unwrap().path());
            }
        }),
        ("a signed size", |ledger| {
            let note = fs_err::read_to_string(ledger.join("checkpoint")).unwrap();
            let size = note.lines().nth(1).unwrap().to_owned();
            let less = (size.parse::<u64>().unwrap() - 1).to_string();
            fs_err::remove_file(ledger.join("checkpoint")).unwrap();
            fs_err::write(ledger.join("checkpoint"), note.replacen(&size, &less, 1)).unwrap();
        }),
        ("a signature", |ledger| flip(&ledger.join("checkpoint"))),
        ("a missing tile", |ledger| fs_err::remove_file(ledger.join("tile/0/000")).unwrap()),
        ("a missing bundle", |ledger| fs_err::remove_file(ledger.join("tile/entries/000")).unwrap()),
    ];
    for reader in &readers {
        let read = reader.read(&ledger, &key, Some(&older));
        assert!(read.status.success(), "{}: {}", reader.name, said(&read));
        println!("tried: {} accepts: {}", reader.name, said(&read).trim());
        let read = reader.read(&lab.path("fetched"), &key, Some(&older));
        assert!(read.status.success(), "{} over the wire: {}", reader.name, said(&read));
        let read = reader.read(&ledger, &other_key, None);
        assert!(!read.status.success(), "{} takes another key", reader.name);
        for (number, (what, forge)) in forgeries.iter().enumerate() {
            let forged = lab.path(format!("forged-{number}"));
            copy(&ledger, &forged);
            forge(&forged);
            let read = reader.read(&forged, &key, None);
            assert!(!read.status.success(), "{} takes {what} forged: {}", reader.name, said(&read));
            println!(
                "tried: {} refuses {what} forged: {}",
                reader.name,
                said(&read).lines().last().unwrap_or_default()
            );
            fs_err::remove_dir_all(&forged).unwrap();
        }
    }
}
