//! Calls by curl, and what came back.

use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::process::until;
use crate::support::{run, spawn, tool};

/// A call that is not made yet.
pub(crate) struct Call {
    method: String,
    url: String,
    args: Vec<String>,
    body: Option<NamedTempFile>,
}

impl Call {
    pub(crate) fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            args: Vec::new(),
            body: None,
        }
    }

    /// Further arguments of curl.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        // curl's way to send a header without a value.
        let line = if value.is_empty() {
            format!("{name};")
        } else {
            format!("{name}: {value}")
        };
        self.args(&["--header", &line])
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body, or what is said to be one.
    pub(crate) fn json(self, body: &str) -> Self {
        self.body("application/json", body.as_bytes())
    }

    /// A body; without a type when that is empty.
    pub(crate) fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        let file = NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), body).expect("write the body");
        self.args.push("--header".into());
        self.args.push(format!("Content-Type: {content_type}"));
        self.body = Some(file);
        self
    }

    /// Makes the call, which has to be answered.
    #[track_caller]
    pub(crate) fn send(self) -> Reply {
        self.try_send()
            .unwrap_or_else(|(code, text)| panic!("curl's exit code {code}: {text}"))
    }

    /// Makes the call; curl's exit code and words when it is not answered.
    #[track_caller]
    pub(crate) fn try_send(self) -> Result<Reply, (i32, String)> {
        let answer = Answer::new();
        let ended = run(&mut self.command(&answer));
        if ended.code != Some(0) {
            let what = self.what();
            return Err((ended.code.unwrap_or(-1), format!("{what}: {}", ended.stderr)));
        }
        Ok(answer.reply(self.what()))
    }

    /// Makes the call and goes away as soon as the answer's head is there, where that is a stream of events.
    #[track_caller]
    pub(crate) fn send_until_head(self) -> Reply {
        let mut stream = self.stream();
        until("the head of the answer", || {
            let complete = stream.answer.head().ends_with("\r\n\r\n");
            (complete || stream.has_ended()).then_some(())
        });
        // An error's answer comes whole, and then curl ends by itself.
        if !stream.answer.head().contains("text/event-stream") {
            stream.ended();
        }
        stream.answer.reply(stream.what.clone())
    }

    /// Makes the call and leaves it open.
    pub(crate) fn stream(self) -> Stream {
        let answer = Answer::new();
        let mut command = self.command(&answer);
        Stream {
            curl: spawn(command.arg("--no-buffer")),
            answer,
            what: self.what(),
            _body: self.body,
        }
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    fn command(&self, answer: &Answer) -> Command {
        let mut curl = Command::new(tool("curl"));
        curl.env_remove("http_proxy")
            .env_remove("https_proxy")
            .env_remove("CURL_CA_BUNDLE");
        curl.args([
            "--disable",
            "--silent",
            "--show-error",
            "--globoff",
            "--path-as-is",
        ]);
        curl.args(["--noproxy", "*", "--max-time", "300", "--dump-header"])
            .arg(answer.head.path());
        curl.arg("--output").arg(answer.body.path());
        if self.method == "HEAD" {
            curl.arg("--head");
        } else {
            curl.args(["--request", &self.method]);
        }
        if let Some(file) = &self.body {
            curl.arg("--data-binary")
                .arg(format!("@{}", file.path().display()));
        }
        curl.args(&self.args).arg(&self.url);
        curl
    }
}

/// A call that goes on. It ends when it is dropped.
pub(crate) struct Stream {
    curl: Child,
    answer: Answer,
    what: String,
    _body: Option<NamedTempFile>,
}

impl Stream {
    /// What has come of the body so far.
    pub(crate) fn text(&self) -> String {
        let bytes = std::fs::read(self.answer.body.path()).expect("the answer's body");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn has_ended(&mut self) -> bool {
        self.curl.try_wait().expect("wait for curl").is_some()
    }

    /// Waits until the other side has ended it.
    #[track_caller]
    pub(crate) fn ended(&mut self) {
        let what = format!("the end of {}", self.what);
        until(&what, || self.has_ended().then_some(()));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.curl.kill());
        drop(self.curl.wait());
    }
}

/// Where curl puts what it gets.
struct Answer {
    head: NamedTempFile,
    body: NamedTempFile,
}

impl Answer {
    fn new() -> Self {
        Self {
            head: NamedTempFile::new().expect("a temporary file"),
            body: NamedTempFile::new().expect("a temporary file"),
        }
    }

    fn head(&self) -> String {
        let bytes = std::fs::read(self.head.path()).expect("the answer's head");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn reply(&self, what: String) -> Reply {
        let body = std::fs::read(self.body.path()).expect("the answer's body");
        Reply::parse(what, &self.head(), body)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    what: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(what: String, head: &str, body: Vec<u8>) -> Self {
        // `100 Continue` comes with a head of its own.
        let last = head.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
        let mut lines = last.lines();
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("{what}: no status in {head:?}")),
            what,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The body as JSON, which its type has to say.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "content type of {self}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// Asserts an error as DESIGN section 8 has it, with a message for people and the stable code.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{self}");
        let body = self.json();
        assert_eq!(body["success"], false, "{self}");
        assert_eq!(body["code"], code, "{self}");
        let message = body["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "a message in {self}");
        self
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            status,
            headers,
            body,
        } = self;
        let body: String = String::from_utf8_lossy(body).chars().take(2_000).collect();
        write!(f, "{what}: {status}\n{headers:?}\n{body}")
    }
}

/// A plain connection whose reads and writes have a deadline.
#[track_caller]
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let deadline = Some(Duration::from_secs(120));
    stream.set_read_timeout(deadline).expect("a deadline");
    stream.set_write_timeout(deadline).expect("a deadline");
    stream
}
