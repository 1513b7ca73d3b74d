//! A collector with one store in a directory and one in a bucket of a real Ceph, as an operator sets it up; suite `stores`.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use lab::{Lab, Options, attempt, is_root, number, run, text, wait_for};
use serde_json::Value;

/// A bucket of its own on the Ceph of the suite, behind a line that can be cut.
struct Bucket {
    facts: BTreeMap<String, String>,
    name: String,
    line: Line,
    place: tempfile::TempDir,
}

impl Bucket {
    /// `None` where the suite started no Ceph, with a word.
    fn new(name: &str) -> Option<Self> {
        Self::with(name, &[])
    }

    /// Made with these headers.
    fn with(name: &str, headers: &[&str]) -> Option<Self> {
        let Some(ready) = std::env::var_os("EXHIBIT_TEST_CEPH") else {
            println!("SKIPPED buckets on Ceph RGW: EXHIBIT_TEST_CEPH is not set; run `make test-stores`");
            return None;
        };
        let ready = fs_err::read_to_string(ready).unwrap();
        let facts = ready.lines().filter_map(|line| line.split_once('='));
        let facts: BTreeMap<_, _> = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let name = format!("{name}-{}", std::process::id());
        let server = facts["S3_HTTP"].strip_prefix("http://").unwrap();
        let bucket = Self {
            line: Line::to(server.parse().unwrap()),
            facts,
            name,
            place: tempfile::tempdir().unwrap(),
        };
        let mut make = bucket.curl("");
        for header in headers {
            make.args(["-H", header]);
        }
        run(make.args(["-X", "PUT"])).unwrap();
        Some(bucket)
    }

    /// A request as an operator makes it without any of our programs.
    fn curl(&self, path_and_query: &str) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sSf", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user"])
            .arg(format!("{}:{}", self.facts["S3_KEY_ID"], self.facts["S3_SECRET"]))
            .arg(format!("{}/{}{path_and_query}", self.facts["S3_HTTP"], self.name));
        command
    }

    /// What such a request answers.
    fn asked(&self, path_and_query: &str) -> String {
        let answer = run(&mut self.curl(path_and_query)).unwrap();
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    /// Names of the objects below a prefix.
    fn names(&self, prefix: &str) -> Vec<String> {
        let listed = self.asked(&format!("?list-type=2&prefix={}", prefix.replace('/', "%2F")));
        let names = listed.split("<Key>").skip(1);
        names.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// What `exhibit-server init --store` is given.
    fn settings(&self) -> PathBuf {
        let credentials = self.place.path().join("credentials");
        let (id, secret) = (&self.facts["S3_KEY_ID"], &self.facts["S3_SECRET"]);
        let text = format!("access_key_id = {id:?}\nsecret_access_key = {secret:?}\n");
        fs_err::write(&credentials, text).unwrap();
        fs_err::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = self.place.path().join("bucket.toml");
        let text = format!(
            "endpoint = \"http://{}\"\nbucket = {:?}\nprefix = \"lab/\"\ncredentials = {credentials:?}\ntimeout_s = 5\n",
            self.line.address, self.name
        );
        fs_err::write(&settings, text).unwrap();
        PathBuf::from(format!("s3:{}", settings.display()))
    }

    /// The operator removes the bucket with all that is in it.
    fn remove(&self) {
        run(Command::new("radosgw-admin")
            .args(["-c", &self.facts["S3_CONF"], "-n", "client.rgw.a", "bucket", "rm", "--purge-objects"])
            .args(["--bucket", &self.name]))
        .unwrap();
    }

    fn lab(&self, policy: &[&str]) -> Lab {
        let folder = self.place.path().join("directory-store");
        Lab::with(&Options {
            stores: Some((folder, self.settings())),
            server: policy.iter().map(|word| (*word).to_owned()).collect(),
            ..Options::default()
        })
        .unwrap()
    }
}

/// Bytes there and back, until it is cut.
struct Line {
    address: SocketAddr,
    state: Arc<Mutex<(bool, Vec<TcpStream>)>>,
}

impl Line {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((true, Vec::new())));
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = serving.lock().unwrap();
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                if !state.0 {
                    continue;
                }
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // Broken lines are what this is for.
                        drop(std::io::copy(&mut from, &mut to));
                        drop(to.shutdown(Shutdown::Both));
                    });
                }
                state.1.extend([client, server]);
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = false;
        for open in state.1.drain(..) {
            drop(open.shutdown(Shutdown::Both));
        }
    }

    fn mend(&self) {
        self.state.lock().unwrap().0 = true;
    }
}

/// A lab with an endpoint, a profile and an incident.
fn field(lab: &mut Lab) -> (PathBuf, String) {
    lab.enrol("web-03").unwrap();
    lab.start_agent("web-03", &[]).unwrap();
    let folder = lab.path("fixture");
    fs_err::create_dir_all(&folder).unwrap();
    let noise: Vec<u8> =
        (0..2_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs_err::write(folder.join("noise.bin"), noise).unwrap();
    fs_err::write(folder.join("small.txt"), "hello evidence\n").unwrap();
    let profile = lab.files_profile("bucket", &[&format!("{}/**", folder.display())]).unwrap();
    (profile, lab.incident().unwrap())
}

fn cat(lab: &Lab, collection: &str) -> Vec<u8> {
    let mut cat = lab.exhibit();
    cat.args(["evidence", "cat", collection]).arg(lab.path("fixture/small.txt"));
    run(cat.args(["--purpose", "look"])).unwrap().stdout
}

fn fsck(lab: &Lab) {
    run(lab.tool("exhibit-server").arg("fsck").arg(lab.path("server")).arg("--evidence")).unwrap();
}

#[test]
fn a_collector_with_a_directory_and_a_bucket_does_the_whole_job() {
    let name = "a_collector_with_a_directory_and_a_bucket_does_the_whole_job";
    let Some(bucket) = is_root(name).then(|| Bucket::new("whole")).flatten() else {
        return;
    };
    let mut lab = bucket.lab(&[]);
    let (profile, incident) = field(&mut lab);
    let collection = lab
        .collect(&incident, "web-03", &profile)
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    assert_eq!(number(&collection, "copies").unwrap(), 2);
    assert_eq!(collection.get("independent"), Some(&Value::Bool(true)), "{collection}");
    let id = text(&collection, "collection").unwrap();
    let report = lab.verify(&lab.export(&incident).unwrap()).unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let said = fs_err::read_to_string(lab.path("server.log")).unwrap();
    assert!(said.contains("written once: the server refuses a second create"), "{said}");

    // What it is worth is said while it runs, too.
    let probe =
        run(lab.tool("exhibit-server").args(["store", "probe", "--json"]).arg(lab.path("server"))).unwrap();
    let probe: Value = serde_json::from_slice(&probe.stdout).unwrap();
    let store = &probe["stores"][1];
    assert_eq!(store["capabilities"]["create_only"], true, "{probe}");
    assert_eq!(store["guarantees"]["write_once"], "by-server", "{probe}");
    assert_eq!(probe["stores"][0]["guarantees"]["write_once"], "by-this-program", "{probe}");

    // The directory is lost; the bucket alone has everything, the ledger and what the database was made of.
    assert!(lab.stop_server().unwrap());
    fsck(&lab);
    let settings = lab.path("server/server.toml");
    let whole = fs_err::read_to_string(&settings).unwrap();
    let (general, stores) = whole.split_once("\n[[store]]\nid = \"store-1\"").unwrap();
    let (_, bucket_alone) = stores.split_once("\n[[store]]\n").unwrap();
    let alone = format!("{general}\n[[store]]\n{bucket_alone}").replace("copies = 2", "copies = 1");
    fs_err::write(&settings, alone).unwrap();
    for file in ["exhibit.db", "exhibit.db-wal", "exhibit.db-shm"] {
        drop(fs_err::remove_file(lab.path("server").join(file)));
    }
    run(lab.tool("exhibit-server").arg("rebuild").arg(lab.path("server"))).unwrap();
    fsck(&lab);
    lab.start_server().unwrap();
    run(lab.exhibit().arg("login")).unwrap();
    assert_eq!(cat(&lab, &id), b"hello evidence\n");
    println!(
        "tried: directory and bucket, then the bucket alone and no database; got: exported, verified, rebuilt, read"
    );
}

#[test]
fn a_bucket_that_is_away_holds_everything_back_under_wait() {
    let name = "a_bucket_that_is_away_holds_everything_back_under_wait";
    let Some(bucket) = is_root(name).then(|| Bucket::new("away")).flatten() else {
        return;
    };
    let mut lab = bucket.lab(&["--degraded", "wait"]);
    let (profile, incident) = field(&mut lab);
    bucket.line.cut();
    // No order without its entry on two stores: the command says so, and nothing is collected.
    let mut order = lab.exhibit();
    order.args(["collect", "--incident", &incident, "--on", "web-03", "--purpose", "test", "--profile"]);
    let refused = attempt(order.arg(&profile)).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    bucket.line.mend();
    let collection = wait_for("a collection once the bucket is back", || {
        Ok(lab.collect(&incident, "web-03", &profile).ok())
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    assert_eq!(number(&collection, "copies").unwrap(), 2, "{collection}");
    assert!(lab.stop_server().unwrap());
    fsck(&lab);
    println!("tried: bucket away, wait; got: {}", said.trim());
}

#[test]
fn a_bucket_that_is_gone_is_said_everywhere_under_accept() {
    let name = "a_bucket_that_is_gone_is_said_everywhere_under_accept";
    let Some(bucket) = is_root(name).then(|| Bucket::new("gone")).flatten() else {
        return;
    };
    let mut lab = bucket.lab(&["--degraded", "accept"]);
    let (profile, incident) = field(&mut lab);
    let before = lab.collect(&incident, "web-03", &profile).unwrap();
    assert_eq!(number(&before, "copies").unwrap(), 2);
    bucket.remove();
    let (order, mut command) = (lab.incident().unwrap(), lab.exhibit());
    command.args([
        "collect",
        "--incident",
        &order,
        "--on",
        "web-03",
        "--purpose",
        "test",
        "--wait",
        "--profile",
    ]);
    let done = attempt(command.arg(&profile)).unwrap();
    let after = lab.last_collection(&order).unwrap_or_else(|cause| {
        panic!("{cause:#}\n{}\n{}", String::from_utf8_lossy(&done.stderr), lab.logs())
    });
    assert_eq!(number(&after, "copies").unwrap(), 1, "{after}");
    assert_eq!(text(&after, "state").unwrap(), "stored-degraded", "{after}");
    // Both are read from the copy that is left, and both verify.
    for (incident, collection) in [(&incident, &before), (&order, &after)] {
        assert_eq!(cat(&lab, &text(collection, "collection").unwrap()), b"hello evidence\n");
        let report = lab.verify(&lab.export(incident).unwrap()).unwrap();
        assert_eq!(report.exit_code(), 0, "{}", report.text());
    }
    assert_said(&lab.path("server.log"), "NoSuchBucket");
    let exit = done.status.code();
    println!(
        "tried: bucket removed, accept; got: stored-degraded, exit {exit:?}, read and exported from the directory"
    );
}

#[test]
fn a_mirror_reads_the_collectors_bucket_and_keeps_its_copy_in_another() {
    let name = "a_mirror_reads_the_collectors_bucket_and_keeps_its_copy_in_another";
    let Some(bucket) = is_root(name).then(|| Bucket::new("source")).flatten() else {
        return;
    };
    let Some(own) = Bucket::new("mirror") else { return };
    let mut lab = bucket.lab(&[]);
    let directory = lab.path("backup-1");
    run(lab
        .tool("exhibit-server")
        .args(["mirror", "init", "--id", "backup-1"])
        .arg(&directory)
        .arg("--card")
        .arg(lab.path("server/deployment.json"))
        .arg("--authority")
        .arg(lab.path("admin/authority"))
        .arg("--store")
        .arg(own.settings())
        .arg("--source")
        .arg(bucket.settings()))
    .unwrap();
    run(lab.exhibit().args(["mirror", "admit"]).arg(directory.join("admission.json"))).unwrap();
    let (profile, incident) = field(&mut lab);
    lab.collect(&incident, "web-03", &profile).unwrap_or_else(|cause| panic!("{cause:#}\n{}", lab.logs()));
    let start = || {
        let mut command = lab.tool("exhibit-server");
        command.args(["mirror", "run"]).arg(&directory);
        lab::Child::start(command, &lab.path("backup-1.log")).unwrap()
    };
    let status = || -> Value {
        let mut command = lab.tool("exhibit-server");
        let output = attempt(command.args(["mirror", "status", "--json"]).arg(&directory)).unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let log = || fs_err::read_to_string(lab.path("backup-1.log")).unwrap_or_default();
    // Killed in its first steps, in the copying, and later: what is in the bucket then is gone on with.
    let objects_before = own.names("lab/").len();
    let moments: [(&str, &dyn Fn() -> bool); 3] = [
        ("its first word", &|| !log().is_empty()),
        ("an object more in its bucket", &|| own.names("lab/").len() > objects_before),
        ("a segment in its bucket", &|| !own.names("lab/segments/").is_empty()),
    ];
    for (moment, has_come) in moments {
        let mut process = start();
        wait_for(moment, || Ok(has_come().then_some(())))
            .unwrap_or_else(|cause| panic!("{cause:#}\n{}", log()));
        process.kill().unwrap();
    }
    let said_by_the_killed = log().len();
    let process = start();
    // Its own word, not that of one that was killed: a mirror that is cut off while it starts ends.
    wait_for("the last mirror running", || {
        Ok(log().get(said_by_the_killed..).is_some_and(|said| said.contains("Mirror runs")).then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}", log()));
    wait_for("the collection in the mirror's bucket", || {
        let status = status();
        let is_done = status["collections_held"] == 1 && status["alarm"] == "" && status["fraud"].is_null();
        Ok(is_done.then_some(()))
    })
    .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", status(), log()));
    // The source vanishes and comes back: nothing is lost, and it goes on by itself.
    let held = status()["held"].as_u64().unwrap();
    bucket.line.cut();
    let said_before = log().len();
    lab.incident().unwrap();
    wait_for("the mirror saying that it cannot reach the bucket", || {
        Ok((log().len() > said_before).then_some(()))
    })
    .unwrap();
    assert_eq!(status()["held"].as_u64().unwrap(), held, "nothing is held that cannot have been copied");
    bucket.line.mend();
    lab.incident().unwrap();
    wait_for("the mirror going on", || Ok((status()["held"].as_u64().unwrap() > held).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}\n{}\n{}", status(), log()));
    drop(process);
    println!(
        "tried: source and own copy in buckets of Ceph, killed three times, source cut; got: held, stated, went on"
    );
}

fn assert_said(log: &Path, what: &str) {
    let said = fs_err::read_to_string(log).unwrap();
    assert!(said.contains(what), "{what:?} is not in {said}");
}

/// Virtual-host style: the bucket is part of the host's name, which a namespace of its own resolves here.
#[test]
fn a_bucket_that_is_part_of_the_host_name_is_a_store_as_well() {
    let name = "a_bucket_that_is_part_of_the_host_name_is_a_store_as_well";
    if !is_root(name) {
        return;
    }
    let Some(bucket) = Bucket::new("host") else { return };
    let lab = Lab::new().unwrap();
    let place = bucket.place.path();
    bucket.settings();
    let settings = fs_err::read_to_string(place.join("bucket.toml")).unwrap();
    let (port, plain) = (bucket.line.address.port(), format!("http://{}", bucket.line.address));
    let settings = settings.replace(&plain, &format!("http://s3.exhibit.test:{port}"));
    fs_err::write(place.join("host.toml"), settings + "path_style = false\n").unwrap();
    let hosts = fs_err::read_to_string("/etc/hosts").unwrap_or_default();
    let hosts = format!("{hosts}\n127.0.0.1 {}.s3.exhibit.test\n", bucket.name);
    fs_err::write(place.join("hosts"), hosts).unwrap();
    let inside = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"", "sh"])
            .arg(place.join("hosts"))
            .arg(lab.tool("exhibit-server").get_program())
            .args(arguments);
        run(&mut command).unwrap()
    };
    let (admin, directory) = (lab.path("admin"), lab.path("host-server"));
    let store = format!("s3:{}", place.join("host.toml").display());
    let (folder, authority, roster) =
        (place.join("folder"), admin.join("authority"), admin.join("roster-1.signed"));
    let words: Vec<&std::ffi::OsStr> = vec![
        "init".as_ref(),
        directory.as_ref(),
        "--authority".as_ref(),
        authority.as_ref(),
        "--roster".as_ref(),
        roster.as_ref(),
        "--store".as_ref(),
        store.as_ref(),
        "--store".as_ref(),
        folder.as_ref(),
        "--address".as_ref(),
        "localhost:1".as_ref(),
        "--enrol-address".as_ref(),
        "localhost:2".as_ref(),
    ];
    inside(&words);
    let probed = inside(&["store".as_ref(), "probe".as_ref(), directory.as_ref()]);
    let probed = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert!(probed.contains("create_only"), "{probed}");
    // The server says where it lies, by the other style.
    assert!(bucket.asked("/lab/store.json").contains("\"deployment\":\"lab\""));
    println!("tried: path_style = false, bucket in the host's name; got: initialised and probed\n{probed}");
}

#[test]
fn a_hold_of_the_incident_is_a_legal_hold_in_the_bucket() {
    let name = "a_hold_of_the_incident_is_a_legal_hold_in_the_bucket";
    if !is_root(name) {
        return;
    }
    let Some(bucket) = Bucket::with("held", &["x-amz-bucket-object-lock-enabled: true"]) else {
        return;
    };
    let mut lab = bucket.lab(&[]);
    let (profile, incident) = field(&mut lab);
    let id = text(&lab.collect(&incident, "web-03", &profile).unwrap(), "collection").unwrap();
    let objects = || {
        let rooms = ["segments", "seals"].map(|room| bucket.names(&format!("lab/{room}/{id}/")));
        rooms.concat()
    };
    let held = || {
        let on = |object: &String| {
            let answer = attempt(&mut bucket.curl(&format!("/{object}?legal-hold="))).unwrap();
            String::from_utf8_lossy(&answer.stdout).contains("<Status>ON</Status>")
        };
        objects().iter().filter(|object| on(object)).count()
    };
    let count = objects().len();
    assert!(count >= 2, "{count}");
    assert_eq!(held(), 0);
    run(lab.exhibit().args(["incident", "hold", "place", &incident, "--reason", "litigation"])).unwrap();
    wait_for("the legal hold in the bucket", || Ok((held() == count).then_some(())))
        .unwrap_or_else(|cause| panic!("{cause:#}: {} of {count}\n{}", held(), lab.logs()));
    lab.log_in("bob").unwrap();
    run(lab.exhibit_as("bob").args(["incident", "hold", "release", &incident, "--reason", "settled"]))
        .unwrap();
    wait_for("the end of the legal hold", || Ok((held() == 0).then_some(()))).unwrap();
    println!(
        "tried: hold placed, then released; got: {count} objects under legal hold in the bucket, then free"
    );
}
