//! What all clients of the workload share: how long it goes on, what was done, what was found wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;
use crate::site::Site;
use crate::support::{Rng, Run};
use crate::wire::{self, Answer};

/// Violations that are kept; one is enough to fail.
const KEPT_VIOLATIONS: usize = 40;

pub(super) struct Shared<'a> {
    pub(super) site: &'a Site,
    began: Instant,
    deadline: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was done, by what came of it.
    counts: BTreeMap<String, u64>,
    /// Calls that the audit log has to have, by operation and status.
    calls: BTreeMap<(String, String), u64>,
    /// Commands that it has to have.
    commands: BTreeMap<(String, String), u64>,
    /// Ids that somebody asked to delete.
    condemned: BTreeSet<u64>,
    /// Ids whose pin somebody asked to take away.
    unpinned: BTreeSet<u64>,
    violations: Vec<String>,
    violated: u64,
}

impl<'a> Shared<'a> {
    pub(super) fn new(site: &'a Site, deadline: Instant) -> Self {
        Self {
            site,
            began: Instant::now(),
            deadline,
            state: Mutex::default(),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no client panicked"))
    }

    /// Until the time is over and everything that has to happen at all has happened.
    pub(super) fn goes_on(&self) -> bool {
        if Instant::now() < self.deadline {
            return true;
        }
        let missing: Vec<_> = self.with(|state| {
            let found = |wanted: &&str| !state.counts.contains_key(*wanted);
            WANTED.into_iter().filter(found).collect()
        });
        let late = Instant::now() > self.deadline + PATIENCE;
        assert!(!late || missing.is_empty(), "it never came to {missing:?}");
        !missing.is_empty() && !self.with(|state| state.violated > 0)
    }

    /// Waits up to so many milliseconds.
    pub(super) fn pause(&self, most: u64) {
        std::thread::sleep(Duration::from_millis(most));
    }

    pub(super) fn pause_random(&self, rng: &mut Rng, most: u64) {
        self.pause(rng.below(most));
    }

    pub(super) fn count(&self, what: &str) {
        self.with(|state| *state.counts.entry(what.to_owned()).or_default() += 1);
    }

    pub(super) fn violation(&self, what: String) {
        let at = self.began.elapsed();
        self.with(|state| {
            state.violated += 1;
            if state.violations.len() < KEPT_VIOLATIONS {
                state.violations.push(format!("after {at:.1?}: {what}"));
            }
        });
    }

    /// Somebody is about to ask for a delete; from now on the backup may go.
    pub(super) fn condemn(&self, id: u64) {
        self.with(|state| state.condemned.insert(id));
    }

    pub(super) fn is_condemned(&self, id: u64) -> bool {
        self.with(|state| state.condemned.contains(&id))
    }

    pub(super) fn unpin(&self, id: u64) {
        self.with(|state| state.unpinned.insert(id));
    }

    pub(super) fn may_be_unpinned(&self, id: u64) -> bool {
        self.with(|state| state.unpinned.contains(&id))
    }

    /// A call of the administrator with its whole answer, which has to be one of `allowed`: status, and the code of
    /// a refusal.
    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        body: &str,
        allowed: &[(u16, &str)],
    ) -> Option<Answer> {
        let kind = if body.is_empty() {
            vec![]
        } else {
            vec![("Content-Type", "application/json")]
        };
        let bytes = wire::request(method, path, &kind, body.as_bytes());
        match wire::call(self.site.port, &bytes) {
            Ok(answer) => self.answered(method, path, answer, allowed),
            Err(error) => self.unanswered(method, path, &error),
        }
    }

    /// The same for an answer whose body is read by the caller.
    pub(super) fn begin(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        allowed: &[(u16, &str)],
    ) -> Option<(Answer, u64, std::net::TcpStream)> {
        let bytes = wire::request("GET", path, fields, b"");
        match wire::begin(self.site.port, &bytes) {
            Ok((mut answer, length, mut stream)) => {
                if answer.status >= 400 {
                    // A refusal is short, and its code is wanted.
                    let read = io::Read::read_to_end(&mut stream, &mut answer.body);
                    if let Err(error) = read {
                        return self.unanswered("GET", path, &error);
                    }
                }
                self.answered("GET", path, answer, allowed)
                    .map(|answer| (answer, length, stream))
            }
            Err(error) => self.unanswered("GET", path, &error),
        }
    }

    pub(super) fn answered(
        &self,
        method: &str,
        path: &str,
        answer: Answer,
        allowed: &[(u16, &str)],
    ) -> Option<Answer> {
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let route: String = path.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        self.count(&format!("{method} {route} {}", answer.status));
        self.count("calls of the API");
        if !["/metrics", "/healthz"].contains(&path) {
            let call = (format!("{method} {path}"), answer.status.to_string());
            self.with(|state| *state.calls.entry(call).or_default() += 1);
        }
        let code = if answer.status < 400 {
            String::new()
        } else {
            answer.code()
        };
        if allowed.contains(&(answer.status, code.as_str())) {
            return Some(answer);
        }
        // What a machine with too much to do may say, as long as it says when to come again.
        if code == "overloaded" && answer.status == 503 && answer.field("retry-after").is_some() {
            return None;
        }
        self.violation(format!("{method} {path} gave {answer}"));
        None
    }

    fn unanswered<T>(&self, method: &str, path: &str, error: &io::Error) -> Option<T> {
        self.violation(format!("{method} {path} has no answer: {error}"));
        None
    }

    /// A command beside the service; its exit code has to be one of `allowed`.
    pub(super) fn cofre(&self, args: &[&str], allowed: &[i32]) -> Run {
        let run = self.site.app.cofre(args);
        let code = run.code.unwrap_or(-1);
        let verb = args
            .iter()
            .find(|arg| !arg.starts_with('-'))
            .copied()
            .unwrap_or_default();
        self.count(&format!("cofre {verb}, exit {code}"));
        self.count("commands");
        if !["list", "status", "show", "diff"].contains(&verb) && !args.contains(&"--dry-run") {
            let command = (verb.to_owned(), String::new());
            self.with(|state| *state.commands.entry(command).or_default() += 1);
        }
        if !allowed.contains(&code) {
            self.violation(format!("{run}"));
        }
        run
    }

    /// The calls or commands of the audit log against those that were made.
    pub(super) fn compare_audit(&self, lines: &[(String, String)], what: &str) {
        let mut logged: BTreeMap<(String, String), u64> = BTreeMap::new();
        for line in lines {
            *logged.entry(line.clone()).or_default() += 1;
        }
        let made = self.with(|state| match what {
            "calls" => state.calls.clone(),
            _ => state.commands.clone(),
        });
        let keys: BTreeSet<_> = logged.keys().chain(made.keys()).collect();
        for key in keys {
            let (of_log, of_ours) = (
                logged.get(key).copied().unwrap_or(0),
                made.get(key).copied().unwrap_or(0),
            );
            if of_log != of_ours {
                self.violation(format!(
                    "{what} {key:?}: {of_ours} made, {of_log} in the audit log"
                ));
            }
        }
    }

    pub(super) fn violations(&self) -> u64 {
        self.with(|state| state.violated)
    }

    pub(super) fn report(&self, asked: Duration) -> String {
        self.with(|state| {
            let mut text = format!("workload of {asked:?}, {} violations\n", state.violated);
            for (what, count) in &state.counts {
                let _ = writeln!(text, "{count:>8} {what}");
            }
            text
        })
    }

    #[track_caller]
    pub(super) fn assert_no_violation(&self) {
        let found = self.with(|state| state.violations.join("\n---\n"));
        assert!(found.is_empty(), "{found}");
    }
}

/// What has to happen at least once for the workload to be one.
const WANTED: [&str; 14] = [
    "POST /api/backup/criar 200",
    "POST /api/backup/criar 202",
    "POST /api/backup/criar 409",
    "GET /api/backup/download/ 200",
    "GET /api/backup/download/ 206",
    "POST /api/backup/verificar/ 200",
    "POST /api/backup/restaurar/ 200",
    "DELETE /api/backup/excluir/ 200",
    "POST /api/backup/limpar 200",
    "GET /metrics 200",
    "scrape of the exporter",
    "cofre create, exit 0",
    "cofre create, exit 6",
    "cofre pin, exit 0",
];
