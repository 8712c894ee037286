//! A throw-away PostgreSQL cluster: real programs of the newest version that is installed, in a temporary folder, on
//! a socket and on a free TCP port, ended when the test ends.
//!
//! The superuser `postgres` logs in without a password by the socket in the cluster's folder; everybody else, and
//! everybody by TCP, needs one (scram-sha-256).

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::command::{Run, is_root, run, tool};

/// How long a server may take to begin or to end.
const SERVER_TIME: Duration = Duration::from_secs(60);

/// A running cluster.
pub(crate) struct Cluster {
    dir: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Makes and starts one.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("cofre-pg-")
            .tempdir()
            .expect("a temporary folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        if is_root() {
            let (uid, gid) = server_user();
            chown(dir.path(), Some(uid), Some(gid)).expect("give the folder to the server's user");
        }
        let mut cluster = Self {
            dir,
            port: free_port(),
            server: None,
        };
        let mut initdb = as_server(&program("initdb"));
        initdb
            .arg("--pgdata")
            .arg(cluster.data())
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .args(["--no-sync", "--no-instructions"]);
        run(&mut initdb).exits(0);
        cluster.write_configuration();
        cluster.run_server();
        cluster
    }

    /// The folder of the socket.
    pub(crate) fn socket(&self) -> &Path {
        self.dir.path()
    }

    /// The TCP port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A URL for the superuser, by the socket.
    pub(crate) fn superuser_url(&self, database: &str) -> String {
        let socket = self.socket().display();
        format!("postgres://postgres@/{database}?host={socket}&port={}", self.port)
    }

    /// A URL by TCP; every part has to be percent-encoded where it needs to be.
    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A program of this version, told how to reach the cluster as the superuser.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("PGHOST", self.socket())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGTZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("PGPASSWORD");
        command
    }

    /// Runs SQL as the superuser and gives what it prints, unaligned, without headings.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut script = tempfile::NamedTempFile::new().expect("a temporary file");
        script.write_all(sql.as_bytes()).expect("write the script");
        let mut psql = self.command("psql");
        psql.args(["-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"])
            .arg(script.path());
        run(&mut psql).exits(0).stdout
    }

    /// Makes an empty database.
    #[track_caller]
    pub(crate) fn create_database(&self, name: &str) {
        self.sql(
            "postgres",
            &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")),
        );
    }

    /// Loads a dump into a database as its user would.
    #[track_caller]
    pub(crate) fn load(&self, folder: &Path, database: &str) -> Run {
        let mut psql = self.command("psql");
        psql.args([
            "-X",
            "-q",
            "-1",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-f",
            "restore.sql",
        ])
        .current_dir(folder);
        run(&mut psql)
    }

    /// Ends all server processes at once, as a crash does, and starts the cluster again.
    pub(crate) fn crash_and_restart(&mut self) {
        self.stop();
        self.run_server();
    }

    /// Ends all server processes at once.
    pub(crate) fn stop(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let pid = i32::try_from(server.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        // The postmaster's "immediate shutdown", which ends its children too.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let end = Instant::now() + SERVER_TIME;
        while matches!(server.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = server.kill();
                let _ = server.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write_configuration(&self) {
        let hba = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
        let configuration = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_buffers = '32MB'\nmax_connections = 60\nmax_locks_per_transaction = 256\n\
             password_encryption = 'scram-sha-256'\nlogging_collector = off\n",
            self.port,
            self.dir.path().display()
        );
        // These files are there and belong to the server's user.
        for (name, text) in [("pg_hba.conf", hba), ("postgresql.auto.conf", &configuration)] {
            std::fs::write(self.data().join(name), text).expect(name);
        }
    }

    fn run_server(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("the server's log");
        let child = as_server(&program("postgres"))
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("start postgres");
        self.server = Some(child);
        let end = Instant::now() + SERVER_TIME;
        while !self.answers() {
            let ended = self
                .server
                .as_mut()
                .is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            assert!(
                !ended && Instant::now() < end,
                "the server did not begin:\n{}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let mut psql = self.command("psql");
        psql.args(["-X", "-qAt", "-c", "SELECT 1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        psql.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program of the newest version that is installed; fails the test where there is none.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin").join(name)))
        .filter(|(_, path)| path.is_file())
        .max();
    newest.map_or_else(|| tool(name), |(_, path)| path)
}

/// The server's programs refuse to run as root.
fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let (uid, gid) = server_user();
    let mut command = Command::new(tool("setpriv"));
    command
        .arg(format!("--reuid={uid}"))
        .arg(format!("--regid={gid}"))
        .args(["--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// User and group `postgres`, which Debian's package makes.
fn server_user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("there is no user `postgres`; `.ci/run` installs the package that makes it");
    let fields: Vec<&str> = line.split(':').collect();
    (
        fields[2].parse().expect("a user id"),
        fields[3].parse().expect("a group id"),
    )
}

/// A TCP port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
