//! A server on loopback that does what it is told, faults included. For tests only; plain threads
//! and sockets, so that no client library is tested by its own server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// Requests for the same target before this one.
    pub(crate) n_before: usize,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Start of the range asked for; 0 without one.
    pub(crate) fn range_start(&self) -> usize {
        let range = self
            .header("range")
            .and_then(|value| value.strip_prefix("bytes="));
        range
            .and_then(|range| range.strip_suffix('-'))
            .and_then(|start| start.parse().ok())
            .unwrap_or(0)
    }
}

/// One thing the server does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends this over and over, until the client has enough.
    Endless(Vec<u8>),
    /// Stays silent until the client leaves.
    Hang,
    /// Breaks the connection off with a reset.
    Reset,
}

/// Answers until dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server on a free port of loopback; after its steps a connection is closed.
    pub(crate) fn start(answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (answer, log, stopped) = (Arc::new(answer), Arc::clone(&requests), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (answer, log, stop) =
                    (Arc::clone(&answer), Arc::clone(&log), Arc::clone(&stopped));
                std::thread::spawn(move || serve(stream, &*answer, &log, &stop));
            }
        });
        Self {
            address,
            requests,
            stop,
        }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers one connection. The request is looked at but not taken until the end: a connection that
/// is closed while something is unread is reset.
fn serve(
    mut stream: TcpStream,
    answer: &dyn Fn(&Request) -> Vec<Step>,
    log: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
) {
    let Some((mut request, length)) = look(&stream) else {
        return;
    };
    {
        let mut log = log.lock().expect("no thread panicked");
        request.n_before = log.iter().filter(|it| it.target == request.target).count();
        log.push(request.clone());
    }
    for step in answer(&request) {
        let sent = match step {
            Step::Send(bytes) => stream.write_all(&bytes),
            Step::Endless(bytes) => loop {
                if let Err(error) = stream.write_all(&bytes) {
                    break Err(error);
                }
            },
            Step::Hang => {
                hang(&stream, length, stop);
                Ok(())
            }
            Step::Reset => return,
        };
        if sent.is_err() {
            return;
        }
    }
    let mut taken = vec![0; length];
    let _ = stream.read_exact(&mut taken);
}

/// The request at the head of a stream, and its length with its body; nothing is taken from the
/// stream.
fn look(stream: &TcpStream) -> Option<(Request, usize)> {
    let mut buffer = vec![0; 16 << 10];
    let end = loop {
        let n = stream.peek(&mut buffer).ok().filter(|n| *n > 0)?;
        let end = buffer[..n].windows(4).position(|four| four == b"\r\n\r\n");
        match end {
            Some(end) => break end + 4,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = text.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = headers.iter().find(|(name, _)| name == "content-length");
    let body: usize = body.map_or(0, |(_, length)| length.parse().unwrap_or(0));
    let request = Request {
        target,
        headers,
        n_before: 0,
    };
    Some((request, end + body))
}

/// Waits until the client has closed its side, or the server is dropped.
fn hang(stream: &TcpStream, length: usize, stop: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let mut taken = vec![0; length];
    let _ = (&*stream).read_exact(&mut taken);
    let mut byte = [0];
    while !stop.load(Ordering::SeqCst) {
        match (&*stream).read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// An answer with this status line and these headers; `Connection: close` is added.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A whole answer: status, headers, length, body.
pub(crate) fn whole(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", length.as_str())]].concat();
    vec![Step::Send([head(status, &headers), body.to_vec()].concat())]
}

/// The file as a good server gives it: with a strong tag, and ranges where they are asked for.
pub(crate) fn good(request: &Request, body: &[u8]) -> Vec<Step> {
    let from = request.range_start();
    let tag = ("ETag", "\"v1\"");
    if request.header("range").is_none() || request.header("if-range") != Some("\"v1\"") {
        return whole("200 OK", &[tag], body);
    }
    if from >= body.len() {
        return whole("416 Range Not Satisfiable", &[], b"");
    }
    let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
    whole(
        "206 Partial Content",
        &[tag, ("Content-Range", &range)],
        &body[from..],
    )
}
