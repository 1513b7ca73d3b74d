//! A bad line between a client and a real server: plain HTTP, one request a connection. The test chooses how each request fails. All
//! other requests reach the server byte for byte, with the signature that they came with.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not at all.
    None,
    /// The server never hears of it; the line is cut.
    CutBefore,
    /// The server gets half of it; the line is cut.
    CutDuring,
    /// The server does it; its answer never arrives.
    CutAfter,
    /// Answered 200; the server never hears of it.
    SayDone,
    /// One byte of the answer's body is another.
    OtherByte,
    /// Answered after a while.
    Slow(Duration),
    /// The server does it; its answer says nothing of encryption.
    Unencrypted,
    /// Answered with that status and code.
    Answer(u16, &'static str),
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// Lines of the head, in lower case up to the colon.
    pub(super) headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn is_put_of(&self, part: &str) -> bool {
        self.method == "PUT" && self.target.contains(part)
    }
}

type Rule = Box<dyn FnMut(&Request) -> Fault + Send>;

/// A line to a server.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Request>>,
    closed: AtomicBool,
}

impl Proxy {
    /// A good line to `host:port`.
    pub(super) fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rule: Mutex::new(Box::new(|_| Fault::None)),
            seen: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.closed.load(Ordering::SeqCst) {
                    break;
                }
                let serving = Arc::clone(&serving);
                // A line that breaks is what this is for.
                std::thread::spawn(move || drop(serving.serve(client)));
            }
        });
        Self { address, shared }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `rule` says how each request goes wrong.
    pub(super) fn rule(&self, rule: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// The line is good again.
    pub(super) fn heal(&self) {
        self.rule(|_| Fault::None);
    }

    /// Requests since the last call.
    pub(super) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if client.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let request = Request {
            method: first.next().unwrap_or_default().to_owned(),
            target: first.next().unwrap_or_default().to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        };
        if request.header("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        let fault = (self.rule.lock().unwrap())(&request);
        self.seen.lock().unwrap().push(request.clone());
        let answer = match fault {
            Fault::CutBefore => return Ok(()),
            Fault::CutDuring => {
                let mut server = self.begin(&head)?;
                return server.write_all(&body[..length / 2]);
            }
            Fault::SayDone => answer(200, ""),
            Fault::Answer(status, code) => answer(status, code),
            Fault::None | Fault::CutAfter | Fault::OtherByte | Fault::Slow(_) | Fault::Unencrypted => {
                let mut server = self.begin(&head)?;
                server.write_all(&body)?;
                let mut answer = Vec::new();
                server.read_to_end(&mut answer)?;
                answer
            }
        };
        let answer = match fault {
            Fault::CutAfter => return Ok(()),
            Fault::Slow(wait) => {
                std::thread::sleep(wait);
                answer
            }
            Fault::OtherByte => {
                let mut answer = answer;
                if let Some(last) = answer.last_mut() {
                    *last ^= 1;
                }
                answer
            }
            Fault::Unencrypted => without_encryption(&answer),
            _ => answer,
        };
        client.write_all(&answer)
    }

    /// A connection of its own, on which the server answers once and closes.
    fn begin(&self, head: &str) -> std::io::Result<TcpStream> {
        let mut server = TcpStream::connect(&self.upstream)?;
        server.set_nodelay(true)?;
        let (request, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let kept = headers.split_inclusive("\r\n").filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("connection:") && !line.starts_with("expect:")
        });
        let headers: String = kept.collect();
        server.write_all(format!("{request}\r\nConnection: close\r\n{headers}").as_bytes())?;
        Ok(server)
    }
}

/// The answer of a server that does not know the header: without the lines that speak of it.
fn without_encryption(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let kept = text
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("x-amz-server-side-encryption"));
    kept.collect::<String>().into_bytes()
}

fn answer(status: u16, code: &str) -> Vec<u8> {
    let body = if code.is_empty() {
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said by the proxy</Message></Error>"
        )
    };
    let length = body.len();
    let etag = "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n";
    format!("HTTP/1.1 {status} Said\r\n{etag}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
