//! A receiver of webhooks and pings: a real HTTP server that keeps what it gets and answers as it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::process::until;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `event` of a webhook's payload.
    #[track_caller]
    pub(crate) fn event(&self) -> String {
        self.json()["event"].as_str().expect("an event").to_owned()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// This status, and no body.
    Status(u16),
    /// A redirect with this status to there.
    Redirect(u16, String),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// A body that never ends.
    Endless,
}

/// The server. It ends when it is dropped, and its port is free then.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    /// Bytes of endless answers that were taken.
    pub(crate) sent: Arc<std::sync::atomic::AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Rule = dyn Fn(&Received, usize) -> Answer + Send + Sync;

impl Receiver {
    /// Answers everything with 200.
    pub(crate) fn start() -> Self {
        Self::answering(|_, _| Answer::Status(200))
    }

    /// Answers by a rule, which is told the request and how many came before it.
    pub(crate) fn answering(rule: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(crate::site::free_port(), rule)
    }

    /// The same on a port of choice.
    pub(crate) fn on(port: u16, rule: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the receiver's port");
        let (received, stop): (Arc<Mutex<Vec<_>>>, Arc<AtomicBool>) = (Arc::default(), Arc::default());
        let sent = Arc::default();
        let rule: Arc<Rule> = Arc::new(rule);
        let thread = std::thread::spawn({
            let (received, stop, sent) = (Arc::clone(&received), Arc::clone(&stop), Arc::clone(&sent));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (received, rule, stop, sent) = (
                        Arc::clone(&received),
                        Arc::clone(&rule),
                        Arc::clone(&stop),
                        Arc::clone(&sent),
                    );
                    std::thread::spawn(move || serve(stream, &received, &*rule, &stop, &sent));
                }
            }
        });
        Self {
            port,
            received,
            sent,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("the list").clone()
    }

    /// What has come to one path.
    pub(crate) fn at(&self, path: &str) -> Vec<Received> {
        let all = self.received();
        all.into_iter().filter(|one| one.path == path).collect()
    }

    /// Waits for that many requests, or more.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} requests at the receiver"), || {
            Some(self.received()).filter(|all| all.len() >= count)
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees the flag.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(
    mut stream: TcpStream,
    received: &Mutex<Vec<Received>>,
    rule: &Rule,
    stop: &AtomicBool,
    sent: &std::sync::atomic::AtomicU64,
) {
    let Some(request) = read(&stream) else { return };
    let before = {
        let mut all = received.lock().expect("the list");
        all.push(request.clone());
        all.len() - 1
    };
    let close = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    match rule(&request, before) {
        Answer::Status(status) => drop(write!(stream, "HTTP/1.1 {status} X\r\n{close}")),
        Answer::Redirect(status, to) => {
            drop(write!(
                stream,
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\n{close}"
            ));
        }
        Answer::Hang => {
            while !stop.load(Ordering::SeqCst) && connected(&stream) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Answer::Endless => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
            while !stop.load(Ordering::SeqCst) && stream.write_all(&[b'x'; 4096]).is_ok() {
                sent.fetch_add(4096, Ordering::SeqCst);
            }
        }
    }
}

/// Whether the other side still waits.
fn connected(stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a deadline");
    !matches!((&*stream).read(&mut byte), Ok(0))
}

fn read(stream: &TcpStream) -> Option<Received> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Ok(0), |(_, value)| value.parse()).ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        method,
        path,
        headers,
        body,
    })
}
