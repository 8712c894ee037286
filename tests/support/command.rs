//! Running programs: with a deadline, with their output kept, and with the rules that hold for every run of cofre.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time that one command may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// The program under test.
pub(crate) fn cofre_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cofre"))
}

/// The exporter that was built with it.
pub(crate) fn exporter_binary() -> PathBuf {
    let program = cofre_binary().with_file_name("cofre-exporter");
    assert!(
        program.exists(),
        "{} is not there; build it with `cargo build --release -p cofre-exporter`, or test the whole workspace",
        program.display()
    );
    program
}

/// The path of an outside program; fails the test where it is missing.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("the program `{name}` is not installed; `.ci/run` lists its Debian package")
        })
}

/// Whether the tests run as root, who ignores permission bits.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `program` as a user whom permission bits bind: root without its capabilities, or just the user.
pub(crate) fn without_capabilities(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new(tool("setpriv"));
        command
            .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// What a program did.
pub(crate) struct Run {
    what: String,
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Run {
    /// A run that did not end through [`run`], for those who judge.
    pub(crate) fn of(what: String, code: Option<i32>, stdout: String, stderr: String) -> Self {
        Self {
            what,
            code,
            stdout,
            stderr,
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// Asserts that a fragment is somewhere in the output.
    #[track_caller]
    pub(crate) fn says(self, fragment: &str) -> Self {
        assert!(
            self.stdout.contains(fragment) || self.stderr.contains(fragment),
            "`{fragment}` is not said by {self}"
        );
        self
    }

    /// Asserts that a fragment is nowhere in the output.
    #[track_caller]
    pub(crate) fn never_says(self, fragment: &str) -> Self {
        assert!(
            !self.stdout.contains(fragment) && !self.stderr.contains(fragment),
            "`{}` is said by {self}",
            fragment.escape_debug()
        );
        self
    }

    /// Standard output as the one JSON document that it has to be.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not one JSON document ({error}): {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            code,
            stdout,
            stderr,
        } = self;
        let head = |text: &str| text.chars().take(4_000).collect::<String>();
        write!(
            f,
            "{what}\nexit code: {code:?}\n--- stdout\n{}\n--- stderr\n{}",
            head(stdout),
            head(stderr)
        )
    }
}

/// Starts a program whose output nobody wants.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

/// Runs a program to its end. Whatever it is asked, cofre neither hangs nor shows a panic or a trap.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Run {
    run_from(command, Stdio::null())
}

/// The same with a standard input.
#[track_caller]
pub(crate) fn run_from(command: &mut Command, stdin: Stdio) -> Run {
    // Files instead of pipes: a full pipe would stop the child while nobody reads.
    let mut out = tempfile::tempfile().expect("a temporary file");
    let mut err = tempfile::tempfile().expect("a temporary file");
    let what = format!("{command:?}");
    let mut child = command
        .stdin(stdin)
        .stdout(out.try_clone().expect("a second handle"))
        .stderr(err.try_clone().expect("a second handle"))
        .spawn()
        .unwrap_or_else(|error| panic!("start {what}: {error}"));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for the child") {
            break status;
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("no end after {DEADLINE:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |file: &mut std::fs::File| {
        let mut bytes = Vec::new();
        file.rewind().expect("rewind");
        file.read_to_end(&mut bytes).expect("read the output");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let run = Run {
        what,
        code: status.code(),
        stdout: read(&mut out),
        stderr: read(&mut err),
    };
    for word in ["panicked at", "wasm trap", "wasm backtrace", "stack overflow"] {
        assert!(!run.stderr.contains(word), "`{word}` reached the user: {run}");
    }
    run
}

/// A command that runs cofre on a configuration, free of the caller's own settings.
pub(crate) fn cofre_command<S: AsRef<OsStr>>(mut command: Command, config: &Path, args: &[S]) -> Command {
    command
        .env_remove("COFRE_CONFIG")
        .env_remove("RUST_LOG")
        .env("LC_ALL", "C.UTF-8");
    command.arg("--config").arg(config).args(args);
    command
}

/// Makes a certificate for 127.0.0.1 that signs itself, and its key.
pub(crate) fn self_signed(name: &str, days: &str, certificate: &Path, key: &Path) {
    let mut openssl = Command::new(tool("openssl"));
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-subj", &format!("/CN={name}"), "-days", days])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        // Some take no authority for a server.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate);
    run(&mut openssl).exits(0);
}
