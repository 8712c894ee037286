//! An application folder whose configuration has an API, and the credentials that it knows.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::http::{Call, Reply};
use crate::process::until;
use crate::support::App;

/// A token and its line in the configuration.
pub(crate) struct Token {
    pub(crate) text: String,
    sha256: String,
}

impl Token {
    fn new(role: &str) -> Self {
        let made: Value = App::new().json(&["token", "new", "x", "--role", role]);
        let text = |key: &str| made[key].as_str().expect(key).to_owned();
        Self {
            text: text("token"),
            sha256: text("sha256"),
        }
    }

    fn toml(&self, name: &str, role: &str) -> String {
        let sha256 = &self.sha256;
        format!("[[api.tokens]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n")
    }
}

/// The administrator's token, `ops` in every configuration.
pub(crate) fn admin() -> &'static str {
    &admin_token().text
}

/// The administrator's line in a configuration.
pub(crate) fn admin_toml() -> String {
    admin_token().toml("ops", "admin")
}

/// The viewer's token, `prometheus` in every configuration.
pub(crate) fn viewer() -> &'static str {
    &viewer_token().text
}

fn admin_token() -> &'static Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| Token::new("admin"))
}

fn viewer_token() -> &'static Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| Token::new("viewer"))
}

/// What a test's configuration has beyond the usual.
#[derive(Default, Clone, Copy)]
pub(crate) struct Extra<'a> {
    /// Top-level keys.
    pub(crate) top: &'a str,
    /// Keys of `[api]`.
    pub(crate) api: &'a str,
    /// Further tables.
    pub(crate) tables: &'a str,
}

/// Every run waits before its first step for as long as the file `hold` is there.
pub(crate) const HOLD: Extra<'_> = Extra {
    top: "",
    api: "",
    tables: "[hooks]\nbefore = [\"sh\", \"-c\", \"while [ -e hold ]; do sleep 0.05; done\"]\n",
};

/// The application folder.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) port: u16,
    tls: bool,
}

impl Site {
    /// Two small files, an API, nothing else.
    pub(crate) fn small() -> Self {
        Self::with(Extra::default())
    }

    /// The same with more in its configuration.
    pub(crate) fn with(extra: Extra<'_>) -> Self {
        let mut site = Self {
            app: App::small(),
            port: free_port(),
            tls: false,
        };
        site.configure(extra);
        site
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&mut self, extra: Extra<'_>) {
        let Extra { top, api, tables } = extra;
        let port = self.port;
        let listen = if api.contains("listen =") {
            String::new()
        } else {
            format!("listen = \"127.0.0.1:{port}\"")
        };
        let (admin, viewer) = (admin_toml(), viewer_token().toml("prometheus", "viewer"));
        self.tls = api.contains("tls_cert");
        self.app.config(&format!(
            "repository = \"relatorios\"\n{top}\n[sources.static]\npath = \"static\"\n[api]\n{listen}\n{api}\n{admin}{viewer}{tables}\n"
        ));
    }

    /// Where a path of the API is.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    /// A call without a credential.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> Call {
        Call::new(method, &self.url(path))
    }

    /// A call of the administrator.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        self.anonymous(method, path).bearer(admin())
    }

    /// The administrator's GET, which has to succeed.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.call("GET", path).send().is(200).json()
    }

    /// A backup through the API, which has to be complete; its record.
    #[track_caller]
    pub(crate) fn create(&self) -> Value {
        let answer = self.call("POST", "/api/backup/criar").json("{}").send();
        let record = answer.is(200).json()["backup"].clone();
        assert_eq!(record["status"], "completed", "{record}");
        record
    }

    /// The totals.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.get("/api/backup/status")["status"].clone()
    }

    /// From now on every run waits; see [`HOLD`].
    pub(crate) fn hold(&self) {
        self.app.write("hold", b"");
    }

    /// Lets the runs go on.
    pub(crate) fn release(&self) {
        std::fs::remove_file(self.app.path("hold")).expect("hold");
    }

    /// The running backup, as the status shows it, as soon as there is one.
    #[track_caller]
    pub(crate) fn running(&self) -> Value {
        until("a run in the status", || {
            Some(self.status()["running"].clone()).filter(|running| !running.is_null())
        })
    }

    /// Starts a backup and leaves it; its record when it has begun.
    #[track_caller]
    pub(crate) fn begin(&self) -> Value {
        let call = self
            .call("POST", "/api/backup/criar")
            .header("Prefer", "respond-async");
        call.json("{}").send().is(202).json()["backup"].clone()
    }

    /// The rows.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let listed = self.get("/api/backup/listar");
        listed["backups"].as_array().expect("backups").clone()
    }
}

/// A port that nobody has: below those that the system gives to clients, and each only once in this process.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % 10_000;
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + (first + next) % 12_000).expect("a port");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The administrator posts a JSON body.
pub(crate) fn post(site: &Site, path: &str, body: &str) -> Reply {
    site.call("POST", path).json(body).send()
}
