//! A throw-away MariaDB server from Debian's packages, in a temporary folder with its own socket and port.
//!
//! The server is a child of a shell that waits for the end of its standard input: when the test's process is gone,
//! however it went, the pipe closes, and the shell ends the server and removes the folder.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::command::{Run, is_root, run, tool};

/// How long the server may take to start or stop on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the rest of its arguments until standard input ends, then removes the folder `$1`.
const GUARD: &str = r#"folder=$1; shift; "$@" & server=$!; cat >/dev/null; kill -9 $server; wait $server; rm -rf "$folder""#;

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
        let folder = tempfile::Builder::new()
            .prefix("cofre-mariadb-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let mut install = Command::new(tool("mariadb-install-db"));
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        if is_root() {
            let mut chown = Command::new(tool("chown"));
            run(chown.arg("mysql").arg(&folder)).exits(0);
            install.arg("--user=mysql");
        }
        run(&mut install).exits(0);
        for _ in 0..3 {
            if let Some(server) = Self::serve(&folder) {
                return server;
            }
        }
        panic!("no MariaDB server: {}", log(&folder));
    }

    /// Starts it on a port that is free; none when another took the port.
    fn serve(folder: &Path) -> Option<Self> {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("its address").port()
        };
        let file = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(folder)
            .arg(tool("mariadbd"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", file("data")))
            .arg(format!("--socket={}", file("socket")))
            .arg(format!("--pid-file={}", file("pid")))
            .arg(format!("--log-error={}", file("log")))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=0",
                "--skip-name-resolve",
            ]);
        if is_root() {
            command.arg("--user=mysql");
        }
        let mut guard = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let server = Self {
            folder: folder.to_owned(),
            stdin: guard.stdin.take(),
            guard,
            port,
        };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if server.client(&["-e", "SELECT 1"], None).code == Some(0) {
                return Some(server);
            }
            let log = log(folder);
            if log.contains("Address already in use") {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the MariaDB server does not answer: {}", log(folder));
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
        self.sql("mysql", &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"));
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

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Runs a program with a text on its standard input.
#[track_caller]
fn run_with_input(command: &mut Command, input: Option<&str>) -> Run {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(input.unwrap_or_default().as_bytes()).expect("write the input");
    super::command::run_from(command, file.path())
}
