//! A throw-away MariaDB server from Debian's packages, in a temporary folder with its own socket and port.
//!
//! The server is a child of a shell that waits for the end of its standard input: when the test's process is gone,
//! however it went, the pipe closes, and the shell ends the server and removes the folder.

use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::command::{Run, is_root, run, run_from, tool};
use super::postgres::free_port;

/// How long the server may take to start or stop on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the rest of its arguments until standard input ends, then removes the folder `$1`.
const GUARD: &str =
    r#"folder=$1; shift; "$@" & server=$!; cat >/dev/null; kill -9 $server; wait $server; rm -rf "$folder""#;

/// A running server. It goes with this value.
pub(crate) struct MariaDb {
    folder: PathBuf,
    guard: Child,
    stdin: Option<ChildStdin>,
    pub(crate) port: u16,
}

impl MariaDb {
    /// Makes an empty server and waits until it answers.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options of the server.
    #[track_caller]
    pub(crate) fn start_with(options: &[&str]) -> Self {
        for _ in 0..3 {
            if let Some(server) = Self::try_start(options) {
                return server;
            }
        }
        panic!("no port is free for a MariaDB server");
    }

    /// None when another took the port.
    fn try_start(options: &[&str]) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("cofre-mariadb-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        // The server's user has to get in.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        // A server that begins removes every `#sql*` of its folder for temporary tables, a neighbour's, too: in the
        // shared one it would break a server of another test in the middle of a query.
        std::fs::create_dir(folder.join("tmp")).expect("mkdir");
        let mut install = Command::new(tool("mariadb-install-db"));
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--tmpdir={}", folder.join("tmp").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        if is_root() {
            run(Command::new(tool("chown")).args(["-R", "mysql"]).arg(&folder)).exits(0);
            install.arg("--user=mysql");
        }
        run(&mut install).exits(0);
        let mut server = Self::serve(folder, options);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if server.client(&["-e", "SELECT 1"], None).code == Some(0) {
                return Some(server);
            }
            let log = server.log();
            if log.contains("Address already in use") {
                return None;
            }
            let ended = !matches!(server.guard.try_wait(), Ok(None));
            assert!(!ended, "the MariaDB server ended: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the MariaDB server does not answer: {}", server.log());
    }

    fn serve(folder: PathBuf, options: &[&str]) -> Self {
        let port = free_port();
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(&folder)
            .arg(tool("mariadbd"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", file("data")))
            .arg(format!("--tmpdir={}", file("tmp")))
            .arg(format!("--socket={}", file("socket")))
            .arg(format!("--pid-file={}", file("pid")))
            .arg(format!("--log-error={}", file("log")))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=0",
                "--skip-name-resolve",
                "--event-scheduler=OFF",
            ])
            .args(options);
        if is_root() {
            command.arg("--user=mysql");
        }
        let mut guard = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self {
            folder,
            stdin: guard.stdin.take(),
            guard,
            port,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its folder, with the folders of the databases in `data`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The client program as the server's root, with its arguments and its standard input.
    #[track_caller]
    pub(crate) fn client(&self, args: &[&str], script: Option<&str>) -> Run {
        self.client_in(Path::new("/"), args, script)
    }

    /// The same in a folder.
    #[track_caller]
    pub(crate) fn client_in(&self, folder: &Path, args: &[&str], script: Option<&str>) -> Run {
        run_with_input(self.command("mariadb").args(args).current_dir(folder), script)
    }

    /// One of the client programs as the server's root, not started yet.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(tool(program));
        command
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.socket().display()))
            .args(["--user=root", "--default-character-set=utf8mb4"]);
        command
    }

    /// Executes statements, which have to succeed; the answers' columns are separated by tabs.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        let run = self.client(&["--batch", "--skip-column-names", database], Some(statements));
        run.exits(0).stdout
    }

    /// Makes a database.
    #[track_caller]
    pub(crate) fn database(&self, name: &str) {
        self.sql(
            "mysql",
            &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        );
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.folder.join("pid")).expect("the server's pid file");
        rustix::process::Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
    }

    /// Ends the server at once, as a power failure would.
    pub(crate) fn kill(&mut self) {
        drop(self.stdin.take());
        let _ = self.guard.wait();
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program with a text on its standard input.
#[track_caller]
fn run_with_input(command: &mut Command, input: Option<&str>) -> Run {
    let Some(input) = input else { return run(command) };
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(input.as_bytes()).expect("write the input");
    file.rewind().expect("rewind");
    run_from(command, file.into())
}
