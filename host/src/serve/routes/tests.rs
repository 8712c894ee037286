//! The routes as a client sees them, over real application folders and real backups.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod calls;
mod catalog;
mod create;
mod document;
mod download;
mod maintain;
mod progress;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use cofre_exporter::{Exporter, Repository};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::config::Config;
use crate::context::Context;
use crate::serve::Service;
use crate::serve::runner::{Run, Runner};

/// An application folder with a service over it.
struct App {
    dir: TempDir,
    service: Arc<Service>,
    router: Router,
    end: watch::Sender<bool>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl App {
    /// Two small files in `static/`.
    fn new() -> Self {
        Self::with("")
    }

    /// The same with more in the configuration.
    fn with(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("static/css")).unwrap();
        std::fs::write(dir.path().join("static/css/style.css"), "body { margin: 0 }\n").unwrap();
        std::fs::write(dir.path().join("static/app.js"), "'use strict';\n").unwrap();
        Self::over(dir, toml)
    }

    /// One whose runs wait in their hook until they are released: a run is as long as a test needs it.
    fn held() -> Self {
        let app = Self::with("[hooks]\nbefore = [\"cat\", \"gate\"]\n");
        let made = std::process::Command::new("mkfifo")
            .arg(app.path("gate"))
            .status()
            .unwrap();
        assert!(made.success());
        app
    }

    /// Waits until a run is held, and lets it go on.
    async fn release(&self) {
        let gate = self.path("gate");
        // Opening waits for the reader, and closing ends what it reads.
        tokio::task::spawn_blocking(|| std::fs::OpenOptions::new().write(true).open(gate))
            .await
            .unwrap()
            .unwrap();
    }

    /// The run that goes on, as soon as there is one.
    async fn current(&self) -> Run {
        loop {
            if let Some(run) = self.service.runner.current() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A service that is started anew with another configuration.
    fn reconfigured(self, toml: &str) -> Self {
        Self::over(self.dir, toml)
    }

    fn over(dir: TempDir, toml: &str) -> Self {
        let file = dir.path().join("cofre.toml");
        let text = format!("repository = \"relatorios\"\n{toml}\n[sources.static]\npath = \"static\"\n");
        std::fs::write(&file, text).unwrap();
        let context = Arc::new(Context::new(Config::load(&file).unwrap()).unwrap());
        let (end, ending) = watch::channel(false);
        let service = Arc::new(Service {
            runner: Runner::new(Arc::clone(&context)),
            exporter: Arc::new(Exporter::new([Repository {
                alias: context.config.repository.clone(),
                path: context.config.backup_dir.clone(),
            }])),
            context,
            ending,
        });
        Self {
            router: super::router(Arc::clone(&service)),
            dir,
            service,
            end,
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Content that takes a while to pack.
    fn big(&self) {
        let mut state = 0x2545_f491_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()
        })
        .take(4 << 20)
        .flatten()
        .collect();
        std::fs::write(self.path("static/noise.bin"), noise).unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: read(body).await,
        }
    }

    async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(request(method, path).body(Body::empty()).unwrap())
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).await
    }

    async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut builder = request(Method::GET, path);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        self.send(builder.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, json: &str) -> Answer {
        let builder = request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        self.send(builder.body(Body::from(json.to_owned())).unwrap())
            .await
    }

    /// A backup by way of the API; its record.
    async fn create(&self) -> Value {
        let answer = self.post("/api/backup/criar", "{}").await;
        let json = answer.is(200);
        assert_eq!(json["backup"]["status"], "completed", "{json}");
        json["backup"].clone()
    }

    async fn list(&self) -> Vec<Value> {
        self.get("/api/backup/listar").await.is(200)["backups"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Changes a field of the newest row in the catalog's file.
    fn edit_row(&self, field: &str, value: Value) {
        let file = self.path("backups/backup_history.json");
        let mut rows: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let row = rows.as_array_mut().unwrap().last_mut().unwrap();
        row[field] = value;
        std::fs::write(&file, rows.to_string()).unwrap();
    }
}

/// Reads a body as a connection does: nothing is kept but a copy, since a download waits for its buffers.
async fn read(mut body: Body) -> Bytes {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    bytes.into()
}

fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

impl Answer {
    /// Its JSON, after a look at the status.
    #[track_caller]
    fn is(&self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.field("content-type"), "application/json");
        assert_eq!(self.field("cache-control"), "no-store");
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(json["success"], status < 400, "{json}");
        json
    }

    /// Its JSON, after a look at status, code and the sentences.
    #[track_caller]
    fn refuses(&self, status: u16, code: &str) -> Value {
        let json = self.is(status);
        assert_eq!(json["code"], code, "{json}");
        assert!(!json["message"].as_str().unwrap().is_empty(), "{json}");
        json
    }

    #[track_caller]
    fn field(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no field {name}"));
        value.to_str().unwrap()
    }
}

/// The keys of an object, sorted.
#[track_caller]
fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}
