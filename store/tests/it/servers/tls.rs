//! A server with a certificate that no trusted authority signed gets no request.

use std::process::{Child, Stdio};
use std::sync::{Mutex, mpsc};

use super::faults::refusal;
use super::*;
use store::{Store as _, StoreErrorClass};
use testkit::wait;

#[test]
fn a_certificate_of_another_authority_is_refused_before_anything_is_sent() {
    let Some(ceph) = Server::ceph() else { return };
    let plain = ceph.bucket(Kind::Plain);
    let tunnel = Tunnel::to(ceph.facts["S3_HTTPS"].strip_prefix("https://").unwrap());
    let endpoint = format!("https://{}", tunnel.address);
    let settings = S3Settings { endpoint, ca_file: Some(ca(&ceph)), ..plain };
    let store = S3Store::initialise(&settings, &identity(&settings)).unwrap();
    store.create(&key(b"x"), b"x").unwrap();
    // The authorities of this machine do not know it.
    let stranger = S3Settings { ca_file: None, ..settings.clone() };
    let error = S3Store::open(&stranger).err().unwrap();
    assert!(said(&error).contains("certificate"), "{}", said(&error));
    // Another server, with another certificate, takes its place.
    let other = OtherServer::start();
    tunnel.turn_to(other.address);
    refusal(&store, b"y", StoreErrorClass::Permanent, "somebody else answers there");
    assert_eq!(store.read(&key(b"x")).err().unwrap().class(), StoreErrorClass::Permanent);
    assert_eq!(other.requests(), 0, "a request reached a server that nobody vouches for");
}

/// Bytes there and back; can be turned to another server, which cuts what is open.
struct Tunnel {
    address: std::net::SocketAddr,
    target: Arc<Mutex<(std::net::SocketAddr, Vec<std::net::TcpStream>)>>,
}

impl Tunnel {
    fn to(target: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new((target.parse().unwrap(), Vec::new())));
        let serving = Arc::clone(&target);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut target = serving.lock().unwrap();
                let Ok(server) = std::net::TcpStream::connect(target.0) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        drop(std::io::copy(&mut from, &mut to));
                        drop(to.shutdown(std::net::Shutdown::Both));
                    });
                }
                target.1.extend([client, server]);
            }
        });
        Self { address, target }
    }

    fn turn_to(&self, address: std::net::SocketAddr) {
        let mut target = self.target.lock().unwrap();
        target.0 = address;
        for open in target.1.drain(..) {
            drop(open.shutdown(std::net::Shutdown::Both));
        }
    }
}

/// `openssl s_server` with a certificate that it signed itself.
struct OtherServer {
    address: std::net::SocketAddr,
    child: Child,
    log: mpsc::Receiver<String>,
    _place: tempfile::TempDir,
}

impl OtherServer {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=127.0.0.1",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new("openssl")
            .args(["s_server", "-cert", "cert", "-key", "key", "-www", "-accept", &address.to_string()])
            .current_dir(place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (say, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
                drop(say.send(line));
            }
        });
        wait::until("openssl s_server listening", || std::net::TcpStream::connect(address).is_ok());
        Self { address, child, log, _place: place }
    }

    /// Requests that were decrypted: `-www` names each.
    fn requests(&self) -> usize {
        self.log.try_iter().filter(|line| line.starts_with("FILE:") || line.contains("HTTP/1")).count()
    }
}

impl Drop for OtherServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
