//! The server with real sockets, and routes of a few lines behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod connections;
mod encrypted;
mod sizes;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::{get, post};
use cofre_exporter::Exporter;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{Identity, Limits, Server};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::serve::Service;
use crate::serve::runner::Runner;

pub(super) const ADMIN: &str = "admin-token-5f1c";
pub(super) const VIEWER: &str = "viewer-token-77aa";

/// A server that runs on a thread of its own, and its log.
struct Running {
    address: SocketAddr,
    ending: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    log: Log,
    _folder: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The configuration of a service with two tokens, and what a test adds to `[api]`.
fn config(folder: &Path, more: &str) -> Config {
    std::fs::create_dir_all(folder.join("static")).unwrap();
    let listen = if more.contains("listen") {
        ""
    } else {
        "listen = \"127.0.0.1:0\""
    };
    let text = format!(
        "time_zone = \"UTC\"\n[sources.static]\npath = \"static\"\n[api]\n{listen}\n{more}\n\
         [[api.tokens]]\nname = \"ops\"\nrole = \"admin\"\nsha256 = \"{}\"\n\
         [[api.tokens]]\nname = \"graphs\"\nrole = \"viewer\"\nsha256 = \"{}\"\n",
        digest(ADMIN),
        digest(VIEWER)
    );
    Config::parse(&text, folder).unwrap_or_else(|problems| panic!("{problems}"))
}

fn service(config: Config, ending: watch::Receiver<bool>) -> Arc<Service> {
    let context = Arc::new(Context::new(config).unwrap());
    Arc::new(Service {
        runner: Runner::new(Arc::clone(&context)),
        context,
        exporter: Arc::new(Exporter::new([])),
        ending,
    })
}

fn bind(folder: &Path, more: &str, router: Router) -> Result<(Server, watch::Sender<bool>)> {
    let (ending, watched) = watch::channel(false);
    let service = service(config(folder, more), watched);
    let api = service.context.config.api.clone().unwrap();
    Server::bind(service, &api, router).map(|server| (server, ending))
}

/// The error of a server that can't start.
fn refusal(folder: &Path, more: &str) -> crate::Error {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { bind(folder, more, Router::new()).map(|_| ()).unwrap_err() })
}

fn start(more: &str) -> Running {
    start_in(tempfile::tempdir().unwrap(), more, Limits::default(), routes())
}

fn start_with(limits: Limits, router: Router) -> Running {
    start_in(tempfile::tempdir().unwrap(), "", limits, router)
}

fn start_in(folder: tempfile::TempDir, more: &str, limits: Limits, router: Router) -> Running {
    let log = Log::default();
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn({
        let (log, more, path) = (log.clone(), more.to_owned(), folder.path().to_path_buf());
        move || {
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::INFO)
                .with_writer(move || log.clone())
                .finish();
            // One thread, so that all that the server says goes to the subscriber of this thread.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tracing::subscriber::with_default(subscriber, || {
                runtime.block_on(async move {
                    let (mut server, ending) = bind(&path, &more, router).unwrap();
                    server.limits = limits;
                    sender.send((server.address(), ending)).unwrap();
                    server.serve().await;
                });
            });
        }
    });
    let (address, ending) = receiver.recv().unwrap();
    Running {
        address,
        ending,
        thread: Some(thread),
        log,
        _folder: folder,
    }
}

impl Running {
    /// Ends the service, and says how long that took.
    fn end(&mut self) -> Duration {
        let began = Instant::now();
        self.ending.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        began.elapsed()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).unwrap();
        Answer::read(stream)
    }

    /// A request with one credential or none, and further fields.
    fn call(&self, method: &str, path: &str, credential: Option<&str>, fields: &[&str]) -> Answer {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        if let Some(token) = credential {
            text += &format!("Authorization: Bearer {token}\r\n");
        }
        for field in fields {
            text += &format!("{field}\r\n");
        }
        self.raw(text + "\r\n")
    }

    fn get(&self, path: &str, credential: Option<&str>) -> Answer {
        self.call("GET", path, credential, &[])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ending.send_replace(true);
    }
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(mut stream: impl std::io::Read) -> Self {
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .expect("the server answers and closes");
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    fn code(&self) -> String {
        let object: serde_json::Value =
            serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert_eq!(object["success"], false);
        assert!(!object["message"].as_str().unwrap().is_empty());
        object["code"].as_str().unwrap().to_owned()
    }
}

/// Says who called.
async fn who(Extension(identity): Extension<Identity>) -> String {
    format!("{} {:?}", identity.who, identity.role)
}

fn routes() -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(who))
        .route("/api/backup/status", get(who))
        .route(
            "/api/backup/criar",
            post(async |body: String| body.len().to_string()),
        )
        .route(
            "/api/backup/panics",
            get(async || -> String { panic!("secretless text") }),
        )
}

/// A route whose answer takes `time`.
fn sleeping(path: &str, time: Duration) -> Router {
    let handler = move || async move {
        tokio::time::sleep(time).await;
        "done"
    };
    Router::new()
        .route(path, get(handler))
        .route("/healthz", get(async || "ok"))
}

/// Reads what is there until the connection ends; true when it does within `time`.
fn ends_within(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Err(_) => return false,
        }
    }
}

fn endless() -> Body {
    let chunks = tokio_stream::StreamExt::map(
        tokio_stream::iter(std::iter::repeat(axum::body::Bytes::from_static(
            &[b'x'; 16 * 1024],
        ))),
        Ok::<_, std::io::Error>,
    );
    Body::from_stream(chunks)
}
