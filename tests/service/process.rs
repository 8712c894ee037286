//! The process of `cofre serve`: started, waited for, ended, and its log read.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Call;
use crate::site::{Site, admin, viewer};

/// How long anything may take that should take no time: generous, for a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until something holds; fails with `what` after [`PATIENCE`].
#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running service. Whatever a test does, its log shows no panic and no credential.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
    secrets: Vec<String>,
}

impl Service {
    /// Starts `cofre serve` and waits until it answers.
    #[track_caller]
    pub(crate) fn start(site: &Site) -> Self {
        Self::start_with(site, |_| {})
    }

    /// The same with a change of the command.
    #[track_caller]
    pub(crate) fn start_with(site: &Site, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = site.app.command(&["serve"]);
        change(&mut command);
        let mut service = Self::spawn(site, &mut command);
        service.wait_for_answer(site);
        service
    }

    /// Starts it as a user whom permission bits bind.
    #[track_caller]
    pub(crate) fn start_unprivileged(site: &Site) -> Self {
        let mut service = Self::spawn(site, &mut site.app.command_unprivileged(&["serve"]));
        service.wait_for_answer(site);
        service
    }

    /// Starts it without waiting.
    #[track_caller]
    pub(crate) fn spawn(site: &Site, command: &mut Command) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = site.app.path(format!("serve-{number}.log"));
        let file = File::create(&log).expect("the log");
        let child = command
            .env_remove("COFRE_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self {
            child,
            log,
            secrets: vec![admin().to_owned(), viewer().to_owned()],
        }
    }

    #[track_caller]
    fn wait_for_answer(&mut self, site: &Site) {
        until("the service answers", || {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("the service ended with {status}:\n{}", self.log());
            }
            let health = Call::new("GET", &site.url("/healthz")).args(&["--insecure"]);
            health.try_send().ok().filter(|reply| reply.status == 200)
        });
    }

    /// One more text that must never be in the log.
    pub(crate) fn secret(&mut self, text: &str) {
        self.secrets.push(text.to_owned());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged to standard error so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log")).into_owned()
    }

    /// Waits for a line of the log that has all of these fragments; the line.
    #[track_caller]
    pub(crate) fn logs(&self, fragments: &[&str]) -> String {
        until(&format!("{fragments:?} in the log"), || {
            let log = self.log();
            let line = log
                .lines()
                .find(|line| fragments.iter().all(|fragment| line.contains(fragment)));
            line.map(str::to_owned)
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("send a signal");
    }

    /// Whether it is still there.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let log = self.log.clone();
        until(&format!("the end of the service, {}", log.display()), || {
            self.child.try_wait().expect("wait")
        })
    }

    /// SIGTERM; the exit code.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .expect("VmHWM");
        kib.trim().parse::<u64>().expect("a number") << 10
    }

    /// Asserts that the log shows no panic and nothing secret.
    fn check_log(&self) {
        let log = self.log();
        for word in ["panicked", "wasm trap", "wasm backtrace", "stack overflow"] {
            assert!(!log.contains(word), "`{word}` in the log:\n{log}");
        }
        for secret in &self.secrets {
            assert!(!log.contains(secret), "the secret {secret} in the log:\n{log}");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("--- the end of the service's log\n{}", last.join("\n"));
        } else {
            self.check_log();
        }
    }
}
