//! Faults between a collector and a bucket, on a real server behind a bad line: what the store reports, and what is stored afterwards.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_async::time::StaticTimeSource;

use super::proxy::{Fault, Proxy};
use super::*;
use store::{
    Degraded, DirectoryStore, Replicas, ReplicationPolicy, Store, StoreError, StoreErrorClass, Wanting,
    WantingSink,
};
use testkit::wait;

/// A store in a plain bucket of Ceph behind a line, and the bucket as the server has it.
fn behind_a_line() -> Option<(Server, Proxy, S3Store, Bucket)> {
    let ceph = Server::ceph()?;
    let direct = ceph.bucket(Kind::Plain);
    let proxy = Proxy::to(direct.endpoint.strip_prefix("http://").unwrap());
    let settings = S3Settings { endpoint: proxy.endpoint(), ..direct.clone() };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    let raw = Bucket::new(&direct).unwrap();
    proxy.seen();
    Some((ceph, proxy, store, raw))
}

fn is_there(raw: &Bucket, bytes: &[u8]) -> bool {
    raw.get(key(bytes).as_str(), None).is_ok_and(|stored| stored == bytes)
}

/// The error of a create that has to fail in this way; printed, for it is what the operator sees.
pub(super) fn refusal(store: &S3Store, bytes: &[u8], class: StoreErrorClass, part: &str) {
    let error = store.create(&key(bytes), bytes).err().unwrap();
    println!("faults: {:?}: {}", error.class(), said(&error));
    assert_eq!(error.class(), class, "{}", said(&error));
    assert!(said(&error).contains(part), "{}", said(&error));
}

#[test]
fn each_request_carries_both_digests_as_headers_and_no_trailer() {
    let Some((_ceph, proxy, store, _)) = behind_a_line() else {
        return;
    };
    let bytes = vec![7; 3 << 20];
    store.create(&key(&bytes), &bytes).unwrap();
    let seen = proxy.seen();
    let put = seen.iter().find(|request| request.is_put_of("segments/")).unwrap();
    assert_eq!(put.header("content-length"), Some((3 << 20).to_string().as_str()));
    let sha256 = store::raw_bucket::sha256_header(&bytes);
    assert_eq!(put.header("x-amz-checksum-sha256"), Some(sha256.as_str()));
    assert!(put.header("content-md5").is_some());
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("x-amz-trailer"), None);
    assert_ne!(put.header("content-encoding"), Some("aws-chunked"));
    let signed = put.header("authorization").unwrap();
    assert!(signed.contains("x-amz-checksum-sha256") && signed.contains("content-md5"), "{signed}");
    // Put once, read back once: nothing else goes over the line.
    assert_eq!(seen.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["PUT", "GET"]);
}

#[test]
fn a_server_that_is_away_before_the_write_is_waited_for() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    proxy.rule(|_| Fault::CutBefore);
    refusal(&store, b"before", StoreErrorClass::Transient, "");
    assert!(!is_there(&raw, b"before"));
    proxy.heal();
    store.create(&key(b"before"), b"before").unwrap();
    assert!(is_there(&raw, b"before"));
    // Nobody listens at all.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = S3Settings { endpoint: format!("http://{gone}"), ..store_settings(&store) };
    let error = S3Store::open(&settings).err().unwrap();
    assert_eq!(error.class(), StoreErrorClass::Transient, "{}", said(&error));
}

fn store_settings(store: &S3Store) -> S3Settings {
    store.settings().clone()
}

#[test]
fn a_write_that_is_cut_leaves_nothing_or_the_whole_object() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    let bytes = vec![9; 1 << 20];
    proxy.rule(|request| if request.method == "PUT" { Fault::CutDuring } else { Fault::None });
    refusal(&store, &bytes, StoreErrorClass::Transient, "");
    assert!(raw.list("segments/").unwrap().is_empty());
    // It fails, but took effect: nothing is acknowledged, and a retry finds the whole object.
    proxy.rule(|request| if request.method == "PUT" { Fault::CutAfter } else { Fault::None });
    refusal(&store, &bytes, StoreErrorClass::Transient, "");
    assert!(is_there(&raw, &bytes));
    proxy.heal();
    store.create(&key(&bytes), &bytes).unwrap();
    // The first answer alone is lost: the client's own retry meets its first attempt, and that is success.
    let first = AtomicUsize::new(0);
    proxy.seen();
    proxy.rule(move |request| {
        let is_first = request.method == "PUT" && first.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Fault::CutAfter } else { Fault::None }
    });
    store.create(&key(b"once more"), b"once more").unwrap();
    assert_eq!(proxy.seen().iter().filter(|request| request.method == "PUT").count(), 2);
}

#[test]
fn a_checkpoint_whose_answer_is_cut_is_the_old_or_the_new_one() {
    let Some((_ceph, proxy, store, _)) = behind_a_line() else {
        return;
    };
    store.replace_checkpoint(b"old").unwrap();
    for (fault, expected) in [(Fault::CutBefore, b"old"), (Fault::CutAfter, b"new")] {
        proxy.rule(move |request| if request.method == "PUT" { fault } else { Fault::None });
        assert!(store.replace_checkpoint(b"new").is_err());
        proxy.heal();
        assert_eq!(store.read(&Key::checkpoint()).unwrap(), expected);
    }
}

#[test]
fn a_slow_server_costs_a_bounded_time() {
    let Some((_ceph, proxy, store, _)) = behind_a_line() else {
        return;
    };
    let settings = S3Settings { timeout_s: 1, ..store_settings(&store) };
    let store = S3Store::open(&settings).unwrap();
    proxy.rule(|request| {
        let is_put = request.method == "PUT";
        if is_put { Fault::Slow(Duration::from_secs(4)) } else { Fault::None }
    });
    let begun = Instant::now();
    refusal(&store, b"slow", StoreErrorClass::Transient, "");
    println!(
        "measured: a store that does not answer in 1 s is given up after {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    // Slow, but in time: it is taken.
    proxy.rule(|_| Fault::Slow(Duration::from_millis(300)));
    store.create(&key(b"slow"), b"slow").unwrap();
}

#[test]
fn a_server_that_says_done_and_drops_the_object_is_not_believed() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    proxy.rule(|request| if request.method == "PUT" { Fault::SayDone } else { Fault::None });
    refusal(&store, b"dropped", StoreErrorClass::Transient, "acknowledged it, and then it was not there");
    assert!(!is_there(&raw, b"dropped"));
    assert!(store.replace_checkpoint(b"dropped").is_err());
}

#[test]
fn a_server_that_gives_other_bytes_is_not_believed_and_not_read() {
    let Some((_ceph, proxy, store, _)) = behind_a_line() else {
        return;
    };
    store.create(&key(b"evidence"), b"evidence").unwrap();
    proxy.rule(|request| if request.method == "GET" { Fault::OtherByte } else { Fault::None });
    refusal(&store, b"other", StoreErrorClass::Permanent, "then gave other bytes");
    // Beside a good copy: the reader gets that, and the damage is reported.
    let place = tempfile::tempdir().unwrap();
    let directory =
        DirectoryStore::initialise(&place.path().join("a"), &identity(&store_settings(&store))).unwrap();
    directory.create(&key(b"evidence"), b"evidence").unwrap();
    let heard = Arc::new(Heard::default());
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(store), Arc::new(directory)];
    let replicas = Replicas::new(stores, ReplicationPolicy::default(), heard.clone());
    assert_eq!(replicas.read(&key(b"evidence")).unwrap(), b"evidence");
    assert_eq!(*heard.0.lock().unwrap(), [Wanting::Damaged]);
}

/// A sink that remembers.
#[derive(Default)]
struct Heard(Mutex<Vec<Wanting>>);

impl WantingSink for Heard {
    fn wanting(&self, _: &str, _: &Key, wanting: Wanting) {
        self.0.lock().unwrap().push(wanting);
    }
}

#[test]
fn the_one_object_in_a_thousand_that_is_lost_is_found_out() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    let number = AtomicUsize::new(0);
    proxy.rule(move |request| {
        let is_five_hundredth = request.is_put_of("seals/") && number.fetch_add(1, Ordering::SeqCst) == 499;
        if is_five_hundredth { Fault::SayDone } else { Fault::None }
    });
    let seal = |index: u64| {
        let bytes = format!("seal {index}").into_bytes();
        (Key::seal(&[0xbb; 32], index, &Sha256::digest(&bytes).into()), bytes)
    };
    let begun = Instant::now();
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..8_u64)
            .map(|lane| {
                let (store, seal) = (&store, &seal);
                scope.spawn(move || {
                    let mine = (0..1000).filter(move |index| index % 8 == lane);
                    mine.filter(|index| {
                        let (key, bytes) = seal(*index);
                        store.create(&key, &bytes).is_err()
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    println!("measured: 1000 creates, each read back, 8 at a time: {:.1} s", begun.elapsed().as_secs_f32());
    let [lost] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(raw.list("seals/").unwrap().len(), 999);
    let (key, bytes) = seal(*lost);
    store.create(&key, &bytes).unwrap();
    assert_eq!(store.list("seals/").unwrap().len(), 1000);
    // Lost later, behind our back: the list says which.
    raw.delete(seal(7).0.as_str(), None, false).unwrap();
    let listed = store.list("seals/").unwrap();
    let missing: Vec<u64> = (0..1000).filter(|index| !listed.contains(&seal(*index).0)).collect();
    assert_eq!(missing, [7]);
}

#[test]
fn a_server_that_is_busy_is_asked_again_later() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    let number = AtomicUsize::new(0);
    proxy.rule(move |request| {
        let is_busy = request.method == "PUT" && number.fetch_add(1, Ordering::SeqCst) < 2;
        if is_busy { Fault::Answer(503, "SlowDown") } else { Fault::None }
    });
    store.create(&key(b"busy"), b"busy").unwrap();
    assert!(is_there(&raw, b"busy"));
    proxy.rule(|_| Fault::Answer(503, "SlowDown"));
    refusal(&store, b"too busy", StoreErrorClass::Transient, "503 SlowDown");
}

#[test]
fn a_full_bucket_is_full_and_goes_on_when_there_is_room() {
    let Some(ceph) = Server::ceph() else { return };
    // A person of its own: the quota holds for all of that person's buckets.
    let uid = format!("full-{}", std::process::id());
    ceph.become_person(&uid, "s3cret");
    let settings = ceph.bucket(Kind::Plain);
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    let quota = |objects: &str| {
        ceph.admin(&["quota", "set", "--quota-scope=bucket", "--uid", &uid, "--max-objects", objects]);
        ceph.admin(&["quota", "enable", "--quota-scope=bucket", "--uid", &uid]);
    };
    quota("3");
    // Ceph counts objects now and then.
    let mut numbers = 0_u32..;
    let (number, error) = wait::until_some("the quota met", || {
        let number = numbers.next()?;
        let bytes = number.to_be_bytes();
        store.create(&key(&bytes), &bytes).err().map(|error| (number, error))
    });
    println!("faults: after {number} objects: {:?}: {}", error.class(), said(&error));
    assert_eq!(error.class(), StoreErrorClass::Full, "{}", said(&error));
    quota("100000");
    let bytes = number.to_be_bytes();
    wait::until("room again", || match store.create(&key(&bytes), &bytes) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.class(), StoreErrorClass::Full, "{}", said(&error));
            false
        }
    });
}

#[test]
fn credentials_that_ended_are_said_and_new_ones_are_taken_without_a_restart() {
    let Some(ceph) = Server::ceph() else { return };
    let uid = format!("ended-{}", std::process::id());
    let create = |id: &str| {
        ceph.admin(&[
            "key",
            "create",
            "--uid",
            &uid,
            "--key-type",
            "s3",
            "--access-key",
            id,
            "--secret-key",
            "s3cret",
        ]);
    };
    ceph.become_person(&uid, "s3cret");
    let settings = ceph.bucket(Kind::Plain);
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    ceph.write_credentials(&uid, "wr0ng");
    refusal(&store, b"x", StoreErrorClass::Permanent, "SignatureDoesNotMatch");
    ceph.write_credentials(&uid, "s3cret");
    ceph.admin(&["key", "rm", "--uid", &uid, "--key-type", "s3", "--access-key", &uid]);
    refusal(&store, b"x", StoreErrorClass::Permanent, "put valid ones into the credentials file");
    let second = format!("{uid}-2");
    create(&second);
    ceph.write_credentials(&second, "s3cret");
    store.create(&key(b"x"), b"x").unwrap();
    fs_err::remove_file(ceph.credentials()).unwrap();
    refusal(&store, b"y", StoreErrorClass::Permanent, "credentials");
    // A session that ends, as a server with sessions says it.
    ceph.write_credentials(&second, "s3cret");
    let proxy = Proxy::to(settings.endpoint.strip_prefix("http://").unwrap());
    let store = S3Store::open(&S3Settings { endpoint: proxy.endpoint(), ..settings }).unwrap();
    proxy.rule(|_| Fault::Answer(400, "ExpiredToken"));
    refusal(&store, b"y", StoreErrorClass::Permanent, "The session has ended");
}

#[test]
fn a_clock_that_is_wrong_is_said_and_not_hidden() {
    let Some(ceph) = Server::ceph() else { return };
    let settings = ceph.bucket(Kind::Plain);
    S3Store::initialise(&settings, &identity(&settings)).unwrap();
    let later = StaticTimeSource::new(SystemTime::now() + Duration::from_secs(3600));
    let bucket = Bucket::with(&settings, |config| config.time_source(later)).unwrap();
    let error = S3Store::open_on(bucket, &settings).err().unwrap();
    println!("faults: {:?}: {}", error.class(), said(&error));
    assert_eq!(error.class(), StoreErrorClass::Permanent);
    assert!(
        said(&error).contains("RequestTimeTooSkewed") && said(&error).contains("clock"),
        "{}",
        said(&error)
    );
}

#[test]
fn a_bucket_that_is_gone_is_not_an_empty_one() {
    let Some((_ceph, _proxy, store, raw)) = behind_a_line() else {
        return;
    };
    for name in raw.list("").unwrap() {
        raw.delete(&name, None, false).unwrap();
    }
    let delete = raw.client.delete_bucket().bucket(&raw.name);
    raw.wait(async move { Ok(delete.send().await.unwrap()) }).unwrap();
    refusal(&store, b"x", StoreErrorClass::Permanent, "There is no such bucket");
    let error = store.list("segments/").err().unwrap();
    assert_eq!(error.class(), StoreErrorClass::Permanent, "{}", said(&error));
    assert_eq!(store.read(&key(b"x")).err().unwrap().class(), StoreErrorClass::Permanent);
    let error = S3Store::open(&store_settings(&store)).err().unwrap();
    assert_eq!(error.class(), StoreErrorClass::Permanent, "{}", said(&error));
}

#[test]
fn with_one_bucket_away_policy_decides_between_degraded_and_waiting() {
    let Some((_ceph, proxy, store, raw)) = behind_a_line() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let directory =
        DirectoryStore::initialise(&place.path().join("a"), &identity(&store_settings(&store))).unwrap();
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(directory), Arc::new(store)];
    let with = |degraded| {
        let policy = ReplicationPolicy { copies: 2, degraded };
        Replicas::new(stores.clone(), policy, Arc::new(Heard::default()))
    };
    proxy.rule(|_| Fault::CutBefore);
    let waiting = with(Degraded::Wait).create(&key(b"x"), b"x").err().unwrap();
    println!("faults: {waiting}");
    assert_eq!(waiting.class(), StoreErrorClass::Transient);
    let written = with(Degraded::Accept).create(&key(b"x"), b"x").unwrap();
    assert_eq!((written.copies, written.degraded), (1, true));
    proxy.heal();
    let written = with(Degraded::Wait).create(&key(b"x"), b"x").unwrap();
    assert_eq!((written.copies, written.degraded), (2, false));
    assert!(is_there(&raw, b"x"));
}

#[test]
fn a_call_from_an_async_thread_waits_and_does_not_panic() {
    let Some((_ceph, _proxy, store, _)) = behind_a_line() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        let stored: Result<(), StoreError> = store.create(&key(b"async"), b"async");
        stored.unwrap();
        drop(store);
    });
}
