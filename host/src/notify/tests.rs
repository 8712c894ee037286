//! What the tests of this module share: rows, configurations, and a server that notes what it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::outbox::{Entry, Message, Signal};
use super::pace::Pace;
use super::payload::Payload;
use crate::config::Config;
use crate::engine::wit::types::{Backup, Status};
use crate::testing::backup;

/// A row of the catalog.
pub(super) fn row(id: u64, status: Status) -> Backup {
    Backup {
        timestamp: "2026-11-25T02:00:05.123456".to_owned(),
        error: (status == Status::Failed).then(|| "no\nspace left".to_owned()),
        plan: Some("daily".to_owned()),
        finished_at: Some("2026-11-25T02:00:09.000000-03:00".to_owned()),
        duration_seconds: Some(4.0),
        file_count: Some(3),
        skipped: Some(0),
        ..backup(id, status)
    }
}

/// A configuration with a source and what `text` adds.
pub(super) fn config(dir: &Path, text: &str) -> Config {
    let text = format!(
        "repository = 'relatorios'\ntime_zone = 'America/Sao_Paulo'\n[sources.static]\npath = 'static'\n{text}"
    );
    Config::parse(&text, dir).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A webhook's table.
pub(super) fn hook(name: &str, url: &str) -> String {
    format!("[[webhooks]]\nname = '{name}'\nurl = '{url}'\n")
}

/// A plan `daily` with a dead-man's switch.
pub(super) fn plan(url: &str) -> String {
    format!("[[schedules]]\nname = 'daily'\nat = '02:00'\nping_url = '{url}'\n")
}

/// A delivery to a webhook.
pub(super) fn to_hook(name: &str, id: &str) -> Entry {
    let message = Message::Webhook {
        name: name.to_owned(),
        payload: Box::new(Payload::bare("test", "relatorios", super::now())),
    };
    Entry::new(id.to_owned(), message)
}

/// A ping for the plan `daily`.
pub(super) fn ping(run: u64, signal: Signal) -> Entry {
    let message = Message::Ping {
        plan: "daily".to_owned(),
        run,
        signal,
        text: format!("run {run}"),
    };
    Entry::new(format!("msg_{run}_{signal:?}"), message)
}

/// Times that a test can wait for.
pub(super) fn pace() -> Pace {
    Pace {
        webhook: vec![Duration::from_millis(50); 3],
        ping: vec![Duration::from_millis(50); 3],
        ping_life: Duration::from_secs(3600),
        timeout: Duration::from_secs(1),
        poll: Duration::from_millis(20),
    }
}

/// Waits until something is so, for at most ten seconds.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// Method and path.
    pub(super) line: String,
    /// Headers, names in lower case.
    pub(super) headers: HashMap<String, String>,
    /// Body.
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server on a port of its own; each connection has a thread. It ends with the test's process.
#[derive(Clone)]
pub(super) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// `answer` is called with the number of the request, from 0, and writes whatever it likes.
    pub(super) fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let (answer, noted) = (Arc::new(answer), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(request) = read_request(&stream) else {
                        return;
                    };
                    let number = {
                        let mut noted = noted.lock().unwrap();
                        noted.push(request);
                        noted.len() - 1
                    };
                    answer(number, &mut stream);
                });
            }
        });
        Self { port, received }
    }

    /// One that answers each request with these statuses, the last one again and again.
    pub(super) fn with_statuses(statuses: &'static [u16]) -> Self {
        Self::start(move |number, stream| {
            let status = statuses.get(number).or(statuses.last()).unwrap();
            reply(stream, *status, "");
        })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(super) fn wait(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} requests"), || self.received().len() >= count);
        self.received()
    }

    /// Method and path of each request.
    pub(super) fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|r| r.line).collect()
    }
}

/// Answers with a status and further headers.
pub(super) fn reply(stream: &mut TcpStream, status: u16, headers: &str) {
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{headers}\r\nok");
    // The other side may have gone.
    let _ = stream.write_all(text.as_bytes());
}

fn read_request(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.rsplit_once(' ')?.0.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { line, headers, body })
}

/// Set in the child of [`in_child`].
const CHILD: &str = "COFRE_TEST_CHILD";

/// Runs the test `name` again in a process with other variables; its body sees `Some` of `argument` there.
pub(super) fn in_child(name: &str, argument: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, argument)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The argument of [`in_child`], in the child.
pub(super) fn child_argument() -> Option<String> {
    std::env::var(CHILD).ok()
}
