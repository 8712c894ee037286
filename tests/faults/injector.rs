//! `inject.c`, compiled and run: what a program did to the files below a folder, and a fault at one of its calls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Run, run, tool};

/// What happens at the chosen call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing; the log has what was written.
    Trace,
    /// SIGKILL instead of the call.
    Kill,
    /// Half of the write, then SIGKILL.
    Torn,
    /// Half of the write.
    Short,
    /// It fails with this number.
    Fail(i32),
    /// It and each later one fails with this number.
    FailFromHere(i32),
}

impl Action {
    fn word(&self) -> String {
        match self {
            Self::Trace => "trace".to_owned(),
            Self::Kill => "kill".to_owned(),
            Self::Torn => "torn".to_owned(),
            Self::Short => "short".to_owned(),
            Self::Fail(errno) => format!("fail:{errno}"),
            Self::FailFromHere(errno) => format!("fails:{errno}"),
        }
    }
}

/// One call of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Places in the order of all beginnings and ends.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) name: String,
    pub(crate) path: String,
    /// Where a rename leads, what a link is.
    pub(crate) other: String,
    /// Where a write begins; negative for the end of the file.
    pub(crate) offset: i64,
    /// What was to be written, or the flags of an open.
    pub(crate) length: u64,
    /// As the kernel gives it: negative for an error.
    pub(crate) result: i64,
    pub(crate) data: Vec<u8>,
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        Some(Self {
            began: next()?.parse().ok()?,
            ended: next()?.parse().ok()?,
            name: next()?.to_owned(),
            path: next()?.to_owned(),
            other: next()?.to_owned(),
            offset: next()?.parse().ok()?,
            length: next()?.parse().ok()?,
            result: next()?.parse().ok()?,
            data: bytes(next()?)?,
        })
    }

    /// Whether its name is one of `names`, where `all` stands for every name.
    pub(crate) fn is_one_of(&self, names: &str) -> bool {
        names == "all" || names.split(',').any(|name| name == self.name)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.path)?;
        if self.other.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.other)
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect()
}

/// What came of a run.
pub(crate) struct Injected {
    pub(crate) run: Run,
    /// Calls that returned, by their beginning.
    pub(crate) calls: Vec<Call>,
    /// The calls that the fault met: one, or with [`Action::FailFromHere`] each from there on.
    pub(crate) hits: Vec<Call>,
    /// Whether SIGKILL ended the program.
    pub(crate) killed: bool,
    /// Whether it said that all is done.
    pub(crate) done: bool,
}

/// `command` under the injector, not started yet. The log goes where `log` says.
pub(crate) fn under(
    command: &Command,
    log: &Path,
    root: &Path,
    action: &Action,
    only: &str,
    at: usize,
) -> Command {
    let mut injected = Command::new(program());
    injected
        .arg(log)
        .arg(root)
        .args([&action.word(), only, &at.to_string(), "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => injected.env(name, value),
            None => injected.env_remove(name),
        };
    }
    injected
}

/// Runs `command` with a fault at the call number `at`, from 1, of those called `only` that change something below `root`.
pub(crate) fn inject(command: &Command, root: &Path, action: &Action, only: &str, at: usize) -> Injected {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let run = run(&mut under(command, log.path(), root, action, only, at));
    read(run, log.path())
}

/// The log of a run that has ended.
pub(crate) fn read(run: Run, log: &Path) -> Injected {
    let text = String::from_utf8_lossy(&std::fs::read(log).expect("the injector's log")).into_owned();
    let of = |word: &str| -> Vec<Call> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(word)?.strip_prefix('\t'));
        lines
            .map(|line| Call::parse(line).unwrap_or_else(|| panic!("the injector's log: {line}")))
            .collect()
    };
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("exit ") || last.starts_with("signal "),
        "the injector did not end well: {run}\n{text}"
    );
    let mut calls = of("call");
    calls.sort_by_key(|call| call.began);
    Injected {
        run,
        calls,
        hits: of("hit"),
        killed: last == "signal 9",
        done: last == "exit 0",
    }
}

pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/faults/inject.c");
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inject-{}", std::process::id()));
        let program = made.with_file_name("inject");
        run(Command::new(tool("cc"))
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&made)
            .arg(source))
        .exits(0);
        std::fs::rename(&made, &program).expect("put the injector into its place");
        program
    })
}
